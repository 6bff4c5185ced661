"""Lists and watches of Datasources as kopf gets them, on a real session."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs
from yarl import URL

from datasource.api.names import Annotation
from datasource.api.objects import Datasource
from datasource.cluster.kube import LARGEST_PAGE
from datasource.cluster.login import login
from datasource.cluster.resources import DATASOURCES
from datasource_operator.bounded_lists import FIRST_PAGE, LISTS_AT_A_TIME, BoundedLists, read_list
from datasource_operator.controller import datasource_in
from datasource_operator.kopf_session import DatasourceRequests
from datasource_operator.served_scopes import ServedScopes
from datasource_operator.trimming import trimmed
from tests.unit.datasource.api_server import ApiServer, Crowd, Reply, json_reply, only_in_pages
from tests.unit.datasource_operator.kopf_watch import LISTED, kopf_events

ONE = DATASOURCES.path("shop")
ALL = DATASOURCES.path(None)


def _listed(number: int, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {
            "name": f"d-{number}",
            "namespace": "shop",
            "uid": str(number),
            "resourceVersion": "7",
            **metadata,
        },
        "spec": {"oauth2": {"scopes": ["read"]}},
        "status": {"state": "AUTHORIZED"},
    }


def _list(*items: dict[str, Any]) -> dict[str, Any]:
    told = {"resourceVersion": "9", "continue": "more"}
    return {"apiVersion": "datasource.dev/v1alpha1", "kind": "DatasourceList", "metadata": told, "items": list(items)}


async def _asked(
    reply: Reply, path: str, times: int = 1, *, listed: Callable[[Datasource], None] = lambda _: None
) -> list[Any]:
    async with ApiServer(only_in_pages(reply)) as server:
        requests = DatasourceRequests(ServedScopes((None,)), listed=listed)
        async with requests.session(await login(str(server.kubeconfig))) as session:

            async def ask() -> Any:
                async with await session.get(f"{server.url}{path}") as response:
                    return await response.json()

            return await asyncio.gather(*(ask() for _ in range(times)))


async def test_list_whose_continue_token_expired_is_read_again_by_kopf() -> None:
    """kopf would end at a 410, and the process with it."""
    asked: list[str] = []

    async def reply(request: web.Request) -> web.Response:
        token = request.query.get("continue", "")
        asked.append("watch" if "watch" in request.query else token)
        if "watch" in request.query:
            return web.Response()
        if token and asked.count(token) == 1:
            status = {
                "kind": "Status",
                "code": 410,
                "reason": "Expired",
                "message": "The continue parameter is too old",
            }
            return web.json_response(status, status=410)
        told = {"resourceVersion": "9", "continue": "" if token else "old"}
        return web.json_response(_list(_listed(1)) | {"metadata": told})

    async with ApiServer(only_in_pages(reply)) as server:
        async with aclosing(kopf_events(server, DatasourceRequests(ServedScopes((None,))))) as events:
            first = await anext(events)
    assert first is LISTED
    assert asked == ["", "old", "", "old"]


async def test_a_list_shows_what_the_api_server_sent_but_for_what_nobody_reads() -> None:
    usual = _listed(1, generation=3, annotations={Annotation.REFRESH: "now"}, deletionTimestamp="2026-11-27T12:00:00Z")
    unread = {
        "labels": {"a": "b"},
        "managedFields": [{"manager": "x"}],
        "ownerReferences": [{"uid": "1"}],
        "finalizers": ["a/b"],
    }
    large = json.loads(json.dumps(usual))
    large["metadata"] |= unread
    large["metadata"]["annotations"]["example.com/notes"] = "x" * 100_000
    shown: list[Datasource] = []
    (found,) = await _asked(json_reply(_list(large, _listed(2))), f"{ALL}?limit=2", listed=shown.append)
    # kopf would make a queue and a task of each item.
    assert found == _list()
    assert [trimmed(each) for each in shown] == [trimmed(datasource_in(each)) for each in (usual, _listed(2))]
    assert trimmed(shown[0]).metadata.annotations == {Annotation.REFRESH: "now"}
    assert shown[0].metadata.labels == {}


async def test_one_that_cannot_be_dealt_with_holds_up_no_other() -> None:
    shown: list[str] = []

    def listed(datasource: Datasource) -> None:
        if datasource.metadata.name == "d-1":
            raise RuntimeError("a bug")
        shown.append(datasource.metadata.name)

    with capture_logs() as logs:
        (found,) = await _asked(json_reply(_list(_listed(1), _listed(2))), ALL, listed=listed)
    assert (found, shown) == (_list(), ["d-2"])
    assert [each["datasource"] for each in logs] == ["shop/d-1"]


async def test_a_list_of_nothing_is_one() -> None:
    (found,) = await _asked(json_reply(_list() | {"items": None}), ONE)
    assert found["items"] == []
    assert found["metadata"]["resourceVersion"] == "9"


@pytest.mark.parametrize("body", [[], {"kind": "Status"}, {"metadata": {}, "items": [{"kind": "Datasource"}]}])
async def test_what_is_no_list_is_as_it_came(body: Any) -> None:
    assert await _asked(json_reply(body), ALL) == [body]


async def test_answers_about_other_things_and_refusals_are_as_they_came() -> None:
    whole = {"metadata": {}, "items": [_listed(1, labels={"a": "b"})]}
    assert await _asked(json_reply(whole), "/apis") == [whole]
    assert await _asked(json_reply(whole, status=403), ALL) == [whole]


async def test_owners_and_fields_of_a_whole_page_take_no_more_memory_than_those_of_one() -> None:
    """25 Datasources of 1.5 MiB each, as dictionaries, would take most of what the operator has."""
    owners = [{"uid": f"{number:x}", "kind": "Pod", "name": "a", "apiVersion": "v1"} for number in range(2_000)]
    body = json.dumps(_list(*(_listed(number, ownerReferences=owners) for number in range(25)))).encode()
    one = json.dumps(_list(_listed(0, ownerReferences=owners))).encode()
    peaks = []
    for each in (one, body):
        tracemalloc.start()
        await read_list(each, lambda _: None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Not even one of them is ever parsed.
    assert max(peaks) < len(one)


# Pages.


def _pages_of(number: int, *, bytes_each: int = 10, slow_above: int = 1000) -> tuple[Reply, list[int]]:
    """Answers as the API server does, in no time only to who asks for few; and how many each was asked for."""
    asked: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        start, limit = int(request.query.get("continue", "0")), int(request.query["limit"])
        asked.append(limit)
        if limit > slow_above:
            await asyncio.sleep(60)
        items = [
            _listed(each, managedFields=[{"manager": "x" * bytes_each}])
            for each in range(start, min(start + limit, number))
        ]
        told = {"resourceVersion": "9", "continue": str(start + limit) if start + limit < number else ""}
        return web.json_response(_list(*items) | {"metadata": told})

    return only_in_pages(answer), asked


async def _all_names(lists: BoundedLists, server: ApiServer, *, limit: int = FIRST_PAGE) -> list[str]:
    """As kopf lists, and what it shows."""
    return await _names_at(server.url, lists, limit=limit)


async def _names_at(base: str, lists: BoundedLists, *, limit: int = FIRST_PAGE) -> list[str]:
    names: list[str] = []
    lists.listed = lambda each: names.append(each.metadata.name)
    following = ""
    async with aiohttp.ClientSession(middlewares=[lists.ask], response_class=lists.response_class) as session:
        while True:
            url = URL(f"{base}{ONE}").update_query(limit=str(limit))
            async with await session.get(url.update_query({"continue": following} if following else {})) as response:
                page = await response.json()
            following = page["metadata"]["continue"]
            if not following:
                return names


def _lists(**options: Any) -> BoundedLists:
    return BoundedLists(lambda url: url.path.endswith("/datasources"), lambda _: None, **options)


@pytest.mark.parametrize("bytes_each", [10, LARGEST_PAGE // 20, LARGEST_PAGE // 3, LARGEST_PAGE + 1])
async def test_no_more_of_a_page_is_read_than_it_may_have(bytes_each: int) -> None:
    answer, asked = _pages_of(30, bytes_each=bytes_each)
    async with ApiServer(answer) as server:
        assert await _all_names(_lists(), server) == [f"d-{number}" for number in range(30)]
    fits = max(LARGEST_PAGE // (bytes_each + 500), 1)
    assert (min(asked) <= fits) is True
    assert (asked == [25, 25]) is (bytes_each == 10)


async def test_pages_of_a_long_list_grow_and_those_of_the_next_list_begin_small() -> None:
    """The API server walks over all that are left for each page. But it prepares a whole page, whatever is in its objects."""
    answer, asked = _pages_of(1_000)
    lists = _lists()
    async with ApiServer(answer) as server:
        assert len(await _all_names(lists, server, limit=250)) == 1_000
        assert asked == [25, 50, 100, 200, 250, 250, 250]
        asked.clear()
        await _all_names(lists, server, limit=250)
        assert asked[0] == FIRST_PAGE


async def test_page_that_does_not_come_in_time_is_asked_for_smaller_until_it_does() -> None:
    answer, asked = _pages_of(30, slow_above=4)
    async with ApiServer(answer) as server:
        names = await _all_names(_lists(patience=timedelta(milliseconds=200)), server)
    assert names == [f"d-{number}" for number in range(30)]
    assert asked[:2] == [25, 3]
    # It grows by one with each page, so few are asked for in vain.
    assert sum(limit > 4 for limit in asked) < 6


async def test_one_that_does_not_come_in_time_alone_is_told() -> None:
    answer, asked = _pages_of(3, slow_above=0)
    async with ApiServer(answer) as server:
        with pytest.raises(TimeoutError):
            await _all_names(_lists(patience=timedelta(milliseconds=50)), server)
    assert asked == [25, 3, 1]


async def test_page_that_the_api_server_gave_up_is_asked_for_smaller() -> None:
    pages, asked = _pages_of(10)

    async def answer(request: web.Request) -> web.StreamResponse:
        if int(request.query["limit"]) > 5:
            return web.json_response({"kind": "Status", "code": 504, "reason": "Timeout"}, status=504)
        return await pages(request)

    async with ApiServer(answer) as server:
        assert len(await _all_names(_lists(), server)) == 10
    assert asked[0] == 3


async def test_api_server_that_cannot_be_connected_to_says_nothing_of_sizes() -> None:
    lists = _lists()
    answer, asked = _pages_of(3)
    async with ApiServer(answer) as server:
        base = server.url
        await server.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await _names_at(base, lists)
    async with ApiServer(answer) as server:
        assert len(await _all_names(lists, server)) == 3
    assert asked == [25]


async def test_a_list_waits_for_its_turn_for_as_long_as_it_takes() -> None:
    answer = Crowd(json_reply(_list() | {"metadata": {"resourceVersion": "1", "continue": ""}}), seconds=0.1)
    # An answer takes a twentieth of our patience, and all together take longer than it.
    lists = _lists(patience=timedelta(seconds=2))
    async with ApiServer(answer) as server:
        found = await asyncio.gather(*(_all_names(lists, server) for _ in range(100)))
    assert found == [[]] * 100
    assert answer.most <= LISTS_AT_A_TIME


# Watches.


async def _watched(*lines: bytes, pieces: int = 1) -> list[bytes]:
    """What kopf reads of a watch that sends these lines, cut into so many pieces."""
    sent = b"".join(lines)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        length = max(len(sent) // pieces, 1)
        for start in range(0, len(sent), length):
            await response.write(sent[start : start + length])
            await asyncio.sleep(0)
        return response

    lists = _lists()
    async with ApiServer(answer) as server:
        async with aiohttp.ClientSession(middlewares=[lists.ask], response_class=lists.response_class) as session:
            async with await session.get(f"{server.url}{ONE}?watch=true") as response:
                content: AsyncIterator[bytes] = response.content.iter_chunked(2**20)
                return [piece async for piece in content]


def _event(item: dict[str, Any]) -> bytes:
    return json.dumps({"type": "MODIFIED", "object": item}).encode() + b"\n"


@pytest.mark.parametrize("pieces", [1, 7, 100])
async def test_events_come_without_what_is_large_and_not_read(pieces: int) -> None:
    usual = _event(_listed(1, labels={"a": "b"}))
    large = _event(_listed(2, labels={str(number): "" for number in range(20_000)}, finalizers=["a/b"] * 20_000))
    found = b"".join(await _watched(usual, large, usual, pieces=pieces))
    first, second, third = found.splitlines(keepends=True)
    assert (first, third) == (usual, usual)
    assert json.loads(second) == json.loads(_event(_listed(2)))


async def test_line_that_is_no_event_is_as_it_came() -> None:
    broken = b"x" * 100_000 + b"\n"
    assert b"".join(await _watched(broken, b"half a line")) == broken + b"half a line"
