"""A deadline that a stall of this process does not bring nearer, and that reads what has come before it passes.

An event loop runs its timers before it reads its sockets. After a stall (SIGSTOP, a paused VM, a node that swaps) a plain
timeout cancels a request whose reply has been lying in the socket all the while: a rotated token would be lost to a clock. So
time counts only while the loop runs, and the end comes only after the sockets had their turn.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

_TICK = 1.0
_LAST_TICK = 0.05
"""Seconds after all is over, in which the loop reads what has come."""
_LATE = 0.25
"""Seconds by which a tick may be late without the loop having stalled."""
_MOST_STALLS = 40
"""In a row, at the end: a loop that is never on time still ends its requests."""


@dataclass(frozen=True, slots=True)
class Extension:
    """More time beyond a deadline, for as long as it is worth to wait."""

    most: timedelta
    goes_on: Callable[[], bool]
    """Asked each second, from the deadline on."""

    def where(self, condition: Callable[[], bool]) -> "Extension":
        """The same, where another condition holds, too."""
        return Extension(self.most, lambda: condition() and self.goes_on())


NO_EXTENSION = Extension(timedelta(0), lambda: False)


@asynccontextmanager
async def deadline_of(limit: timedelta, extension: Extension = NO_EXTENSION) -> AsyncIterator["_Ticks"]:
    """Cancel what takes longer than the limit and its extension, by the time for which the loop ran.

    Raises:
        TimeoutError: it took longer.
    """
    async with asyncio.timeout(None) as timeout:
        loop = asyncio.get_running_loop()
        ticks = _Ticks(loop, limit.total_seconds(), lambda: timeout.reschedule(loop.time()), extension)
        try:
            yield ticks
        finally:
            ticks.stop()


class Loop(Protocol):
    """What is needed of an event loop."""

    def time(self) -> float:
        """Its clock."""

    def call_later(self, delay: float, callback: Callable[..., None], /, *args: Any) -> "Timer":
        """Call it later."""


class Timer(Protocol):
    """What will happen unless it is cancelled."""

    def cancel(self) -> None:
        """Do not let it happen."""


class _Ticks:
    """Counts down; a tick counts for what it was meant to last, however late it comes."""

    def __init__(
        self, loop: Loop, seconds: float, end: Callable[[], None], extension: Extension = NO_EXTENSION
    ) -> None:
        self._loop = loop
        self._left = seconds
        self._extension = extension
        self._more = extension.most.total_seconds()
        self.limit = seconds
        """Seconds, with what was added so far."""
        self._stalls_left = _MOST_STALLS
        self._end = end
        self._wait(min(_TICK, seconds))

    def stop(self) -> None:
        self._timer.cancel()

    def _wait(self, seconds: float) -> None:
        due = self._loop.time() + seconds
        self._timer = self._loop.call_later(seconds, self._tick, seconds, due)

    def _tick(self, seconds: float, due: float) -> None:
        was_over = self._left <= 0
        self._left -= seconds
        if self._left <= 0 < self._more and self._extension.goes_on():
            self._left = min(_TICK, self._more)
            self._more -= self._left
            self.limit += self._left
        if self._left > 0:
            self._wait(min(_TICK, self._left))
        elif not was_over:
            self._wait(_LAST_TICK)
        elif self._loop.time() - due > _LATE and self._stalls_left:
            self._stalls_left -= 1
            self._wait(_LAST_TICK)
        else:
            self._end()
