"""HTTP as strangers speak it: a real server on loopback, with a small app behind it."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from callback_server import server as server_module
from callback_server.framing import MOST_FIELDS, head_problem
from callback_server.server import LARGEST_HEAD, server_of
from callback_server.turns import MOST_IN_A_TURN

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW_REQUEST = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Says hello; waits first where the path asks for it."""
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def listening(served: ASGIApp | None = None) -> AsyncIterator[int]:
    """The port of a server that runs."""
    server = server_of(served or app, "127.0.0.1", 0)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined] # uvicorn would take those of pytest
    serving = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        server.force_exit = True
        await serving


async def connected(port: int) -> Connection:
    return await asyncio.open_connection("127.0.0.1", port)


async def answer_of(connection: Connection) -> bytes:
    """Everything until the server closes; empty where it just does."""
    reader, writer = connection
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_request_is_answered_and_the_connection_serves_more() -> None:
    async with listening() as port:
        reader, writer = await connected(port)
        for _ in range(3):
            writer.write(REQUEST)
            assert b"200 OK" in await reader.readuntil(b"hello")
        writer.close()


async def test_connection_that_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT", 0.1)
    async with listening() as port:
        assert await answer_of(await connected(port)) == b""


async def test_head_that_drips_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slowloris: each byte alone is in time, the whole never comes."""
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT", 0.2)

    async def drip(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.02)

    async with listening() as port:
        connection = await connected(port)
        connection[1].write(b"GET / HTTP/1.1\r\n")
        dripping = asyncio.create_task(drip(connection[1]))
        assert await answer_of(connection) == b""
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def test_second_head_that_drips_is_let_go_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT", 0.2)
    async with listening() as port:
        reader, writer = await connected(port)
        writer.write(REQUEST)
        await reader.readuntil(b"hello")
        writer.write(b"GET / HTTP/1.1\r\n")
        assert await answer_of((reader, writer)) == b""


@pytest.mark.parametrize("requests", [SLOW_REQUEST, REQUEST + SLOW_REQUEST], ids=["alone", "pipelined"])
async def test_request_under_way_is_not_cut_however_long_it_takes(
    requests: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT", 0.1)
    async with listening() as port:
        reader, writer = await connected(port)
        writer.write(requests)
        for _ in range(requests.count(b"GET")):
            assert b"200 OK" in await reader.readuntil(b"hello")
        writer.close()


async def test_head_that_is_too_large_is_refused() -> None:
    async with listening() as port:
        connection = await connected(port)
        connection[1].write(b"GET / HTTP/1.1\r\nX-A: " + b"a" * (LARGEST_HEAD + 1))
        assert (await answer_of(connection)).startswith(b"HTTP/1.1 400")


async def test_code_of_many_thousand_characters_is_no_large_head() -> None:
    async with listening() as port:
        reader, writer = await connected(port)
        writer.write(b"GET /?code=" + b"a" * 16_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"hello")
        writer.close()


async def test_whoever_asks_gets_the_place_of_the_one_who_was_silent_for_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS", 3)
    async with listening() as port:
        silent = [await connected(port) for _ in range(3)]
        for count in range(2):
            reader, writer = await connected(port)
            writer.write(REQUEST)
            assert b"200 OK" in await reader.readuntil(b"hello")
            writer.close()
            # Those who came first went first, and whoever came last is here.
            assert await answer_of(silent[count]) == b""
        silent[2][1].write(REQUEST)
        assert b"200 OK" in await silent[2][0].readuntil(b"hello")
        silent[2][1].close()


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nHost: x\r\n", b"G", b""])
async def test_strangers_who_hold_every_connection_keep_nobody_out(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS", 8)
    async with listening() as port:
        strangers = [await connected(port) for _ in range(30)]
        for _, writer in strangers:
            writer.write(begun)
        reader, writer = await connected(port)
        writer.write(REQUEST)
        assert b"200 OK" in await reader.readuntil(b"hello")
        for _, each in (*strangers, (reader, writer)):
            each.close()


async def test_request_under_way_keeps_its_place_and_where_all_have_one_the_newcomer_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS", 3)
    begun, goes_on = asyncio.Semaphore(0), asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        begun.release()
        await goes_on.wait()
        await app(scope, receive, send)

    async with listening(waiting) as port:
        kept = [await connected(port) for _ in range(3)]
        for _, writer in kept:
            writer.write(REQUEST)
            await begun.acquire()
        assert await answer_of(await connected(port)) == b""
        goes_on.set()
        for reader, writer in kept:
            assert b"200 OK" in await reader.readuntil(b"hello")
            writer.close()


async def test_who_asks_and_never_reads_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many requests behind one another whose answers nobody reads: such a connection was held for ever."""
    monkeypatch.setattr(server_module, "WRITE_TIMEOUT", 0.1)
    ended = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        ended.set()

    async with listening(endless) as port:
        _, writer = await connected(port)
        writer.write(REQUEST)
        async with asyncio.timeout(30):
            await ended.wait()
        writer.close()


async def test_who_reads_in_the_end_gets_the_whole_answer() -> None:
    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5000000")]})
        await send({"type": "http.response.body", "body": b"x" * 5_000_000})

    async with listening(large) as port:
        reader, writer = await connected(port)
        writer.write(REQUEST)
        assert len(await reader.readexactly(5_000_000)) == 5_000_000
        writer.write(REQUEST)
        assert len(await reader.readexactly(5_000_000)) == 5_000_000
        writer.close()


async def test_websockets_are_not_spoken() -> None:
    async with listening() as port:
        reader, writer = await connected(port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"hello")
        writer.close()


async def test_many_requests_of_one_moment_are_begun_a_few_in_each_turn_of_the_event_loop() -> None:
    turn, begun = 0, Counter[int]()

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(next_turn)

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        begun[turn] += 1
        await app(scope, receive, send)

    async with listening(counting) as port:
        connections = [await connected(port) for _ in range(100)]
        next_turn()
        for _, writer in connections:
            writer.write(REQUEST)
        for reader, writer in connections:
            assert b"200 OK" in await reader.readuntil(b"hello")
            writer.close()
    assert begun.total() == 100
    # Those that were taken in one turn may begin in the same one as those of the next.
    assert max(begun.values()) <= 2 * MOST_IN_A_TURN


async def test_pieces_that_wait_for_their_turn_stay_in_their_order() -> None:
    async with listening() as port:
        connections = [await connected(port) for _ in range(20)]
        for at in range(0, len(REQUEST), 7):
            for _, writer in connections:
                writer.write(REQUEST[at : at + 7])
            await asyncio.sleep(0)
        for reader, writer in connections:
            assert b"200 OK" in await reader.readuntil(b"hello")
            writer.close()


async def test_who_goes_away_while_waiting_is_forgotten() -> None:
    async with listening() as port:
        connections = [await connected(port) for _ in range(50)]
        for _, writer in connections:
            writer.write(REQUEST)
            writer.transport.abort()
        reader, writer = await connected(port)
        writer.write(REQUEST)
        assert b"200 OK" in await reader.readuntil(b"hello")
        writer.close()


POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
DOUBTFUL = {
    "a length beside a transfer coding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a transfer coding beside a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "one length twice": POST + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length with a sign": POST + b"Content-Length: +5\r\n\r\nhello",
    "two transfer codings": POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a list of transfer codings": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "a transfer coding in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks": POST + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a field that goes on in the next line": POST + b"X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a first line that goes on": b"GET / HTTP/1.1\r\n X-A: b\r\nHost: x\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 5\r\n\r\nhello",
    "LF alone": b"GET / HTTP/1.1\nHost: x\n\n",
    "LF alone in the middle": POST + b"X-A: b\nContent-Length: 5\r\n\r\nhello",
    "LF alone at the end": b"GET / HTTP/1.1\r\nHost: x\r\n\n",
    "CR alone": POST + b"X-A: b\rContent-Length: 5\r\n\r\nhello",
    "a null byte": POST + b"X-A: \x00\r\n\r\n",
    "an empty line first": b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "an absolute target": b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target of a tunnel": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a fragment": b"GET /#x HTTP/1.1\r\nHost: x\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\nX-A: b\r\n\r\n",
    "another version": b"GET / HTTP/1.9\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a thousand fields": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 1000 + b"\r\n",
}


@pytest.mark.parametrize("head", DOUBTFUL.values(), ids=DOUBTFUL.keys())
async def test_head_that_two_could_read_in_two_ways_is_answered_400_and_the_connection_is_closed(head: bytes) -> None:
    async with listening() as port:
        connection = await connected(port)
        connection[1].write(head + SMUGGLED)
        answer = await answer_of(connection)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"hello" not in answer


@pytest.mark.parametrize("at", range(1, 60, 7))
async def test_doubtful_head_is_refused_in_whatever_pieces_it_comes(at: int) -> None:
    head = DOUBTFUL["a length beside a transfer coding"]
    async with listening() as port:
        connection = await connected(port)
        for piece in (head[:at], head[at:]):
            connection[1].write(piece)
            await asyncio.sleep(0.01)
        assert (await answer_of(connection)).startswith(b"HTTP/1.1 400")


async def test_head_that_drips_is_judged_once_for_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """At each byte it would take seconds for one head."""
    judged: list[int] = []

    def judge(received: bytes) -> str | None:
        judged.append(len(received))
        return head_problem(received)

    monkeypatch.setattr(server_module, "head_problem", judge)
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 500 + b"\r\n\r\n"
    async with listening() as port:
        reader, writer = await connected(port)
        writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(head)):
            writer.write(head[at : at + 1])
            await asyncio.sleep(0)
        assert b"200 OK" in await reader.readuntil(b"hello")
        writer.close()
    # Four lines, and nothing of the next request.
    assert 1 <= len(judged) <= 5


async def test_lines_without_end_are_refused_before_they_fill_the_head() -> None:
    async with listening() as port:
        connection = await connected(port)
        connection[1].write(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * (MOST_FIELDS + 2))
        assert (await answer_of(connection)).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(REQUEST, id="a request"),
        pytest.param(POST + b"Content-Length: 5\r\n\r\nhello", id="a form that the answer did not wait for"),
    ],
)
async def test_doubtful_head_behind_a_good_request_is_refused_too(before: bytes) -> None:
    async with listening() as port:
        connection = await connected(port)
        connection[1].write(before[:-1])
        # The answer is complete before the request is, where there is a body.
        await asyncio.sleep(0.05)
        connection[1].write(before[-1:] + DOUBTFUL["one length twice"] + SMUGGLED)
        answer = await answer_of(connection)
    assert answer.count(b"hello") == 1
    assert answer.count(b"HTTP/1.1 400") == 1


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"GET /?a=%0d%0a HTTP/1.1\r\nhost:x\r\n\r\n", id="no space behind the colon"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", id="a load balancer's check"),
        pytest.param(POST + b"Content-Length: 5\r\n\r\nhello", id="a form"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=\xe9\r\nX-Empty:\r\n\r\n", id="bytes and nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a\x1c=b\r\n\r\n", id="a planted cookie"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"Cookie: a\r\n" * 99 + b"\r\n", id="a hundred fields"),
    ],
)
async def test_what_browsers_and_proxies_send_is_served(request_: bytes) -> None:
    async with listening() as port:
        reader, writer = await connected(port)
        writer.write(request_)
        answer = await reader.readuntil(b"hello")
        writer.close()
    assert b"200 OK" in answer
