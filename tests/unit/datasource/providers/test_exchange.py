"""A request sent and its reply parsed: what a token endpoint on loopback makes of it."""

import json
import ssl
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from datasource.oauth2.errors import (
    InvalidGrant,
    MalformedTokenResponse,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    ReplyTooLarge,
    Throttled,
    Unauthorized,
    UnexpectedStatus,
)
from datasource.oauth2.token_request import (
    TOKEN_REPLY,
    Client,
    ClientAuthentication,
    authorization_code_request,
    refresh_request,
)
from datasource.oauth2.token_response import ReplyOptions, TokenResponse
from datasource.outbound.provider_request import ProviderRequest
from datasource.providers.exchange import request_token
from datasource.providers.transport import Transport
from datasource.records.journal_entry import RecordedReply
from tests.support.hostile_provider import (
    GOOD_REPLY,
    ON_LOOPBACK,
    Behaviour,
    HostileProvider,
    closed_port,
    cuts_after_the_request,
    cuts_in_the_body,
    drips,
    endless_body,
    gzip_bomb,
    redirects,
    replies,
    self_signed,
    sends_headers_only,
    speaks_no_http,
    stays_silent,
)

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
PATIENT = timedelta(seconds=10)
PAGE = b"<!doctype html><title>Sign in</title>"


CLIENT = Client(client_id="my-app", client_secret="s3cret", authentication=ClientAuthentication.CLIENT_SECRET_BASIC)

Build = Callable[[str], ProviderRequest]


def a_refresh(url: str) -> ProviderRequest:
    return refresh_request(url, CLIENT, refresh_token="rt-1")


def an_exchange(url: str) -> ProviderRequest:
    return authorization_code_request(
        url, CLIENT, code="c-1", redirect_uri="https://connect.example.com/callback/shop", code_verifier="v-1"
    )


@pytest.fixture(params=[an_exchange, a_refresh], ids=["exchange", "refresh"])
def build(request: pytest.FixtureRequest) -> Build:
    """Whatever a provider does, it does to the exchange and to the refresh alike."""
    made: Build = request.param
    return made


async def ask(
    url: str,
    build: Build = a_refresh,
    *,
    deadline: timedelta = PATIENT,
    now: Callable[[], datetime] = lambda: NOW,
    verify: ssl.SSLContext | bool = True,
) -> TokenResponse:
    async with Transport(ON_LOOPBACK, verify=verify) as transport:
        return await request_token(transport, build(url), tenant="apps", now=now, deadline=deadline)


async def test_good_reply_is_a_token() -> None:
    async with HostileProvider(replies(200)) as provider:
        response = await ask(provider.url)
    assert response == TokenResponse(
        access_token="at-1",
        token_type="Bearer",
        expires_at=NOW + timedelta(hours=1),
        refresh_token="rt-2",
        told_lifetime=timedelta(hours=1),
    )
    assert provider.requests[0].form == {"grant_type": "refresh_token", "refresh_token": "rt-1"}


async def test_tokens_that_came_whole_are_taken_though_the_connection_was_cut() -> None:
    """Servers that count their bytes wrongly, or end no chunk: the refresh token that was sent is used up all the same."""
    async with HostileProvider(cuts_in_the_body()) as provider:
        response = await ask(provider.url)
    assert (response.access_token, response.refresh_token) == ("at-1", "rt-2")


async def test_refresh_token_is_carried_out_of_a_reply_that_is_too_large() -> None:
    body = b'{"refresh_token": "rt-2", "access_token": "' + b"x" * TOKEN_REPLY
    async with HostileProvider(replies(200, body)) as provider:
        with pytest.raises(ReplyTooLarge) as caught:
            await ask(provider.url)
    assert caught.value.refresh_token == "rt-2"


async def test_lifetime_counts_from_before_the_request() -> None:
    moments = iter([NOW, NOW + timedelta(minutes=1)])
    async with HostileProvider(replies(200)) as provider:
        response = await ask(provider.url, now=lambda: next(moments))
    assert response.expires_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("behave", "expected"),
    [
        pytest.param(replies(200, b'{"error": "invalid_grant"}'), InvalidGrant, id="200 with an error"),
        pytest.param(
            replies(200, b"error=slow_down", content_type="application/x-www-form-urlencoded"),
            ProviderRefused,
            id="200 with an error in a form",
        ),
        pytest.param(replies(400, b'{"error": "invalid_grant"}'), InvalidGrant, id="400 with an error"),
        pytest.param(replies(400), UnexpectedStatus, id="400 with a token"),
        pytest.param(replies(200, PAGE, content_type="text/html"), MalformedTokenResponse, id="200 with a page"),
        pytest.param(replies(404, PAGE, content_type="text/html"), UnexpectedStatus, id="404 with a page"),
        pytest.param(replies(204, b""), MalformedTokenResponse, id="204"),
        pytest.param(replies(502), OutcomeUnknown, id="502"),
        pytest.param(replies(504), OutcomeUnknown, id="504"),
        pytest.param(replies(503), Throttled, id="503"),
        pytest.param(gzip_bomb(), ReplyTooLarge, id="a gzip bomb"),
        pytest.param(gzip_bomb(status=400), UnexpectedStatus, id="a gzip bomb with 400"),
        pytest.param(endless_body(), ReplyTooLarge, id="a body without an end"),
        pytest.param(cuts_after_the_request(), OutcomeUnknown, id="a connection cut after the request"),
        pytest.param(cuts_in_the_body(GOOD_REPLY[:-2]), OutcomeUnknown, id="a connection cut within the body"),
        pytest.param(speaks_no_http(), OutcomeUnknown, id="no HTTP"),
        pytest.param(replies(200, b"x" * (TOKEN_REPLY + 1)), ReplyTooLarge, id="one byte over 256 KiB"),
        pytest.param(replies(200, b'{"a":' * 9_000), MalformedTokenResponse, id="JSON nested 9,000 deep"),
        pytest.param(replies(200, b"[" * TOKEN_REPLY), MalformedTokenResponse, id="256 KiB of brackets"),
        pytest.param(replies(200, b"&" * TOKEN_REPLY), MalformedTokenResponse, id="256 KiB of nothing"),
        pytest.param(replies(200, b"\xff" * 100), MalformedTokenResponse, id="bytes that are no text"),
        pytest.param(replies(200, b'{"token_type": "Bearer"}'), MalformedTokenResponse, id="no access token"),
        pytest.param(
            replies(200, b'{"access_token": "", "token_type": "Bearer"}'), MalformedTokenResponse, id="an empty one"
        ),
        pytest.param(
            replies(200, b'{"access_token": "a", "token_type": "mac"}'), MalformedTokenResponse, id="another token type"
        ),
        pytest.param(
            replies(200, b"\x8b\x02", headers=("Content-Encoding: br",)),
            MalformedTokenResponse,
            id="a coding that is not read",
        ),
        pytest.param(replies(401), Unauthorized, id="401 with a token"),
        pytest.param(replies(500), UnexpectedStatus, id="500 with a token"),
        pytest.param(replies(429), Throttled, id="429 with a token"),
    ],
)
async def test_every_mishap_is_an_oauth2_error_of_its_class(
    build: Build, behave: Behaviour, expected: type[OAuth2Error]
) -> None:
    async with HostileProvider(behave) as provider:
        with pytest.raises(OAuth2Error) as caught:
            await ask(provider.url, build)
    assert type(caught.value) is expected
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        ("application/json", ()),
        ("text/html; charset=latin-1", ()),
        ("application/x-www-form-urlencoded", ()),
        ("", ("X-Odd: " + "x" * 4000, "Set-Cookie: a=b", "Set-Cookie: a=c")),
    ],
)
async def test_good_reply_is_taken_whatever_its_headers_say(
    build: Build, content_type: str, headers: tuple[str, ...]
) -> None:
    async with HostileProvider(replies(200, content_type=content_type, headers=headers)) as provider:
        assert (await ask(provider.url, build)).access_token == "at-1"


@pytest.mark.parametrize("value", ["3600", '"3600"', "3599.5", "0", "1e400", '"soon"', "[1]", "null", "-1"])
async def test_token_is_kept_whatever_expires_in_says(build: Build, value: str) -> None:
    body = f'{{"access_token": "at-1", "token_type": "bearer", "expires_in": {value}}}'.encode()
    async with HostileProvider(replies(200, body)) as provider:
        assert (await ask(provider.url, build)).access_token == "at-1"


async def test_certificate_that_does_not_verify_gets_no_request(build: Build) -> None:
    certificate = self_signed()
    async with HostileProvider(replies(200), tls=certificate.server_context()) as provider:
        with pytest.raises(NotDelivered):
            await ask(provider.url, build)
    assert provider.requests == []


async def test_credentials_stand_in_no_url_and_go_one_way(build: Build) -> None:
    async with HostileProvider(replies(200)) as provider:
        await ask(provider.url, build)
    (request,) = provider.requests
    assert request.method == "POST"
    assert request.target == "/token"
    assert ("authorization" in request.headers, "client_secret" in request.form) == (True, False)


@pytest.mark.parametrize("behave", [drips(), sends_headers_only(), stays_silent()], ids=["drips", "headers", "silent"])
async def test_provider_that_keeps_us_waiting_meets_the_deadline(build: Build, behave: Behaviour) -> None:
    async with HostileProvider(behave) as provider:
        with pytest.raises(OutcomeUnknown):
            await ask(provider.url, build, deadline=timedelta(milliseconds=300))


async def test_provider_that_is_not_there_was_not_reached(build: Build) -> None:
    with closed_port() as port, pytest.raises(NotDelivered):
        await ask(f"http://127.0.0.1:{port}/token", build)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_refused_and_the_secret_goes_nowhere_else(build: Build, status: int) -> None:
    async with HostileProvider(replies(200)) as other:
        async with HostileProvider(redirects(other.url, status=status)) as provider:
            with pytest.raises(RedirectRefused, match=str(status)):
                await ask(provider.url, build)
    assert (other.requests, other.connections) == ([], 0)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("Retry-After: 7", timedelta(seconds=7), id="seconds"),
        pytest.param("RETRY-AFTER: Wed, 01 Jul 2026 12:00:30 GMT", timedelta(seconds=30), id="a date"),
        pytest.param("Retry-After: soon", None, id="a word"),
        pytest.param("X-Nothing: 1", None, id="nothing"),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured(status: int, header: str, expected: timedelta | None) -> None:
    async with HostileProvider(replies(status, b"", headers=(header,))) as provider:
        with pytest.raises(Throttled) as caught:
            await ask(provider.url)
    assert caught.value.retry_after == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [(429, Throttled), (503, Throttled), (502, OutcomeUnknown), (307, RedirectRefused)],
)
async def test_page_of_a_gateway_that_compresses_all_the_same_hides_no_status(
    status: int, expected: type[OAuth2Error]
) -> None:
    # Only the body of such an answer cannot be read, and it is not asked for anything.
    async with HostileProvider(gzip_bomb(size=65_536, status=status)) as provider:
        with pytest.raises(OAuth2Error) as caught:
            await ask(provider.url)
    assert type(caught.value) is expected


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("grant", ["code", "refresh"])
async def test_cve_2026_54605_token_endpoint_that_redirects_has_the_secret_sent_nowhere(
    status: int, grant: str
) -> None:
    """A 307 asks for the same POST, secret and all, at another host; a 302 for a GET with whatever a client carries along."""
    client = Client(client_id="my-app", client_secret="s3cret", authentication=ClientAuthentication.CLIENT_SECRET_POST)
    async with HostileProvider(replies(200)) as other:
        async with (
            HostileProvider(redirects(other.url, status=status)) as provider,
            Transport(ON_LOOPBACK) as transport,
        ):
            request = (
                refresh_request(provider.url, client, refresh_token="rt-1")
                if grant == "refresh"
                else authorization_code_request(
                    provider.url, client, code="c", redirect_uri="https://a.example", code_verifier="v"
                )
            )
            with pytest.raises(RedirectRefused, match="never followed"):
                await request_token(transport, request, tenant="apps", now=lambda: NOW, deadline=PATIENT)
    assert (other.connections, len(provider.requests)) == (0, 1)


# What a provider echoes.


def _words(*, secret: str) -> bytes:
    once = quote(secret, safe="")
    spellings = (
        secret,
        once,
        quote(once),
        json.dumps(secret),
        b64encode(secret.encode()).decode(),
        secret.encode().hex(),
    )
    # The echo stands at the very place where a long text is cut off.
    return json.dumps({"error": "invalid_grant", "error_description": "x" * 280 + " " + " ".join(spellings)}).encode()


@pytest.mark.parametrize("secret", ["rt-1", "s3cret"])
async def test_what_was_sent_stands_in_no_error_however_the_provider_spells_it(secret: str) -> None:
    async with HostileProvider(replies(400, _words(secret=secret))) as provider:
        with pytest.raises(InvalidGrant) as raised:
            await ask(provider.url, a_refresh)
    shown = str(raised.value) + repr(raised.value.__dict__)
    assert "[…]" in shown
    assert secret not in shown
    assert secret[:3] not in shown.replace("invalid", "")


async def test_refresh_token_in_the_place_of_an_error_code_is_not_shown() -> None:
    async with HostileProvider(replies(401, b'{"error": "bad token rt-1"}')) as provider:
        with pytest.raises(ProviderRefused) as raised:
            await ask(provider.url, a_refresh)
    assert "rt-1" not in str(raised.value)


async def test_reply_is_given_to_be_written_down_with_the_times_that_it_is_judged_by() -> None:
    times = iter([NOW, NOW + timedelta(seconds=3)])
    recorded: list[RecordedReply] = []
    async with HostileProvider(replies(200)) as provider, Transport(ON_LOOPBACK) as transport:
        request = refresh_request(provider.url, CLIENT, refresh_token="rt-1")
        response = await request_token(
            transport, request, tenant="apps", now=lambda: next(times), record=recorded.append
        )
    (reply,) = recorded
    assert (reply.sent_at, reply.received_at) == (NOW, NOW + timedelta(seconds=3))
    assert (reply.body, reply.is_whole) == (GOOD_REPLY, True)
    assert reply.parsed(ReplyOptions(), ()) == response


async def test_reply_that_cannot_be_written_down_is_not_lost_for_that() -> None:
    def fails(_: RecordedReply) -> None:
        raise ValueError("a bug")

    async with HostileProvider(replies(200)) as provider, Transport(ON_LOOPBACK) as transport:
        request = refresh_request(provider.url, CLIENT, refresh_token="rt-1")
        response = await request_token(transport, request, tenant="apps", now=lambda: NOW, record=fails)
    assert response.refresh_token == "rt-2"
