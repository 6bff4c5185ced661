"""Who authorized, as the callback server decides it: an issuer on loopback, its keys, and id_tokens good and bad."""

import json
from datetime import timedelta
from typing import Any

import pytest

from callback_server.identity import Authorizer, IdentityCheck, NotAccepted
from callback_server.refusals import Refused
from datasource.api.spec import OAuth2
from datasource.api.spec_problems import parse_spec
from datasource.oauth2.identity import expected_identity_hash, read_kept_claims
from datasource.oauth2.token_response import TokenResponse
from datasource.records.flow import Flow
from tests.support.builders import NOW, a_flow, raw_spec
from tests.support.hostile_provider import ON_LOOPBACK, replies
from tests.unit.datasource.oauth2.test_id_token import jwt
from tests.unit.datasource.oauth2.test_signature import OTHER_RSA, RSA, signed
from tests.unit.datasource.providers.test_verifier import Bench, Issuer, publishes

ADA = {"email": "ada@example.com"}


def flow(nonce: str | None = "n-1", code_verifier: str | None = None) -> Flow:
    """A flow of which only the nonce matters here."""
    return a_flow(nonce=nonce, code_verifier=code_verifier)


def parameters(issuer: str | None, **oauth2: Any) -> OAuth2:
    raw = raw_spec(issuer=issuer, scopes=["openid"], **oauth2)
    parsed = parse_spec(raw, allow_insecure_http=False, egress=ON_LOOPBACK).oauth2
    assert parsed is not None
    return parsed


def claims(issuer: str, **changes: Any) -> bytes:
    times = {"exp": (NOW + timedelta(hours=1)).timestamp(), "iat": NOW.timestamp()}
    usual = {"iss": issuer, "sub": "user-1", "aud": "my-app", "email_verified": True} | times
    return json.dumps(usual | {"nonce": "n-1", "email": "ada@example.com"} | changes).encode()


def response(id_token: str | None) -> TokenResponse:
    return TokenResponse("at-1", "Bearer", id_token=id_token)


async def authorizer(
    bench: Bench,
    id_token: str | None,
    *,
    issuer: str | None = "",
    nonce: str | None = "n-1",
    code_verifier: str | None = None,
    **oauth2: Any,
) -> Authorizer:
    """Options whose name is taken have a line behind it."""
    oauth2 = {name.rstrip("_"): value for name, value in oauth2.items()}
    check = IdentityCheck(bench.verifier, lambda: NOW)
    named = bench.issuer.origin if issuer == "" else issuer
    return await check.authorizer(parameters(named, **oauth2), flow(nonce, code_verifier), response(id_token), None)


async def test_keys_of_an_issuer_may_stand_where_somebody_says() -> None:
    async with Bench(Issuer(publishes(RSA), issuer="https://login.example.com/{tenantid}/v2.0")) as bench:
        issuer, place = "https://login.example.com/shop/v2.0", f"{bench.issuer.origin}/common"
        check = IdentityCheck(bench.verifier, lambda: NOW)
        named = parameters(issuer, discoveryURL=place, expectedIdentity=ADA)
        await check.prepare(named, flow(), None)
        token = signed(payload=claims(issuer))
        found = await authorizer(bench, token, issuer=issuer, discoveryURL=place, expectedIdentity=ADA)
        assert found.shown == "ada@example.com"
        other = signed(payload=claims("https://login.example.com/other/v2.0"))
        with pytest.raises(NotAccepted):
            await authorizer(bench, other, issuer=issuer, discoveryURL=place, expectedIdentity=ADA)


async def test_the_one_expected_is_shown_and_kept() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        found = await authorizer(bench, signed(payload=claims(bench.issuer.origin)), expectedIdentity=ADA)
        assert (found.shown, found.checked) == ("ada@example.com", expected_identity_hash(ADA))
        kept = read_kept_claims(found.kept)
        assert kept is not None
        assert kept["sub"] == "user-1"


async def test_anybody_else_is_refused_in_words_that_tell_nothing_of_them() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        token = signed(payload=claims(bench.issuer.origin, email="eve@example.com"))
        with pytest.raises(NotAccepted) as caught:
            await authorizer(bench, token, expectedIdentity=ADA)
    assert caught.value.shown == "eve@example.com"
    assert "ada@example.com" in caught.value.refused.message
    assert "eve" not in caught.value.refused.message


async def test_token_signed_by_somebody_else_is_refused_where_somebody_is_expected() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        token = signed(OTHER_RSA, payload=claims(bench.issuer.origin), kid="k-1")
        with pytest.raises(NotAccepted, match="cannot be used"):
            await authorizer(bench, token, expectedIdentity=ADA)
        assert await authorizer(bench, token) == Authorizer(
            problem="The id_token's signature is not by the provider's key."
        )


@pytest.mark.parametrize(
    "changes", [{"nonce": None}, {"aud": "other-app"}, {"exp": 1}, {"iss": "https://other"}, {"nbf": 9e9}, {"sub": 5}]
)
async def test_token_that_does_not_fit_costs_the_name_and_not_the_grant(changes: dict[str, Any]) -> None:
    """LinkedIn sends no nonce."""
    async with Bench(Issuer(publishes(RSA))) as bench:
        token = signed(payload=claims(bench.issuer.origin, **changes))
        found = await authorizer(bench, token)
        assert (found.shown, found.kept, found.checked) == (None, None, None)
        assert found.problem is not None
        with pytest.raises(NotAccepted):
            await authorizer(bench, token, expectedIdentity=ADA)


async def test_nonce_of_another_authorization_is_refused_where_no_verifier_keeps_codes_apart() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        token = signed(payload=claims(bench.issuer.origin, nonce="n-2"))
        with pytest.raises(NotAccepted):
            await authorizer(bench, token)
        found = await authorizer(bench, token, code_verifier="v-1")
        assert found.problem is not None


async def test_nonce_is_not_compared_where_the_spec_sends_none() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        token = signed(payload=claims(bench.issuer.origin, nonce=None))
        assert (await authorizer(bench, token, nonce=None, nonce_=False)).shown == "ada@example.com"


async def test_half_a_character_in_a_claim_loses_no_credential() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        payload = claims(bench.issuer.origin, name="Ad\ud800", email="a\udc00@example.com")
        found = await authorizer(bench, signed(payload=payload))
        assert found.shown == "a\ufffd@example.com"
        assert found.kept is not None
        found.kept.encode()


async def test_nobody_is_let_in_without_an_id_token_where_somebody_is_expected() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        assert await authorizer(bench, None) == Authorizer()
        with pytest.raises(NotAccepted, match="unknown"):
            await authorizer(bench, None, expectedIdentity=ADA)


async def test_without_an_issuer_who_authorized_is_shown_and_no_more() -> None:
    async with Bench(Issuer(publishes(RSA))) as bench:
        found = await authorizer(bench, jwt(claims("https://any.example.com")), issuer=None)
        assert (found.shown, found.kept, found.checked) == ("ada@example.com", None, None)
        assert bench.issuer.fetched == 0


async def test_keys_that_cannot_be_had_are_told_before_a_code_is_spent() -> None:
    async with Bench(Issuer(replies(500))) as bench:
        check = IdentityCheck(bench.verifier, lambda: NOW)
        with pytest.raises(Refused, match="cannot be verified"):
            await check.prepare(parameters(bench.issuer.origin), flow(), None)
        token = signed(payload=claims(bench.issuer.origin))
        with pytest.raises(NotAccepted):
            await authorizer(bench, token, expectedIdentity=ADA)
        assert "could not be verified" in str((await authorizer(bench, token)).problem)


async def test_keys_that_nobody_can_use_cost_no_consent_where_nobody_is_expected() -> None:
    async with Bench(Issuer(replies(200, b'{"keys": []}'))) as bench:
        check = IdentityCheck(bench.verifier, lambda: NOW)
        await check.prepare(parameters(bench.issuer.origin), flow(), None)
        with pytest.raises(Refused, match="cannot be verified"):
            await check.prepare(parameters(bench.issuer.origin, expectedIdentity=ADA), flow(), None)


async def test_keys_are_not_asked_for_where_no_id_token_is() -> None:
    async with Bench(Issuer(replies(500))) as bench:
        check = IdentityCheck(bench.verifier, lambda: NOW)
        await check.prepare(parameters(bench.issuer.origin), flow(nonce=None), None)
        await check.prepare(parameters(None), flow(), None)
        assert bench.issuer.fetched == 0
