"""How token Secrets are written, on an API server in memory."""

from base64 import b64decode

import pytest

from datasource.cluster.resources import SECRETS
from datasource_operator.cache import Cache
from datasource_operator.decisions.steps import WriteTokenSecret
from datasource_operator.steps import Steps
from tests.support.builders import NAME, NAMESPACE, credential, observed, planned
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.test_reconciler import reconciler
from tests.unit.datasource_operator.working_steps import KEY, data, steps_on


async def token_written(steps: Steps, kube: KubeInMemory) -> tuple[str, list[str]]:
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
    assert seen.too_large is not None
    assert "makes a Secret of" in str(seen.too_large)
    assert not isinstance(seen.too_large, BaseException), "its traceback would hold the token"


@pytest.mark.parametrize("version", ["6", "8"])
async def test_a_token_of_another_version_is_not_written(version: str) -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    steps.token_secrets.hand_over(KEY, version, data("in hand"))
    assert await token_written(steps, kube) == ("stored", ["get", "create"])


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
