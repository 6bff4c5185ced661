"""Where the product's own decisions and steps lead: any Datasource settles, and a restart writes nothing."""

import copy
import functools
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import (
    FIELD_MANAGER,
    REVOKE_FINALIZER,
    Annotation,
    SecretType,
    credential_secret_name,
    default_token_secret_name,
)
from datasource.api.objects import OwnerReference, Status
from datasource.api.requests import HandledSet, Requests
from datasource.api.spec import InvalidSpec, Spec, SpecProblem
from datasource.api.spec_problems import parse_spec
from datasource.api.states import Reason
from datasource.cluster.api_errors import ApiError, Forbidden, Invalid
from datasource.cluster.resources import DATASOURCES, SECRETS
from datasource.records.contents import Contents, Leaving, StoredCredential, StoredTombstone
from datasource.records.credential import CredentialData, CredentialFacts, TombstoneFacts, Unreadable
from tests.support.api_rules import Manifest
from tests.support.builders import (
    DANGLING,
    NAME,
    NAMESPACE,
    NOW,
    OURS,
    OWNERLESS,
    credential,
    fingerprint_of,
    observed,
    planned,
    raw_spec,
    settled,
    spec,
    trouble,
)
from tests.unit.datasource_operator.world import KEY, Door, World, credential_data, dangles
from tests.unit.walks import walks

AN_HOUR = timedelta(hours=1)
ELSEWHERE = "https://elsewhere.example.com/token"
BROKEN = {"template": {"data": {"header": "Bearer {{ acess_token }}"}}}
"""A template that no token Secret can be made of."""
LABELLED = {"template": {"labels": {"app": "shop"}, "data": {"header": "Bearer {{ access_token }}"}}}

TYPED = {"type": "Opaque", "name": "typed"}

# What is common comes several times: else hardly any example would be authorized.
SPECS: tuple[Mapping[str, Any], ...] = (
    *[raw_spec()] * 6,
    raw_spec() | {"deletionPolicy": "Revoke"},
    raw_spec(clientSecretRef=None),
    raw_spec(scopes=["read"]),
    raw_spec(tokenURL=ELSEWHERE),
    raw_spec(token_secret={"name": "renamed"}),
    raw_spec(token_secret=LABELLED),
    *[raw_spec(token_secret=TYPED)] * 2,
    raw_spec(tokenURL=None),
    {"url": "https://api.example.com"},
    raw_spec(tokenURL="http://login.example.com/token"),
    raw_spec(token_secret=BROKEN),
    raw_spec(token_secret=BROKEN, tokenURL=ELSEWHERE),
    *[raw_spec() | {"suspend": True}] * 3,
)


def parsed(raw: Mapping[str, Any]) -> Spec | SpecProblem:
    """As the operator parses it."""
    try:
        return parse_spec(raw, allow_insecure_http=False)
    except InvalidSpec as error:
        return error.problem


NAMES = (default_token_secret_name(NAME), "renamed", credential_secret_name(NAME))
VALUES = st.sampled_from([None, None, None, None, "", "1", "2"])
REQUESTS = st.builds(Requests, VALUES, VALUES, VALUES)
HANDLED = st.lists(REQUESTS, max_size=3).map(
    lambda each: functools.reduce(HandledSet.with_requests, each, HandledSet())
)
OWNERS = st.sampled_from([OURS, OURS, OURS, OURS, OWNERLESS, DANGLING])
FINALIZERS = st.sampled_from([(), (), (), (REVOKE_FINALIZER,), ("example.com/backup",)])
FACTS = st.builds(
    CredentialFacts,
    credential_id=st.sampled_from(["credential-1", "credential-2"]),
    fingerprint=st.sampled_from([*[fingerprint_of(spec())] * 5, fingerprint_of(spec(tokenURL=ELSEWHERE))]),
    requested_scopes=st.sampled_from([("read", "offline_access"), ("read",)]),
    granted_scopes=st.sampled_from([(), ("read",)]),
    expires_at=st.sampled_from([None, NOW - AN_HOUR, NOW, NOW + AN_HOUR]),
    refreshed_at=st.sampled_from([None, NOW]),
    has_refresh_token=st.booleans(),
    authorized_as=st.sampled_from([None, "ada@example.com"]),
    handled=HANDLED,
    verdict=st.sampled_from([*[None] * 6, Reason.GRANT_REVOKED, Reason.REFRESH_INTERRUPTED]),
    is_revocable=st.booleans(),
)
CREDENTIALS = st.builds(StoredCredential, FACTS, st.just("7"), OWNERS, FINALIZERS)
TOMBSTONES = st.builds(
    StoredTombstone,
    st.builds(
        TombstoneFacts,
        credential_id=st.sampled_from(["tombstone-1", "tombstone-2"]),
        reason=st.sampled_from([Reason.CREDENTIAL_CLEARED, Reason.AUTHORIZATION_REQUIRED]),
        handled=HANDLED,
    ),
    st.just("7"),
    OWNERS,
    FINALIZERS,
)
UNREADABLE = st.builds(Unreadable, st.just("annotation datasource.dev/revision cannot be read"), HANDLED, OWNERS)
HELD = st.sampled_from([(REVOKE_FINALIZER,), ("example.com/backup",), ("example.com/backup", REVOKE_FINALIZER)])
LEAVING = st.builds(
    lambda holds, finalizers: Leaving(msgspec.structs.replace(holds, finalizers=finalizers), is_deleted=True),
    CREDENTIALS | TOMBSTONES,
    HELD,
)
_RARE: Mapping[int, st.SearchStrategy[Contents | None]] = {
    1: UNREADABLE,
    2: LEAVING,
    3: TOMBSTONES,
    4: TOMBSTONES,
    5: st.none(),
}
CONTENTS: st.SearchStrategy[Contents | None] = st.integers(0, 19).flatmap(lambda number: _RARE.get(number, CREDENTIALS))

# What the API server refuses, and in which words.

NO_RIGHT = Forbidden(
    403,
    "Forbidden",
    'secrets "a" is forbidden: User "system:serviceaccount:datasource-system:datasource-operator" cannot patch '
    'resource "secrets" in API group "" in the namespace "shop"',
)
QUOTA = Forbidden(403, "Forbidden", 'secrets "a" is forbidden: exceeded quota: small, requested: count/secrets=1')
WEBHOOK = Invalid(422, "Invalid", 'admission webhook "no.example.com" denied the request: no')
IMMUTABLE = Invalid(
    422, "Invalid", 'Secret "a" is invalid: data: Forbidden: field is immutable when `immutable` is set'
)
REFUSALS = (NO_RIGHT, QUOTA, WEBHOOK, IMMUTABLE)
DOORS: tuple[Door, ...] = (
    ("get", "datasources"),
    ("get", "credential"),
    ("get", "client"),
    ("get", "secrets"),
    ("list", "secrets"),
    ("create", "credential"),
    ("create", "secrets"),
    ("merge_patch", "credential"),
    ("merge_patch", "secrets"),
    ("apply", "secrets"),
    ("delete", "secrets"),
)
Shut = st.SearchStrategy[dict[Door, ApiError]]
NONE_SHUT: Shut = st.just({})
SHUT: Shut = st.dictionaries(st.sampled_from(DOORS), st.sampled_from(REFUSALS), max_size=4)
SHUT_TO_STATUSES: Shut = st.just({("merge_patch", "datasources"): WEBHOOK})
_SHUT_BY_NUMBER = {0: SHUT, 1: SHUT, 2: SHUT_TO_STATUSES}
ANY_SHUT: Shut = st.integers(0, 7).flatmap(lambda number: _SHUT_BY_NUMBER.get(number, NONE_SHUT))


def owners_as_written(owners: tuple[OwnerReference, ...]) -> list[dict[str, str]]:
    version = {"apiVersion": "datasource.dev/v1alpha1"}
    return [version | {"kind": each.kind, "name": each.name, "uid": each.uid} for each in owners]


def data_of(contents: Contents | None, *, fits: bool = True, access_token: str = "at-1") -> CredentialData:
    """The data of a credential Secret that holds this."""
    holds = contents.holds if isinstance(contents, Leaving) else contents
    fingerprint = holds.facts.fingerprint if isinstance(holds, StoredCredential) else fingerprint_of(spec())
    return credential_data(fingerprint if fits else "of other parameters", access_token)


def put_token_secret(
    draw: st.DrawFn, world: World, contents: Contents | None, raw: Mapping[str, Any], name: str
) -> None:
    """A token Secret of ours, perhaps as it should be."""
    wanted = parsed(raw)
    due = planned(
        contents if isinstance(contents, StoredCredential) else credential(),
        wanted
        if isinstance(wanted, Spec) and wanted.token_secret.template.data != BROKEN["template"]["data"]
        else spec(),
    )
    metadata: dict[str, Any] = {"ownerReferences": owners_as_written(draw(OWNERS))}
    if draw(st.sampled_from([False, False, False, True])):
        metadata["labels"] = {Annotation.ROLE: None}
    by = draw(st.sampled_from([FIELD_MANAGER, FIELD_MANAGER, FIELD_MANAGER, "kubectl-create"]))
    if draw(st.booleans()):
        metadata["annotations"] = {Annotation.CONTENT: "another content"}
    data: dict[str, Any] = draw(st.sampled_from([{}, {}, {"old": "b2xk"}, {next(iter(due.templates)): None}]))
    world.has_token_secret(due, credential_data(""), name, {"metadata": metadata, "data": data}, by=by)


@st.composite
def worlds(draw: st.DrawFn, *, watch_may_lag: bool = True) -> World:
    """Any Datasource in any surroundings, with a status that it settled on before, in other circumstances perhaps."""
    world, raw = World(), draw(st.sampled_from(SPECS))
    earlier = observed(draw(CONTENTS), wanted=parsed(draw(st.sampled_from(SPECS))), requests=draw(REQUESTS))
    status = draw(st.sampled_from([Status(), Status(observed_generation=-1), settled(earlier).status]))
    leaves = draw(st.sampled_from([*[{}] * 19, {"deletionTimestamp": "2026-07-01T11:00:00Z", "finalizers": ["a/b"]}]))
    world.has_datasource(raw, draw(REQUESTS), status, generation=draw(st.sampled_from([1, 2])), **leaves)
    world.trouble = draw(st.sampled_from([None, None, trouble(), trouble(Reason.CLIENT_REJECTED)]))
    match draw(st.sampled_from(["usable", "usable", "usable", "without the key", "none"])):
        case "usable":
            world.has_client_secret(**{"client-secret": "secret-1"})
        case "without the key":
            world.has_client_secret(other="secret-1")
    taken = draw(st.sampled_from([*[None] * 12, *NAMES]))
    if taken is not None:
        world.has_foreign_secret(taken)
    contents = draw(CONTENTS)
    data = data_of(
        contents,
        fits=draw(st.sampled_from([True, True, True, False])),
        access_token="a" * 600_000 if draw(st.sampled_from([False, False, False, True])) else "at-1",
    )
    if contents is not None and taken != credential_secret_name(NAME):
        world.has_credential(contents, data)
    for name in draw(st.lists(st.sampled_from([*NAMES[:2], "typed", "older"]), unique=True)):
        if name != taken:
            put_token_secret(draw, world, contents, raw, name)
    if watch_may_lag and draw(st.booleans()):
        shown = draw(CONTENTS)
        world.watch_catches_up()
        world.cache.hear(*KEY, None)
        if shown is not None:
            world.shows(shown, data)
    else:
        world.restart()
    world.kube.refuses = draw(ANY_SHUT)
    return world


@given(worlds(), st.booleans())
@walks(20, 400)
def test_any_datasource_settles(world: World, look_around: bool) -> None:
    is_being_deleted = "deletionTimestamp" in world.kube.object(DATASOURCES, NAMESPACE, NAME)["metadata"]
    world.reconcile(look_around=look_around)
    if is_being_deleted:
        assert world.writes == [], "its Secrets are the garbage collector's"


@given(worlds(watch_may_lag=False))
@walks(20, 400)
def test_a_restart_over_what_settled_writes_nothing(world: World) -> None:
    outcome = world.reconcile()
    stands = world.version
    world.restart()
    assert world.reconcile() == outcome
    assert world.version == stands


def copies(world: World) -> dict[str, Manifest]:
    """The token Secrets that somebody else wrote and that are not taken over, by name; the garbage collector leaves them."""
    wanted = parsed(world.kube.object(DATASOURCES, NAMESPACE, NAME)["spec"])
    name = wanted.token_secret_name(NAME) if isinstance(wanted, Spec) else None
    found = {}
    for each in world.kube.stored(SECRETS):
        metadata = each["metadata"]
        managers = {
            entry["manager"] for entry in world.kube.server.managed_fields(SECRETS, NAMESPACE, metadata["name"])
        }
        is_restored = each["type"] == SecretType.TOKEN and metadata["name"] == name
        if managers == {"kubectl-create"} and not is_restored and not dangles(metadata):
            found[metadata["name"]] = copy.deepcopy(each)
    return found


@given(worlds())
@walks(20, 400)
def test_a_copy_is_neither_written_nor_deleted(world: World) -> None:
    before = copies(world)
    world.reconcile()
    assert {name: world.kube.object(SECRETS, NAMESPACE, name) for name in before} == before


# What the API server refuses.


def due_for_a_refresh() -> World:
    """AUTHORIZED, and the token Secret is not as it should be any more."""
    stored = credential(refreshed_at=NOW - AN_HOUR, expires_at=NOW + timedelta(minutes=5), has_refresh_token=True)
    world = World()
    world.has_datasource(raw_spec(), Requests(), settled(observed(stored)).status)
    world.has_client_secret(**{"client-secret": "secret-1"})
    world.has_credential(stored, data_of(stored))
    other = {"annotations": {Annotation.CONTENT: "another content"}}
    world.has_token_secret(planned(stored), data_of(stored), NAMES[0], {"metadata": other})
    world.restart()
    return world


WORDS = [
    (NO_RIGHT, Reason.SECRETS_FORBIDDEN, "Give its ServiceAccount the rights"),
    (QUOTA, Reason.SECRETS_FORBIDDEN, "exceeded quota: small"),
    (WEBHOOK, Reason.INVALID_CONFIGURATION, 'admission webhook "no.example.com" denied the request'),
    (IMMUTABLE, Reason.SECRET_CONFLICT, "Delete it: the operator creates it again"),
]


@pytest.mark.parametrize(("refusal", "reason", "part"), WORDS, ids=["no right", "quota", "webhook", "immutable"])
def test_refused_token_secret_is_told_in_the_words_of_the_api_server_and_stops_no_refresh(
    refusal: ApiError, reason: Reason, part: str
) -> None:
    """Where refresh tokens die of idleness, the grant would be lost with it."""
    world = due_for_a_refresh()
    world.kube.refuses = {("apply", "secrets"): refusal}
    assert world.reconcile().refresh is not None
    assert (world.ready.reason, world.ready.status) == (reason, "False")
    assert part in world.ready.message


def test_nothing_but_the_token_secret_and_the_status_is_written_for_one_that_is_not_as_it_should_be() -> None:
    world = due_for_a_refresh()
    assert world.reconcile().refresh is not None
    assert [call.verb for call in world.writes] == ["apply"]
    assert world.ready.reason == Reason.AUTHORIZED


def test_immutable_credential_secret_is_never_told_to_be_deleted() -> None:
    """It holds the refresh token: whoever obeyed would lose the grant."""
    world = World()
    world.has_datasource(raw_spec(), Requests(clear_credential="1"), Status())
    world.has_credential(credential(), data_of(credential()))
    world.kube.object(SECRETS, NAMESPACE, credential_secret_name(NAME))["immutable"] = True
    world.restart()
    world.reconcile()
    assert world.ready.reason == Reason.SECRET_CONFLICT
    assert "Do not delete it" in world.ready.message
    assert "kubectl replace --force" in world.ready.message


def test_quota_that_leaves_no_room_for_the_token_secret_is_told_in_its_words() -> None:
    world = World()
    world.has_datasource(raw_spec(), Requests(), Status())
    world.has_credential(credential(), data_of(credential()))
    world.restart()
    world.kube.refuses = {("create", "secrets"): QUOTA}
    world.reconcile()
    assert world.ready.reason == Reason.SECRETS_FORBIDDEN
    assert "exceeded quota: small" in world.ready.message
    assert len(world.writes) == 2, "one Secret that is refused, and one status that tells"
    world.kube.refuses = {}
    world.reconcile()
    assert world.ready.reason == Reason.AUTHORIZED
