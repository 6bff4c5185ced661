"""A request sent and its reply parsed: what a token endpoint on loopback makes of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from datasource.oauth2 import (
    Client,
    ClientAuthentication,
    InvalidGrant,
    MalformedTokenResponse,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    Throttled,
    TokenResponse,
    UnexpectedStatus,
    authorization_code_request,
    refresh_request,
)
from datasource.oauth2.exchange import request_token
from datasource.oauth2.transport import Transport
from tests.support.hostile_provider import (
    ON_LOOPBACK,
    Behaviour,
    HostileProvider,
    closed_port,
    cuts_after_the_request,
    drips,
    endless_body,
    gzip_bomb,
    redirects,
    replies,
)

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
PATIENT = timedelta(seconds=10)
PAGE = b"<!doctype html><title>Sign in</title>"


async def ask(url: str, *, deadline: timedelta = PATIENT, now: Callable[[], datetime] = lambda: NOW) -> TokenResponse:
    client = Client(client_id="my-app", client_secret="s3cret", authentication=ClientAuthentication.CLIENT_SECRET_BASIC)
    async with Transport(ON_LOOPBACK) as transport:
        request = refresh_request(url, client, refresh_token="rt-1")
        return await request_token(transport, request, now=now, deadline=deadline)


async def test_good_reply_is_a_token() -> None:
    async with HostileProvider(replies(200)) as provider:
        response = await ask(provider.url)
    assert response == TokenResponse(
        access_token="at-1", token_type="Bearer", expires_at=NOW + timedelta(hours=1), refresh_token="rt-2"
    )
    assert provider.requests[0].form == {"grant_type": "refresh_token", "refresh_token": "rt-1"}


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
        pytest.param(gzip_bomb(), MalformedTokenResponse, id="a gzip bomb"),
        pytest.param(endless_body(), OutcomeUnknown, id="a body without an end"),
        pytest.param(cuts_after_the_request(), OutcomeUnknown, id="a connection cut after the request"),
    ],
)
async def test_every_mishap_is_an_oauth2_error_of_its_class(behave: Behaviour, expected: type[OAuth2Error]) -> None:
    async with HostileProvider(behave) as provider:
        with pytest.raises(OAuth2Error) as caught:
            await ask(provider.url)
    assert type(caught.value) is expected


async def test_dripping_provider_meets_the_deadline() -> None:
    async with HostileProvider(drips()) as provider:
        with pytest.raises(OutcomeUnknown):
            await ask(provider.url, deadline=timedelta(milliseconds=300))


async def test_provider_that_is_not_there_was_not_reached() -> None:
    with closed_port() as port, pytest.raises(NotDelivered):
        await ask(f"http://127.0.0.1:{port}/token")


async def test_redirect_is_refused_and_the_secret_goes_nowhere_else() -> None:
    async with HostileProvider(replies(200)) as other, HostileProvider(redirects(other.url)) as provider:
        with pytest.raises(RedirectRefused, match="307"):
            await ask(provider.url)
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
                await request_token(transport, request, now=lambda: NOW, deadline=PATIENT)
    assert (other.connections, len(provider.requests)) == (0, 1)
