"""Grants that were refused after the exchange: whose are revoked, and whose only dropped."""

from typing import Any

import pytest

from callback_server.revocation import GrantRevoker
from callback_server.situation import Situation
from datasource.api.objects import Status
from datasource.api.requests import Requests
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialFacts
from tests.unit.datasource.api_server import Reply, fails, json_reply
from tests.unit.datasource.builders import UID, oauth2, spec
from tests.unit.datasource.cluster.test_credential_secrets import GONE
from tests.unit.datasource.cluster.test_dropped_grants import DONE, STANDS, TOMBSTONE, Bench

DATASOURCE = json_reply({"metadata": {"name": "sales", "uid": UID}})
DENIED = fails(403, "Forbidden")


def situation(authorized_as: str | None = None) -> Situation:
    facts = CredentialFacts(credential_id="old", fingerprint="fp-1", authorized_as=authorized_as)
    credential = None if authorized_as is None else StoredCredential(facts, resource_version="1", owners=())
    return Situation("shop", "sales", UID, spec(), oauth2(), Status(), Requests(), credential)


async def revoked(bench: Bench, refused: str, *arguments: Any) -> list[str]:
    """Which tokens were revoked after one of the refusals."""
    grant = bench.grant()
    revoker = GrantRevoker(bench.grants, bench.kube)
    at, *rest = arguments or (situation(),)
    await getattr(revoker, refused)(at, grant.material, grant.data, *rest)
    return bench.revoked


@pytest.mark.parametrize(
    ("stands", "expected"),
    [
        pytest.param((GONE,), ["rt-1"], id="the Datasource is gone, whatever else stands"),
        pytest.param((DATASOURCE, GONE), ["rt-1"], id="the credential is gone"),
        pytest.param((DATASOURCE, TOMBSTONE), ["rt-1"], id="it was cleared"),
        pytest.param((DATASOURCE, STANDS), [], id="another stands"),
        pytest.param((DENIED, STANDS), [], id="rights on Datasources were taken away, another stands"),
        pytest.param((DENIED, GONE), ["rt-1"], id="rights on Datasources were taken away, nothing stands"),
        pytest.param((DATASOURCE, DENIED), [], id="rights on Secrets were taken away"),
    ],
)
async def test_grant_that_could_not_be_stored_is_revoked_where_surely_none_stands(
    stands: tuple[Reply, ...], expected: list[str]
) -> None:
    async with Bench.that(DONE, stands=stands) as bench:
        assert await revoked(bench, "revoke_dropped") == expected


@pytest.mark.parametrize(
    ("stands_of", "grant_of", "expected"),
    [
        pytest.param("ada", "eve", ["rt-1"], id="somebody else's than the one that stands"),
        pytest.param("ada", "ada", [], id="perhaps the very one that stands"),
        pytest.param("ada", None, [], id="nobody knows whose"),
    ],
)
async def test_grant_of_somebody_unexpected_is_revoked_unless_it_may_be_the_one_that_stands(
    stands_of: str, grant_of: str | None, expected: list[str]
) -> None:
    async with Bench.that(DONE, stands=(DATASOURCE, STANDS)) as bench:
        assert await revoked(bench, "revoke_unaccepted", situation(stands_of), grant_of) == expected
