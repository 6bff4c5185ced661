"""Electing a leader on a real API server: one that ends, dies, loses touch, or has its Lease altered by hand."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from datasource.cluster.kube import Kube
from datasource.process.installation import LEASE_NAME
from datasource_operator.decisions.election import LEASE_DURATION, RENEW_EVERY, RETRY_PERIOD
from datasource_operator.lease import LeaseElector
from deploy.local.build import KUBE_APISERVER
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import Child
from tests.support.api import LEASES, api_of
from tests.support.user import PATIENCE

pytestmark = pytest.mark.cluster

SOONER_THAN_IT_RUNS_OUT = LEASE_DURATION - RENEW_EVERY - RETRY_PERIOD
"""A Lease that nobody releases is taken over later than this. That failover takes under 3 s after SIGTERM and under 20 s after
SIGKILL is held by unit tests (test_lease.py): the clock is told there what time it is, and no machine is busy."""

HOLDER = """
import asyncio, signal, sys
from datasource.cluster.kube import Kube
from datasource_operator.lease import LeaseElector

async def main(kubeconfig, namespace):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    async with Kube(kubeconfig, user_agent="holder") as kube:
        await LeaseElector(kube, namespace, identity="holder").run(asyncio.Event().wait)

asyncio.run(main(*sys.argv[1:]))
"""
"""A process of its own, to be ended."""


@dataclass
class Journal:
    """Who works in this process; two at once are remembered as an overlap."""

    working: list[str] = field(default_factory=list)
    began: list[str] = field(default_factory=list)
    overlaps: list[tuple[str, ...]] = field(default_factory=list)

    async def work(self, name: str) -> None:
        """Work until cancelled."""
        self.working.append(name)
        self.began.append(name)
        if len(self.working) > 1:
            self.overlaps.append(tuple(self.working))
        try:
            await asyncio.Event().wait()
        finally:
            self.working.remove(name)


@dataclass(frozen=True)
class Place:
    """A namespace with a Lease of its own."""

    cluster: Cluster
    namespace: str

    @asynccontextmanager
    async def candidates(self, journal: Journal, *names: str) -> AsyncIterator[None]:
        """Electors in this process, each with a connection of its own, until the end of the block."""
        async with AsyncExitStack() as connections, asyncio.TaskGroup() as group:
            tasks = []
            for name in names:
                kube = await connections.enter_async_context(Kube(str(self.cluster.kubeconfig), user_agent=name))
                tasks.append(group.create_task(self._run(kube, name, journal)))
            yield
            for task in tasks:
                assert not task.done(), "an elector ended by itself"
                task.cancel()

    async def _run(self, kube: Kube, name: str, journal: Journal) -> None:
        await LeaseElector(kube, self.namespace, identity=name).run(lambda: journal.work(name))

    async def spec(self) -> dict[str, Any]:
        """What the Lease says; empty while there is none."""
        found = await asyncio.to_thread(api_of(self.cluster.kubeconfig).find, LEASES, LEASE_NAME, self.namespace)
        return {} if found is None else dict(found["spec"])

    async def kubectl(self, *arguments: str) -> None:
        """Do something by hand, while the electors go on."""
        await asyncio.to_thread(self.cluster.kubectl, *arguments, "-n", self.namespace)


@pytest.fixture
def place(cluster: Cluster, namespace: str) -> Place:
    return Place(cluster, namespace)


@pytest.fixture
def holder(place: Place, folder: Path) -> Iterator[Child]:
    """The process that holds the Lease."""
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "operator")])
    child = Child(
        "holder",
        [sys.executable, "-c", HOLDER, place.cluster.kubeconfig, place.namespace],
        folder / "logs" / f"holder.{place.namespace}.log",
        env={**os.environ, "PYTHONPATH": paths},
    )
    child.start()
    yield child
    child.kill()


async def until(is_so: Callable[[], object], *, within: timedelta = timedelta(seconds=PATIENCE)) -> None:
    """Wait until something has come about."""
    async with asyncio.timeout(within.total_seconds()):
        while not is_so():  # noqa: ASYNC110 - what another process does has no event to wait for
            await asyncio.sleep(0.01)


async def until_held_by(place: Place, name: str) -> dict[str, Any]:
    """Wait until the Lease names that holder; returns what it says."""
    async with asyncio.timeout(PATIENCE):
        while (spec := await place.spec()).get("holderIdentity") != name:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)
    return spec


async def looked_at() -> None:
    """Give a standby time to see who leads."""
    await asyncio.sleep(3 * RETRY_PERIOD.total_seconds())


def test_standby_takes_over_from_a_process_that_is_asked_to_end(place: Place, holder: Child) -> None:
    async def scene() -> None:
        journal = Journal()
        await until_held_by(place, "holder")
        async with place.candidates(journal, "standby"):
            await looked_at()
            assert journal.began == []
            ending = asyncio.create_task(asyncio.to_thread(holder.stop))
            await until(lambda: journal.working, within=SOONER_THAN_IT_RUNS_OUT)
            await ending
            spec = await place.spec()
            assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("standby", 1)

    asyncio.run(scene())


def test_standby_takes_over_from_a_process_that_is_killed(place: Place, holder: Child) -> None:
    async def scene() -> None:
        journal = Journal()
        await until_held_by(place, "holder")
        async with place.candidates(journal, "standby"):
            await looked_at()
            assert journal.began == []
            holder.kill()
            await until(lambda: journal.working, within=timedelta(seconds=2 * PATIENCE))
            spec = await place.spec()
            assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("standby", 1)

    asyncio.run(scene())


def test_lease_is_released_as_kubernetes_knows_it(place: Place) -> None:
    async def scene() -> None:
        journal = Journal()
        async with place.candidates(journal, "only"):
            await until(lambda: journal.working)
            held = await place.spec()
            assert held["holderIdentity"] == "only"
            assert held["leaseDurationSeconds"] == LEASE_DURATION.total_seconds()
        released = await place.spec()
        assert released["holderIdentity"] == ""
        assert released["renewTime"] > held["renewTime"]

    asyncio.run(scene())


def test_frozen_api_server_never_makes_two_leaders(place: Place, control_plane: ControlPlane) -> None:
    api_server = control_plane.component(KUBE_APISERVER.name)

    async def scene() -> None:
        journal = Journal()
        async with place.candidates(journal, "a", "b"):
            await until(lambda: journal.working)
            await looked_at()
            api_server.freeze()
            try:
                await asyncio.sleep(20)  # longer than a Lease lasts
                assert journal.working == []
            finally:
                api_server.thaw()
            await until(lambda: journal.working)
            await asyncio.sleep(LEASE_DURATION.total_seconds())  # long enough for a second one to show
            assert len(journal.working) == 1
            assert journal.overlaps == []

    asyncio.run(scene())


def test_lease_that_is_deleted_by_hand_stays_with_its_holder(place: Place) -> None:
    async def scene() -> None:
        journal = Journal()
        async with place.candidates(journal, "a", "b"):
            await until(lambda: journal.working)
            await looked_at()
            (leader,) = journal.working
            await place.kubectl("delete", "lease", LEASE_NAME)
            await until_held_by(place, leader)
            await asyncio.sleep(LEASE_DURATION.total_seconds())  # long enough for a second one to show
            assert journal.began == [leader]

    asyncio.run(scene())


def test_lease_that_is_deleted_by_hand_after_its_holder_died_gets_another(place: Place, holder: Child) -> None:
    async def scene() -> None:
        journal = Journal()
        await until_held_by(place, "holder")
        async with place.candidates(journal, "a", "b"):
            await looked_at()
            holder.kill()
            await place.kubectl("delete", "lease", LEASE_NAME)
            await until(lambda: journal.working)
            (leader,) = journal.working
            spec = await until_held_by(place, leader)
            assert spec["leaseTransitions"] == 1
            assert journal.overlaps == []

    asyncio.run(scene())


@pytest.mark.parametrize("holder_identity", ["somebody", "the-standby"])
def test_lease_that_is_altered_by_hand_never_makes_two_leaders(place: Place, holder_identity: str) -> None:
    async def scene() -> None:
        journal = Journal()
        async with place.candidates(journal, "leader"):
            await until(lambda: journal.working)
            async with place.candidates(journal, "the-standby"):
                await looked_at()
                patch = json.dumps({"spec": {"holderIdentity": holder_identity}})
                await place.kubectl("patch", "lease", LEASE_NAME, "--type=merge", "-p", patch)
                await until(lambda: not journal.working)
                await until(lambda: journal.working)
                (next_leader,) = journal.working
                await until_held_by(place, next_leader)
                assert journal.overlaps == []
                assert journal.began == ["leader", next_leader]

    asyncio.run(scene())


def test_label_added_by_hand_does_not_interrupt_the_leader(place: Place) -> None:
    async def scene() -> None:
        journal = Journal()
        async with place.candidates(journal, "leader"):
            await until(lambda: journal.working)
            before = await place.spec()
            await place.kubectl("label", "lease", LEASE_NAME, "seen=yes")
            await looked_at()
            await looked_at()
            after = await place.spec()
            assert after["renewTime"] > before["renewTime"]
            assert after["acquireTime"] == before["acquireTime"]
            assert journal.began == ["leader"]

    asyncio.run(scene())


def test_get_create_and_patch_are_all_the_rights_it_needs(cluster: Cluster, place: Place) -> None:
    kubectl, namespace = cluster.kubectl, place.namespace
    kubectl("create", "serviceaccount", "elector", "-n", namespace)
    kubectl(
        "create", "role", "elector", "--verb=get,create,patch", "--resource=leases.coordination.k8s.io", "-n", namespace
    )
    kubectl(
        *("create", "rolebinding", "elector", "--role=elector", f"--serviceaccount={namespace}:elector"),
        *("-n", namespace),
    )
    restricted = Place(Cluster(cluster.kubeconfig_for(namespace, "elector"), cluster.folder), namespace)

    async def scene() -> None:
        journal = Journal()
        async with restricted.candidates(journal, "only"):
            await until(lambda: journal.working)
            first = await place.spec()
            await looked_at()
            assert (await place.spec())["renewTime"] > first["renewTime"]
        assert (await place.spec())["holderIdentity"] == ""

    asyncio.run(scene())
