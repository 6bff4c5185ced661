"""Sessions with a small server on loopback that answers as the API server does: tokens, time, connections."""

import asyncio
import logging
import math
import time
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace

import pytest
from aiohttp import web

from datasource.cluster import connection as connection_module
from datasource.cluster.api_errors import (
    ApiError,
    NotFound,
    Unavailable,
)
from datasource.cluster.kube import Kube
from datasource.cluster.patience import Patience, waiting
from tests.support.hostile_provider import self_signed
from tests.unit.datasource.api_server import (
    ApiServer,
    cuts,
    fails,
    json_reply,
    stays_silent,
    streams,
)
from tests.unit.datasource.cluster.verbs import (
    SECRET,
    Verb,
    bookmark,
    get,
    result_of,
    watch,
    watch_into,
)

MOMENT = timedelta(milliseconds=200)
FOR_EVER = timedelta(days=1)


async def test_both_bounds_of_patience_may_be_reached_at_once() -> None:
    """The loop was stopped past both of them: whichever comes first ends the request, and the other does nothing."""
    raised: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: raised.append(context))
    loop.call_later(MOMENT.total_seconds() / 2, time.sleep, MOMENT.total_seconds())
    with waiting(Patience(in_all=MOMENT, of_silence=MOMENT)), pytest.raises(Unavailable, match="TimeoutError"):
        await result_of(get, stays_silent())
    assert raised == []


@pytest.mark.parametrize(
    "patience",
    [
        pytest.param(Patience(in_all=MOMENT, of_silence=FOR_EVER), id="whatever it tells others"),
        pytest.param(Patience(in_all=FOR_EVER, of_silence=MOMENT), id="and says nothing to anybody"),
    ],
)
async def test_server_that_does_not_answer_in_time_is_unavailable(patience: Patience) -> None:
    with waiting(patience), pytest.raises(Unavailable, match="GET /api/v1/namespaces/shop/secrets/a: TimeoutError"):
        await result_of(get, stays_silent())


async def test_server_that_answers_others_meanwhile_has_a_lot_to_do_and_is_waited_for() -> None:
    may_answer = asyncio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        await may_answer.wait()
        return web.json_response(SECRET)

    async with ApiServer(answer) as server, server.kube() as kube:
        kube._connection.answered_at = math.inf
        with waiting(Patience(in_all=FOR_EVER, of_silence=MOMENT)):
            slow = asyncio.create_task(get(kube))
        await asyncio.sleep(2 * MOMENT.total_seconds())
        may_answer.set()
        await slow


async def test_request_that_waits_for_a_connection_waits_no_longer_than_one_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The instance: a page that comes when all connections hang with the API server."""
    monkeypatch.setattr(connection_module, "REQUESTS_IN_FLIGHT", 1)
    has_come = asyncio.Event()

    async def stays(request: web.Request) -> web.StreamResponse:
        has_come.set()
        return await stays_silent()(request)

    async with ApiServer(stays) as server, server.kube() as kube:
        first = asyncio.create_task(get(kube))
        await has_come.wait()
        with waiting(Patience(in_all=FOR_EVER, of_silence=MOMENT)), pytest.raises(Unavailable, match="TimeoutError"):
            await get(kube)
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first


async def test_token_that_was_rotated_is_read_when_the_old_one_is_refused() -> None:
    async with ApiServer(fails(401, "Unauthorized"), json_reply(SECRET)) as server, server.kube() as kube:
        server.write_token("token-2")
        await get(kube)
    assert [request.token for request in server.requests] == ["token-1", "token-2"]


async def test_token_that_was_rotated_is_read_when_a_watch_is_refused() -> None:
    async with ApiServer(fails(401, "Unauthorized"), streams()) as server, server.kube() as kube:
        server.write_token("token-2")
        with pytest.raises(ApiError, match="401 Unauthorized"):
            await watch(kube)
        assert await watch(kube) == []
    assert [request.token for request in server.requests] == ["token-1", "token-2"]


async def test_rotated_token_is_read_even_on_a_machine_that_has_just_started(monkeypatch: pytest.MonkeyPatch) -> None:
    # The monotonic clock counts from the start of the machine.
    monkeypatch.setattr(connection_module, "time", SimpleNamespace(monotonic=lambda: 30.0))
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
    monkeypatch.setattr(connection_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
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
    monkeypatch.setattr(connection_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
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
    monkeypatch.setattr(connection_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
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


async def test_login_without_a_token_sends_none() -> None:
    async with ApiServer(json_reply(SECRET)) as server:
        text = server.kubeconfig.read_text()
        server.kubeconfig.write_text(text.replace("tokenFile", "unknown"))
        async with server.kube() as kube:
            await get(kube)
    assert server.requests[0].token is None


async def opened_watch(kube: Kube) -> "asyncio.Task[None]":
    """A watch that has heard of something; one that ends before raises what it ended with."""
    seen = asyncio.Event()
    watching, hearing = asyncio.create_task(watch_into([], kube, seen)), asyncio.create_task(seen.wait())
    await asyncio.wait({watching, hearing}, return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        hearing.cancel()
        watching.result()
    return watching


async def test_watches_of_200_namespaces_take_no_place_from_requests() -> None:
    """There are two watches for each namespace that is served, and each holds a connection for minutes."""
    end = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (streams(bookmark("9"), end) if "watch" in request.query else json_reply(SECRET))(request)

    async with ApiServer(answer) as server, server.kube() as kube:
        # One after another: 400 at a time would take longer to connect than they may, where the machine is busy.
        watches = [await opened_watch(kube) for _ in range(400)]
        assert (await get(kube)).type == "Opaque"
        end.set()
        await asyncio.gather(*watches)


async def test_request_waits_for_a_connection_for_as_long_as_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """What bounds the way to the API server does not bound the wait for others to give their connections back."""
    monkeypatch.setattr(connection_module, "REQUESTS_IN_FLIGHT", 1)
    monkeypatch.setattr(connection_module, "CONNECT_TIMEOUT", timedelta(seconds=0.1))

    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.4)
        return web.json_response(SECRET)

    async with ApiServer(answer) as server, server.kube() as kube:
        answers = await asyncio.gather(*(get(kube) for _ in range(3)))
    assert [each.type for each in answers] == ["Opaque"] * 3


@pytest.mark.parametrize("verb", [get, watch], ids=lambda verb: verb.__name__)
async def test_pause_that_the_api_server_asks_for_is_told(verb: Verb) -> None:
    with pytest.raises(ApiError) as caught:
        await result_of(verb, fails(429, "TooManyRequests", headers={"Retry-After": "7"}))
    assert caught.value.retry_after == timedelta(seconds=7)


async def test_a_watch_whose_line_cannot_be_read_gives_its_connection_back_at_once() -> None:
    never, closed = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await streams(b"<html>\n", never)(request)
        finally:
            closed.set()

    async with ApiServer(answer) as server, server.kube() as kube:
        with pytest.raises(Unavailable) as kept:  # whoever logs it holds its frames
            await watch(kube)
        await asyncio.wait_for(closed.wait(), timeout=10)
    assert "cannot be read" in str(kept.value)
