"""Pushed authorization requests: what is pushed, and what is a reference."""

from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.authorize import authorization_parameters
from datasource.oauth2.errors import (
    InvalidClient,
    MalformedTokenResponse,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    Throttled,
    UnexpectedStatus,
)
from datasource.oauth2.pushed_authorization import parse_pushed_authorization, pushed_authorization_request
from datasource.oauth2.token_request import Client, ClientAuthentication
from datasource.providers.exchange import push_authorization
from datasource.providers.transport import Transport
from tests.support.hostile_provider import ON_LOOPBACK, HostileProvider, redirects, replies

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
URL = "https://login.example.com/par"
GOOD = b'{"request_uri": "urn:example:1", "expires_in": 60}'

PARAMETERS = authorization_parameters(
    client_id="my-app",
    redirect_uri="https://connect.example.com/callback/shop",
    state="st-1",
    resources=("https://a", "https://b"),
)


def client(method: ClientAuthentication = ClientAuthentication.CLIENT_SECRET_BASIC) -> Client:
    return Client("my-app", "s3cret", method, assertion="a.b.c")


def parse(body: bytes, status: int = 201) -> str:
    return parse_pushed_authorization(status, {}, body, received_at=NOW)


def test_parameters_are_pushed_as_a_form_with_client_authentication() -> None:
    request = pushed_authorization_request(URL, client(), PARAMETERS)
    assert (request.method, request.url) == ("POST", URL)
    assert request.headers["Authorization"].startswith("Basic ")
    pairs = parse_qsl(request.body.decode())
    assert ("state", "st-1") in pairs
    assert [value for name, value in pairs if name == "resource"] == ["https://a", "https://b"]


@pytest.mark.parametrize("method", list(ClientAuthentication))
def test_client_id_is_pushed_once_at_most(method: ClientAuthentication) -> None:
    pairs = parse_qsl(pushed_authorization_request(URL, client(method), PARAMETERS).body.decode())
    assert [name for name, _ in pairs].count("client_id") == 1


def test_reference_is_read() -> None:
    assert parse(GOOD) == "urn:example:1"
    assert parse(GOOD, 200) == "urn:example:1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\xff",
        b"request_uri=urn:example:1",
        b'{"request_uri": ""}',
        b'{"request_uri": 5}',
        b'{"request_uri": "a\\nb"}',
        b'{"request_uri": "' + b"x" * 2049 + b'"}',
    ],
)
def test_success_without_a_reference_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedTokenResponse):
        parse(body)


@pytest.mark.parametrize("behind", [b"<!-- a proxy -->", b"\n", b"\xff"])
@pytest.mark.parametrize("before", [b"\xef\xbb\xbf" * 2, b")]}'\n"])
def test_reference_is_read_whatever_stands_around_it(before: bytes, behind: bytes) -> None:
    assert parse(before + GOOD + behind) == "urn:example:1"


def test_only_what_is_no_reply_asks_whether_it_is_the_right_url() -> None:
    with pytest.raises(MalformedTokenResponse, match=r"^The reply has no request_uri\.$"):
        parse(b"{}")
    with pytest.raises(MalformedTokenResponse, match="Is this the pushed authorization request URL"):
        parse(b"<html>")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"error": "invalid_request"}', ProviderRefused),
        (401, b'{"error": "invalid_client"}', InvalidClient),
        (413, b"", UnexpectedStatus),
        (429, b"", Throttled),
        (502, b"", OutcomeUnknown),
        (307, b"", RedirectRefused),
        (201, b'{"error": "invalid_scope", "request_uri": "urn:example:1"}', ProviderRefused),
    ],
)
def test_refusal_is_told_by_status_and_error(status: int, body: bytes, expected: type[OAuth2Error]) -> None:
    with pytest.raises(OAuth2Error) as caught:
        parse(body, status)
    assert type(caught.value) is expected


@given(st.integers(100, 599), st.binary(max_size=300))
def test_any_reply_is_a_reference_or_a_typed_error(status: int, body: bytes) -> None:
    try:
        reference = parse(body, status)
    except OAuth2Error:
        return
    assert reference


async def test_request_is_pushed_over_the_transport() -> None:
    async with HostileProvider(replies(201, GOOD)) as provider, Transport(ON_LOOPBACK) as transport:
        request = pushed_authorization_request(provider.url, client(), PARAMETERS)
        assert await push_authorization(transport, request, tenant="apps", now=lambda: NOW) == "urn:example:1"
    assert provider.requests[0].form["state"] == "st-1"


async def test_pushed_request_follows_no_redirect() -> None:
    async with HostileProvider(replies(201, GOOD)) as other, HostileProvider(redirects(other.url)) as provider:
        async with Transport(ON_LOOPBACK) as transport:
            request = pushed_authorization_request(provider.url, client(), PARAMETERS)
            with pytest.raises(RedirectRefused):
                await push_authorization(transport, request, tenant="apps", now=lambda: NOW)
    assert other.connections == 0
