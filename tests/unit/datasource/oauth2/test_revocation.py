"""Revocation: what is sent, what an answer means, and how often a token that is kept nowhere is tried."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.errors import (
    InvalidClient,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    Throttled,
)
from datasource.oauth2.revocation import (
    TokenTypeHint,
    check_revocation_response,
    is_worth_another_try,
    revocation_request,
    token_and_hint,
)
from datasource.oauth2.token_request import Client, ClientAuthentication
from datasource.providers.exchange import REVOCATION_PAUSES, revoke_token, revoke_token_patiently
from datasource.providers.transport import Transport
from tests.support.hostile_provider import (
    ON_LOOPBACK,
    Behaviour,
    HostileProvider,
    closed_port,
    cuts_after_the_request,
    endless_body,
    redirects,
    replies,
    speaks_no_http,
)

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
CLIENT = Client(client_id="my-app", client_secret="s3cret", authentication=ClientAuthentication.CLIENT_SECRET_POST)


def now() -> datetime:
    return NOW


def answered(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
    check_revocation_response(status, headers or {}, body, now=NOW)


def refusal(error: str) -> bytes:
    return json.dumps({"error": error}).encode()


def test_refresh_token_goes_first_for_with_it_goes_the_grant() -> None:
    assert token_and_hint("at-1", "rt-1") == ("rt-1", TokenTypeHint.REFRESH_TOKEN)
    assert token_and_hint("at-1", None) == ("at-1", TokenTypeHint.ACCESS_TOKEN)


async def test_token_is_sent_with_the_client_authentication_of_the_token_endpoint() -> None:
    async with HostileProvider(replies(200, b"")) as provider, Transport(ON_LOOPBACK) as transport:
        request = revocation_request(provider.url, CLIENT, token="rt-1", hint=TokenTypeHint.REFRESH_TOKEN)
        await revoke_token(transport, request, tenant="apps", now=now)
    (sent,) = provider.requests
    assert sent.method == "POST"
    assert sent.form == {
        "token": "rt-1",
        "token_type_hint": "refresh_token",
        "client_id": "my-app",
        "client_secret": "s3cret",
    }


@pytest.mark.parametrize("status", [200, 204])
@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"error": ""}', b'{"ok": true}', b"<html>", b"[]", b'{"error": {}}', b'{"error": 0}']
)
def test_success_means_dead_whatever_else_the_body_says(status: int, body: bytes) -> None:
    answered(status, body)


@pytest.mark.parametrize(
    "body",
    [
        refusal("not_authed"),
        b'{"ok": false, "error": "ratelimited"}',
        b'{"ok": false}',
        b'{"success": false}',
        b'{"ok": "false"}',
        b'{"success": 0}',
        b'{"error": {"code": 17, "message": "no such app"}}',
        b'{"error": ["no such app"]}',
        b'{"error": true}',
    ],
)
def test_success_that_its_own_body_takes_back_is_none(body: bytes) -> None:
    """Slack answers auth.revoke so."""
    with pytest.raises(ProviderRefused):
        answered(200, body)


@pytest.mark.parametrize("error", ["token_revoked", "invalid_auth"])
def test_token_that_slack_does_not_know_any_more_is_dead(error: str) -> None:
    answered(200, b'{"ok": false, "error": "%s"}' % error.encode())


@pytest.mark.parametrize("error", ["invalid_token", "invalid_grant"])
def test_provider_that_complains_of_a_dead_token_says_that_it_is_dead(error: str) -> None:
    answered(400, refusal(error))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (302, b"", RedirectRefused),
        (307, b"", RedirectRefused),
        (429, b"", Throttled),
        (503, b"", Throttled),
        (500, b"", OutcomeUnknown),
        (502, refusal("invalid_token"), OutcomeUnknown),
        (401, b"", InvalidClient),
        (400, refusal("invalid_client"), InvalidClient),
        (400, refusal("unsupported_token_type"), ProviderRefused),
        (400, refusal(""), ProviderRefused),
        (400, b'{"error": 5}', ProviderRefused),
        (404, b"<html>", ProviderRefused),
        (400, b"\xff", ProviderRefused),
    ],
)
def test_anything_else_leaves_the_token_alive(status: int, body: bytes, expected: type[OAuth2Error]) -> None:
    with pytest.raises(expected):
        answered(status, body)


def test_retry_after_is_told() -> None:
    with pytest.raises(Throttled) as caught:
        answered(503, headers={"retry-after": "7"})
    assert caught.value.retry_after == timedelta(seconds=7)


@given(st.integers(100, 599), st.binary(max_size=200))
def test_arbitrary_answers_raise_nothing_but_our_errors(status: int, body: bytes) -> None:
    try:
        answered(status, body)
    except OAuth2Error:
        return


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (NotDelivered("x"), True),
        (Throttled(503, None), True),
        (OutcomeUnknown("x"), True),
        (InvalidClient("invalid_client"), True),
        (ProviderRefused("unsupported_token_type"), False),
        (RedirectRefused(307), False),
    ],
)
def test_what_may_pass_is_tried_again(error: OAuth2Error, again: bool) -> None:
    assert is_worth_another_try(error) is again


class Naps:
    """Sleeps without waiting."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def patiently(url: str, nap: Naps, clock: Callable[[], datetime] = now) -> None:
    async with Transport(ON_LOOPBACK) as transport:
        request = revocation_request(url, CLIENT, token="rt-1", hint=TokenTypeHint.REFRESH_TOKEN)
        await revoke_token_patiently(transport, request, tenant="apps", now=clock, sleep=nap)


async def test_token_that_is_kept_nowhere_is_tried_until_it_is_dead() -> None:
    nap = Naps()
    async with HostileProvider(replies(503), cuts_after_the_request(), replies(200, b"")) as provider:
        await patiently(provider.url, nap)
    assert len(provider.requests) == 3
    assert nap.seconds == [pause.total_seconds() for pause in REVOCATION_PAUSES[:2]]


@pytest.mark.parametrize("behaviour", [replies(503), speaks_no_http(), endless_body()])
async def test_a_few_tries_are_enough(behaviour: Behaviour) -> None:
    async with HostileProvider(behaviour) as provider:
        with pytest.raises((Throttled, OutcomeUnknown)):
            await patiently(provider.url, Naps())
    assert len(provider.requests) == len(REVOCATION_PAUSES) + 1


@pytest.mark.parametrize(
    "behaviour", [replies(400, refusal("unsupported_token_type")), redirects("http://127.0.0.1:1/")]
)
async def test_refusal_is_final(behaviour: Behaviour) -> None:
    nap = Naps()
    async with HostileProvider(behaviour) as provider:
        with pytest.raises((ProviderRefused, RedirectRefused)):
            await patiently(provider.url, nap)
    assert len(provider.requests) == 1
    assert nap.seconds == []


async def test_provider_that_cannot_be_reached_is_told() -> None:
    with closed_port() as port, pytest.raises(NotDelivered):
        await patiently(f"http://127.0.0.1:{port}/revoke", Naps())


def test_tries_to_revoke_what_is_kept_nowhere_end_within_the_grace_of_a_pod() -> None:
    assert [pause.total_seconds() for pause in REVOCATION_PAUSES] == [1, 3, 6]
