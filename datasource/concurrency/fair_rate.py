"""A rate limit for each of many, so that whoever is loud is heard less, and nobody else. Pure: no I/O, no clock of its own.

Each key has a token bucket: so much at once, then one after each pause. What was left out is counted, and told with the next
that is let through.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from datasource.concurrency.token_bucket import LatestKeys, TokenBucket

K = TypeVar("K", bound=Hashable)

MOST_KEYS = 10_000
"""How many keys are remembered; of more, those that were heard of longest ago begin anew."""


@dataclass(slots=True)
class _Heard:
    bucket: TokenBucket
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
    _heard: LatestKeys[K, _Heard] = field(default_factory=lambda: LatestKeys(MOST_KEYS))

    def admit(self, key: K, now: float) -> Admitted | None:
        """Whether one more is let through; None where it is to be left out."""
        heard = self._of(key, now)
        if heard.bucket.wait(now) > 0:
            heard.left_out += 1
            return None
        admitted = Admitted(heard.left_out, is_first=heard.bucket.is_full(now))
        heard.bucket.take(now)
        heard.left_out = 0
        return admitted

    def take_back(self, key: K, admitted: Admitted, now: float) -> None:
        """It was left out all the same, for another limit's sake: it used up nothing, and is told with the next."""
        heard = self._of(key, now)
        heard.bucket.give_back()
        heard.left_out = admitted.left_out + 1

    def _of(self, key: K, now: float) -> _Heard:
        per_second = 1 / self.then_every.total_seconds()
        return self._heard.of(key, lambda: _Heard(TokenBucket(now, per_second=per_second, burst=self.at_once)))
