"""What a reply may cost: bytes, lines, pieces, and turns of the event loop."""

import asyncio
import json
from datetime import timedelta

import pytest

from datasource.oauth2.errors import NotDelivered, OAuth2Error, OutcomeUnknown, ReplyTooLarge, Throttled
from datasource.oauth2.provider_metadata import LARGEST_DOCUMENT
from datasource.oauth2.strict_json import MOST_ELEMENTS, Number, json_object
from datasource.oauth2.token_request import (
    TOKEN_REPLY,
    Client,
    ClientAuthentication,
    RequestOptions,
    authorization_code_request,
    refresh_request,
)
from datasource.outbound.provider_request import SHORT_REPLY, ProviderRequest, Reply
from datasource.providers.discovery import read_document
from datasource.providers.exchange import request_token
from datasource.providers.transport import Transport
from datasource.providers.wire import LARGEST_HEAD, MOST_LINES, MOST_PIECES, PIECE, Wire
from tests.support.builders import NOW
from tests.support.hostile_provider import (
    GOOD_REPLY,
    ON_LOOPBACK,
    Behaviour,
    HostileProvider,
    replies,
    self_signed,
    writes,
    writes_without_end,
)

PATIENT = timedelta(seconds=10)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
NOTHING_MORE = b"Content-Length: 2\r\n\r\n{}"

CLIENT = Client("my-app", "s3cret", ClientAuthentication.CLIENT_SECRET_BASIC)

FLOODS = [
    pytest.param(CHUNKED, b"1\r\n \r\n" * 1000, id="chunks of one byte"),
    pytest.param(CHUNKED, b"1;a\r\n \r\n" * 1000, id="chunks of one byte with extensions"),
    pytest.param(CHUNKED, b"1;" + b"e" * 20_000 + b"\r\n \r\n", id="long chunk extensions"),
    pytest.param(CHUNKED + b"1;", b"e" * 1000, id="a chunk extension without an end"),
    pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000, id="informational responses"),
    pytest.param(b"", b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\n" * 1000, id="informational responses with headers"),
    pytest.param(b"HTTP/1.1 200 OK\r\n", b"a:b\r\n" * 1000, id="headers"),
    pytest.param(b"HTTP/1.1 200 OK\r\na: ", b"b" * 1000, id="one header"),
    pytest.param(b"HTTP/1.1 200 ", b"O" * 1000, id="a status line"),
    pytest.param(CHUNKED + b"2\r\n{}\r\n0\r\n", b"a:b\r\n" * 1000, id="trailers"),
    pytest.param(OK + b"\r\n", b" " * 1000, id="a body that the end of the connection would end"),
    pytest.param(b"", b"\r\n" * 1000, id="empty lines"),
]


def request_to(url: str, *, largest_reply: int = SHORT_REPLY) -> ProviderRequest:
    return ProviderRequest(url=url, headers={}, body=b"a=b", largest_reply=largest_reply)


async def send(behave: Behaviour, *, largest_reply: int = SHORT_REPLY) -> Reply:
    async with HostileProvider(behave) as provider, Transport(ON_LOOPBACK) as transport:
        request = request_to(provider.url, largest_reply=largest_reply)
        return await transport.send(request, deadline=PATIENT, tenant="apps")


@pytest.mark.parametrize(("head", "block"), FLOODS)
@pytest.mark.parametrize("is_tls", [False, True])
async def test_flood_ends_at_a_bound_and_the_outcome_is_unknown(head: bytes, block: bytes, is_tls: bool) -> None:
    certificate = self_signed()
    tls = certificate.server_context() if is_tls else None
    flood = writes_without_end(head, block)
    async with HostileProvider(flood, tls=tls) as provider:
        async with Transport(ON_LOOPBACK, verify=certificate.trusting_context()) as transport:
            with pytest.raises(OutcomeUnknown):
                # Nothing but a bound ends these before the test does.
                await transport.send(request_to(provider.url), deadline=timedelta(minutes=5), tenant="apps")


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(OK + b"a:b\r\n" * (2 * MOST_LINES) + NOTHING_MORE, id="headers"),
        pytest.param(CHUNKED + b"2\r\n{}\r\n0\r\n" + b"a:b\r\n" * (3 * MOST_LINES) + b"\r\n", id="trailers"),
        pytest.param(b"HTTP/1.1 103 E\r\n\r\n" * MOST_LINES + OK + NOTHING_MORE, id="informational responses"),
        pytest.param(OK + b"a: " + b"b" * (LARGEST_HEAD + 2 * PIECE) + b"\r\n" + NOTHING_MORE, id="a long header"),
    ],
)
async def test_whole_reply_with_too_much_around_its_body_is_not_read(lines: bytes) -> None:
    with pytest.raises(ReplyTooLarge, match="headers of the reply"):
        await send(writes(lines))


async def test_reply_in_many_small_chunks_is_read() -> None:
    body = b'{"access_token": "at-1", "token_type": "Bearer", "padding": "' + b"x" * 3000 + b'"}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    assert (await send(writes(CHUNKED, chunks, b"0\r\n\r\n"))).body == body


async def test_reply_in_chunks_of_eighteen_bytes_is_read_up_to_the_largest_size() -> None:
    chunks = (b"12\r\n" + b"x" * 18 + b"\r\n") * (SHORT_REPLY // 18)
    assert len((await send(writes(CHUNKED, chunks, b"0\r\n\r\n"))).body) == SHORT_REPLY // 18 * 18
    with pytest.raises(ReplyTooLarge, match="too many pieces"):
        await send(writes(CHUNKED, chunks * 2, b"0\r\n\r\n"), largest_reply=TOKEN_REPLY)


async def test_early_hints_and_a_usual_head_are_read() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n" * 20
    head = OK + b"".join(b"X-Policy-%d: %s\r\n" % (number, b"p" * 200) for number in range(100))
    assert (await send(writes(hints + head + NOTHING_MORE))).body == b"{}"


async def test_body_of_lines_is_no_head() -> None:
    body = b"{" + b"\n" * (SHORT_REPLY - 2) + b"}"
    head = OK + b"Content-Length: %d\r\n\r\n" % len(body)
    assert (await send(writes(head, b"", body[:1000], body[1000:]))).body == body


async def test_bounds_begin_anew_with_each_request_of_a_connection() -> None:
    big = replies(200, b"x" * SHORT_REPLY, keeps_open=True)
    async with HostileProvider(big, keeps_open=True) as provider, Transport(ON_LOOPBACK) as transport:
        for _ in range(4):
            reply = await transport.send(request_to(provider.url), deadline=PATIENT, tenant="apps")
            assert len(reply.body) == SHORT_REPLY
        assert provider.connections == 1


async def test_other_work_has_a_turn_between_two_pieces() -> None:
    turns = 0

    async def work() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    working = asyncio.create_task(work())
    certificate = self_signed()
    big = replies(200, b" " * LARGEST_DOCUMENT)
    async with HostileProvider(big, tls=certificate.server_context()) as provider:
        async with Transport(ON_LOOPBACK, verify=certificate.trusting_context()) as transport:
            before = turns
            await transport.send(
                request_to(provider.url, largest_reply=LARGEST_DOCUMENT), deadline=PATIENT, tenant="apps"
            )
            assert turns - before >= LARGEST_DOCUMENT // PIECE
    working.cancel()


# What a reply says although it is not read.


@pytest.mark.parametrize(
    ("status", "expected"), [(503, Throttled), (429, Throttled), (403, OAuth2Error), (500, OAuth2Error)]
)
async def test_status_that_grants_nothing_says_enough(status: int, expected: type[OAuth2Error]) -> None:
    page = replies(status, b"x" * (TOKEN_REPLY + 1), content_type="text/html")
    async with HostileProvider(page) as provider, Transport(ON_LOOPBACK) as transport:
        request = refresh_request(provider.url, CLIENT, refresh_token="rt-1")
        with pytest.raises(expected) as caught:
            await request_token(transport, request, tenant="apps", now=lambda: NOW)
    assert not isinstance(caught.value, OutcomeUnknown | NotDelivered)


async def test_refresh_whose_reply_is_too_large_may_have_been_processed() -> None:
    big = json.dumps({"access_token": "at-1", "token_type": "Bearer", "padding": "x" * TOKEN_REPLY}).encode()
    async with HostileProvider(replies(200, big)) as provider, Transport(ON_LOOPBACK) as transport:
        request = refresh_request(provider.url, CLIENT, refresh_token="rt-1")
        with pytest.raises(OutcomeUnknown, match="larger than 256 KiB"):
            await request_token(transport, request, tenant="apps", now=lambda: NOW)


async def test_reply_with_three_tokens_of_the_largest_size_is_read() -> None:
    """A refresh whose reply is thrown away may be a grant that is lost."""
    tokens = dict.fromkeys(("access_token", "refresh_token", "id_token"), "x" * 65536)
    body = json.dumps(tokens | {"token_type": "Bearer", "scope": "s" * 16_000}).encode()
    async with HostileProvider(replies(200, body)) as provider, Transport(ON_LOOPBACK) as transport:
        request = refresh_request(provider.url, CLIENT, refresh_token="rt-1")
        response = await request_token(transport, request, tenant="apps", now=lambda: NOW)
    assert response.refresh_token == tokens["refresh_token"]


def test_only_who_asks_for_tokens_or_documents_gets_long_replies() -> None:
    url, options = "https://login.example.com/", RequestOptions(largest_reply=1_000_000)
    code = authorization_code_request(url, CLIENT, code="c", redirect_uri="https://a.example/", code_verifier=None)
    assert code.largest_reply == refresh_request(url, CLIENT, refresh_token="r").largest_reply == TOKEN_REPLY
    assert refresh_request(url, CLIENT, refresh_token="r", options=options).largest_reply == 1_000_000
    assert ProviderRequest(url=url, headers={}, body=b"").largest_reply == SHORT_REPLY


async def test_document_of_a_megabyte_is_read() -> None:
    async with HostileProvider(replies(200, b" " * LARGEST_DOCUMENT)) as provider, Transport(ON_LOOPBACK) as transport:
        body = await read_document(transport, provider.url, tenant="apps", ca_bundle=None)
    assert len(body) == LARGEST_DOCUMENT


def test_piece_that_would_be_one_too_many_is_not_read() -> None:
    wire = Wire()
    wire.begin(largest_body=SHORT_REPLY, on_write=lambda: None)
    for _ in range(MOST_PIECES):
        wire.read(b"x")
        wire.parsed(1)
    with pytest.raises(ReplyTooLarge, match="too many pieces"):
        wire.read(b"x")


# JSON that takes long to parse.


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"a": [' + "1," * MOST_ELEMENTS + "1]}", id="numbers"),
        pytest.param("{" + '"a":1,' * MOST_ELEMENTS + '"b":1}', id="members"),
        pytest.param('{"a": [' + "[]," * (MOST_ELEMENTS // 3) + "[]]}", id="lists"),
        pytest.param('{"a":' * MOST_ELEMENTS, id="depth"),
    ],
)
def test_json_of_too_many_elements_is_not_parsed(text: str) -> None:
    assert json_object(text) is None


def test_json_of_many_elements_is_parsed() -> None:
    numbers = MOST_ELEMENTS - 10
    assert json_object('{"a": [' + "1," * (numbers - 1) + "1]}") == {"a": [Number("1")] * numbers}


def test_json_of_one_long_text_is_parsed() -> None:
    assert json_object('{"a": "' + "x" * LARGEST_DOCUMENT + '"}') == {"a": "x" * LARGEST_DOCUMENT}


def test_good_reply_is_none_of_these() -> None:
    parsed = json_object(GOOD_REPLY.decode())
    assert parsed is not None
    assert parsed["access_token"] == "at-1"
