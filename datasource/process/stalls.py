"""How long the event loop stood still: whoever computes for long, or waits without `await`, keeps everybody waiting.

One task sleeps again and again, and by how much it wakes too late is what anything else had to wait as well. A process that the
machine does not let run stands still in the same way. So the CPU time of the loop's thread is told beside it: where a stall is
long and little of it was computed, the limit of the container or its neighbours are to blame.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from prometheus_client import Gauge

TICK = 0.025
"""Seconds between two looks; a stall is told up to so much too short."""

WINDOW = 30.0
"""Seconds. What is told is of this window and of the one before: a peak stays long enough for every scrape to see it."""

_LONGEST = Gauge(
    "datasource_event_loop_stall_seconds",
    "The longest stop of the event loop within the last half to whole minute. For wall, by the clock on the wall. "
    "For cpu, the most CPU time that its thread used in one turn.",
    ["clock"],
)


@dataclass(slots=True)
class Stalls:
    """The longest of the last two windows."""

    _window_began: float
    _of_this_window: float = 0.0
    _of_the_last: float = 0.0

    def add(self, now: float, seconds: float) -> None:
        """What was seen at a moment (monotonic)."""
        self._turn(now)
        self._of_this_window = max(self._of_this_window, seconds)

    def longest(self, now: float) -> float:
        """In seconds; a stall that goes on is told when it is over."""
        self._turn(now)
        return max(self._of_this_window, self._of_the_last)

    def _turn(self, now: float) -> None:
        windows = int((now - self._window_began) / WINDOW)
        if windows > 0:
            self._of_the_last = self._of_this_window if windows == 1 else 0.0
            self._of_this_window, self._window_began = 0.0, self._window_began + windows * WINDOW


class StallWatch:
    """Watches the event loop that it is started in, until it is closed."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, cpu_time: Callable[[], float] = time.thread_time
    ) -> None:
        self._monotonic = monotonic
        self._cpu_time = cpu_time
        self._waited = Stalls(monotonic())
        self._computed = Stalls(monotonic())
        for clock, stalls in (("wall", self._waited), ("cpu", self._computed)):
            # Asked for when Prometheus comes, in whichever thread that is.
            _LONGEST.labels(clock).set_function(partial(_longest_now, stalls, monotonic))
        self._task = asyncio.create_task(self._look(), name="stall watch")

    async def aclose(self) -> None:
        """End it; what it saw stays told."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _look(self) -> None:
        while True:
            due, used = self._monotonic() + TICK, self._cpu_time()
            await asyncio.sleep(TICK)
            now = self._monotonic()
            late = max(now - due, 0.0)
            self._waited.add(now, late)
            # What was computed before it was due kept nobody waiting: there were turns in between, as far as one can tell.
            self._computed.add(now, min(late, self._cpu_time() - used))


def _longest_now(stalls: Stalls, monotonic: Callable[[], float]) -> float:
    return stalls.longest(monotonic())
