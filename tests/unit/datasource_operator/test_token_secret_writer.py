"""How token Secrets are written, on an API server in memory."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from datasource.api.names import Annotation
from datasource.api.objects import Status
from datasource.api.requests import Requests
from datasource.api.spec import Spec
from datasource.api.spec_problems import parse_spec
from datasource.api.states import Reason
from datasource.cluster.api_errors import ApiError
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.resources import DATASOURCES, SECRETS
from datasource_operator.cache import Cache
from datasource_operator.decisions.steps import WriteTokenSecret
from datasource_operator.decisions.timing import Comeback, Refresh
from datasource_operator.executor import Executor
from tests.support.api_rules import Manifest
from tests.support.builders import NAME, NAMESPACE, credential, observed, planned, raw_spec, settled, token_secret
from tests.support.kube_in_memory import Answer, Call, KubeInMemory
from tests.unit.datasource_operator.test_reconciler import reconciler
from tests.unit.datasource_operator.working_steps import KEY, data, steps_on
from tests.unit.datasource_operator.world import SECRET, GuardedKube, World, credential_data


async def token_written(steps: Executor, kube: KubeInMemory) -> tuple[str, list[str]]:
    """Write the token Secret of version 7; returns the token in it and the verbs that it took."""
    before = len(kube.calls)
    await steps.take(WriteTokenSecret(planned(), credential(resource_version="7"), None), observed(credential()))
    written = kube.object(SECRETS, NAMESPACE, f"{NAME}-token")
    return b64decode(written["data"]["access_token"]).decode(), [call.verb for call in kube.calls[before:]]


async def test_a_token_in_hand_is_written_without_a_read() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    steps.token_secrets.hand_over(KEY, "7", data("in hand"))
    assert await token_written(steps, kube) == ("in hand", ["create"])


async def test_a_token_secret_that_would_be_too_large_is_told_and_nothing_is_written() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    steps.token_secrets.hand_over(KEY, "7", data("x" * 600_000))
    seen = await steps.take(WriteTokenSecret(planned(), credential(resource_version="7"), None), observed(credential()))
    assert kube.calls == []
    assert seen.unrenderable is not None
    assert "makes a Secret of" in str(seen.unrenderable)
    assert not isinstance(seen.unrenderable, BaseException), "its traceback would hold the token"


@pytest.mark.parametrize("version", ["6", "8"])
async def test_a_token_of_another_version_is_not_written(version: str) -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    steps.token_secrets.hand_over(KEY, version, data("in hand"))
    assert await token_written(steps, kube) == ("stored", ["get", "create"])


@pytest.mark.parametrize("stored_by", ["0b", None])
async def test_a_token_that_another_refresh_is_storing_is_not_written(stored_by: str | None) -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    steps.token_secrets.begins_to_store(KEY, "0a", data("on its way"))
    shown = credential(stored_by=stored_by)
    metadata = kube.object(SECRETS, NAMESPACE, f"{NAME}-oauth2-credential")["metadata"]
    metadata["annotations"] |= {} if stored_by is None else {Annotation.STORED_BY: stored_by}
    await steps.take(WriteTokenSecret(planned(), shown, None), observed(shown))
    written = kube.object(SECRETS, NAMESPACE, f"{NAME}-token")
    assert b64decode(written["data"]["access_token"]) == b"stored"


async def test_a_token_that_was_let_go_is_read_again() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    steps.token_secrets.hand_over(KEY, "7", data("in hand"))
    steps.token_secrets.let_go(KEY)
    assert await token_written(steps, kube) == ("stored", ["get", "create"])


async def test_no_token_is_in_hand_beyond_the_next_reconciliation() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    at_work = reconciler(kube, Cache())
    at_work.steps = steps
    steps.token_secrets.hand_over(KEY, "7", data("in hand"))
    steps.cache.drop_datasource(KEY)
    await at_work.reconcile(KEY)
    assert "in hand" not in str(steps.token_secrets._in_hand)
    assert not steps.token_secrets._in_hand


def test_tokens_in_hand_do_not_print() -> None:
    steps = steps_on(KubeInMemory())
    steps.token_secrets.hand_over(KEY, "7", data("in hand"))
    assert "in hand" not in repr(steps)


# Of other types: known by a label, which anybody who may write Secrets can put on and take off.

BASIC: Mapping[str, Any] = {
    "type": "kubernetes.io/basic-auth",
    "name": "registry",
    "template": {"data": {"username": "oauth2", "password": "{{ access_token }}"}},
}
LABEL = {Annotation.ROLE: "token"}


def parsed(token_secret_of: Mapping[str, Any]) -> Spec:
    return parse_spec(raw_spec(token_secret=token_secret_of), allow_insecure_http=False)


def authorized(token_secret_of: Mapping[str, Any] = BASIC) -> World:
    """A Datasource in use, with a token Secret of that shape, as it is after a restart of the operator."""
    world, wanted, stored = World(), parsed(token_secret_of), credential()
    made = token_secret(stored, wanted, has_usual_type="type" not in token_secret_of)
    status = settled(observed(stored, made, wanted=wanted)).status
    world.has_datasource(raw_spec(token_secret=token_secret_of), Requests(), status)
    world.has_client_secret(**{"client-secret": "secret-1"})
    held = credential_data(stored.facts.fingerprint)
    world.has_credential(stored, held)
    world.has_token_secret(planned(stored, wanted), held, wanted.token_secret_name(NAME), {})
    world.restart()
    return world


def now_wants(world: World, token_secret_of: Mapping[str, Any] | None, **annotations: str) -> None:
    """Somebody edits the Datasource, or asks something of it."""
    asked = {"metadata": {"annotations": annotations}, "spec": {"tokenSecret": token_secret_of}}
    for each in ({"spec": {"tokenSecret": None}}, asked):
        world.kube.server.merge_patch(DATASOURCES, NAMESPACE, NAME, each)
    world.watch_catches_up()


def secret(world: World, name: str = "registry") -> Manifest | None:
    return next((each for each in world.kube.stored(SECRETS) if each["metadata"]["name"] == name), None)


def copied(world: World, name: str, source: str = "registry", **metadata: Any) -> Manifest:
    """As `kubectl get -o yaml | sed | kubectl create -f -` copies one, or a replicator: annotations, labels and all."""
    found = secret(world, source)
    assert found is not None
    kept = {
        key: found["metadata"][key] for key in ("labels", "annotations", "ownerReferences") if key in found["metadata"]
    }
    manifest = found | {"metadata": kept | {"name": name} | metadata}
    return world.kube.server.create(SECRETS, NAMESPACE, manifest, manager="kubectl-create")


def strip(world: World, name: str = "registry") -> None:
    """Somebody takes the label off, and no watch shows the Secret any more."""
    label = {"metadata": {"labels": {Annotation.ROLE: None}}}
    world.kube.server.merge_patch(SECRETS, NAMESPACE, name, label, manager="kubectl-label")
    world.restart()


def test_one_of_another_type_as_it_should_be_is_written_by_nobody() -> None:
    world = authorized()
    world.reconcile()
    assert world.writes == []
    assert [call.verb for call in world.kube.calls] == []


def test_type_changes_with_the_name_and_the_old_one_goes_last() -> None:
    world = authorized({"name": "usual"})
    now_wants(world, BASIC)
    world.reconcile()
    assert [(call.verb, call.name) for call in world.writes if call.resource is SECRETS] == [
        ("create", "registry"),
        ("delete", "usual"),
    ]
    made = secret(world)
    assert made is not None
    assert (made["type"], made["metadata"]["labels"]) == ("kubernetes.io/basic-auth", LABEL)
    assert b64decode(made["data"]["password"]).decode() == "at-1"


def test_type_goes_back_with_the_name_as_before_a_rollback() -> None:
    """What docs/admin.md has people do before they go back to a version without types."""
    world = authorized()
    now_wants(world, None)
    world.reconcile()
    made = secret(world, f"{NAME}-token")
    assert made is not None
    assert made["type"] == "datasource.dev/oauth2-token"
    assert "labels" not in made["metadata"]
    assert secret(world) is None


def test_label_that_was_taken_off_is_put_back() -> None:
    world = authorized()
    strip(world)
    world.reconcile()
    found = secret(world)
    assert found is not None
    assert found["metadata"]["labels"] == LABEL
    assert world.ready.reason == Reason.AUTHORIZED
    assert [call.verb for call in world.writes] == ["create", "apply"]
    world.restart()
    world.kube.calls.clear()
    world.reconcile()
    assert world.kube.calls == []


@pytest.mark.parametrize("how", ["cleared", "renamed", "typed anew"])
def test_one_without_its_label_goes_where_there_must_be_none(how: str) -> None:
    world = authorized()
    strip(world)
    match how:
        case "cleared":
            now_wants(world, BASIC, **{Annotation.CLEAR_CREDENTIAL: "1"})
        case "renamed":
            now_wants(world, {**BASIC, "name": "other"})
        case "typed anew":
            now_wants(world, None)
    world.reconcile()
    assert secret(world) is None, "its token must not be used any more, or nobody refreshes it"


@pytest.mark.parametrize("name", ["copied", "another-one"])
def test_copy_is_neither_written_nor_deleted(name: str) -> None:
    world = authorized()
    copy = copied(world, name)
    world.restart()
    world.reconcile()
    now_wants(world, BASIC, **{Annotation.CLEAR_CREDENTIAL: "1"})
    world.reconcile()
    assert secret(world) is None
    assert secret(world, name) == copy


def test_copy_of_our_own_type_is_not_deleted_as_renamed() -> None:
    world = authorized({"name": "usual"})
    copy = copied(world, "copied", "usual")
    world.restart()
    world.reconcile()
    assert secret(world, "copied") == copy
    assert world.writes == []


def test_copy_under_the_very_name_is_told_and_mends_itself_when_it_goes() -> None:
    world = authorized()
    found = secret(world)
    assert found is not None
    world.kube.remove(SECRETS, NAMESPACE, "registry")
    copy = world.kube.server.create(
        SECRETS, NAMESPACE, found | {"metadata": found["metadata"] | {"name": "registry"}}, manager="velero"
    )
    world.restart()
    world.reconcile()
    assert world.ready.reason == Reason.SECRET_CONFLICT
    assert "is a copy of a token Secret, not made by the operator; it was not touched" in world.ready.message
    assert secret(world) == copy
    world.kube.remove(SECRETS, NAMESPACE, "registry")
    world.restart()
    world.reconcile()
    assert world.ready.reason == Reason.AUTHORIZED


FORGED: Mapping[str, Mapping[str, Any]] = {
    "a label alone": {"labels": LABEL},
    "a label and annotations": {
        "labels": LABEL,
        "annotations": {Annotation.DATASOURCE: NAME, Annotation.ROLE: "token"},
    },
    "as a credential": {
        "labels": LABEL,
        "annotations": {Annotation.DATASOURCE: NAME, Annotation.ROLE: "credential", Annotation.CREDENTIAL_ID: "forged"},
    },
}


@pytest.mark.parametrize("metadata", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("type_", ["Opaque", "datasource.dev/oauth2-token", "kubernetes.io/basic-auth"])
def test_forged_label_makes_nobody_touch_a_secret(metadata: Mapping[str, Any], type_: str) -> None:
    world = authorized()
    world.kube.server.create(
        SECRETS, NAMESPACE, {"type": type_, "metadata": {"name": "theirs", **metadata}, "data": {"a": "eA=="}}
    )
    theirs = secret(world, "theirs")
    world.restart()
    world.reconcile()
    now_wants(world, BASIC, **{Annotation.CLEAR_CREDENTIAL: "1"})
    world.reconcile()
    assert secret(world, "theirs") == theirs
    assert secret(world) is None


@pytest.mark.parametrize("there", ["Opaque", "datasource.dev/oauth2-token"])
@pytest.mark.parametrize("wanted", [BASIC, {"name": "registry"}], ids=["another type", "our type"])
def test_secret_of_somebody_else_is_in_the_way_of_either_type(there: str, wanted: Mapping[str, Any]) -> None:
    world, stored = World(), credential()
    world.has_datasource(raw_spec(token_secret=wanted), Requests(), Status())
    world.has_client_secret(**{"client-secret": "secret-1"})
    world.has_credential(stored, credential_data(stored.facts.fingerprint))
    world.kube.put(SECRETS, NAMESPACE, "registry", type=there, data={"keep": "bWU="})
    before = secret(world)
    world.restart()
    world.reconcile()
    assert world.ready.reason == Reason.SECRET_CONFLICT
    assert "Secret registry already exists and does not belong to this Datasource" in world.ready.message
    assert secret(world) == before


@pytest.mark.parametrize(
    ("stands", "wanted"),
    [
        pytest.param({"name": "registry"}, BASIC, id="ours, then another type"),
        pytest.param(BASIC, {"name": "registry"}, id="another type, then ours"),
        pytest.param(BASIC, {**BASIC, "type": "Opaque"}, id="one, then the other"),
    ],
)
@pytest.mark.parametrize("label", ["with its label", "without its label"])
def test_type_that_changes_under_one_name_is_told_and_nothing_is_lost(
    stands: Mapping[str, Any], wanted: Mapping[str, Any], label: str
) -> None:
    """The schema lets nobody do so; a Datasource that was made anew beside an old Secret may ask for it."""
    world = authorized(stands)
    if label == "without its label" and "type" in stands:
        strip(world)
    before = secret(world)
    assert before is not None
    now_wants(world, wanted)
    world.reconcile()
    assert world.ready.reason == Reason.SECRET_CONFLICT
    assert "has another type than spec.tokenSecret.type says" in world.ready.message
    assert "Choose another name in spec.tokenSecret.name" in world.ready.message
    after = secret(world)
    assert after is not None
    assert {key: after["data"].get(key) for key in before["data"]} == before["data"], "apps keep what they have"
    assert after["type"] == before["type"]
    now_wants(world, {**wanted, "name": "another"})
    world.reconcile()
    assert world.ready.reason == Reason.AUTHORIZED
    assert secret(world, "another") is not None
    assert secret(world) is None


def test_docker_config_that_is_no_json_is_told_before_anything_is_written() -> None:
    broken = {
        "type": "kubernetes.io/dockerconfigjson",
        "template": {"data": {".dockerconfigjson": "{{ access_token }}"}},
    }
    world, stored = World(), credential()
    world.has_datasource(raw_spec(token_secret=broken), Requests(), Status())
    world.has_client_secret(**{"client-secret": "secret-1"})
    world.has_credential(stored, credential_data(stored.facts.fingerprint))
    world.restart()
    world.reconcile()
    assert world.ready.reason == Reason.INVALID_CONFIGURATION
    assert "spec.tokenSecret.template.data[.dockerconfigjson] is no JSON object" in world.ready.message
    assert [call.resource for call in world.writes] == [DATASOURCES]


@pytest.mark.parametrize("there", [{"type": "Opaque", "data": {"keep": "bWU="}}, None], ids=["another one", "none"])
def test_what_stands_there_instead_since_a_moment_ago_is_not_written_into(there: Mapping[str, Any] | None) -> None:
    """Somebody deletes ours and makes one of their own; no watch has shown it when the new token is written."""
    opaque = {**BASIC, "type": "Opaque"}
    world = authorized(opaque)
    now_wants(world, {**opaque, "template": {"data": {"token": "{{ access_token }}"}}})
    world.kube.remove(SECRETS, NAMESPACE, "registry")
    if there is not None:
        world.kube.put(SECRETS, NAMESPACE, "registry", **there)
    before = secret(world)
    world.kube.calls.clear()
    world.reconcile()
    after = secret(world)
    if there is None:
        assert after is not None
        assert "create" in [call.verb for call in world.writes if call.resource is SECRETS]
        assert world.ready.reason == Reason.AUTHORIZED
    else:
        assert after == before
        assert world.ready.reason == Reason.SECRET_CONFLICT
        assert "already exists and does not belong to this Datasource" in world.ready.message


STRIPPED: Mapping[str, Mapping[str, Any]] = {
    "annotations": {"annotations": None},
    "annotations and labels": {"annotations": None, "labels": None},
    "the owner's name alone": {"annotations": {Annotation.DATASOURCE: "another"}},
}


@pytest.mark.parametrize("taken", STRIPPED.values(), ids=STRIPPED)
@pytest.mark.parametrize("wanted", [BASIC, {"name": "registry"}], ids=["another type", "our type"])
def test_one_without_its_annotations_is_told_as_what_it_is_and_after_a_clear_too(
    wanted: Mapping[str, Any], taken: Mapping[str, Any]
) -> None:
    """The token in it outlives a clear: so it is not called somebody else's."""
    world = authorized(wanted)
    world.kube.server.merge_patch(SECRETS, NAMESPACE, "registry", {"metadata": taken}, manager="kubectl-annotate")
    stripped = secret(world)
    for annotations in ({}, {Annotation.CLEAR_CREDENTIAL: "1"}):
        now_wants(world, wanted, **annotations)
        world.restart()
        world.reconcile()
        assert world.ready.reason == Reason.SECRET_CONFLICT
        assert "Secret registry has lost its annotations of datasource.dev" in world.ready.message
        assert "It may hold a token. Delete it" in world.ready.message
        assert secret(world) == stripped
    world.kube.remove(SECRETS, NAMESPACE, "registry")
    world.restart()
    world.reconcile()
    assert world.ready.reason == Reason.CREDENTIAL_CLEARED


def test_copy_without_annotations_that_kept_the_owner_is_somebody_elses() -> None:
    world = authorized()
    found = secret(world)
    assert found is not None
    world.kube.remove(SECRETS, NAMESPACE, "registry")
    kept = {"name": "registry", "ownerReferences": found["metadata"]["ownerReferences"]}
    copy = world.kube.server.create(SECRETS, NAMESPACE, found | {"metadata": kept}, manager="replicator")
    world.restart()
    world.reconcile()
    assert "Secret registry already exists and does not belong to this Datasource" in world.ready.message
    assert secret(world) == copy


@pytest.mark.parametrize("wanted", [{"name": "registry"}, BASIC], ids=["our type", "another type"])
def test_one_that_another_datasource_owns_is_told_by_whose_it_is_and_left_alone(wanted: Mapping[str, Any]) -> None:
    """Its annotations name this one. The garbage collector never takes it, because its owner is there."""
    world = authorized(wanted)
    world.kube.put(DATASOURCES, NAMESPACE, "other", metadata={"uid": "uid-2", "generation": 1}, spec=raw_spec())
    owner = {"apiVersion": "datasource.dev/v1alpha1", "kind": "Datasource", "name": "other", "uid": "uid-2"}
    taken = {"metadata": {"ownerReferences": [owner]}}
    world.kube.server.merge_patch(SECRETS, NAMESPACE, "registry", taken, manager="kubectl-edit")
    stands = secret(world)
    for annotations in ({}, {Annotation.CLEAR_CREDENTIAL: "1"}):
        now_wants(world, wanted, **annotations)
        world.restart()
        world.reconcile()
        assert secret(world) == stands
        if not annotations:
            assert world.ready.reason == Reason.SECRET_CONFLICT
            assert "Secret registry holds the token of Datasource other" in world.ready.message
    assert world.ready.reason == Reason.CREDENTIAL_CLEARED


class Undone(GuardedKube):
    """A webhook takes off what tells what we wrote."""

    async def requested(self, call: Call, answer: Answer) -> Any:
        done = await super().requested(call, answer)
        if (call.verb, call.name) == ("apply", "registry"):
            taken = {"metadata": {"annotations": {Annotation.CONTENT: None}}}
            return self.server.merge_patch(SECRETS, NAMESPACE, "registry", taken, manager="webhook")
        return done


@dataclass
class Broken(GuardedKube):
    """A webhook that the API server cannot call."""

    async def requested(self, call: Call, answer: Answer) -> Any:
        if (call.verb, call.name) == ("apply", "registry"):
            raise ApiError(500, "InternalError", 'failed calling webhook "no.example.com"')
        return await super().requested(call, answer)


@pytest.mark.parametrize(("kube", "error"), [(Undone, Stale), (Broken, ApiError)])
@pytest.mark.parametrize("is_due", [False, True])
async def test_token_secret_that_cannot_be_written_stops_no_refresh(
    kube: type[GuardedKube], error: type[Exception], is_due: bool
) -> None:
    world = authorized({"name": "registry"})
    world.kube.__class__ = kube
    if is_due:
        times = {Annotation.REFRESHED_AT: "2026-06-30T00:00:00Z", Annotation.EXPIRES_AT: "2026-06-30T01:00:00Z"}
        world.kube.server.merge_patch(SECRETS, NAMESPACE, SECRET, {"metadata": {"annotations": times}})
    now_wants(world, {"name": "registry", "template": {"labels": {"team": "x"}}})
    followed: list[Comeback] = []
    with pytest.raises(error):
        await world.reconciler(lambda _, follows: followed.append(follows)).reconcile(KEY)
    assert followed == ([Comeback(refresh=Refresh("login.example.com", is_urgent=False))] if is_due else [])
