"""What is queued on which trigger, and what a Datasource that is gone leaves behind: nothing."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from datasource.api.names import Annotation, SecretType
from datasource.api.objects import Metadata
from datasource.cluster.api_errors import Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.outbound.egress import EgressPolicy
from datasource.process.journal import open_journal
from datasource.process.settings import Settings
from datasource.providers.transport import Transport
from datasource.records.credential import CredentialData
from datasource.records.intent import Intent
from datasource_operator.cache import Key
from datasource_operator.controller import Controller
from datasource_operator.decisions.timing import WAITING_RECHECK, Comeback, Refresh
from datasource_operator.refresh_pool import PER_PROVIDER
from datasource_operator.secret_watch import WATCHED
from datasource_operator.served_scopes import Source
from datasource_operator.worker import Done, LookAgain
from tests.support.builders import (
    NAME,
    NAMESPACE,
    NOW,
    credential_metadata,
    datasource,
    facts,
    token_secret_metadata,
    trouble,
)
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key(NAMESPACE, NAME)
OTHER = Key(NAMESPACE, "orders")
MINUTE = timedelta(minutes=1)


class WatchedKube(KubeInMemory):
    """Lets a test say what whoever watches is told."""

    async def show(self, secret_type: SecretType, metadata: Metadata, what: str = "MODIFIED") -> None:
        """Store a Secret, or delete it, and give the watch of that type time to tell of it."""
        plain = {key: value for key, value in msgspec.to_builtins(metadata).items() if value is not None}
        self.put(SECRETS, metadata.namespace, metadata.name, type=secret_type, metadata=plain)
        if what == "DELETED":
            self.remove(SECRETS, metadata.namespace, metadata.name)
        for _ in range(4):
            await asyncio.sleep(0)


def controller_on(kube: Kube | None = None, clock: Clock | None = None, random: float = 0.5) -> Controller:
    settings = Settings(external_url="https://connect.example.com", system_namespace="datasource-system")
    return Controller(
        kube or WatchedKube(),
        Transport(EgressPolicy()),
        settings,
        monotonic=clock or Clock(),
        random=lambda: random,
    )


def with_lists(controller: Controller) -> Controller:
    """As if its watches had listed the Secrets."""
    for source in Source:
        controller.served.listed(None, source)
    return controller


@asynccontextmanager
async def watching(kube: WatchedKube) -> AsyncIterator[Controller]:
    """A controller whose watches run, and that does not lead."""
    async with running(controller_on(kube), kube) as controller:
        yield controller


@asynccontextmanager
async def running(controller: Controller, kube: WatchedKube) -> AsyncIterator[Controller]:
    """From its start to its end. It never leads, but its queue takes keys in as if it did."""
    controller.start()
    controller.queue.begin_anew()
    while not (controller.served.has_secrets_of(NAMESPACE) and len(kube.server.changed) == len(WATCHED)):  # noqa: ASYNC110 - a turn of the loop each
        await asyncio.sleep(0)
    yield controller
    await controller.stop()


async def due(controller: Controller) -> list[Key]:
    """What is due now, in the order in which workers would take it."""
    taken = []
    while controller.queue.depth:
        taken.append(await controller.queue.take())
        controller.queue.done(taken[-1])
    return taken


def named(key: Key, **changes: Any) -> Any:
    return datasource(name=key.name, **changes)


def to_be_revoked(resource_version: str = "7") -> Metadata:
    """A tombstone with a token that waits for its revocation."""
    return credential_metadata(
        resource_version=resource_version, tombstone="CredentialCleared", revoke_until="2026-07-01T12:05:00Z"
    )


async def test_what_is_new_or_edited_goes_before_what_merely_has_another_status() -> None:
    controller = controller_on()
    controller.datasource_changed(named(KEY))
    await due(controller)
    controller.datasource_changed(named(KEY, resource_version="6"))
    controller.datasource_changed(named(OTHER))
    assert await due(controller) == [OTHER, KEY]
    controller.datasource_changed(named(KEY, resource_version="7"))
    controller.datasource_changed(named(OTHER, resource_version="8", generation=2))
    assert await due(controller) == [OTHER, KEY]


async def test_what_we_wrote_ourselves_is_no_news() -> None:
    controller = controller_on()
    controller.datasource_changed(named(KEY))
    await due(controller)
    controller.datasource_changed(named(KEY))
    assert await due(controller) == []


async def test_an_event_of_a_datasource_is_a_sign_of_life_whatever_it_tells() -> None:
    clock = Clock()
    controller = controller_on(clock=clock)
    clock.advance(MINUTE)
    assert controller.workload().last_event == 60
    controller.datasource_deleted(named(KEY))
    assert controller.workload().last_event == 0


async def test_a_change_of_a_secret_is_looked_at_where_its_datasource_is_known() -> None:
    kube = WatchedKube()
    async with watching(kube) as controller:
        await kube.show(SecretType.CREDENTIAL, credential_metadata())
        assert await due(controller) == [], "its Datasource has not been listed yet"
        controller.datasource_changed(named(KEY))
        await due(controller)
        await kube.show(SecretType.TOKEN, token_secret_metadata())
        assert await due(controller) == [KEY]
        await kube.show(SecretType.TOKEN, token_secret_metadata(resource_version="9"), "DELETED")
        assert await due(controller) == [KEY]


async def test_a_foreign_secret_that_changes_brings_a_look_at_the_surroundings() -> None:
    controller = controller_on()
    controller._surroundings_changed(KEY)
    assert await due(controller) == [KEY]
    assert controller._surroundings.take(KEY)


async def test_a_look_that_could_not_be_taken_stays_due() -> None:
    kube = WatchedKube(failure=Unavailable("down"))
    controller = with_lists(controller_on(kube))
    controller.datasource_changed(named(KEY))
    controller._surroundings.look(KEY)
    with pytest.raises(Unavailable):
        await controller._reconcile(KEY)
    assert controller._surroundings.take(KEY)


@pytest.mark.parametrize("what", ["_provider_looked_at", "_surroundings_changed"])
async def test_a_look_that_is_asked_for_while_one_is_taken_is_not_put_off(what: str) -> None:
    """A provider on the same machine tells of itself before the reconciliation that asked for it has ended."""
    controller = with_lists(controller_on())
    controller.datasource_changed(named(KEY))
    assert await controller.queue.take() == KEY
    getattr(controller, what)(KEY)
    controller._follow_up(KEY, Comeback(recheck_after=WAITING_RECHECK))
    controller.queue.done(KEY)
    assert await due(controller) == [KEY]
    assert controller._surroundings.take(KEY)


async def test_a_namespace_whose_secrets_were_not_listed_is_not_looked_at_before_they_were() -> None:
    """To take a list that was not read for an empty one would take tokens away."""
    controller = controller_on(WatchedKube(failure=Unavailable("nobody asks it")))
    controller.datasource_changed(named(KEY))
    assert await due(controller) == [KEY]
    assert await controller._reconcile(KEY) == Done()
    with_lists(controller)
    assert await due(controller) == [KEY]


async def test_a_reconciliation_of_what_is_gone_leaves_nothing_to_come_again_for() -> None:
    controller = controller_on()
    assert await controller._reconcile(KEY) == Done()


async def test_what_follows_a_reconciliation_is_due_when_it_says() -> None:
    clock = Clock()
    controller = controller_on(clock=clock)
    controller._follow_up(KEY, Comeback(wake_after=MINUTE))
    clock.advance(MINUTE - timedelta(seconds=1))
    assert await due(controller) == []
    clock.advance(timedelta(seconds=1))
    assert await due(controller) == [KEY]


async def test_a_refresh_that_is_wanted_begins_beside_the_workers_and_is_looked_at_afterwards() -> None:
    controller = controller_on()
    controller._follow_up(KEY, Comeback(refresh=Refresh("login.example.com", is_urgent=False)))
    assert controller.workload().refreshes_running == 1
    assert await due(controller) == []
    await controller._pool.drain()
    assert await due(controller) == [KEY]


async def test_what_settled_together_does_not_look_around_together() -> None:
    clock = Clock()
    controller = controller_on(clock=clock, random=1.0)
    controller._follow_up(KEY, Comeback(recheck_after=WAITING_RECHECK))
    clock.advance(WAITING_RECHECK)
    assert await due(controller) == [], "it comes up to a tenth later"
    clock.advance(WAITING_RECHECK / 10)
    assert await due(controller) == [KEY]
    assert controller._surroundings.take(KEY)


async def test_a_token_that_waits_for_its_revocation_needs_no_datasource() -> None:
    kube = WatchedKube()
    async with watching(kube) as controller:
        await kube.show(SecretType.CREDENTIAL, to_be_revoked())
        assert KEY in controller._revocations.queue
        assert await due(controller) == []


async def test_a_revocation_that_waits_for_its_next_try_is_not_brought_forward() -> None:
    kube = WatchedKube()
    async with watching(kube) as controller:
        await kube.show(SecretType.CREDENTIAL, to_be_revoked())
        await controller._revocations.queue.take()
        controller._revocations.queue.retry(KEY, at_least=MINUTE)
        controller._revocations.queue.done(KEY)
        await kube.show(SecretType.CREDENTIAL, to_be_revoked("8"))
        assert controller._revocations.queue.depth == 0
        assert KEY in controller._revocations.queue


async def test_a_clear_that_we_wrote_ourselves_is_revoked_without_the_watch() -> None:
    controller = controller_on()
    controller.cache.store_secret(to_be_revoked())
    controller._after_reconciling(KEY)
    assert controller._revocations.queue.depth == 1


async def test_what_a_revocation_wrote_is_looked_at_without_the_watch() -> None:
    controller = controller_on()
    controller._revocations.worker.given_back(KEY)
    assert await due(controller) == []
    controller.datasource_changed(named(KEY))
    await due(controller)
    controller._revocations.worker.given_back(KEY)
    assert await due(controller) == [KEY]


async def test_whoever_begins_to_lead_looks_at_everything() -> None:
    kube = WatchedKube()
    async with watching(kube) as controller:
        controller.cache.store_datasource(named(KEY))
        controller.cache.store_secret(to_be_revoked())
        looked: list[str] = []

        async def job(key: Key) -> Done:
            looked.append(f"reconcile {key.name}")
            return Done()

        async def revoke(key: Key) -> Done:
            looked.append(f"revoke {key.name}")
            await asyncio.Event().wait()
            return Done()

        controller._reconciling.job = job
        controller._revocations.worker.job = revoke
        leads = asyncio.create_task(controller.lead())
        while len(looked) < 2:  # noqa: ASYNC110 - a turn of the loop each
            await asyncio.sleep(0)
        assert sorted(looked) == ["reconcile calendar", "revoke calendar"]
        assert controller._left_intents.leads, "whoever leads goes on with what was left"
        leads.cancel()
        await asyncio.wait([leads])
        assert leads.cancelled()
        assert not controller._left_intents.leads


async def test_process_that_ends_lets_no_leader_wait_for_replies_that_it_has_not(tmp_path: Path) -> None:
    kube, journal = WatchedKube(), open_journal(str(tmp_path))
    settings = Settings("https://connect.example.com", "datasource-system", pod_uid="pod-1")
    controller = Controller(kube, Transport(EgressPolicy()), settings, journal, monotonic=Clock())
    left = Intent("0a", "before", "pod-1", NOW, sends=2, journal=True)
    async with running(controller, kube):
        await kube.show(SecretType.CREDENTIAL, credential_metadata(intent=left.encode()))
    (stored,) = kube.stored(SECRETS)
    found = Intent.decode(stored["metadata"]["annotations"][Annotation.INTENT])
    assert found == msgspec.structs.replace(left, journal=False, ended=True)
    journal.close()


# What is gone.


def holders_of(key: Key, root: object) -> list[str]:
    """The types on the way to wherever an object graph of ours holds a key; nobody need know the places."""
    found: list[str] = []
    seen: set[int] = set()
    paths: list[tuple[object, str]] = [(root, "")]
    while paths:
        thing, path = paths.pop()
        if thing == key:
            found.append(path)
        if id(thing) in seen or isinstance(thing, type):
            continue
        seen.add(id(thing))
        if isinstance(thing, dict | list | tuple | set | asyncio.Task) or type(thing).__module__.startswith(
            "datasource"
        ):
            paths += [(each, f"{path}/{type(thing).__name__}") for each in gc.get_referents(thing)]
    return found


def remember_all(controller: Controller, key: Key) -> None:
    """Have everything that keeps something by key keep something."""
    seen = facts()
    controller._memory.first_seen(key, seen, NOW)
    controller._memory.failed(key, 1, trouble(), NOW)
    controller._memory.pause(key)
    controller._memory.looked(key, Intent(id="theirs", process="other", pod="other", at=NOW))
    controller._poller.wait_for(key, "my-app")
    controller._surroundings.look(key)
    controller._steps.token_secrets.hand_over(
        key, "7", CredentialData("at-1", "Bearer", "https://login.example.com/token", "f", "my-app")
    )
    controller.queue.retry(key)


async def empty(controller: Controller, clock: Clock) -> None:
    """Void places in a queue go when they are due."""
    clock.advance(timedelta(days=1))
    for queue in (controller.queue, controller._revocations.queue):
        queue.add(OTHER)
        queue.done(await queue.take())


async def test_nothing_is_remembered_of_a_datasource_that_is_gone() -> None:
    clock = Clock()
    controller = controller_on(clock=clock)
    controller.datasource_changed(named(KEY))
    remember_all(controller, KEY)
    for number in range(PER_PROVIDER):
        controller._pool.submit(Key(NAMESPACE, str(number)), "login.example.com")
    controller._pool.submit(KEY, "login.example.com")
    assert controller.workload().refreshes_waiting == 1
    holders = {path.split("/")[-2] for path in holders_of(KEY, controller)}
    assert holders >= {
        "Cache",
        "WorkQueue",
        "SurroundingsSchedule",
        "RefreshMemory",
        "SecretPoller",
        "FairBulkhead",
        "TokenSecretWriter",
    }

    controller.datasource_deleted(named(KEY, resource_version="6"))
    await empty(controller, clock)
    assert holders_of(KEY, controller) == []
    await controller._pool.drain()


async def test_nothing_is_remembered_by_work_that_was_under_way_at_the_deletion() -> None:
    clock, may_end = Clock(), asyncio.Event()
    controller = controller_on(clock=clock)
    controller.datasource_changed(named(KEY))

    async def refresh(key: Key) -> LookAgain:
        await may_end.wait()
        remember_all(controller, key)
        return LookAgain()

    controller._refreshing.job = refresh
    controller._pool.submit(KEY, "login.example.com")
    await asyncio.sleep(0)
    controller.datasource_deleted(named(KEY, resource_version="6"))
    may_end.set()
    await controller._pool.drain()
    working = asyncio.create_task(controller._reconciling.run())
    while controller.queue.depth or controller.queue.working:  # noqa: ASYNC110 - a turn of the loop each
        await asyncio.sleep(0)
    working.cancel()
    await asyncio.wait([working])
    await empty(controller, clock)
    assert holders_of(KEY, controller) == []


async def test_what_came_back_at_once_is_not_forgotten() -> None:
    controller = controller_on()
    controller.datasource_changed(named(KEY))
    key = await controller.queue.take()
    controller.datasource_deleted(named(KEY, resource_version="6"))
    controller.datasource_changed(named(KEY, resource_version="7", uid="another"))
    controller.queue.done(key)
    controller._after_reconciling(key)
    assert await due(controller) == [KEY]


async def test_a_revocation_outlives_its_datasource_and_not_its_secret() -> None:
    kube = WatchedKube()
    async with watching(kube) as controller:
        controller.datasource_changed(named(KEY))
        await kube.show(SecretType.CREDENTIAL, to_be_revoked())
        controller.datasource_deleted(named(KEY, resource_version="6"))
        assert KEY in controller._revocations.queue
        await kube.show(SecretType.CREDENTIAL, to_be_revoked("8"), "DELETED")
        assert KEY not in controller._revocations.queue


async def test_a_standby_forgets_what_the_leader_revoked() -> None:
    kube = WatchedKube()
    async with watching(kube) as controller:
        await kube.show(SecretType.CREDENTIAL, to_be_revoked())
        await kube.show(SecretType.CREDENTIAL, credential_metadata(resource_version="8"))
        assert KEY not in controller._revocations.queue


async def test_a_deletion_that_is_older_than_what_stands_there_forgets_nothing() -> None:
    controller = controller_on()
    controller.datasource_changed(named(KEY, resource_version="9"))
    controller.datasource_deleted(named(KEY, resource_version="6"))
    assert await due(controller) == [KEY]
