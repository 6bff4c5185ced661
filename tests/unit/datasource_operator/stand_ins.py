"""Stand-ins: a clock that moves when told to."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass
class Clock:
    """A monotonic clock, in seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.now += by.total_seconds()
