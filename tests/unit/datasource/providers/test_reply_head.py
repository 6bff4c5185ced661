"""Heads that break the rules cost nobody the tokens behind them, and what is as it should be stays as it is."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.errors import InvalidGrant, OutcomeUnknown
from datasource.oauth2.token_request import Client, ClientAuthentication, refresh_request
from datasource.oauth2.token_response import TokenResponse
from datasource.providers.exchange import request_token
from datasource.providers.reply_head import Heads, mended_head
from datasource.providers.transport import Transport
from tests.support.builders import NOW
from tests.support.hostile_provider import GOOD_REPLY, ON_LOOPBACK, HostileProvider, writes

CLIENT = Client("my-app", "s3cret", ClientAuthentication.CLIENT_SECRET_BASIC)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(GOOD_REPLY)
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD_REPLY), GOOD_REPLY)


async def answered(*blocks: bytes) -> TokenResponse:
    async with HostileProvider(writes(*blocks)) as provider, Transport(ON_LOOPBACK) as transport:
        request = refresh_request(provider.url, CLIENT, refresh_token="rt-1")
        return await request_token(transport, request, tenant="shop", now=lambda: NOW)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(OK + b"X Y: z\r\n" + LENGTH, id="a name with a space in it"),
        pytest.param(OK + b"X-Y : z\r\n" + LENGTH, id="a space before the colon"),
        pytest.param(OK + b"nonsense\r\n" + LENGTH, id="no colon"),
        pytest.param(OK + b": z\r\n" + LENGTH, id="no name"),
        pytest.param(OK + b"N\xe4me: z\r\n" + LENGTH, id="a name that is not ASCII"),
        pytest.param(OK + b"X: a\x00b\x0b\r\n" + LENGTH, id="control characters in a value"),
        pytest.param(OK + b"X: a\rY: b\r\n" + LENGTH, id="a carriage return in a value"),
        pytest.param(OK + b" folded\r\n" + LENGTH, id="a line that goes on, broken"),
        pytest.param(b"HTTP/1.1 200 OK\r\n folded behind nothing\r\n" + LENGTH, id="a line that goes on with nothing"),
        pytest.param(b"HTTP/1.1  200   OK\r\n" + LENGTH, id="spaces in the status line"),
        pytest.param(b"\r\n\n" + OK + LENGTH, id="empty lines before it"),
        pytest.param(OK + b"Content-Length: +%d\r\n" % len(GOOD_REPLY), id="a length with a sign"),
        pytest.param(OK + b"Content-Length: -1\r\n", id="a length below nothing"),
        pytest.param(OK + b"Content-Length: unknown\r\n", id="a length in words"),
        pytest.param(OK + b"Content-Length:\r\n", id="an empty length"),
        pytest.param(OK + LENGTH + b"Content-Length: 7\r\n", id="two lengths"),
        pytest.param(OK + LENGTH + LENGTH, id="a length twice"),
        pytest.param(OK + b"Transfer-Encoding: identity\r\n" + LENGTH, id="a transfer coding that is none"),
        pytest.param((OK + LENGTH + b"bad\r\n").replace(b"\r\n", b"\n"), id="lines without a carriage return"),
        pytest.param(b"HTTP/1.1 103 Early\r\nX Y: z\r\n\r\n" + OK + LENGTH, id="an informational one before it"),
    ],
)
async def test_tokens_behind_a_head_that_breaks_the_rules_are_taken(head: bytes) -> None:
    """The instance: a header name with a space in it, and the refresh token of the reply was lost."""
    end = b"\n" if b"\r\n" not in head else b"\r\n"
    response = await answered(head + end + GOOD_REPLY)
    assert (response.access_token, response.refresh_token) == ("at-1", "rt-2")


@pytest.mark.parametrize(
    "coding", [b"chunked", b"gzip, chunked", b"chunked\r\nTransfer-Encoding: chunked", b" Chunked"]
)
async def test_body_in_chunks_is_read_whatever_else_is_named(coding: bytes) -> None:
    response = await answered(OK + b"Transfer-Encoding:" + coding + b"\r\nContent-Length: 1\r\n\r\n" + CHUNKS)
    assert response.refresh_token == "rt-2"


async def test_refusal_behind_such_a_head_is_understood() -> None:
    with pytest.raises(InvalidGrant):
        await answered(b'HTTP/1.1 400 Bad\r\nX Y: z\r\nContent-Length: 25\r\n\r\n{"error":"invalid_grant"}')


@pytest.mark.parametrize("size", [1, 7, 64])
async def test_head_and_body_may_come_in_pieces(size: int) -> None:
    whole = OK + b"X Y: z\r\n" + LENGTH + b"\r\n" + GOOD_REPLY
    heads, came = Heads(), b""
    for at in range(0, len(whole), size):
        came += heads.feed(whole[at : at + size])
    assert came.endswith(b"\r\n\r\n" + GOOD_REPLY)
    assert heads.feed(b"") == b""


@pytest.mark.parametrize("sent", [GOOD_REPLY, b"HTTP/1.1 200 OK\r\nX", b"HTTP/1.1 2000 OK\r\n\r\n", b"", b"\r\n\r\n"])
async def test_what_is_no_head_is_none(sent: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        await answered(sent)


@pytest.mark.parametrize(
    "head",
    [
        OK + LENGTH + b"\r\n",
        OK + b"Transfer-Encoding: chunked\r\nSet-Cookie: a=b; Path=/\r\nX-Name: J\xc3\xa9r\xff\r\n\r\n",
        b"HTTP/1.0 200\r\n\r\n",
        OK + b"X: a\r\n b\r\n\r\n",
        (OK + b"\r\n").replace(b"\r\n", b"\n"),
        b"speaks no HTTP\r\n\r\n",
    ],
)
def test_head_that_is_as_it_should_be_stays_as_it_is(head: bytes) -> None:
    assert mended_head(head) == head


def test_connection_of_a_mended_head_is_used_for_nothing_else() -> None:
    made = mended_head(OK + b"X Y: z\r\nConnection: keep-alive\r\n\r\n")
    assert b"\r\nconnection: close\r\n" in made


_lines = st.lists(
    st.binary(max_size=12)
    | st.sampled_from([b"X: y", b"Content-Length: 3", b"content-length : 4", b"Transfer-Encoding: chunked", b" on"]),
    max_size=6,
)


@given(status=st.sampled_from([b"200 OK", b"400", b" 429  Too Many", b"200 \x00"]), lines=_lines)
def test_any_lines_make_a_head_that_h11_takes(status: bytes, lines: list[bytes]) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    head = b"HTTP/1.1 " + b"\r\n".join([status, *(line for line in lines if line.strip(b"\r"))]) + b"\r\n\r\n"
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(mended_head(head))
    assert isinstance(connection.next_event(), h11.Response)
