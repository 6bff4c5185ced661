"""A rate limit for each of many, so that whoever is loud is heard less, and nobody else. Pure: no I/O, no clock of its own.

Each key has a token bucket: so much at once, then one after each pause. What was left out is counted, and told with the next
that is let through.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

MOST_KEYS = 10_000
"""How many keys are remembered; of more, those that were heard of longest ago begin anew."""

_WHOLE = 1 - 1e-6
"""What tenths of seconds add up to."""


@dataclass(slots=True)
class _Bucket:
    left: float
    filled_at: float
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Admitted:
    """It is let through."""

    left_out: int
    """How many of that key were not, since the last one that was."""
    is_first: bool
    """Whether nothing of that key was heard for so long that all it may do at once was left."""


@dataclass(slots=True)
class FairRate(Generic[K]):
    """Times are in seconds of one clock that never goes back."""

    at_once: int
    then_every: timedelta
    _buckets: OrderedDict[K, _Bucket] = field(default_factory=OrderedDict)

    def admit(self, key: K, now: float) -> Admitted | None:
        """Whether one more is let through; None where it is to be left out."""
        bucket = self._bucket(key, now)
        bucket.left = min(bucket.left + (now - bucket.filled_at) / self.then_every.total_seconds(), self.at_once)
        bucket.filled_at = now
        if bucket.left < _WHOLE:
            bucket.left_out += 1
            return None
        admitted = Admitted(bucket.left_out, is_first=bucket.left == self.at_once)
        bucket.left = max(bucket.left - 1, 0.0)
        bucket.left_out = 0
        return admitted

    def take_back(self, key: K, admitted: Admitted) -> None:
        """It was left out all the same, for another limit's sake: it used up nothing, and is told with the next."""
        bucket = self._buckets[key]
        bucket.left = min(bucket.left + 1, float(self.at_once))
        bucket.left_out = admitted.left_out + 1

    def _bucket(self, key: K, now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self.at_once, now)
            if len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket
