"""I/O: one operator of several leads, elected on a Lease (coordination.k8s.io/v1). `decisions/election.py` decides.

Why two never lead at once, whatever the wall clocks say and however late an answer comes:

- Every write is a compare-and-swap: a POST, or a merge patch with the resourceVersion that was seen.
- A leader ends RENEW_DEADLINE after it *sent* its last renewal that was answered. Others wait for LEASE_DURATION after they
  *received* the record, which is later. The difference is for the leader's work to end in.
- Only our own write makes us holder. A Lease that a person gave us, emptied or deleted may have a leader at work who does not
  know yet. (A process that is started just then cannot know either, and takes a deleted Lease for a first installation.)

All count on their own monotonic clocks. What no clock helps against, a process that was stopped in the middle of a write and
goes on much later, is caught by the resourceVersion of the Secret that it writes.
"""

import asyncio
import contextlib
import math
import secrets
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from prometheus_client import Gauge

from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import Lease
from datasource.cluster.api_errors import ApiError, Conflict, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import LEASES
from datasource.process.clock import utc_now
from datasource.process.installation import LEASE_NAME
from datasource_operator.decisions.election import (
    LEASE_DURATION,
    RENEW_EVERY,
    REQUEST_DEADLINE,
    RETRY_PERIOD,
    Acquire,
    Decision,
    LeaseRecord,
    Me,
    Recreate,
    Renew,
    Sighting,
    WaitFor,
    claim,
    decide,
    release,
    vacancy,
)

logger = structlog.get_logger(__name__)

LEADS = Gauge("leader_election_master_status", "Whether this process leads (1) or waits (0).", ["name"])


RENEW_DEADLINE = timedelta(seconds=10)
"""How long after its last renewal a leader ends; what is left of LEASE_DURATION is for its work to end in."""

RELEASE_DEADLINE = timedelta(seconds=5)
"""How long a process that ends tries to release the Lease."""

_UNCLEAR_WRITES = 100
"""How many writes without an answer we remember: at most one a second, and the API server gives a request up after 60 s."""

_NEVER = -math.inf


class LeadershipLost(Exception):
    """The Lease is not ours any more."""


async def _in_time(request: Awaitable[Lease]) -> Lease:
    """The answer to one request; TimeoutError where none came in time."""
    async with asyncio.timeout(REQUEST_DEADLINE.total_seconds()):
        return await request


def _identity() -> str:
    # Random, because a container that was restarted has the host name of the one before.
    return f"{socket.gethostname()}_{secrets.token_hex(8)}"


@dataclass(slots=True)
class LeaseElector:
    """A candidate for one Lease: `run` it in a task, cancel the task to step down.

    `monotonic` is in seconds and must be the event loop's clock or run with it; `now` is only for people who read the Lease.
    """

    kube: Kube
    namespace: str
    name: str = LEASE_NAME
    identity: str = field(default_factory=_identity)
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = utc_now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _sighting: Sighting = field(default_factory=Sighting)
    _confirmed: LeaseRecord | None = None
    """Our last write, if it was answered: it can be patched without a look."""
    _renew_times: deque[str] = field(default_factory=lambda: deque(maxlen=_UNCLEAR_WRITES))
    _held_until: float = _NEVER
    _leads: bool = False
    _work: asyncio.Future[None] | None = None
    _trouble: str = ""

    @property
    def is_leading(self) -> bool:
        """Whether work may go on now; a process that was stopped for long reads False at once."""
        return self._leads and self._time_left() > 0

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the Lease, run `lead()` while we hold it, be a candidate again when it is lost; for ever.

        When the Lease is lost, `lead()` is cancelled and waited for: as long as that takes less than LEASE_DURATION -
        RENEW_DEADLINE, nobody else begins before. It is waited for however long it takes: to end the process instead could lose
        an answer that is not stored yet.

        Cancelled, it ends `lead()` likewise, renews until that has happened, and then releases the Lease, so that the next one
        begins at once. Cancelled once more, it leaves `lead()` alone and the Lease to expire.

        Returns when `lead()` returns; what `lead()` raises is raised here. The Lease is released then, too.
        """
        self._show(leads=False)
        logger.info("stands by", lease=self.name, identity=self.identity)
        try:
            while True:
                await self._acquire()
                if await self._lead_until_ended_or_lost(lead):
                    return
        finally:
            await self._release()

    async def _acquire(self) -> None:
        while True:
            pause = await self._attempt(self._compete)
            if self._time_left() > 0:
                return
            await self.sleep(pause.total_seconds())

    async def _compete(self) -> timedelta:
        observed = await self._look()
        match self._decide(observed):
            case WaitFor(pause=pause):
                return pause
            case Recreate(transitions=transitions):
                await self._create(vacancy(transitions))
            case Acquire() | Renew():
                await self._claim(observed)
        return RETRY_PERIOD

    async def _lead_until_ended_or_lost(self, lead: Callable[[], Awaitable[None]]) -> bool:
        """Work as long as the Lease is ours; returns whether the work ended by itself."""
        work = self._work = asyncio.ensure_future(lead())
        keeper = asyncio.create_task(self._keep(), name=f"renewals of the lease {self.name}")
        self._show(leads=True)
        try:
            await self._wait_until_ended_or_lost(work, keeper)
            has_ended = work.done()
        finally:
            self._show(leads=False)
            try:
                # Nobody else may begin before our work has ended: the keeper goes on until then.
                await self._end(work)
            finally:
                keeper.cancel()
                await asyncio.wait({keeper})
        if not keeper.cancelled():
            keeper.result()
        if has_ended:
            work.result()
        return has_ended

    async def _wait_until_ended_or_lost(self, work: asyncio.Future[None], keeper: asyncio.Task[None]) -> None:
        while (left := self._time_left()) > 0 and not work.done() and not keeper.done():
            await asyncio.wait({work, keeper}, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def _end(self, work: asyncio.Future[None]) -> None:
        if work.done():
            return
        work.cancel()
        await asyncio.wait({work}, timeout=(LEASE_DURATION - RENEW_DEADLINE).total_seconds())
        if not work.done():
            logger.warning("work takes long to end; we are no candidate before", lease=self.name)
            await asyncio.wait({work})
        if not work.cancelled() and (error := work.exception()) is not None:
            logger.error("work failed while it was ended", lease=self.name, exc_info=error)

    async def _keep(self) -> None:
        """Renew until somebody else is holder."""
        pause = RENEW_EVERY
        with contextlib.suppress(LeadershipLost):
            while True:
                await self.sleep(pause.total_seconds())
                pause = await self._attempt(self._renew)

    async def _renew(self) -> timedelta:
        observed = self._confirmed or await self._look()
        if not isinstance(self._decide(observed), Renew):
            raise LeadershipLost
        await self._claim(observed)
        return RENEW_EVERY

    def _decide(self, observed: LeaseRecord | None) -> Decision:
        decision = decide(observed, self._sighting.unchanged, self._me())
        if not isinstance(decision, Renew):
            # Whoever holds it: we do not, however fresh our last renewal is.
            self._held_until = _NEVER
        return decision

    async def _look(self) -> LeaseRecord | None:
        """Read the Lease live; a deleted one is a record that is not stored, None one that we have never seen."""
        try:
            found = LeaseRecord.of(await _in_time(self.kube.get(LEASES, self.namespace, self.name, Lease)))
        except NotFound:
            found = None
        self._sighting = self._sighting.then(found, self.monotonic())
        return self._sighting.record

    async def _claim(self, before: LeaseRecord | None) -> None:
        """Become or stay holder by compare-and-swap; it counts from before the request was sent."""
        sent_at = self.monotonic()
        spec = claim(before, self._me(), self.now())
        # Until the answer says otherwise, the write may or may not have been done: look before the next one.
        self._confirmed = None
        self._renew_times.append(spec["renewTime"])
        self._confirmed = LeaseRecord.of(await self._write(before, spec))
        # As good as a look: should it be deleted, we know that it was ours.
        self._sighting = self._sighting.then(self._confirmed, self.monotonic())
        self._renew_times = deque([spec["renewTime"]], _UNCLEAR_WRITES)
        self._held_until = sent_at + RENEW_DEADLINE.total_seconds()

    async def _write(self, before: LeaseRecord | None, spec: Mapping[str, Any]) -> Lease:
        if before is None or not before.is_stored:
            return await self._create(spec)
        patch = {"metadata": {"resourceVersion": before.resource_version}, "spec": spec}
        write = self.kube.merge_patch(LEASES, self.namespace, self.name, patch, Lease, manager=FIELD_MANAGER)
        return await _in_time(write)

    async def _create(self, spec: Mapping[str, Any]) -> Lease:
        kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        manifest = {**kind, "metadata": {"name": self.name}, "spec": spec}
        return await _in_time(self.kube.create(LEASES, self.namespace, manifest, Lease, manager=FIELD_MANAGER))

    async def _release(self) -> None:
        if self._work is not None and not self._work.done():
            logger.warning("work has not ended: the lease is left to expire", lease=self.name)
            return
        self._held_until = _NEVER
        try:
            async with asyncio.timeout(RELEASE_DEADLINE.total_seconds()):
                # A write that was cut short by the cancellation may have made us holder, too.
                while self._renew_times:
                    pause = await self._attempt(self._give_back)
                    await self.sleep(pause.total_seconds())
        except TimeoutError:
            logger.warning("could not release the lease, it is left to expire", lease=self.name)

    async def _give_back(self) -> timedelta:
        observed = await self._look()
        if observed is not None and observed.is_stored and self._me().wrote(observed):
            await self._write(observed, release(self.now()))
            logger.info("released the lease", lease=self.name, identity=self.identity)
        self._renew_times.clear()
        return timedelta(0)

    async def _attempt(self, attempt: Callable[[], Awaitable[timedelta]]) -> timedelta:
        """One attempt: a look, a write, or both; returns how long to wait before the next."""
        try:
            pause = await attempt()
        except Conflict:
            pass  # somebody wrote meanwhile: the next look shows who, and what
        except (ApiError, Unavailable, TimeoutError) as error:
            self._log_trouble(str(error) or "no answer in time")
        else:
            self._trouble = ""
            return pause
        return RETRY_PERIOD

    def _log_trouble(self, trouble: str) -> None:
        # Once for each kind of trouble: while the API server is away there is one every few seconds.
        if trouble != self._trouble:
            self._trouble = trouble
            logger.warning("cannot read or write the lease, will try again", lease=self.name, error=trouble)

    def _me(self) -> Me:
        return Me(self.identity, frozenset(self._renew_times), holds=self._time_left() > 0)

    def _time_left(self) -> float:
        return self._held_until - self.monotonic()

    def _show(self, *, leads: bool) -> None:
        if leads or self._leads:
            logger.info("leads" if leads else "leads no more", lease=self.name, identity=self.identity)
        self._leads = leads
        LEADS.labels(self.name).set(leads)
