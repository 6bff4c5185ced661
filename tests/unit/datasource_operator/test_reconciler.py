"""What a reconciliation leaves behind, on an API server in memory."""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from datasource.api.objects import Datasource, Metadata
from datasource.cluster.api_errors import Forbidden, Invalid, Unavailable
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.kube import Kube
from datasource.cluster.resources import DATASOURCES
from datasource.outbound.egress import EgressPolicy
from datasource.process.settings import Settings
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource.records.contents import StoredCredential
from datasource.records.token_secret import TokenSecretPlan
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.observed import Finding, Observed
from datasource_operator.decisions.timing import Comeback, Refresh
from datasource_operator.executor import Executor
from datasource_operator.reconciler import Reconciler
from datasource_operator.refresh_memory import RefreshMemory
from datasource_operator.status_writer import StatusWriter
from datasource_operator.trimming import trimmed
from tests.support.builders import (
    NAME,
    NAMESPACE,
    UID,
    credential_metadata,
    datasource,
    planned,
    raw_spec,
    status_settings,
    token_secret_metadata,
)
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key(NAMESPACE, NAME)
DISCOVERY = Discovery(Transport(EgressPolicy()), Clock())  # nobody here has an issuer


async def _say_nothing(seen: Observed, finding: Finding, *, seconds: float) -> None:
    """No Events here."""


def reconciler(kube: Kube, cache: Cache, follow_up: Callable[[Key, Comeback], None] | None = None) -> Reconciler:
    settings = Settings(external_url="https://connect.example.com", system_namespace="datasource-system")
    steps = Executor(kube, cache, settings, RefreshMemory(Clock(), lambda: 0.5), DISCOVERY)
    return Reconciler(
        steps, StatusWriter(kube, cache, status_settings(), _say_nothing), follow_up or (lambda _, __: None)
    )


def unconfigured(**metadata: Any) -> dict[str, Any]:
    """A Datasource before anybody registered an application: one status is all that it takes."""
    usual = {"name": NAME, "namespace": NAMESPACE, "uid": UID, "generation": 1, "resourceVersion": "5"}
    return {"metadata": usual | metadata, "spec": {"url": "https://api.example.com"}}


async def test_a_status_that_somebody_wiped_while_it_was_written_is_looked_at_again() -> None:
    """The patch held only what differed from the status that was seen."""
    kube, cache = KubeInMemory(), Cache()
    kube.put(DATASOURCES, NAMESPACE, NAME, **unconfigured())
    cache.store_datasource(trimmed(typed(unconfigured())))
    await reconciler(kube, cache).reconcile(KEY)
    configured = {"spec": {"oauth2": {"clientID": "my-app"}}}
    seen = kube.server.merge_patch(DATASOURCES, NAMESPACE, NAME, configured)
    cache.store_datasource(trimmed(typed(seen)))
    kube.server.merge_patch(DATASOURCES, NAMESPACE, NAME, {"status": None}, subresource="status")
    with pytest.raises(Stale):
        await reconciler(kube, cache).reconcile(KEY)


async def reconcile(stored: dict[str, Any], cached: Datasource) -> None:
    """Reconcile what was cached, while that is stored."""
    kube, cache = KubeInMemory(), Cache()
    kube.put(DATASOURCES, NAMESPACE, NAME, **stored)
    cache.store_datasource(trimmed(cached))
    await reconciler(kube, cache).reconcile(KEY)


def typed(stored: dict[str, Any]) -> Datasource:
    return msgspec.convert(stored, Datasource)


async def test_a_status_that_rests_on_what_is_stored_settles() -> None:
    await reconcile(unconfigured(), typed(unconfigured()))


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"generation": 2},
        {"uid": "another"},
        {"annotations": {"datasource.dev/refresh": "now"}},
        {"deletionTimestamp": "2026-07-01T12:00:00Z"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_changed_while_the_status_was_written_is_looked_at_again(meanwhile: dict[str, Any]) -> None:
    """The watch shows the version that the answer carried, and the cache knows it by then."""
    with pytest.raises(Stale):
        await reconcile(unconfigured(resourceVersion="6", **meanwhile), typed(unconfigured()))


def as_wanted(plan: TokenSecretPlan) -> Metadata:
    """The token Secret of a plan, all of it written by us."""
    metadata = token_secret_metadata(content=plan.content)
    (manager,) = metadata.managed_fields
    fields = manager.fields_v1 | {"f:metadata": {"f:annotations": {f"f:{name}": {} for name in plan.annotations}}}
    return msgspec.structs.replace(metadata, managed_fields=(msgspec.structs.replace(manager, fields_v1=fields),))


@pytest.mark.parametrize(
    "error",
    [Forbidden(403, "Forbidden", "no"), Invalid(422, "Invalid", "no"), Unavailable("down")],
    ids=lambda error: type(error).__name__,
)
async def test_what_follows_is_done_though_the_status_cannot_be_written(error: Exception) -> None:
    """A refresh that is due waits for no status: tokens died while a scope was too long for one."""
    kube, cache, followed = KubeInMemory(), Cache(), list[Comeback]()
    kube.put(DATASOURCES, NAMESPACE, NAME, spec=raw_spec())
    cache.store_datasource(datasource())
    due = credential_metadata(
        has_refresh_token="true", refreshed_at="2020-01-01T00:00:00Z", expires_at="2020-01-01T01:00:00Z"
    )
    cache.store_secret(due)
    stored = cache.credential(KEY)
    assert isinstance(stored, StoredCredential)
    cache.store_secret(as_wanted(planned(stored)))
    kube.failure = error
    # What the API server does not take is not asked for again at once.
    with contextlib.nullcontext() if isinstance(error, Invalid) else pytest.raises(type(error)):
        await reconciler(kube, cache, lambda _, outcome: followed.append(outcome)).reconcile(KEY)
    assert {each.resource for each in kube.calls} == {DATASOURCES}
    assert [outcome.refresh for outcome in followed] == [Refresh("login.example.com", is_urgent=False)]
