"""Tokens that are stored nowhere: revoked where surely no credential stands, and otherwise only dropped."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from datasource.api.states import Reason
from datasource.cluster.clients import ClientMaterial, Clients
from datasource.cluster.credential_secrets import CredentialSecrets
from datasource.cluster.dropped_grants import DroppedGrant, DroppedGrants
from datasource.providers.transport import Transport
from datasource.records.client_secret import ClientSecret
from tests.support.hostile_provider import ON_LOOPBACK, Behaviour, HostileProvider, replies
from tests.unit.datasource.api_server import ApiServer, Reply, fails, json_reply
from tests.unit.datasource.builders import NOW, credential_data, oauth2
from tests.unit.datasource.cluster.test_credential_secrets import GONE, READABLE, WHOLE_PAUSES, secret_object

DONE = replies(200, b"")
DOWN = replies(503, b"")
REFUSED = replies(400, b'{"error": "unsupported_token_type"}')
TOMBSTONE = json_reply(secret_object(READABLE | {"datasource.dev/tombstone": Reason.CREDENTIAL_CLEARED}))
STANDS = json_reply(secret_object())


@dataclass
class Bench:
    """Dropped grants, with the API server and the provider around them. Use it as an async context manager."""

    server: ApiServer
    provider: HostileProvider
    slept: list[float] = field(default_factory=list)

    @classmethod
    def that(cls, *behaviours: Behaviour, stands: tuple[Reply, ...] = (GONE,)) -> "Bench":
        return cls(ApiServer(*stands), HostileProvider(*behaviours))

    async def __aenter__(self) -> "Bench":
        await self.provider.__aenter__()
        await self.server.__aenter__()
        self.kube = self.server.kube()
        await self.kube.__aenter__()
        self.transport = Transport(ON_LOOPBACK)
        await self.transport.__aenter__()
        clients = Clients(self.kube, require_allowed_hosts=True, now=lambda: NOW)
        secrets = CredentialSecrets(self.kube, "tests", may_list=False, sleep=self._sleep, backoff=WHOLE_PAUSES)
        self.grants = DroppedGrants(self.transport, clients, secrets, lambda: NOW, self._sleep)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.transport.__aexit__()
        await self.kube.__aexit__()
        await self.server.__aexit__()
        await self.provider.__aexit__()

    def grant(self, **changes: Any) -> DroppedGrant:
        """One that may be revoked at the provider."""
        data = credential_data(**({"revocation_endpoint": self.provider.url} | changes))
        material = ClientMaterial(oauth2(clientAuthentication="client_secret_post"), ClientSecret("my-app", "s3cret"))
        return DroppedGrant("shop", "sales", data, material)

    @property
    def revoked(self) -> list[str]:
        """The tokens that were sent to be revoked."""
        return [request.form["token"] for request in self.provider.requests]

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.mark.parametrize("stands", [pytest.param(GONE, id="gone"), pytest.param(TOMBSTONE, id="cleared")])
async def test_where_surely_no_credential_stands_a_grant_is_revoked(stands: Reply) -> None:
    async with Bench.that(DONE, stands=(stands,)) as bench:
        await bench.grants.revoke_where_none_stands(bench.grant())
        (request,) = bench.provider.requests
        assert (request.form["token"], request.form["client_secret"]) == ("rt-1", "s3cret")


@pytest.mark.parametrize(
    "stands",
    [
        pytest.param(STANDS, id="another credential"),
        pytest.param(json_reply(secret_object(READABLE | {"datasource.dev/revision": "many"})), id="one unreadable"),
        pytest.param(json_reply(secret_object({})), id="one that lost its annotations"),
        pytest.param(json_reply(secret_object(type_="Opaque")), id="something of somebody else"),
    ],
)
async def test_where_a_credential_may_stand_a_grant_is_only_dropped(stands: Reply) -> None:
    async with Bench.that(DONE, stands=(stands,)) as bench:
        await bench.grants.revoke_where_none_stands(bench.grant())
        assert bench.revoked == []


async def test_what_stands_is_asked_until_there_is_an_answer() -> None:
    async with Bench.that(DONE, stands=(fails(503, "Down"), fails(500, "InternalError"), GONE)) as bench:
        await bench.grants.revoke_where_none_stands(bench.grant())
        assert bench.revoked == ["rt-1"]
        assert len(bench.slept) == 2


async def test_rights_that_were_taken_away_hold_nobody_up_and_are_told() -> None:
    async with Bench.that(DONE, stands=(fails(403, "Forbidden"),)) as bench:
        with structlog.testing.capture_logs() as logs:
            await bench.grants.revoke_where_none_stands(bench.grant())
        assert bench.revoked == []
        assert bench.slept == []
    assert [line["log_level"] for line in logs] == ["error"]


async def test_grant_without_a_refresh_token_is_revoked_by_its_access_token() -> None:
    async with Bench.that(DONE) as bench:
        await bench.grants.revoke(bench.grant(refresh_token=None))
        assert bench.revoked == ["at-1"]


async def test_grant_of_a_provider_without_revocation_is_left_alone() -> None:
    async with Bench.that(DONE) as bench:
        await bench.grants.revoke(bench.grant(revocation_endpoint=None))
        assert bench.provider.requests == []


async def test_provider_that_is_down_is_asked_a_few_times_and_fails_nobody() -> None:
    async with Bench.that(DOWN) as bench:
        with structlog.testing.capture_logs() as logs:
            await bench.grants.revoke(bench.grant())
        assert bench.revoked == ["rt-1"] * 4
    assert logs[-1]["log_level"] == "error"
    assert "rt-1" not in str(logs)
    assert "s3cret" not in str(logs)


async def test_refusal_is_not_repeated_and_fails_nobody() -> None:
    async with Bench.that(REFUSED) as bench:
        await bench.grants.revoke(bench.grant())
        assert bench.revoked == ["rt-1"]


async def test_dropped_grant_does_not_print_what_it_holds() -> None:
    async with Bench.that(DONE) as bench:
        assert not any(secret in repr(bench.grant()) for secret in ("rt-1", "at-1", "s3cret"))
