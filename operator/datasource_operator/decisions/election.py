"""Who leads, decided from what the Lease says and from how long it has said so: what a candidate does next, and what it writes.

`lease.py` carries it out, and says why two never lead at once.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from datasource.api.clock import micro_time
from datasource.api.objects import Lease

LEASE_DURATION = timedelta(seconds=15)
"""How long others must see our record unchanged before one of them takes the Lease."""

RENEW_EVERY = timedelta(seconds=2)

RETRY_PERIOD = timedelta(seconds=1)
"""How often a candidate reads the Lease, and how soon a leader tries again. A released Lease is taken at the next read."""

REQUEST_DEADLINE = timedelta(seconds=3)
"""How long one request may take: a connection that died silently leaves time for two more before RENEW_DEADLINE.

It holds for each request by itself. An attempt is a read and a write. With one deadline for both, a Lease could not be taken
where each takes more than half of it, though every write succeeds.
"""

RECREATE_AFTER = RENEW_EVERY + REQUEST_DEADLINE
"""How long the holder of a deleted Lease has to create it again, before others may."""

COUNTED_GAP = 2 * RETRY_PERIOD
"""How much of the time between two answers counts as seen unchanged: what froze the API server kept the holder waiting, too."""

RELEASED_DURATION = timedelta(seconds=1)
"""Marks a release. An empty holder with another duration was emptied by a person, and its leader may not know yet."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The content of a Lease. `renew_time` is only compared for equality."""

    holder: str
    renew_time: str | None
    acquire_time: str | None
    duration: timedelta
    transitions: int
    resource_version: str
    """Empty: the Lease was deleted after it was read."""

    @classmethod
    def of(cls, lease: Lease) -> "LeaseRecord":
        """Parse a Lease; every field of its spec is optional."""
        spec = lease.spec
        seconds = spec.lease_duration_seconds
        return cls(
            holder=spec.holder_identity or "",
            renew_time=spec.renew_time,
            acquire_time=spec.acquire_time,
            duration=LEASE_DURATION if seconds is None else timedelta(seconds=seconds),
            transitions=spec.lease_transitions or 0,
            resource_version=lease.metadata.resource_version,
        )

    @property
    def is_stored(self) -> bool:
        """Whether the Lease exists, so that it can be patched."""
        return self.resource_version != ""

    @property
    def is_released(self) -> bool:
        """Whether its leader has ended and released it."""
        return self.is_stored and not self.holder and self.duration == RELEASED_DURATION

    def deleted(self) -> "LeaseRecord":
        """The record after the Lease was deleted. The leader learns of that only at the next renewal."""
        return replace(self, resource_version="")


@dataclass(frozen=True, slots=True)
class Sighting:
    """The record that the last look showed, and for how long looks have shown the same."""

    record: LeaseRecord | None = None
    at: float = 0.0
    """When the answer came, by our monotonic clock."""
    unchanged: timedelta = timedelta(0)

    def then(self, found: LeaseRecord | None, now: float) -> "Sighting":
        """The sighting after one more look, whose answer came at `now`."""
        record = self.record.deleted() if found is None and self.record is not None else found
        if record != self.record:
            return Sighting(record, now)
        gap = timedelta(seconds=now - self.at)
        return Sighting(record, now, self.unchanged + min(gap, COUNTED_GAP))


@dataclass(frozen=True, slots=True)
class Me:
    """A candidate: its name, the renew times of its writes that may stand in the Lease, and whether it holds it still."""

    identity: str
    renew_times: frozenset[str] = frozenset()
    holds: bool = False

    def wrote(self, record: LeaseRecord) -> bool:
        """Whether the record is our own write; our name alone may have been written by anybody."""
        return record.holder == self.identity and record.renew_time in self.renew_times


@dataclass(frozen=True, slots=True)
class Acquire:
    """Nobody leads: try to become holder."""


@dataclass(frozen=True, slots=True)
class Renew:
    """We are holder: stay it."""


@dataclass(frozen=True, slots=True)
class Recreate:
    """Somebody deleted the Lease: create one without a holder, for time to be counted on."""

    transitions: int


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Somebody else may lead: look again after that time."""

    pause: timedelta


Decision = Acquire | Renew | Recreate | WaitFor


def decide(observed: LeaseRecord | None, unchanged: timedelta, me: Me) -> Decision:
    """What to do about a record that our looks have shown `unchanged` for so long; None: we have never seen one."""
    if observed is None:
        return Acquire()
    # A Lease that was deleted while we could not look may have had another holder in between.
    if me.wrote(observed) and (observed.is_stored or me.holds):
        return Renew()
    if observed.is_released:
        return Acquire()
    if not observed.is_stored:
        # Absence has no resourceVersion: a Lease that came and went between two looks would not be noticed.
        return _after(RECREATE_AFTER - unchanged, Recreate(observed.transitions))
    # Its holder may run with a longer duration; a shorter one we do not trust, for ours are not.
    return _after(max(observed.duration, LEASE_DURATION) - unchanged, Acquire())


def _after(left: timedelta, then: Decision) -> Decision:
    return WaitFor(min(left, RETRY_PERIOD)) if left > timedelta(0) else then


def claim(before: LeaseRecord | None, me: Me, now: datetime) -> dict[str, Any]:
    """The Lease's spec that makes us holder, or keeps us so."""
    claimed = {
        "holderIdentity": me.identity,
        "leaseDurationSeconds": int(LEASE_DURATION.total_seconds()),
        "acquireTime": micro_time(now),
        "renewTime": micro_time(now),
        "leaseTransitions": 0 if before is None else before.transitions + 1,
    }
    if before is not None and me.wrote(before):
        return {**claimed, "acquireTime": before.acquire_time, "leaseTransitions": before.transitions}
    return claimed


def vacancy(transitions: int) -> dict[str, Any]:
    """The spec of a Lease without a holder, in place of one that was deleted; it is no release."""
    return {"leaseDurationSeconds": int(LEASE_DURATION.total_seconds()), "leaseTransitions": transitions}


def release(now: datetime) -> dict[str, Any]:
    """What to patch into the Lease's spec to let the next one begin at once."""
    seconds = int(RELEASED_DURATION.total_seconds())
    return {"holderIdentity": "", "leaseDurationSeconds": seconds, "renewTime": micro_time(now)}
