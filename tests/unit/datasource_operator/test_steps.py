"""What steps ask of the API server, on one in memory."""

from base64 import b64decode
from types import FrameType, TracebackType
from typing import Any

import pytest
from msgspec.structs import replace

from datasource.api.names import credential_secret_name
from datasource.api.spec import InvalidSpec
from datasource.cluster.kube import SECRETS
from datasource.outbound.egress import EgressPolicy
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.records.credential import CredentialData, manifest
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.steps import WriteTokenSecret
from datasource_operator.refresh_memory import RefreshMemory
from datasource_operator.steps import DatasourceGone, Steps
from tests.support.builders import (
    NAME,
    NAMESPACE,
    UID,
    credential,
    datasource,
    fingerprint_of,
    observed,
    planned,
    raw_spec,
    spec,
)
from tests.support.reachable import reachable
from tests.unit.datasource_operator.stand_ins import Clock, KubeInMemory
from tests.unit.datasource_operator.test_reconciler import reconciler

KEY = Key(NAMESPACE, NAME)
DISCOVERY = Discovery(Transport(EgressPolicy()), Clock())  # nobody here has an issuer


def data(access_token: str) -> CredentialData:
    return CredentialData(
        access_token=access_token,
        token_type="Bearer",
        token_endpoint="https://login.example.com/token",
        fingerprint=fingerprint_of(spec()),
        client_id="my-app",
    )


def steps_on(kube: KubeInMemory) -> Steps:
    """Steps where a credential is stored in version 7, with `stored` as its access token."""
    stored = manifest(
        namespace=NAMESPACE,
        datasource_name=NAME,
        datasource_uid=UID,
        facts=credential().facts,
        data=data("stored"),
    )
    stored["metadata"]["resourceVersion"] = "7"
    kube.objects[SECRETS.plural, NAMESPACE, credential_secret_name(NAME)] = stored
    cache = Cache()
    cache.store_datasource(datasource())
    settings = Settings(external_url="https://connect.example.com", system_namespace="datasource-system")
    return Steps(kube, cache, settings, RefreshMemory(Clock(), lambda: 0.5), DISCOVERY)


async def token_written(steps: Steps, kube: KubeInMemory) -> tuple[str, list[str]]:
    """Write the token Secret of version 7; returns the token in it and the verbs that it took."""
    before = len(kube.calls)
    await steps.take(WriteTokenSecret(planned(), credential(resource_version="7"), None), observed(credential()))
    written = kube.objects[SECRETS.plural, NAMESPACE, f"{NAME}-token"]
    return b64decode(written["data"]["access_token"]).decode(), [call.verb for call in kube.calls[before:]]


async def test_a_token_in_hand_is_written_without_a_read() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    steps.hand_over(KEY, "7", data("in hand"))
    assert await token_written(steps, kube) == ("in hand", ["create"])


async def test_a_token_secret_that_would_be_too_large_is_told_and_nothing_is_written() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    steps.hand_over(KEY, "7", data("x" * 600_000))
    seen = await steps.take(WriteTokenSecret(planned(), credential(resource_version="7"), None), observed(credential()))
    assert kube.calls == []
    assert seen.too_large is not None
    assert "makes a Secret of" in str(seen.too_large)
    assert seen.too_large.__traceback__ is None  # it would hold the token


@pytest.mark.parametrize("version", ["6", "8"])
async def test_a_token_of_another_version_is_not_written(version: str) -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    steps.hand_over(KEY, version, data("in hand"))
    assert await token_written(steps, kube) == ("stored", ["get", "create"])


async def test_a_token_that_was_let_go_is_read_again() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    steps.hand_over(KEY, "7", data("in hand"))
    steps.let_go(KEY)
    assert await token_written(steps, kube) == ("stored", ["get", "create"])


async def test_no_token_is_in_hand_beyond_the_next_reconciliation() -> None:
    kube = KubeInMemory()
    steps = steps_on(kube)
    at_work = reconciler(kube, Cache())
    at_work.steps = steps
    steps.hand_over(KEY, "7", data("in hand"))
    steps.cache.drop_datasource(KEY)
    await at_work.reconcile(KEY)
    assert "in hand" not in str(steps._in_hand)
    assert not steps._in_hand


def test_tokens_in_hand_do_not_print() -> None:
    steps = steps_on(KubeInMemory())
    steps.hand_over(KEY, "7", data("in hand"))
    assert "in hand" not in repr(steps)


@pytest.mark.parametrize(
    "unusable",
    [
        pytest.param({"url": 3}, id="the schema does not fit"),
        pytest.param(
            {"url": "https://api.example.com", "oauth2": {"scopes": "x"}}, id="the schema does not fit within"
        ),
        pytest.param(raw_spec(tokenURL="http://["), id="a value cannot be used"),
    ],
)
def test_spec_that_cannot_be_used_is_kept_without_the_frames_that_it_came_through(unusable: dict[str, Any]) -> None:
    steps = steps_on(KubeInMemory())
    steps.cache.store_datasource(replace(datasource(resource_version="9"), spec=unusable))
    seen = steps.observe(KEY)
    assert isinstance(seen.spec, InvalidSpec)
    assert not any(isinstance(each, TracebackType | FrameType) for each in reachable(seen.spec))


def test_nothing_is_observed_of_a_datasource_that_is_gone() -> None:
    steps = steps_on(KubeInMemory())
    steps.cache.drop_datasource(KEY)
    with pytest.raises(DatasourceGone):
        steps.observe(KEY)
