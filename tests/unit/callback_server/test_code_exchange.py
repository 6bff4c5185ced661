"""A code is spent once; a refresh token that came with a reply of no use is used at once, for it is the consent."""

import json
from datetime import timedelta
from typing import Any

import pytest

from callback_server.code_exchange import CodeExchange, NoTokens
from datasource.api.spec_problems import parse_spec
from datasource.cluster.clients import ClientMaterial, Clients
from datasource.oauth2.token_response import TokenResponse
from datasource.providers.transport import Transport
from datasource.records.client_secret import ClientSecret
from datasource.records.effective import effective_oauth2
from tests.support.builders import NOW, a_flow, raw_spec
from tests.support.hostile_provider import (
    ON_LOOPBACK,
    Behaviour,
    HostileProvider,
    cuts_after_the_request,
    replies,
)
from tests.support.kube_in_memory import KubeInMemory

GOOD = {"access_token": "at-2", "token_type": "Bearer", "expires_in": 60}
FLOW = a_flow(redirect_uri="https://connect.example.com/callback/shop", code_verifier="the-verifier")


def says(**members: Any) -> Behaviour:
    return replies(200, json.dumps({name: value for name, value in members.items() if value is not ...}).encode())


def unusable(**changes: Any) -> Behaviour:
    """A reply with a refresh token whose access token cannot be used."""
    return says(**({"access_token": "at-1", "token_type": "mac", "refresh_token": "rt-1"} | changes))


async def exchanged(*behaviours: Behaviour, **oauth2: Any) -> tuple[TokenResponse | NoTokens, list[dict[str, str]]]:
    """What came of it, and what was sent."""
    async with HostileProvider(*behaviours) as provider, Transport(ON_LOOPBACK) as transport:
        raw = raw_spec(tokenURL=provider.url, clientAuthentication="client_secret_post", **oauth2)
        written = parse_spec(raw, allow_insecure_http=False, egress=ON_LOOPBACK).oauth2
        assert written is not None
        effective = effective_oauth2(written, None)
        material = ClientMaterial(effective.parameters, ClientSecret("my-app", "s3cret"))
        exchange = CodeExchange(transport, Clients(KubeInMemory(), False, lambda: NOW), lambda: NOW)
        found: TokenResponse | NoTokens
        try:
            found = await exchange.tokens(FLOW, effective, material, "the-code")
        except NoTokens as error:
            found = error
        return found, [request.form for request in provider.requests]


async def test_code_is_exchanged_by_one_request() -> None:
    found, sent = await exchanged(says(**GOOD, refresh_token="rt-1"))
    assert isinstance(found, TokenResponse)
    assert (found.access_token, found.refresh_token) == ("at-2", "rt-1")
    assert [(each["grant_type"], each["code"], each["code_verifier"]) for each in sent] == [
        ("authorization_code", "the-code", "the-verifier")
    ]


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(unusable(), id="another token type"),
        pytest.param(unusable(token_type=5), id="a token type that is no text"),
        pytest.param(unusable(token_type=...), id="no token type"),
        pytest.param(unusable(access_token=" "), id="an access token of blanks"),
        pytest.param(unusable(access_token=...), id="no access token"),
        pytest.param(unusable(token_type="Bearer", access_token="é"), id="an access token beyond ASCII"),
        pytest.param(unusable(token_type="Bearer", access_token="a" * 70_000), id="an access token that is too long"),
        pytest.param(unusable(error="server_error", access_token=...), id="an error beside it"),
        pytest.param(replies(200, b'{"refresh_token": "rt-1", "access_token": "at-1"}<!-- x -->'), id="text behind it"),
        pytest.param(replies(200, b'{"refresh_token": "rt-1", "access'), id="a reply that ends too early"),
    ],
)
@pytest.mark.parametrize(("rotated", "kept"), [("rt-2", "rt-2"), (..., "rt-1")])
async def test_refresh_token_that_can_be_read_is_the_consent_and_is_used_at_once(
    first: Behaviour, rotated: Any, kept: str
) -> None:
    found, sent = await exchanged(first, says(**GOOD, refresh_token=rotated))
    assert isinstance(found, TokenResponse), found
    assert (found.access_token, found.refresh_token) == ("at-2", kept)
    assert found.expires_at == NOW + timedelta(seconds=60)
    assert [each["grant_type"] for each in sent] == ["authorization_code", "refresh_token"]
    assert sent[1] == {
        "grant_type": "refresh_token",
        "refresh_token": "rt-1",
        "client_id": "my-app",
        "client_secret": "s3cret",
    }


async def test_refresh_goes_where_the_spec_says_with_what_the_service_wants() -> None:
    async with HostileProvider(says(**GOOD)) as refreshes:
        found, sent = await exchanged(
            unusable(), refreshURL=refreshes.url, redirectURIOnRefresh=True, refreshParameters={"audience": "api"}
        )
        (request,) = refreshes.requests
    assert isinstance(found, TokenResponse)
    assert len(sent) == 1
    assert (request.form["redirect_uri"], request.form["audience"]) == (FLOW.redirect_uri, "api")


@pytest.mark.parametrize(
    ("second", "left"),
    [
        pytest.param(unusable(refresh_token="rt-2"), "rt-2", id="another one that is of no use"),
        pytest.param(unusable(refresh_token=...), "rt-1", id="none in its place"),
        pytest.param(replies(503, b""), "rt-1", id="no answer to speak of"),
        pytest.param(cuts_after_the_request(), "rt-1", id="no answer"),
        pytest.param(replies(400, b'{"error": "invalid_grant"}'), None, id="it is dead"),
    ],
)
async def test_where_that_is_of_no_use_either_the_first_failure_is_told_and_what_is_left_to_revoke(
    second: Behaviour, left: str | None
) -> None:
    found, sent = await exchanged(unusable(), second)
    assert isinstance(found, NoTokens)
    assert "token_type is mac" in str(found.error)
    assert found.refresh_token == left
    assert len(sent) == 2


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(unusable(refresh_token=...), id="none"),
        pytest.param(unusable(refresh_token=["rt-1"]), id="a list"),
        pytest.param(unusable(refresh_token=""), id="nothing in it"),
        pytest.param(
            replies(400, b'{"error": "invalid_grant", "refresh_token": "rt-1"}'), id="in a reply that grants none"
        ),
        pytest.param(replies(302, b'{"refresh_token": "rt-1"}'), id="in a redirect"),
    ],
)
async def test_without_a_refresh_token_that_can_be_used_nothing_more_is_sent(first: Behaviour) -> None:
    found, sent = await exchanged(first, says(**GOOD))
    assert isinstance(found, NoTokens)
    assert found.refresh_token is None
    assert len(sent) == 1
