"""What is in the way of a Datasource, seen by a live look on an API server in memory."""

import json
from typing import Any

import pytest

from datasource.api.names import REVOKE_FINALIZER, Annotation, Role, SecretType, credential_secret_name
from datasource.api.objects import encoded_data
from datasource.api.spec_problems import parse_spec
from datasource.api.states import Reason
from datasource.cluster.api_errors import Forbidden
from datasource.cluster.clients import Clients
from datasource.cluster.resources import SECRETS
from datasource.outbound.egress import EgressPolicy
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource_operator.decisions.observed import Observed, Surroundings
from datasource_operator.provider_lookups import ProviderLookups
from datasource_operator.surroundings import SurroundingsReader
from tests.support.builders import (
    NAME,
    NAMESPACE,
    NOW,
    UID,
    invalid_spec,
    observed,
    raw_spec,
    spec,
    spec_without_oauth2,
)
from tests.support.hostile_provider import ON_LOOPBACK, HostileProvider, replies
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock

TOKEN_SECRET, CREDENTIAL_SECRET = f"{NAME}-token", credential_secret_name(NAME)
NAMES = [
    pytest.param(TOKEN_SECRET, SecretType.TOKEN, Role.TOKEN, id="token Secret"),
    pytest.param(CREDENTIAL_SECRET, SecretType.CREDENTIAL, Role.CREDENTIAL, id="credential Secret"),
]


def cluster(**values: str) -> KubeInMemory:
    """With the client Secret that the spec names."""
    kube = KubeInMemory()
    kube.put(SECRETS, NAMESPACE, "my-app", type="Opaque", data=encoded_data(values or {"client-secret": "s3cret"}))
    return kube


def put(kube: KubeInMemory, name: str, type_: str, role: str = "", **metadata: Any) -> None:
    """A Secret of that name, ours where it has a role."""
    kube.put(SECRETS, NAMESPACE, name, type=type_)
    annotations = {Annotation.DATASOURCE: NAME, Annotation.ROLE: role} if role else {}
    kube.object(SECRETS, NAMESPACE, name)["metadata"] |= {"annotations": dict(annotations), **metadata}


async def look(kube: KubeInMemory, seen: Observed | None = None, **settings: Any) -> Surroundings:
    """What is in the way."""
    usual = Settings("https://connect.example.com", "datasource-system", **settings)
    async with Transport(EgressPolicy()) as transport:
        looks = ProviderLookups(Discovery(transport, Clock()))
        clients = Clients(kube, usual.require_allowed_hosts, lambda: NOW)
        return await SurroundingsReader(kube, usual, looks, clients).read(seen or observed())


def said(found: Surroundings) -> tuple[Reason, str]:
    assert found.problem is not None
    return found.problem.reason, found.problem.message


async def test_nothing_is_in_the_way_where_all_is_in_order() -> None:
    assert await look(cluster()) == Surroundings()


@pytest.mark.parametrize(
    ("owner", "expected"), [(UID, "Do not delete it: it holds the tokens."), ("uid-2", "Rename or delete it")]
)
async def test_credential_without_its_annotations_is_told_by_its_owner(owner: str, expected: str) -> None:
    kube = cluster()
    owners = [{"apiVersion": "datasource.dev/v1alpha1", "kind": "Datasource", "name": NAME, "uid": owner}]
    put(kube, CREDENTIAL_SECRET, SecretType.CREDENTIAL, ownerReferences=owners)
    found = await look(kube)
    reason, message = said(found)
    assert reason is Reason.SECRET_CONFLICT
    assert expected in message
    assert found.watched_secret == CREDENTIAL_SECRET


@pytest.mark.parametrize("wanted", [invalid_spec(), spec_without_oauth2()], ids=["invalid", "without parameters"])
async def test_nothing_is_looked_at_while_nobody_knows_what_for(wanted: Any) -> None:
    kube = KubeInMemory()
    assert await look(kube, observed(wanted=wanted)) == Surroundings()
    assert kube.calls == []


async def test_client_secret_that_is_missing_is_named_and_watched_for() -> None:
    found = await look(KubeInMemory())
    reason, message = said(found)
    assert reason is Reason.CLIENT_SECRET_NOT_FOUND
    assert "my-app" in message
    assert found.watched_secret == "my-app"


async def test_key_that_is_missing_is_named_and_no_value_of_the_others() -> None:
    found = await look(cluster(password="s3cret"))
    reason, message = said(found)
    assert reason is Reason.CLIENT_SECRET_NOT_FOUND
    assert "client-secret" in message
    assert "s3cret" not in message
    assert found.watched_secret == "my-app"


async def test_rights_that_do_not_reach_are_told_in_the_words_of_the_api_server() -> None:
    kube = cluster()
    kube.failure = Forbidden(403, "Forbidden", "User o cannot get secrets")
    reason, message = said(await look(kube))
    assert reason is Reason.SECRETS_FORBIDDEN
    assert "User o cannot get secrets" in message


async def test_client_secret_that_says_not_where_it_may_go_goes_nowhere_where_that_is_required() -> None:
    assert (await look(cluster(), require_allowed_hosts=True)).problem is not None
    assert (await look(cluster(), require_allowed_hosts=False)).problem is None


# Names.


@pytest.mark.parametrize(("name", "type_", "role"), NAMES)
async def test_secret_of_ours_is_in_nobodys_way(name: str, type_: str, role: str) -> None:
    kube = cluster()
    put(kube, name, type_, role)
    assert await look(kube) == Surroundings()


@pytest.mark.parametrize(("name", "type_", "role"), NAMES)
@pytest.mark.parametrize("foreign", ["another type", "our type, nobody's", "of another Datasource", "in another role"])
async def test_foreign_secret_is_told_watched_and_never_read(name: str, type_: str, role: str, foreign: str) -> None:
    kube = cluster()
    put(kube, name, "Opaque" if foreign == "another type" else type_, "" if "nobody" in foreign else role)
    annotations = kube.object(SECRETS, NAMESPACE, name)["metadata"]["annotations"]
    if foreign == "of another Datasource":
        annotations[Annotation.DATASOURCE] = "another"
    if foreign == "in another role":
        annotations[Annotation.ROLE] = Role.FLOW
    found = await look(kube)
    reason, message = said(found)
    assert reason is Reason.SECRET_CONFLICT
    assert f"Secret {name} " in message
    assert found.watched_secret == name
    read = [call for call in kube.calls if call.name == name]
    assert read
    assert all(call.metadata_only for call in read), "its values stay where they are"


@pytest.mark.parametrize(("name", "type_", "role"), NAMES)
@pytest.mark.parametrize(
    ("finalizers", "is_in_the_way"),
    [(["example.com/keep"], True), ([REVOKE_FINALIZER], False), ([REVOKE_FINALIZER, "example.com/keep"], True)],
)
async def test_secret_that_does_not_go_is_told_unless_only_we_hold_it(
    name: str, type_: str, role: str, finalizers: list[str], is_in_the_way: bool
) -> None:
    kube = cluster()
    put(kube, name, type_, role, finalizers=finalizers, deletionTimestamp="2026-07-01T12:00:00Z")
    found = await look(kube)
    assert (found.problem is not None) is is_in_the_way
    if is_in_the_way:
        assert "example.com/keep" in said(found)[1]
        assert REVOKE_FINALIZER not in said(found)[1], "nobody is to take ours off by hand"


async def test_finalizer_on_a_secret_that_stays_is_nobodys_business() -> None:
    kube = cluster()
    put(kube, TOKEN_SECRET, SecretType.TOKEN, Role.TOKEN, finalizers=["example.com/keep"])
    assert await look(kube) == Surroundings()


async def test_name_that_the_spec_chooses_is_the_one_that_is_looked_at() -> None:
    kube = cluster()
    put(kube, TOKEN_SECRET, "Opaque")
    put(kube, "chosen", "Opaque")
    found = await look(kube, observed(wanted=spec(token_secret={"name": "chosen"})))
    assert found.watched_secret == "chosen"


# The provider.


async def test_provider_that_was_not_looked_at_yet_is_in_nobodys_way() -> None:
    """The link is offered all the same; a look is under way."""
    wanted = spec(issuer="https://login.example.invalid", tokenURL=None, authorizeURL=None)
    assert await look(cluster(), observed(wanted=wanted)) == Surroundings()


async def test_what_metadata_that_stands_elsewhere_tells_is_held_to_the_hosts_that_the_secret_may_go_to() -> None:
    issuer = "https://login.example.com/shop"
    document = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/auth",
        "token_endpoint": "https://evil.example/t",
        "code_challenge_methods_supported": ["S256"],
    }
    usual = Settings("https://connect.example.com", "datasource-system", egress=ON_LOOPBACK)
    kube = cluster()
    kube.object(SECRETS, NAMESPACE, "my-app")["metadata"]["annotations"] = {
        Annotation.ALLOWED_HOSTS: "login.example.com"
    }
    async with (
        HostileProvider(replies(200, json.dumps(document).encode())) as provider,
        Transport(ON_LOOPBACK) as transport,
    ):
        discovery, place = Discovery(transport, Clock()), f"{provider.origin}/meta"
        await discovery.metadata(issuer, tenant=NAMESPACE, discovery_url=place)
        raw = raw_spec(issuer=issuer, discoveryURL=place, tokenURL=None, authorizeURL=None)
        wanted = parse_spec(raw, allow_insecure_http=False, egress=ON_LOOPBACK)
        clients = Clients(kube, True, lambda: NOW)
        reader = SurroundingsReader(kube, usual, ProviderLookups(discovery), clients)
        reason, message = said(await reader.read(observed(wanted=wanted)))
    assert reason is Reason.INVALID_CONFIGURATION
    assert "is on a host that Secret my-app may not be sent to" in message


async def test_public_client_needs_no_secret() -> None:
    kube = KubeInMemory()
    assert await look(kube, observed(wanted=spec(clientSecretRef=None))) == Surroundings()
