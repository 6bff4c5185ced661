"""What steps ask of the API server, on one in memory."""

import pytest

from datasource.api.names import REVOKE_FINALIZER, Annotation, Role, SecretType, credential_secret_name
from datasource.api.requests import HandledSet, Requests
from datasource.api.secret_metadata import NO_METADATA, SecretMetadata
from datasource.api.spec_problems import parse_spec
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.resources import SECRETS
from datasource.records.contents import StoredCredential
from datasource.records.credential import Unreadable
from datasource.records.secret_labels import as_written
from datasource_operator.decisions.steps import Clear, MarkHandled, ReadLive, Relabel
from datasource_operator.observer import DatasourceGone
from tests.support.builders import NAME, NAMESPACE, credential, observed, raw_spec
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.working_steps import KEY, steps_on

SECRET = (SECRETS, NAMESPACE, credential_secret_name(NAME))


async def test_a_clear_leaves_a_tombstone_without_tokens() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    await steps.take(Clear(credential(resource_version="7"), HandledSet()), observed(credential()))
    left = kube.object(*SECRET)
    assert left["metadata"]["annotations"]["datasource.dev/tombstone"] == "CredentialCleared"
    assert set(left["data"]) == {"history"}


TEMPLATE = SecretMetadata({"team": "sales"}, {"example.com/a": "b"})


async def test_labels_of_the_template_are_put_on_the_credential_and_taken_off_again() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    tokens = dict(kube.object(*SECRET)["data"])
    labelled = await steps.take(Relabel(credential(resource_version="7"), TEMPLATE), observed(credential()))
    held = kube.object(*SECRET)
    assert held["metadata"]["labels"] == {"team": "sales"}
    assert held["metadata"]["annotations"]["example.com/a"] == "b"
    assert held["data"] == tokens
    assert isinstance(labelled.credential, StoredCredential)
    assert labelled.credential.written == as_written(TEMPLATE)
    await steps.take(Relabel(labelled.credential, NO_METADATA), labelled)
    bare = kube.object(*SECRET)["metadata"]
    assert not bare.get("labels")
    assert not {"example.com/a", Annotation.TEMPLATE} & set(bare["annotations"])


async def test_label_that_came_too_late_is_put_over_nothing() -> None:
    steps = steps_on(KubeInMemory())
    with pytest.raises(Stale):
        await steps.take(Relabel(credential(resource_version="6"), TEMPLATE), observed(credential()))


async def test_tombstone_where_nothing_was_stored_has_the_labels_that_a_policy_engine_wants() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    kube.server.objects.clear()
    wanted = parse_spec(
        raw_spec() | {"credentialSecret": {"template": {"labels": {"team": "sales"}}}}, allow_insecure_http=False
    )
    await steps.take(Clear(None, HandledSet()), observed(None, wanted=wanted))
    assert kube.object(*SECRET)["metadata"]["labels"] == {"team": "sales"}


@pytest.mark.parametrize("annotation", [Annotation.REVISION, Annotation.HANDLED])
async def test_a_clear_of_what_cannot_be_read_leaves_a_tombstone_without_tokens(annotation: str) -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    kube.object(*SECRET)["metadata"]["annotations"][annotation] = "{"
    handled = HandledSet().with_requests(Requests(clear_credential="1"))
    await steps.take(Clear(Unreadable("annotation cannot be read"), handled), observed())
    left = kube.object(*SECRET)
    assert left["metadata"]["annotations"]["datasource.dev/tombstone"] == "CredentialCleared"
    assert left["metadata"]["annotations"]["datasource.dev/handled"] == handled.encode()
    assert set(left["data"]) == {"history"}


async def test_a_clear_of_what_was_restored_meanwhile_with_the_request_handled_touches_nothing() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    handled = HandledSet().with_requests(Requests(clear_credential="1"))
    kube.object(*SECRET)["metadata"]["annotations"][Annotation.HANDLED] = handled.encode()
    with pytest.raises(Stale):
        await steps.take(Clear(Unreadable("annotation cannot be read"), handled), observed())
    assert kube.verbs == ["get"]


@pytest.mark.parametrize(
    ("finalizers", "is_told"), [(("example.com/backup", REVOKE_FINALIZER), True), ((REVOKE_FINALIZER,), False)]
)
async def test_a_secret_that_does_not_go_is_told_with_the_finalizer_that_holds_it(
    finalizers: tuple[str, ...], is_told: bool
) -> None:
    """With our own alone it goes by itself: a revocation is under way."""
    kube = KubeInMemory()
    steps = steps_on(kube)
    leaving = {"deletionTimestamp": "2026-07-01T14:00:00Z", "finalizers": list(finalizers)}
    kube.object(*SECRET)["metadata"] |= leaving
    conflict = await steps.surroundings.conflict(
        observed(), credential_secret_name(NAME), Role.CREDENTIAL, SecretType.CREDENTIAL
    )
    assert (conflict.problem is not None) is is_told
    if conflict.problem is not None:
        assert "a finalizer keeps it: example.com/backup." in conflict.problem.message
        assert REVOKE_FINALIZER not in conflict.problem.message


async def test_a_clear_of_what_somebody_changed_meanwhile_touches_nothing() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    with pytest.raises(Stale):
        await steps.take(Clear(credential(resource_version="6"), HandledSet()), observed(credential()))
    assert kube.verbs == ["get"]


async def test_requests_that_were_handled_stand_on_the_credential() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    handled = HandledSet().with_requests(observed().requests)
    await steps.take(MarkHandled(credential(resource_version="7"), handled, "NoRefreshToken"), observed(credential()))
    assert kube.verbs == ["get", "merge_patch"]


async def test_a_live_read_that_finds_no_datasource_ends_the_work() -> None:
    steps = steps_on(KubeInMemory())
    with pytest.raises(DatasourceGone):
        await steps.take(ReadLive(), observed(credential()))
    assert steps.cache.datasource(KEY) is None
