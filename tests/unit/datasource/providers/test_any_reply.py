"""Whatever comes over the wire, its head included, whatever was asked: a typed result, and nothing that was sent is shown.

The parser alone, from the bytes of a body on, is tried in decisions/test_any_reply.py of the operator's tests.
"""

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from datasource.oauth2.errors import OAuth2Error
from datasource.oauth2.pushed_authorization import pushed_authorization_request
from datasource.oauth2.revocation import TokenTypeHint, revocation_request
from datasource.oauth2.token_request import Client, ClientAuthentication, authorization_code_request, refresh_request
from datasource.oauth2.token_response import ReplyOptions, TokenResponse
from datasource.outbound.provider_request import ProviderRequest
from datasource.providers.exchange import push_authorization, request_token, revoke_token
from datasource.providers.transport import Transport
from tests.support.hostile_provider import ON_LOOPBACK, HostileProvider, ReceivedRequest
from tests.unit.walks import walks

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
DEADLINE = timedelta(seconds=10)
CLIENT = Client("my-app", "s3cret-of-the-client-0001", ClientAuthentication.CLIENT_SECRET_BASIC)
REFRESH = ReplyOptions(missing_token_type_allowed=True, token_path_may_be_missing=True)
SLACK = ReplyOptions(token_path=("authed_user",), bearer_token_types=frozenset({"bearer", "bot"}))
NEW = "rt-that-is-new-00000002"


def refreshing(url: str) -> ProviderRequest:
    return refresh_request(url, CLIENT, refresh_token="rt-that-was-sent-000001")


def exchanging(url: str) -> ProviderRequest:
    return authorization_code_request(
        url,
        CLIENT,
        code="code-that-was-sent-0001",
        redirect_uri="https://c.example.com/",
        code_verifier="verifier-that-was-sent-00000000000000000001",
    )


def revoking(url: str) -> ProviderRequest:
    return revocation_request(url, CLIENT, token="rt-that-was-sent-000001", hint=TokenTypeHint.REFRESH_TOKEN)


def pushing(url: str) -> ProviderRequest:
    return pushed_authorization_request(url, CLIENT, [("state", "state-that-was-sent-0001"), ("scope", "read")])


BUILT = {"refresh": refreshing, "exchange": exchanging, "revocation": revoking, "pushed request": pushing}
SECRETS = {asked: build("https://login.example.com").secrets for asked, build in BUILT.items()}
"""What each of them sends that nobody may be shown."""

SENT = sorted({secret for secrets in SECRETS.values() for secret in secrets})
assert all(len(secrets) >= 2 for secrets in SECRETS.values())


@dataclass
class Line:
    """A provider on loopback that answers with these very bytes, and everything that is asked of it."""

    transport: Transport
    provider: HostileProvider
    loop: asyncio.AbstractEventLoop
    answer: list[bytes] = field(default_factory=list)

    async def behave(self, _: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        for piece in self.answer:
            writer.write(piece)
            await writer.drain()

    def hear(self, *pieces: bytes, ask: Callable[["Line"], Awaitable[Any]]) -> Any:
        """What an answer in these pieces comes to."""
        self.answer = list(pieces)
        return self.loop.run_until_complete(self._heard(ask))

    async def _heard(self, ask: Callable[["Line"], Awaitable[Any]]) -> Any:
        try:
            return await ask(self)
        except OAuth2Error as error:
            return error

    async def token(self, request: ProviderRequest, options: ReplyOptions) -> TokenResponse:
        return await request_token(
            self.transport, request, tenant="shop", now=lambda: NOW, deadline=DEADLINE, options=options
        )


ASKED: dict[str, Callable[[Line], Awaitable[Any]]] = {
    "refresh": lambda line: line.token(refreshing(line.provider.url), REFRESH),
    "exchange": lambda line: line.token(exchanging(line.provider.url), ReplyOptions()),
    "revocation": lambda line: revoke_token(
        line.transport, revoking(line.provider.url), tenant="shop", now=lambda: NOW
    ),
    "pushed request": lambda line: push_authorization(
        line.transport, pushing(line.provider.url), tenant="shop", now=lambda: NOW, deadline=DEADLINE
    ),
}


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    """One for all examples: to trust the system's authorities takes longer than many of them."""
    loop = asyncio.new_event_loop()
    try:
        transport, provider = Transport(ON_LOOPBACK), HostileProvider()
        made = Line(transport, provider, loop)
        provider.behaviours = (made.behave,)
        loop.run_until_complete(transport.__aenter__())
        loop.run_until_complete(provider.__aenter__())
        yield made
        loop.run_until_complete(provider.__aexit__())
        loop.run_until_complete(transport.__aexit__())
    finally:
        loop.close()


_statuses = st.sampled_from(
    ["HTTP/1.1 200 OK", "HTTP/1.0 200", "HTTP/1.1 201 Created", "HTTP/1.1 206 Partial Content", "HTTP/1.1 299 \xff"]
)
_refusals = st.sampled_from(
    [
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 302 Found",
        "HTTP/1.1 400 Bad Request",
        "HTTP/1.1 401",
        "HTTP/1.1 429 Slow down",
        "HTTP/1.1 503",
        "HTTP/1.1 599 ",
        "HTTP/1.1 101 Switching Protocols",
        "HTTP/2 200",
        "ICY 200 OK",
        "",
    ]
)
_secret = st.sampled_from(SENT)
_odd = st.text(max_size=12) | _secret | st.just("a" * 300)
_codings: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate, gzip": lambda body: gzip.compress(zlib.compress(body)),
}
_encodings = st.sampled_from([*_codings, "br", "zstd", "utf-8", "identity", "GZIP", "gzip;q=1", "aws-chunked"])
_fields = st.dictionaries(
    st.sampled_from(
        [
            "Content-Type",
            "Retry-After",
            "WWW-Authenticate",
            "Location",
            "Set-Cookie",
            "Content-Language",
            "Trailer",
            "Content-Encoding",
            "X-Odd",
        ]
    ),
    _odd
    | _encodings
    | st.sampled_from(
        [
            "application/json; charset=utf-7",
            "application/x-www-form-urlencoded; charset=utf-16",
            "text/html",
            "multipart/mixed; boundary=x",
            "-1",
            "9" * 400,
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "Wed, 99 Foo 99999 25:61:61 +9999",
            "Fri, 31 Dec 9999 23:59:59 -2359",
        ]
    )
    | _secret.map(lambda secret: f'Bearer error="invalid_token", error_description="{secret}"'),
    max_size=4,
)
_before = st.sampled_from(
    ["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3, "\r\n\r\n", "\n"]
)


def head(first: str, fields: dict[str, str], *more: str) -> bytes:
    """Bytes of a head; what would end a line is taken out of the values."""
    lines = [first, *(f"{name}: {' '.join(value.split())}" for name, value in fields.items()), *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def chunked(body: bytes, size: int = 7) -> bytes:
    """The same in chunks."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def framed(first: str, fields: dict[str, str], body: bytes, how: str) -> bytes:
    """A whole answer, whose end is told in one of the ways there are."""
    match how:
        case "length":
            return head(first, fields, f"Content-Length: {len(body)}") + body
        case "length twice":
            return head(first, fields, f"Content-Length: {len(body)}", f"content-length: {len(body)}") + body
        case "chunks":
            return head(first, fields, "Transfer-Encoding: chunked") + chunked(body)
        case "chunks and a length":
            return head(first, fields, "Transfer-Encoding: chunked", f"Content-Length: {len(body)}") + chunked(body)
        case _:
            return head(first, fields) + body


FRAMES = ["length", "length twice", "chunks", "chunks and a length", "the connection"]

_bodies = (
    st.binary(max_size=100)
    | _secret.map(lambda secret: json.dumps({"error": secret, "error_description": f"x {secret}"}).encode())
    | _secret.map(lambda secret: f"<html>{secret}".encode())
    | st.just(json.dumps({"access_token": "at-2", "token_type": "Bearer", "refresh_token": NEW}).encode())
    | st.just(b'{"error": "invalid_grant"}')
    | st.just(b'{"request_uri": "urn:x", "expires_in": 90}')
    | st.just(b'{"ok": false, "error": {"code": 1}}')
)


@pytest.mark.parametrize("asked", ASKED)
@walks(30, 300)
@given(
    before=_before,
    first=_statuses | _refusals,
    fields=_fields,
    body=_bodies,
    coding=st.sampled_from(sorted(_codings)),
    how=st.sampled_from(FRAMES),
    cut=st.sampled_from([None, 0, 10, -1, -3]),
)
@example("", "HTTP/1.1 401", {"WWW-Authenticate": SENT[0]}, b"", "", "length", None)
def test_whatever_comes_over_the_wire_ends_typed_and_shows_nothing_that_was_sent(
    line: Line,
    asked: str,
    before: str,
    first: str,
    fields: dict[str, str],
    body: bytes,
    coding: str,
    how: str,
    cut: int | None,
) -> None:
    whole = before.encode() + framed(first, fields, _codings[coding](body), how)
    found = line.hear(whole[:cut], ask=ASKED[asked])
    assert found is None or isinstance(found, TokenResponse | OAuth2Error | str)
    shown = f"{found} {found!r}"
    assert not [secret for secret in SECRETS[asked] if secret in shown]
    assert len(shown) < 4_000
    if isinstance(found, OAuth2Error):
        assert str(found).isprintable()
        assert found.retry_after is None or timedelta(0) <= found.retry_after <= timedelta(days=1)


_detours: list[Callable[[dict[str, object]], object]] = [
    dict,
    lambda tokens: tokens | {"authed_user": {"id": "U1"}},
    lambda tokens: {"ok": True, "data": tokens},
    lambda tokens: {"data": {"token": tokens}},
    lambda tokens: [tokens],
]


@pytest.mark.parametrize("asked", ["refresh", "exchange"])
@walks(30, 300)
@given(
    before=_before,
    first=_statuses,
    fields=_fields,
    coding=st.sampled_from(sorted(_codings)),
    how=st.sampled_from(FRAMES),
    detour=st.sampled_from(_detours),
    type_=st.sampled_from(["Bearer", "mac", None, 5]),
    pieces=st.integers(1, 4),
    cut=st.sampled_from([None, -1]),
    options=st.sampled_from([REFRESH, ReplyOptions(), SLACK, replace(SLACK, token_path_may_be_missing=True)]),
)
def test_refresh_token_that_came_over_the_wire_is_carried(
    line: Line,
    asked: str,
    before: str,
    first: str,
    fields: dict[str, str],
    coding: str,
    how: str,
    detour: Callable[[dict[str, object]], object],
    type_: object,
    pieces: int,
    cut: int | None,
    options: ReplyOptions,
) -> None:
    tokens: dict[str, object] = {"access_token": "at-2", "token_type": type_, "refresh_token": NEW}
    body = _codings[coding](json.dumps(detour(tokens)).encode())
    named = {name: value for name, value in fields.items() if name != "Content-Encoding"} | {"Content-Encoding": coding}
    whole = before.encode() + framed(first, named, body, how)[:cut]
    step = len(whole) // pieces + 1
    found = line.hear(
        *(whole[at : at + step] for at in range(0, len(whole), step)),
        ask=lambda line: line.token(BUILT[asked](line.provider.url), options),
    )
    assert isinstance(found, TokenResponse | OAuth2Error)
    assert found.refresh_token == NEW, found
