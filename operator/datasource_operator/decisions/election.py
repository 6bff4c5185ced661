"""Leader election: what a candidate does next and writes, decided from the Lease and from how long it is unchanged. Pure.

`lease.py` carries it out, and explains why two processes never lead at once.
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
"""The longest time for one request. If its connection is dead, there is time for two more before RENEW_DEADLINE.

It holds for each request by itself. An attempt is a read and a write. With one deadline for both, a Lease could not be taken
where each takes more than half of it, though every write succeeds.
"""

RECREATE_AFTER = RENEW_EVERY + REQUEST_DEADLINE
"""How long the holder of a deleted Lease has to create it again, before others may."""

COUNTED_GAP = 2 * RETRY_PERIOD
"""The most of the time between two answers that counts as seen unchanged.

If the gap is longer, the API server may have been frozen. Then the holder could not renew the Lease either.
"""

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
    """The record that the last read showed, and for how long reads have shown the same record."""

    record: LeaseRecord | None = None
    at: float = 0.0
    """When the answer came, by our monotonic clock."""
    unchanged: timedelta = timedelta(0)

    def then(self, found: LeaseRecord | None, now: float) -> "Sighting":
        """The sighting after one more read, whose answer came at `now`; `found` is None where there is no Lease."""
        record = self.record.deleted() if found is None and self.record is not None else found
        if record != self.record:
            return Sighting(record, now)
        gap = timedelta(seconds=now - self.at)
        return Sighting(record, now, self.unchanged + min(gap, COUNTED_GAP))


@dataclass(frozen=True, slots=True)
class Me:
    """A candidate: its identity, the renew times of its writes that the Lease may have, and whether it still holds it."""

    identity: str
    renew_times: frozenset[str] = frozenset()
    holds: bool = False

    def wrote(self, record: LeaseRecord) -> bool:
        """Whether the record is our own write. Our name alone does not show that: a person can write it, too."""
        return record.holder == self.identity and record.renew_time in self.renew_times


@dataclass(frozen=True, slots=True)
class Acquire:
    """No process leads: try to become the holder."""


@dataclass(frozen=True, slots=True)
class Renew:
    """We are the holder: renew the Lease."""


@dataclass(frozen=True, slots=True)
class Recreate:
    """The Lease was deleted: create one without a holder. Candidates then measure how long that one is unchanged."""

    transitions: int


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Another process may lead: read the Lease again after that time."""

    pause: timedelta


Decision = Acquire | Renew | Recreate | WaitFor


def decide(observed: LeaseRecord | None, unchanged: timedelta, me: Me) -> Decision:
    """Decide what to do next.

    Args:
        observed: the record that the last read showed; None: no read ever showed one.
        unchanged: how long reads have shown the same record.
        me: this candidate.
    """
    if observed is None:
        return Acquire()
    # A Lease that was deleted while we could not read it may have had another holder in between.
    if me.wrote(observed) and (observed.is_stored or me.holds):
        return Renew()
    if observed.is_released:
        return Acquire()
    if not observed.is_stored:
        # Without a Lease there is no resourceVersion. A Lease that came and went between two reads would not be noticed.
        return _after(RECREATE_AFTER - unchanged, Recreate(observed.transitions))
    # Its holder may use a longer duration than ours. A shorter one is not trusted, because no leader of ours writes one.
    return _after(max(observed.duration, LEASE_DURATION) - unchanged, Acquire())


def _after(left: timedelta, then: Decision) -> Decision:
    return WaitFor(min(left, RETRY_PERIOD)) if left > timedelta(0) else then


def claim(before: LeaseRecord | None, me: Me, now: datetime) -> dict[str, Any]:
    """The Lease's spec that makes us the holder, or renews the Lease."""
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
    """The spec of a Lease without a holder, in place of a deleted one. It is not a release, so candidates wait first."""
    return {"leaseDurationSeconds": int(LEASE_DURATION.total_seconds()), "leaseTransitions": transitions}


def release(now: datetime) -> dict[str, Any]:
    """The patch of the Lease's spec that releases the Lease, so that the next leader begins at once."""
    seconds = int(RELEASED_DURATION.total_seconds())
    return {"holderIdentity": "", "leaseDurationSeconds": seconds, "renewTime": micro_time(now)}
