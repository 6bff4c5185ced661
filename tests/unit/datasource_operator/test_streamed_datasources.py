"""The list of Datasources as one stream: to who asks for a page it is a list that has none."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from datasource.api.objects import Datasource
from datasource.cluster.login import login
from datasource.cluster.resources import DATASOURCES
from datasource_operator.kopf_session import DatasourceRequests
from datasource_operator.served_scopes import ServedScopes
from datasource_operator.streamed_datasources import StreamedDatasources
from tests.unit.datasource.api_server import ApiServer, Reply, fails, json_reply, streams
from tests.unit.datasource_operator.kopf_watch import LISTED, kopf_events

ALL = DATASOURCES.path(None)


def _datasource(name: str, **metadata: Any) -> dict[str, Any]:
    told = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "7", **metadata}
    return {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": told,
        "spec": {"url": "https://a"},
    }


def _event(type_: str, item: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"type": type_, "object": item}) + b"\n"


def _bookmark(version: str, **annotations: str) -> bytes:
    return _event("BOOKMARK", {"metadata": {"resourceVersion": version, "annotations": annotations}})


END = _bookmark("9", **{"k8s.io/initial-events-end": "true"})
PAGE = json_reply(
    {
        "kind": "DatasourceList",
        "apiVersion": "datasource.dev/v1alpha1",
        "metadata": {"resourceVersion": "5", "continue": "more"},
        "items": [_datasource("paged")],
    }
)


@dataclass
class Heard:
    """What a list showed."""

    listed: list[Datasource] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def lists(self, patience: timedelta = timedelta(seconds=20)) -> StreamedDatasources:
        """What tells it."""
        return StreamedDatasources(self.listed.append, lambda each: self.gone.append(each.metadata.name), patience)

    @property
    def names(self) -> list[str]:
        return [each.metadata.name for each in self.listed]


async def _page(lists: StreamedDatasources, server: ApiServer, **query: str) -> Any:
    """The first page, or the one that is asked for."""

    async def ask(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        return await lists.ask(request, send) or await send(request)

    async with aiohttp.ClientSession(middlewares=[ask]) as session:
        async with session.get(f"{server.url}{ALL}", params={"limit": "250", **query}) as response:
            return await response.json()


async def test_first_page_is_the_whole_list_and_shows_none() -> None:
    heard, never = Heard(), asyncio.Event()
    answer = streams(
        _event("ADDED", _datasource("a")),
        _bookmark("6"),
        _event("ADDED", _datasource("b")),
        _event("MODIFIED", _datasource("a", resourceVersion="8")),
        _event("DELETED", _datasource("b", resourceVersion="9")),
        END,
        _event("ADDED", _datasource("later")),
        never,
    )
    async with ApiServer(answer) as server:
        found = await _page(heard.lists(), server)
        never.set()
    assert found == {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "DatasourceList",
        "metadata": {"resourceVersion": "9", "continue": ""},
        "items": [],
    }
    assert [(each.metadata.name, each.metadata.resource_version) for each in heard.listed] == [
        ("a", "7"),
        ("b", "7"),
        ("a", "8"),
    ]
    assert heard.gone == ["b"]
    assert heard.listed[0].spec == {"url": "https://a"}
    (request,) = server.requests
    assert request.query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "timeoutSeconds": "300",
    }


async def test_large_ones_come_without_what_nobody_reads() -> None:
    heard = Heard()
    large = _datasource("a", labels={str(number): "" for number in range(20_000)}, finalizers=["a/b"] * 20_000)
    async with ApiServer(streams(_event("ADDED", large), END)) as server:
        await _page(heard.lists(), server)
    (found,) = heard.listed
    assert (found.metadata.labels, found.metadata.finalizers) == ({}, ())


async def test_next_page_is_one() -> None:
    heard = Heard()
    async with ApiServer(PAGE) as server:
        found = await _page(heard.lists(), server, **{"continue": "token"})
    assert found["metadata"]["continue"] == "more"
    assert ["watch" in each.query for each in server.requests] == [False]


@pytest.mark.parametrize("status", [400, 422])
async def test_api_server_without_streams_is_asked_for_one_once(status: int) -> None:
    heard = Heard()
    async with ApiServer(fails(status, "Invalid"), PAGE) as server:
        lists = heard.lists()
        found = [await _page(lists, server) for _ in range(2)]
    assert [each["metadata"]["continue"] for each in found] == ["more", "more"]
    assert ["watch" in each.query for each in server.requests] == [True, False, False]
    # The page is asked for as it was.
    assert server.requests[1].query == {"limit": "250"}


@pytest.mark.parametrize(
    "answer",
    [
        streams(_event("ADDED", _datasource("a"))),
        streams(_event("ADDED", _datasource("a")), then_cut=True),
        streams(b"{\n", END),
        streams(_event("ADDED", {"metadata": {}}), END),
        streams(b'{"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}\n', END),
        streams(_bookmark("9", **{"k8s.io/initial-events-end": "no"})),
        fails(500, "InternalError"),
        fails(504, "Timeout", "Too large resource version"),
        PAGE,
    ],
    ids=["ended", "cut", "no event", "no Datasource", "error", "no end", "500", "not new enough", "a list"],
)
async def test_list_that_is_cut_short_is_read_in_pages(answer: Reply) -> None:
    heard = Heard()
    async with ApiServer(answer, PAGE) as server:
        lists = heard.lists()
        found = await _page(lists, server)
        assert [each["metadata"]["name"] for each in found["items"]] == ["paged"]
        # The next list may be streamed again.
        await _page(lists, server)
    assert ["watch" in each.query for each in server.requests] == [True, False, True, False]


async def test_silence_ends_a_stream_and_each_piece_of_it_renews_the_patience() -> None:
    heard, never = Heard(), asyncio.Event()
    patience = timedelta(milliseconds=400)

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for number in range(5):
            await asyncio.sleep(0.15)
            await response.write(_event("ADDED", _datasource(str(number))))
        if heard.gone:
            await never.wait()
        await response.write(END)
        return response

    async with ApiServer(slow) as server:
        assert (await _page(heard.lists(patience), server))["metadata"]["resourceVersion"] == "9"
    assert heard.names == ["0", "1", "2", "3", "4"]
    heard.gone.append("now it stays silent")
    async with ApiServer(slow, PAGE) as server:
        assert (await _page(heard.lists(patience), server))["metadata"]["continue"] == "more"
        never.set()


@pytest.mark.parametrize(("status", "reason"), [(401, "Unauthorized"), (403, "Forbidden"), (404, "Not Found")])
async def test_refusal_is_that_of_the_page(status: int, reason: str) -> None:
    heard: list[str] = []

    class Scopes(ServedScopes):
        def listed(self, scope: object, source: object) -> None:
            heard.append("listed")

        def refused(self, scope: object, source: object, why: str) -> None:
            heard.append(why)

    async with ApiServer(fails(status, reason)) as server:
        requests = DatasourceRequests(Scopes((None,)))
        async with requests.session(await login(str(server.kubeconfig))) as session:
            async with session.get(f"{server.url}{ALL}?limit=5") as response:
                assert response.status == status
    assert requests.login_was_refused is (status == 401)
    assert heard == ([] if status == 401 else [f"{status} {reason}"])


async def test_kopf_takes_it_for_a_list_and_watches_from_its_end() -> None:
    heard = Heard()
    listing = streams(_event("ADDED", _datasource("a")), END)
    watching_on = streams(_event("MODIFIED", _datasource("a", resourceVersion="12")))
    async with ApiServer(listing, watching_on) as server:
        requests, events = DatasourceRequests(ServedScopes((None,)), listed=heard.listed.append), list[Any]()
        async with aclosing(kopf_events(server, requests)) as stream:
            events += [await anext(stream), await anext(stream)]
    assert heard.names == ["a"]
    assert events[0] is LISTED
    assert events[1]["object"]["metadata"]["resourceVersion"] == "12"
    assert [each.query.get("resourceVersion") for each in server.requests] == [None, "9"]


async def test_one_that_cannot_be_dealt_with_holds_up_no_other() -> None:
    names: list[str] = []

    def listed(datasource: Datasource) -> None:
        if datasource.metadata.name == "a":
            raise RecursionError
        names.append(datasource.metadata.name)

    answer = streams(_event("ADDED", _datasource("a")), _event("ADDED", _datasource("b")), END)
    async with ApiServer(answer) as server:
        requests = DatasourceRequests(ServedScopes((None,)), listed=listed)
        async with requests.session(await login(str(server.kubeconfig))) as session:
            with capture_logs() as logs:
                async with session.get(f"{server.url}{ALL}?limit=5") as response:
                    assert (await response.json())["items"] == []
    assert names == ["b"]
    assert [each["datasource"] for each in logs] == ["shop/a"]
