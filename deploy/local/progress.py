"""What a person sees while something takes long."""

import sys
import time
from collections.abc import Callable

Say = Callable[[str], None]

_EVERY_SECONDS = 15.0


def say(line: str) -> None:
    """Print one line at once, also into a pipe."""
    print(line, flush=True)


class Steps:
    """Numbered steps: `[3/7] starting the control plane`."""

    def __init__(self, total: int, out: Say = say) -> None:
        self._total = total
        self._done = 0
        self._say = out

    def next(self, title: str) -> None:
        """Begin the next step."""
        self._done += 1
        self._say(f"[{self._done}/{self._total}] {title}")


class Ticker:
    """Says every 15 seconds how far a long step is."""

    def __init__(self, out: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._say = out
        self._clock = clock
        self._begun = self._said = clock()

    def tick(self, state: Callable[[], str]) -> None:
        """Say `state()`, unless something was said less than 15 seconds ago."""
        now = self._clock()
        if now - self._said >= _EVERY_SECONDS:
            self._said = now
            self._say(f"      {self.elapsed}  {state()}")

    @property
    def elapsed(self) -> str:
        """Minutes and seconds since the beginning, such as `2:05`."""
        minutes, seconds = divmod(int(self._clock() - self._begun), 60)
        return f"{minutes}:{seconds:02d}"


def warn(line: str) -> None:
    """Print one line to standard error."""
    print(line, file=sys.stderr, flush=True)
