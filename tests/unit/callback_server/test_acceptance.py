"""Tokens that a code brought: stored where they may be, and revoked where they must not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from callback_server.acceptance import Acceptance, Granted
from callback_server.app import services
from callback_server.new_credential import filled
from callback_server.situation import Situation
from datasource.api.names import credential_secret_name
from datasource.api.objects import Status
from datasource.api.requests import Requests
from datasource.api.spec import OAuth2
from datasource.cluster.api_errors import Forbidden, Unavailable
from datasource.cluster.clients import ClientMaterial
from datasource.cluster.resources import SECRETS
from datasource.oauth2.errors import MetadataUnavailable
from datasource.oauth2.token_response import TokenResponse
from datasource.records.credential import CredentialData
from tests.unit.callback_server.test_new_credential import blank
from tests.unit.callback_server.visits import Visit, visit
from tests.unit.datasource.builders import NOW, UID, oauth2, spec
from tests.unit.datasource.records.test_flow import flow

RESPONSE = TokenResponse("at-1", "Bearer", refresh_token="rt-1")


@asynccontextmanager
async def acceptance() -> AsyncIterator[tuple[Acceptance, Visit]]:
    async with visit() as came:
        yield services(came.kube, came.transport, came.settings).callback.acceptance, came


def granted(parameters: OAuth2 | None = None, response: TokenResponse = RESPONSE) -> Granted:
    where = Situation("shop", "sales", UID, spec(), oauth2(), Status(), Requests(), None)
    blank_one = blank()
    return Granted(flow(nonce="n"), where, parameters or oauth2(), filled(blank_one, response, NOW), response)


def stored(came: Visit) -> Any:
    name = credential_secret_name("sales")
    found = [each for each in came.kube.stored(SECRETS) if each["metadata"]["name"] == name]
    return found[0] if found else None


async def test_what_may_be_stored_is() -> None:
    async with acceptance() as (accepts, came):
        assert await accepts.store(granted(), ClientMaterial(oauth2())) is None
        assert stored(came) is not None


async def test_grant_of_somebody_who_is_not_expected_is_stored_nowhere_and_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expects = oauth2(
        issuer="https://login.example.com", scopes=["openid"], expectedIdentity={"email": "ada@example.com"}
    )
    given_back: list[str | None] = []

    async def give_back(_: object, _target: object, _material: object, data: CredentialData, _as: object) -> None:
        given_back.append(data.refresh_token)

    async with acceptance() as (accepts, came):
        monkeypatch.setattr(type(accepts.revoker), "revoke_unaccepted", give_back)
        refused = await accepts.store(granted(expects), ClientMaterial(oauth2()))
        assert refused is not None
        assert stored(came) is None
        assert given_back == ["rt-1"]


@pytest.mark.parametrize("error", [Unavailable("no answer"), Forbidden(403, "Forbidden", "exceeded quota")])
async def test_reply_from_the_journal_keeps_nobody_waiting(error: Exception) -> None:
    """It comes again. In the request that got it, the API server is waited for."""
    async with acceptance() as (accepts, came):
        came.kube.failure = error
        object.__setattr__(accepts.credentials, "now", lambda: flow().created_at)
        with pytest.raises(type(error)):
            await accepts.store(granted(), ClientMaterial(oauth2()), replayed_from=NOW)
        came.kube.failure = None
        assert await accepts.store(granted(), ClientMaterial(oauth2()), replayed_from=NOW) is None


async def test_keys_are_waited_for_only_by_a_reply_from_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    named = oauth2(issuer="https://login.example.com", scopes=["openid"])
    response = TokenResponse("at-1", "Bearer", refresh_token="rt-1", id_token="x.y.z")

    async def away(*_: object, **__: object) -> Any:
        raise MetadataUnavailable("no answer")

    async with acceptance() as (accepts, came):
        monkeypatch.setattr(accepts.identity.verifier, "claims", away)
        with pytest.raises(MetadataUnavailable):
            await accepts.store(granted(named, response), ClientMaterial(named), replayed_from=NOW)
        assert stored(came) is None
        assert await accepts.store(granted(named, response), ClientMaterial(named)) is None
        assert stored(came) is not None
