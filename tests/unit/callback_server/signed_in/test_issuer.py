"""The issuer as the client talks to it: how it authenticates, what it pushes, where it may be."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from callback_server.refusals import Kind, Refused
from callback_server.signed_in.issuer import Issuer
from callback_server.signed_in.under_way import begun
from datasource.oauth2.callback import AuthorizationResponse
from datasource.process.clock import utc_now
from tests.unit.callback_server.signed_in.company import CLIENT, EXTERNAL, Company, company

REDIRECT = f"{EXTERNAL}/signed-in"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path / "secret") as made:
        yield made


def issuer(there: Company) -> Issuer:
    assert there.served.people is not None
    return there.served.people.sign_in.issuer


def under_way() -> Any:
    return begun("B" * 43, "/", utc_now(), lambda size: b"x" * size)


async def refused_user(there: Company) -> Refused:
    with pytest.raises(Refused) as caught:
        await issuer(there).user(under_way(), AuthorizationResponse("s", code="c"), REDIRECT)
    return caught.value


async def test_client_authenticates_in_the_body_where_the_issuer_takes_nothing_else(there: Company) -> None:
    there.issuer.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    there.issuer.nonce = under_way().nonce
    user = await issuer(there).user(under_way(), AuthorizationResponse("s", code="c"), REDIRECT)
    assert user.name == "ada"
    (sent,) = [request for request in there.issuer.requests if request.method == "POST"]
    assert (sent.form["client_id"], sent.form["client_secret"]) == (CLIENT, "s3cret-of-sign-in")
    assert "authorization" not in sent.headers


async def test_request_is_pushed_where_the_issuer_wants_that(there: Company) -> None:
    there.issuer.metadata = {
        "require_pushed_authorization_requests": True,
        "pushed_authorization_request_endpoint": f"{there.issuer.origin}/par",
    }
    there.issuer.token_reply = (201, b'{"request_uri": "urn:example:1", "expires_in": 60}')
    url = await issuer(there).front_url(under_way(), REDIRECT)
    assert url == f"{there.issuer.origin}/authorize?client_id={CLIENT}&request_uri=urn%3Aexample%3A1"


@pytest.mark.parametrize(
    "metadata",
    [
        {"authorization_endpoint": None},
        {"authorization_endpoint": "http://login.example.com/authorize"},
        {"issuer": "https://other.example.com"},
    ],
)
async def test_metadata_that_cannot_be_used_begins_nothing(there: Company, metadata: dict[str, Any]) -> None:
    there.issuer.metadata = metadata
    with pytest.raises(Refused) as caught:
        await issuer(there).front_url(under_way(), REDIRECT)
    assert caught.value.kind is Kind.SIGN_IN_IS_NOT_READY


async def test_endpoint_that_sets_a_parameter_of_the_flow_begins_nothing(there: Company) -> None:
    there.issuer.metadata = {"authorization_endpoint": f"{there.issuer.origin}/authorize?state=x"}
    with pytest.raises(Refused) as caught:
        await issuer(there).front_url(under_way(), REDIRECT)
    assert caught.value.kind is Kind.SIGN_IN_IS_NOT_READY


async def test_code_is_not_spent_where_no_key_could_verify_what_it_brings(there: Company) -> None:
    there.issuer.metadata = {"jwks_uri": None}
    assert (await refused_user(there)).kind is Kind.SIGN_IN_IS_NOT_READY
    assert there.issuer.codes == []


async def test_issuer_that_promised_to_name_itself_has_to(there: Company) -> None:
    there.issuer.metadata = {"authorization_response_iss_parameter_supported": True}
    assert (await refused_user(there)).kind is Kind.SIGN_IN_CANNOT_BE_VERIFIED
    assert there.issuer.codes == []


async def test_client_secret_that_is_gone_signs_nobody_in(there: Company) -> None:
    issuer(there).settings.secret_file.unlink()
    assert (await refused_user(there)).kind is Kind.SIGN_IN_IS_NOT_READY
    assert there.issuer.codes == []


async def test_issuer_that_went_away_is_said_so(there: Company) -> None:
    await issuer(there).front_url(under_way(), REDIRECT)
    await issuer(there).verifier.prepare(there.issuer.origin, tenant="datasource-system")
    await there.issuer.__aexit__()
    refused = await refused_user(there)
    assert refused.kind is Kind.SIGN_IN_DOES_NOT_ANSWER
    await there.issuer.__aenter__()
