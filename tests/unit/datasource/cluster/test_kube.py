"""The verbs of the Kubernetes API, against a small server on loopback that answers as the API server does."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web

from datasource.api.objects import PartialObject, Secret
from datasource.cluster.answers import WatchEvent
from datasource.cluster.api_errors import (
    ApiError,
    Expired,
    Forbidden,
    Unavailable,
)
from datasource.cluster.kube import LARGEST_PAGE, PAGES_AT_A_TIME, ServerVersion
from datasource.cluster.patience import Patience, waiting
from datasource.cluster.resources import DATASOURCES, SECRETS
from tests.support.hostile_provider import HostileProvider, replies
from tests.unit.datasource.api_server import (
    ApiServer,
    Crowd,
    Reply,
    cuts,
    fails,
    json_reply,
    raw_reply,
    streams,
)
from tests.unit.datasource.cluster.verbs import (
    SECRET,
    Verb,
    apply,
    bookmark,
    create,
    delete,
    every_verb,
    get,
    list_all,
    patch,
    result_of,
    watch,
    watch_into,
)

_OUR_GROUP = {"groups": [{"name": "apps"}, {"name": "datasource.dev"}]}


# What is asked.


async def test_get_reads_an_object() -> None:
    async with ApiServer(json_reply(SECRET)) as server, server.kube() as kube:
        secret = await get(kube)
    assert (secret.metadata.name, secret.metadata.resource_version, secret.value("k")) == ("a", "7", "v")
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/api/v1/namespaces/shop/secrets/a")
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"] == "tests"
    assert request.token == "token-1"


async def test_get_of_metadata_only_asks_for_no_data() -> None:
    async with ApiServer(json_reply(SECRET)) as server, server.kube() as kube:
        await kube.get(SECRETS, "shop", "a", PartialObject, metadata_only=True)
    assert (
        server.requests[0].headers["Accept"].startswith("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
    )


async def test_create_posts_the_manifest_to_the_collection() -> None:
    async with ApiServer(json_reply(SECRET, 201)) as server, server.kube() as kube:
        assert (await create(kube)).metadata.name == "a"
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/api/v1/namespaces/shop/secrets")
    assert request.query == {"fieldManager": "m"}
    assert request.headers["Content-Type"] == "application/json"
    assert request.body == {"metadata": {"name": "a"}}


async def test_merge_patch_names_its_content_type_and_subresource() -> None:
    async with ApiServer(json_reply(SECRET)) as server, server.kube() as kube:
        await kube.merge_patch(
            DATASOURCES, "shop", "a", {"status": {"x": None}}, Secret, manager="m", subresource="status"
        )
    (request,) = server.requests
    assert request.method == "PATCH"
    assert request.path == "/apis/datasource.dev/v1alpha1/namespaces/shop/datasources/a/status"
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.query == {"fieldManager": "m"}
    assert request.body == {"status": {"x": None}}


async def test_dry_run_writes_nothing() -> None:
    async with ApiServer(json_reply(SECRET)) as server, server.kube() as kube:
        await kube.create(SECRETS, "shop", {}, Secret, manager="m", dry_run=True)
        await kube.merge_patch(SECRETS, "shop", "a", {}, Secret, manager="m", dry_run=True)
    assert [request.query for request in server.requests] == [{"fieldManager": "m", "dryRun": "All"}] * 2


async def test_apply_is_forced_under_our_name() -> None:
    async with ApiServer(json_reply(SECRET)) as server, server.kube() as kube:
        await apply(kube)
    (request,) = server.requests
    assert (request.method, request.path) == ("PATCH", "/api/v1/namespaces/shop/secrets/a")
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"
    assert request.query == {"fieldManager": "m", "force": "true"}


async def test_delete_names_exactly_the_object_that_was_seen() -> None:
    async with ApiServer(json_reply({"kind": "Status"})) as server, server.kube() as kube:
        await delete(kube)
    (request,) = server.requests
    assert (request.method, request.path) == ("DELETE", "/api/v1/namespaces/shop/secrets/a")
    assert request.body == {"preconditions": {"uid": "u-1", "resourceVersion": "7"}}


# Lists.


def page(*names: str, version: str, continue_: str = "") -> Reply:
    return json_reply(
        {
            "kind": "PartialObjectMetadataList",
            "metadata": {"resourceVersion": version, "continue": continue_},
            "items": [{"metadata": {"name": name}} for name in names],
        }
    )


@pytest.mark.parametrize(
    ("answers", "serves"),
    [
        pytest.param([{"groups": [{"name": "apps"}]}], False, id="no such group"),
        pytest.param([_OUR_GROUP, {"resources": [{"name": "others"}]}], False, id="no such resource"),
        pytest.param([_OUR_GROUP, {"resources": [{"name": "datasources"}]}], True, id="there"),
    ],
)
async def test_a_resource_is_served_once_discovery_tells_of_it(answers: list[object], serves: bool) -> None:
    async with ApiServer(*map(json_reply, answers)) as server, server.kube() as kube:
        assert await kube.serves(DATASOURCES) is serves


async def test_a_resource_whose_group_is_told_and_whose_version_is_not_is_not_served() -> None:
    async with ApiServer(json_reply(_OUR_GROUP), json_reply({"reason": "NotFound"}, status=404)) as server:
        async with server.kube() as kube:
            assert not await kube.serves(DATASOURCES)


async def test_list_follows_every_page() -> None:
    async with (
        ApiServer(page("a", "b", version="5", continue_="more"), page("c", version="5")) as server,
        server.kube() as kube,
    ):
        items, version = await kube.list_metadata(SECRETS, "shop", field_selector="type=t", page_size=2)
    assert [item.metadata.name for item in items] == ["a", "b", "c"]
    assert version == "5"
    first, second = server.requests
    assert first.query == {"limit": "2", "fieldSelector": "type=t"}
    assert second.query == {"limit": "2", "fieldSelector": "type=t", "continue": "more"}
    assert first.headers["Accept"].startswith("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")


async def test_list_of_nothing_may_be_null() -> None:
    empty = json_reply({"metadata": {"resourceVersion": "5"}, "items": None})
    assert await result_of(list_all, empty) == ([], "5")


async def test_list_of_all_namespaces_has_none_in_its_path() -> None:
    async with ApiServer(page(version="5")) as server, server.kube() as kube:
        await list_all(kube)
    assert server.requests[0].path == "/api/v1/secrets"


async def test_list_that_expires_between_two_pages_is_expired() -> None:
    with pytest.raises(Expired):
        await result_of(list_all, page("a", version="5", continue_="more"), fails(410, "Expired"))


def listing(names: list[str], *, bytes_each: int) -> Reply:
    """Answers as the API server does: as many as are asked for, from where the last page ended."""

    async def answer(request: web.Request) -> web.StreamResponse:
        start, limit = int(request.query.get("continue", "0")), int(request.query["limit"])
        found = names[start : start + limit]
        end = start + len(found)
        items = [
            {"metadata": {"name": name, "resourceVersion": "4", "annotations": {"large": "x" * bytes_each}}}
            for name in found
        ]
        told = {"resourceVersion": "5", "continue": str(end) if end < len(names) else ""}
        return web.json_response({"metadata": told, "items": items})

    return answer


@pytest.mark.parametrize("bytes_each", [10, LARGEST_PAGE // 20, LARGEST_PAGE // 3, LARGEST_PAGE + 1])
async def test_page_is_no_larger_than_it_may_be_whatever_tenants_write_into_metadata(bytes_each: int) -> None:
    """500 Secrets of 1.5 MiB in one page would be more memory than the operator has, and again after each restart."""
    names = [f"secret-{number}" for number in range(40)]
    sizes = []
    async with ApiServer(listing(names, bytes_each=bytes_each)) as server, server.kube() as kube:
        listed = []
        async for page, version in kube.metadata_pages(SECRETS, None, field_selector="type=t", page_size=500):
            assert version == "5"
            sizes.append(sum(len(item.metadata.annotations["large"]) for item in page))
            listed += [item.metadata.name for item in page]
    assert listed == names
    assert max(sizes) <= max(LARGEST_PAGE, bytes_each)
    # As many as fit are asked for: usual ones come at once.
    assert (len(server.requests) == 1) is (bytes_each == 10)


async def test_pages_grow_again_behind_what_was_large() -> None:
    small, large = listing([f"secret-{number}" for number in range(300)], bytes_each=10), LARGEST_PAGE // 2

    async def answer(request: web.Request) -> web.StreamResponse:
        first = "continue" not in request.query
        return await (listing([str(number) for number in range(300)], bytes_each=large) if first else small)(request)

    async with ApiServer(answer) as server, server.kube() as kube:
        pages = [len(page) async for page, _ in kube.metadata_pages(SECRETS, None, page_size=100)]
    assert sum(pages) == 300
    assert max(pages) == 100
    assert [int(each.query["limit"]) for each in server.requests][:4] == [100, 12, 1, 2]


async def pages_of(answer: Reply, patience: Patience) -> tuple[list[str], list[int]]:
    """The names in a list, and how many each page was asked for."""
    async with ApiServer(answer) as server, server.kube() as kube:
        with waiting(patience):
            names = [
                item.metadata.name
                async for page, _ in kube.metadata_pages(SECRETS, None, page_size=100)
                for item in page
            ]
        return names, [int(each.query["limit"]) for each in server.requests]


HASTY = Patience(timedelta(milliseconds=300), timedelta(milliseconds=300))


@pytest.mark.parametrize("gives_up", [True, False])
async def test_page_that_does_not_come_in_time_is_asked_for_smaller(gives_up: bool) -> None:
    """The API server has to encode 1.5 MiB for each Secret; the same page once more would take as long."""
    names = [f"secret-{number}" for number in range(30)]

    async def answer(request: web.Request) -> web.StreamResponse:
        if int(request.query["limit"]) > 12:
            if gives_up:
                return web.json_response({"kind": "Status", "code": 504, "reason": "Timeout"}, status=504)
            await asyncio.sleep(60)
        return await listing(names, bytes_each=10)(request)

    # What took too long is not tried again behind it.
    assert await pages_of(answer, HASTY) == (names, [100, 12, 12, 12])


async def test_one_object_that_does_not_come_in_time_is_told() -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits that long")

    with pytest.raises(Unavailable):
        await pages_of(answer, HASTY)


async def test_refusal_of_another_kind_is_no_matter_of_size() -> None:
    with pytest.raises(Forbidden):
        await pages_of(fails(403, "Forbidden"), HASTY)


async def test_page_that_was_told_is_let_go_of_before_the_next_one_comes() -> None:
    async with ApiServer(listing(["a", "b"], bytes_each=10)) as server, server.kube() as kube:
        held = [page async for page, _ in kube.metadata_pages(SECRETS, None, page_size=1)]
    assert held == [[], []]


async def test_many_lists_at_a_time_are_read_a_few_at_a_time() -> None:
    """There are five for each namespace that is served."""
    answer = Crowd(listing(["a"], bytes_each=10))
    async with ApiServer(answer) as server, server.kube() as kube:
        found = await asyncio.gather(*(kube.list_metadata(SECRETS, f"shop-{number}") for number in range(20)))
    assert [len(items) for items, _ in found] == [1] * 20
    assert answer.most <= PAGES_AT_A_TIME


async def test_whole_objects_with_a_label_come_page_by_page() -> None:
    empty = json_reply({"metadata": {"resourceVersion": "5"}, "items": None})
    async with ApiServer(page("a", "b", version="5", continue_="more"), empty) as server, server.kube() as kube:
        pages = [
            [item.metadata.name for item in found]
            async for found in kube.pages(SECRETS, None, Secret, label_selector="tier=one", page_size=2)
        ]
    assert pages == [["a", "b"], []]
    first, second = server.requests
    assert first.path == "/api/v1/secrets"
    assert first.query == {"limit": "2", "labelSelector": "tier=one"}
    assert second.query == {"limit": "2", "labelSelector": "tier=one", "continue": "more"}
    assert "PartialObject" not in first.headers["Accept"]


# Watches.


def event(type_: str, name: str = "a", version: str = "8", **more: Any) -> bytes:
    body = {"type": type_, "object": {"metadata": {"name": name, "resourceVersion": version, **more}}}
    return msgspec.json.encode(body) + b"\n"


def error_event(**status: object) -> bytes:
    return msgspec.json.encode({"type": "ERROR", "object": {"kind": "Status", **status}}) + b"\n"


def told(events: list[WatchEvent[PartialObject]]) -> list[tuple[str, str, str]]:
    return [(each.type, each.object.metadata.name, each.object.metadata.resource_version) for each in events]


async def test_watch_asks_for_metadata_and_bookmarks_from_a_version_on() -> None:
    async with ApiServer(streams()) as server, server.kube() as kube:
        assert await watch(kube) == []
    (request,) = server.requests
    seconds = int(request.query.pop("timeoutSeconds"))
    assert 240 <= seconds <= 360
    assert request.path == "/api/v1/namespaces/shop/secrets"
    assert request.query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "fieldSelector": "type=t",
        "resourceVersion": "5",
    }
    assert request.headers["Accept"].startswith("application/json;as=PartialObjectMetadata;")
    assert request.token == "token-1"


async def test_watch_tells_events_in_order_and_ends_when_the_server_ends_it() -> None:
    answer = streams(event("ADDED", "a", "6") + event("MODIFIED", "a", "7"), bookmark("9"), event("DELETED", "a", "10"))
    async with ApiServer(answer) as server, server.kube() as kube:
        events = await watch(kube)
    assert told(events) == [("ADDED", "a", "6"), ("MODIFIED", "a", "7"), ("BOOKMARK", "", "9"), ("DELETED", "a", "10")]


async def test_event_that_comes_in_two_parts_is_put_together() -> None:
    events: list[WatchEvent[PartialObject]] = []
    seen, line = asyncio.Event(), event("ADDED", "b", "7")
    answer = streams(event("ADDED", "a", "6") + line[:20], seen, line[20:])
    async with ApiServer(answer) as server, server.kube() as kube:
        await watch_into(events, kube, seen)
    assert told(events) == [("ADDED", "a", "6"), ("ADDED", "b", "7")]


async def test_event_larger_than_the_read_buffer_is_put_together() -> None:
    large = event("ADDED", "b", "7", annotations={"a": "x" * 600_000})
    async with ApiServer(streams(event("ADDED"), large, event("DELETED"))) as server, server.kube() as kube:
        events = await watch(kube)
    assert [each.type for each in events] == ["ADDED", "ADDED", "DELETED"]
    assert len(events[1].object.metadata.annotations["a"]) == 600_000


async def test_empty_lines_are_no_events() -> None:
    async with ApiServer(streams(b"\n\n" + event("ADDED") + b"\n")) as server, server.kube() as kube:
        assert len(await watch(kube)) == 1


@pytest.mark.parametrize(
    ("line", "expected", "status"),
    [
        pytest.param(error_event(code=410, reason="Expired", message="too old"), Expired, 410, id="too old"),
        pytest.param(error_event(code=403, reason="Forbidden", message="no"), Forbidden, 403, id="rights withdrawn"),
        pytest.param(error_event(reason="InternalError", message="oops"), ApiError, 500, id="no code at all"),
    ],
)
async def test_error_event_is_raised_after_what_came_before(line: bytes, expected: type[ApiError], status: int) -> None:
    events: list[WatchEvent[PartialObject]] = []
    async with ApiServer(streams(event("ADDED") + line)) as server, server.kube() as kube:
        with pytest.raises(ApiError) as caught:
            await watch_into(events, kube)
    assert (type(caught.value), caught.value.status, len(events)) == (expected, status, 1)


async def test_watch_that_is_cut_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="watch of secrets"):
        await result_of(watch, streams(event("ADDED"), then_cut=True))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"<html>\n", id="a page"),
        pytest.param(b"{}\n", id="no event"),
        pytest.param(b'{"type": "RENAMED", "object": {}}\n', id="a type there is not"),
        pytest.param(b'{"type": "ADDED", "object": {}}\n', id="an object without metadata"),
        pytest.param(b'{"type": "BOOKMARK", "object": {}}\n', id="a bookmark without a version"),
    ],
)
async def test_line_that_is_no_event_makes_the_watch_unavailable(line: bytes) -> None:
    with pytest.raises(Unavailable):
        await result_of(watch, streams(event("ADDED") + line))


# What goes wrong.


@every_verb
async def test_refusal_is_raised_by_every_verb(verb: Verb) -> None:
    with pytest.raises(Forbidden, match="403 Forbidden: because"):
        await result_of(verb, fails(403, "Forbidden", "because"))


@every_verb
async def test_connection_that_is_cut_leaves_the_outcome_open(verb: Verb) -> None:
    with pytest.raises(Unavailable):
        await result_of(verb, cuts())


@every_verb
async def test_answer_that_is_cut_leaves_the_outcome_open(verb: Verb) -> None:
    with pytest.raises(Unavailable):
        await result_of(verb, streams(b'{"metadata": {"name": "a"', then_cut=True))


@every_verb
async def test_server_that_is_not_there_is_unavailable(verb: Verb) -> None:
    async with ApiServer() as server, server.kube() as kube:
        await server.stop()
        with pytest.raises(Unavailable):
            await verb(kube)


@pytest.mark.parametrize("verb", [get, create, patch, apply, list_all], ids=lambda verb: verb.__name__)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>sign in</html>", id="a page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="an object without metadata"),
        pytest.param(b'{"metadata": {"name": "\xff", "resourceVersion": "\xff"}}', id="bytes that are no text"),
    ],
)
async def test_success_that_cannot_be_read_leaves_the_outcome_open(verb: Verb, body: bytes) -> None:
    # A proxy between, most likely: whoever calls must not fall over it, but read again.
    with pytest.raises(Unavailable):
        await result_of(verb, raw_reply(body))


@every_verb
async def test_redirect_is_an_error_and_the_other_server_gets_nothing(verb: Verb) -> None:
    # A compromised aggregated API server must not send our token and Secrets elsewhere.
    async with HostileProvider(replies(200, b"{}")) as other:
        with pytest.raises(ApiError) as caught:
            await result_of(verb, json_reply({}, 307, headers={"Location": other.url}))
    assert caught.value.status == 307
    assert (other.requests, other.connections) == ([], 0)


async def test_version_is_what_the_api_server_says() -> None:
    said = {"major": "1", "minor": "31+", "gitVersion": "v1.31.4-gke.1", "goVersion": "go1.22"}
    async with ApiServer(json_reply(said)) as server, server.kube() as kube:
        assert await kube.version() == ServerVersion(major="1", minor="31+", git_version="v1.31.4-gke.1")
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/version")
