"""What steps ask of the API server, on one in memory."""

import pytest

from datasource.api.names import REVOKE_FINALIZER, Annotation, Role, SecretType, credential_secret_name
from datasource.api.requests import HandledSet, Requests
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.resources import SECRETS
from datasource.records.credential import Unreadable
from datasource_operator.decisions.steps import Clear, MarkHandled, ReadLive
from datasource_operator.observer import DatasourceGone
from tests.support.builders import NAME, NAMESPACE, credential, observed
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.working_steps import KEY, steps_on

SECRET = (SECRETS, NAMESPACE, credential_secret_name(NAME))


async def test_a_clear_leaves_a_tombstone_without_tokens() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    await steps.take(Clear(credential(resource_version="7"), HandledSet()), observed(credential()))
    left = kube.object(*SECRET)
    assert left["metadata"]["annotations"]["datasource.dev/tombstone"] == "CredentialCleared"
    assert not left.get("data")


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
    assert not left.get("data")


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
        assert "example.com/backup holds it" in conflict.problem.message
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
    await steps.take(MarkHandled(credential(resource_version="7"), handled), observed(credential()))
    assert kube.verbs == ["merge_patch"]


async def test_a_live_read_that_finds_no_datasource_ends_the_work() -> None:
    steps = steps_on(KubeInMemory())
    with pytest.raises(DatasourceGone):
        await steps.take(ReadLive(), observed(credential()))
    assert steps.cache.datasource(KEY) is None
