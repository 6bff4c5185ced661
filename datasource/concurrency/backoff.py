"""How long to wait before the next try: longer after each failure, up to a bound. Randomness is handed in.

Jitter spreads tries, so that what failed together does not come back together. Its three kinds are told apart in "Exponential
Backoff And Jitter" (AWS Architecture Blog, 2015): none, half of each pause ("equal"), or the whole of it ("full").
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

Jitter = Callable[[], float]
"""Which part of a pause is waited for, from 0 to 1; asked anew for each pause."""

_MOST_STEPS = 64
"""Whatever the bound, it is reached by then; a float overflows later."""


def no_jitter() -> float:
    """The whole pause, each time."""
    return 1.0


def half_jitter(random: Callable[[], float]) -> Jitter:
    """At least half of the pause. `random` is from 0 to 1."""
    return lambda: 0.5 + random() / 2


def full_jitter(random: Callable[[], float]) -> Jitter:
    """Anything from no pause to the whole one. `random` is from 0 to 1."""
    return random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that grow from `first` to `longest`, each `growth` times the one before."""

    first: timedelta
    longest: timedelta
    jitter: Jitter
    growth: float = 2.0

    def pause(self, failures: int) -> timedelta:
        """The pause after a failure that so many failures came before: 0 at the first one."""
        grown = self.first.total_seconds() * self.growth ** min(failures, _MOST_STEPS)
        return timedelta(seconds=min(grown, self.longest.total_seconds()) * self.jitter())
