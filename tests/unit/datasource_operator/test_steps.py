"""What steps ask of the API server, on one in memory."""

import pytest

from datasource.api.names import credential_secret_name
from datasource.api.requests import HandledSet
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.kube import SECRETS
from datasource_operator.decisions.steps import Clear, MarkHandled, ReadLive
from datasource_operator.observer import DatasourceGone
from tests.support.builders import NAME, NAMESPACE, credential, observed
from tests.unit.datasource_operator.stand_ins import KubeInMemory
from tests.unit.datasource_operator.working_steps import KEY, steps_on

SECRET = (SECRETS.plural, NAMESPACE, credential_secret_name(NAME))


async def test_a_clear_leaves_a_tombstone_without_tokens() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    await steps.take(Clear(credential(resource_version="7"), HandledSet()), observed(credential()))
    left = kube.objects[SECRET]
    assert left["metadata"]["annotations"]["datasource.dev/tombstone"] == "CredentialCleared"
    assert not left.get("data")


async def test_a_clear_of_what_somebody_changed_meanwhile_touches_nothing() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    with pytest.raises(Stale):
        await steps.take(Clear(credential(resource_version="6"), HandledSet()), observed(credential()))
    assert [call.verb for call in kube.calls] == ["get"]


async def test_requests_that_were_handled_stand_on_the_credential() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    handled = HandledSet().with_requests(observed().requests)
    await steps.take(MarkHandled(credential(resource_version="7"), handled), observed(credential()))
    assert [call.verb for call in kube.calls] == ["merge_patch"]


async def test_a_live_read_that_finds_no_datasource_ends_the_work() -> None:
    steps = steps_on(KubeInMemory())
    with pytest.raises(DatasourceGone):
        await steps.take(ReadLive(), observed(credential()))
    assert steps.cache.datasource(KEY) is None
