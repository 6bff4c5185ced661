"""The verbs of the Kubernetes API, against a small server on loopback that answers as the API server does."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, incluster_config

from datasource.api.objects import PartialObject, Secret
from datasource.cluster import kube as kube_module
from datasource.cluster.kube import (
    DATASOURCES,
    EVENTS,
    SECRETS,
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    Kube,
    NotFound,
    Resource,
    ServerVersion,
    Unavailable,
    WatchEvent,
    bearer_token,
    login,
    ssl_context,
)
from tests.support.hostile_provider import HostileProvider, replies, self_signed
from tests.unit.datasource.api_server import (
    ApiServer,
    Reply,
    cuts,
    fails,
    json_reply,
    raw_reply,
    stays_silent,
    streams,
)

_OUR_GROUP = {"groups": [{"name": "apps"}, {"name": "datasource.dev"}]}

SECRET = {
    "metadata": {"name": "a", "namespace": "shop", "resourceVersion": "7"},
    "type": "Opaque",
    "data": {"k": "dg=="},
}


async def get(kube: Kube) -> Secret:
    return await kube.get(SECRETS, "shop", "a", Secret)


async def create(kube: Kube) -> Secret:
    return await kube.create(SECRETS, "shop", {"metadata": {"name": "a"}}, Secret, manager="m")


async def patch(kube: Kube) -> Secret:
    return await kube.merge_patch(SECRETS, "shop", "a", {"data": None}, Secret, manager="m")


async def apply(kube: Kube) -> Secret:
    return await kube.apply(SECRETS, "shop", "a", {"metadata": {"name": "a"}}, Secret, manager="m")


async def delete(kube: Kube) -> None:
    await kube.delete(SECRETS, "shop", "a", uid="u-1", resource_version="7")


async def list_all(kube: Kube) -> tuple[list[PartialObject], str]:
    return await kube.list_metadata(SECRETS, None, field_selector="type=t")


async def watch(kube: Kube) -> list[WatchEvent[PartialObject]]:
    """Every event until the watch ends."""
    events: list[WatchEvent[PartialObject]] = []
    await watch_into(events, kube)
    return events


async def watch_into(events: list[WatchEvent[PartialObject]], kube: Kube, seen: asyncio.Event | None = None) -> None:
    """Append every event until the watch ends; says when the first was seen."""
    async for each in kube.watch_metadata(SECRETS, "shop", field_selector="type=t", resource_version="5"):
        events.append(each)
        if seen is not None:
            seen.set()


Verb = Callable[[Kube], Awaitable[object]]

VERBS = [get, create, patch, apply, delete, list_all, watch]
every_verb = pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)


async def result_of(verb: Verb, *answers: Reply) -> object:
    async with ApiServer(*answers) as server, server.kube() as kube:
        return await verb(kube)


# What is asked.


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "subresource", "path"),
    [
        (SECRETS, "shop", "a", None, "/api/v1/namespaces/shop/secrets/a"),
        (SECRETS, "shop", None, None, "/api/v1/namespaces/shop/secrets"),
        (SECRETS, None, None, None, "/api/v1/secrets"),
        (EVENTS, "shop", None, None, "/apis/events.k8s.io/v1/namespaces/shop/events"),
        (
            DATASOURCES,
            "shop",
            "sales",
            "status",
            "/apis/datasource.dev/v1alpha1/namespaces/shop/datasources/sales/status",
        ),
    ],
)
def test_path_is_the_one_of_the_api(
    resource: Resource, namespace: str | None, name: str | None, subresource: str | None, path: str
) -> None:
    assert resource.path(namespace, name, subresource) == path


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


# Watches.


def event(type_: str, name: str = "a", version: str = "8", **more: Any) -> bytes:
    body = {"type": type_, "object": {"metadata": {"name": name, "resourceVersion": version, **more}}}
    return msgspec.json.encode(body) + b"\n"


def bookmark(version: str) -> bytes:
    body = {
        "type": "BOOKMARK",
        "object": {
            "kind": "Secret",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": version, "creationTimestamp": None},
        },
    }
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


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (400, "BadRequest", Invalid),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", Conflict),
        (409, "Conflict", Conflict),
        (410, "Expired", Expired),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", ApiError),
        (500, "InternalError", ApiError),
        (503, "ServiceUnavailable", ApiError),
    ],
)
async def test_refusal_is_told_by_its_class(status: int, reason: str, expected: type[ApiError]) -> None:
    with pytest.raises(ApiError) as caught:
        await result_of(get, fails(status, reason, "because"))
    assert type(caught.value) is expected
    assert (caught.value.status, caught.value.reason, caught.value.message) == (status, reason, "because")
    assert str(caught.value) == f"{status} {reason}: because"


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


async def test_server_that_does_not_answer_in_time_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_module, "REQUEST_TIMEOUT", timedelta(milliseconds=200))
    with pytest.raises(Unavailable, match="GET /api/v1/namespaces/shop/secrets/a: TimeoutError"):
        await result_of(get, stays_silent())


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


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"<html>Bad gateway</html>", "<html>Bad gateway</html>", id="a page"),
        pytest.param(b"x" * 300, "x" * 200, id="a long text, cut"),
        pytest.param(b"\xff", "\ufffd", id="bytes that are no text"),
        pytest.param(b"", "", id="nothing"),
        pytest.param(b'{"message": 5}', '{"message": 5}', id="JSON of another shape"),
        pytest.param(b'{"message": "\xff"}', '{"message": "\ufffd"}', id="JSON with bytes that are no text"),
        pytest.param(b'{"a":' * 100_000, ('{"a":' * 100_000)[:200], id="JSON without an end"),
    ],
)
async def test_refusal_without_a_status_object_shows_what_came(body: bytes, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        await result_of(get, raw_reply(body, 502))
    assert (caught.value.status, caught.value.reason, caught.value.message) == (502, "", message)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", timedelta(seconds=7)),
        ("0", timedelta(0)),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("9" * 20, None),
        ("9" * 5000, None),
    ],
    ids=["seconds", "at once", "a word", "negative", "empty", "longer than all time", "5000 digits"],
)
async def test_retry_after_of_the_api_server_is_read(value: str, expected: timedelta | None) -> None:
    with pytest.raises(ApiError) as caught:
        await result_of(get, fails(429, "TooManyRequests", headers={"Retry-After": value}))
    assert caught.value.retry_after == expected


async def test_refusal_without_retry_after_says_nothing_of_waiting() -> None:
    with pytest.raises(NotFound) as caught:
        await result_of(get, fails(404, "NotFound"))
    assert caught.value.retry_after is None


@every_verb
async def test_redirect_is_an_error_and_the_other_server_gets_nothing(verb: Verb) -> None:
    # A compromised aggregated API server must not send our token and Secrets elsewhere.
    async with HostileProvider(replies(200, b"{}")) as other:
        with pytest.raises(ApiError) as caught:
            await result_of(verb, json_reply({}, 307, headers={"Location": other.url}))
    assert caught.value.status == 307
    assert (other.requests, other.connections) == ([], 0)


# Logging in.


async def test_token_that_was_rotated_is_read_when_the_old_one_is_refused() -> None:
    async with ApiServer(fails(401, "Unauthorized"), json_reply(SECRET)) as server, server.kube() as kube:
        server.write_token("token-2")
        await get(kube)
    assert [request.token for request in server.requests] == ["token-1", "token-2"]


async def test_rotated_token_is_read_even_on_a_machine_that_has_just_started(monkeypatch: pytest.MonkeyPatch) -> None:
    # The monotonic clock counts from the start of the machine.
    monkeypatch.setattr(kube_module, "time", SimpleNamespace(monotonic=lambda: 30.0))
    async with ApiServer(fails(401, "Unauthorized"), json_reply(SECRET)) as server, server.kube() as kube:
        server.write_token("token-2")
        await get(kube)
    assert [request.token for request in server.requests] == ["token-1", "token-2"]


async def test_token_that_stays_refused_is_tried_twice_and_no_more() -> None:
    async with ApiServer(fails(401, "Unauthorized")) as server, server.kube() as kube:
        with pytest.raises(ApiError, match="401 Unauthorized"):
            await get(kube)
    assert len(server.requests) == 2


async def test_token_is_read_again_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(kube_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    async with ApiServer(json_reply(SECRET)) as server, server.kube() as kube:
        for seconds, token in ((59, "token-2"), (2, "token-3"), (1, "token-4")):
            clock.now += seconds
            server.write_token(token)
            await get(kube)
    assert [request.token for request in server.requests] == ["token-1", "token-3", "token-3"]


@pytest.mark.parametrize(
    "broken", ["", "{", "clusters: []"], ids=["an empty file", "half a file", "a file that leads nowhere"]
)
async def test_login_that_cannot_be_read_again_leaves_the_old_one(
    broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(kube_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    async with ApiServer(json_reply(SECRET)) as server, server.kube() as kube:
        server.kubeconfig.write_text(broken)
        clock.now += 61
        with caplog.at_level(logging.WARNING):
            await get(kube)
    assert server.requests[0].token == "token-1"
    assert "could not read the API server login again" in caplog.text
    assert "token-1" not in caplog.text


async def test_answers_are_noted_and_silence_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(kube_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    async with ApiServer(json_reply(SECRET), fails(404, "NotFound"), streams(bookmark("9")), cuts()) as server:
        async with server.kube() as kube:
            assert kube.answered_at == 0.0
            for verb, answered_at in ((get, 1001.0), (get, 1002.0), (watch, 1003.0), (get, 1003.0)):
                clock.now += 1
                with suppress(NotFound, Unavailable):
                    await verb(kube)
                assert kube.answered_at == answered_at


async def test_certificate_of_the_login_is_what_is_trusted() -> None:
    async with ApiServer(json_reply(SECRET), tls=self_signed()) as server, server.kube() as kube:
        assert (await get(kube)).metadata.name == "a"


async def test_wrong_certificate_is_unavailable_and_no_token_is_sent() -> None:
    async with ApiServer(tls=self_signed()) as server:
        self_signed().write_into(server.kubeconfig.parent)
        async with server.kube() as kube:
            with pytest.raises(Unavailable, match="Certificate"):
                await get(kube)
    assert server.requests == []


def configuration(**settings: object) -> Configuration:
    made = Configuration()
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def test_certificates_are_verified_unless_the_login_says_otherwise() -> None:
    strict = ssl_context(configuration())
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    lax = ssl_context(configuration(verify_ssl=False))
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)


def test_client_certificate_of_the_login_is_loaded(tmp_path: Path) -> None:
    certificate, key = self_signed().write_into(tmp_path)
    assert ssl_context(configuration(cert_file=str(certificate), key_file=str(key))) is not None
    with pytest.raises(ssl.SSLError):
        ssl_context(configuration(cert_file=str(certificate), key_file=str(certificate)))


@pytest.mark.parametrize(
    ("api_key", "token"),
    [
        ({"BearerToken": "Bearer t-1"}, "t-1"),
        ({"BearerToken": "bearer t-1\n"}, "t-1"),
        ({"authorization": "Bearer t-1"}, "t-1"),
        ({}, None),
    ],
    ids=["of a kubeconfig", "of a ServiceAccount", "by its older name", "none with a client certificate"],
)
def test_bearer_token_is_told_without_its_scheme(api_key: dict[str, str], token: str | None) -> None:
    assert bearer_token(configuration(api_key=api_key)) == token


async def test_login_without_a_token_sends_none() -> None:
    async with ApiServer(json_reply(SECRET)) as server:
        text = server.kubeconfig.read_text()
        server.kubeconfig.write_text(text.replace("tokenFile", "unknown"))
        async with server.kube() as kube:
            await get(kube)
    assert server.requests[0].token is None


def write_service_account(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "token").write_text("sa-token\n")
    (folder / "ca.crt").write_text(self_signed().certificate)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(folder / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(folder / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")


async def test_pod_logs_in_with_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_service_account(tmp_path, monkeypatch)
    read = await login()
    assert (read.host, bearer_token(read)) == ("https://10.0.0.1:443", "sa-token")


async def test_named_kubeconfig_wins_over_the_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_service_account(tmp_path, monkeypatch)
    async with ApiServer() as server:
        read = await login(str(server.kubeconfig))
        assert (read.host, bearer_token(read)) == (server.url, "token-1")


async def test_kubeconfig_that_leads_nowhere_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigException):
        await login(str(tmp_path / "missing"))


async def test_version_is_what_the_api_server_says() -> None:
    said = {"major": "1", "minor": "31+", "gitVersion": "v1.31.4-gke.1", "goVersion": "go1.22"}
    async with ApiServer(json_reply(said)) as server, server.kube() as kube:
        assert await kube.version() == ServerVersion(major="1", minor="31+", git_version="v1.31.4-gke.1")
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/version")


async def test_watches_of_200_namespaces_take_no_place_from_requests() -> None:
    """There are two watches for each namespace that is served, and each holds a connection for minutes."""
    end = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (streams(bookmark("9"), end) if "watch" in request.query else json_reply(SECRET))(request)

    async with ApiServer(answer) as server, server.kube() as kube:
        opened = [asyncio.Event() for _ in range(400)]
        watches = [asyncio.create_task(watch_into([], kube, seen)) for seen in opened]
        await asyncio.gather(*(seen.wait() for seen in opened))
        assert (await get(kube)).type == "Opaque"
        end.set()
        await asyncio.gather(*watches)


async def test_request_waits_for_a_connection_for_as_long_as_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """What bounds the way to the API server does not bound the wait for others to give their connections back."""
    monkeypatch.setattr(kube_module, "REQUESTS_IN_FLIGHT", 1)
    monkeypatch.setattr(kube_module, "CONNECT_TIMEOUT", timedelta(seconds=0.1))

    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.4)
        return web.json_response(SECRET)

    async with ApiServer(answer) as server, server.kube() as kube:
        answers = await asyncio.gather(*(get(kube) for _ in range(3)))
    assert [each.type for each in answers] == ["Opaque"] * 3
