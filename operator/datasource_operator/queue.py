"""A work queue of keys: each at most once at a time, namespaces in turns, with due times and backoff.

Same contract as client-go's workqueue: a key added while it is being worked on is worked on once more afterwards; a key
waiting for a due time is brought forward by an earlier one.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum
from itertools import count
from typing import Generic, NamedTuple, TypeVar

from datasource.concurrency.backoff import Backoff, half_jitter
from datasource.concurrency.fair_turns import FairTurns

K = TypeVar("K")

FIRST_DELAY = timedelta(seconds=1)
LONGEST_DELAY = timedelta(seconds=60)

_MOST_VOID = 64
"""How many places may be void beyond as many as are not; they are taken out together, for each alone would cost more."""


class Priority(IntEnum):
    """Who goes first among those that are due; of four turns one is for routine, see `FairTurns`."""

    SOMEBODY_WAITS = 0
    ROUTINE = 1


class _Place(NamedTuple, Generic[K]):
    """Where a key waits. Ordered by time; no two have the same ticket. Void where the key has another one by now."""

    due: float
    ticket: int
    key: K
    priority: Priority


@dataclass(slots=True)
class WorkQueue(Generic[K]):
    """The queue; `monotonic` and `random` (0 to 1) are injected.

    `turns` says whose turn it is, and how many keys of one namespace are worked on at a time; `namespace_of` whose a key is.
    """

    monotonic: Callable[[], float]
    random: Callable[[], float]
    turns: FairTurns[K]
    namespace_of: Callable[[K], str]
    _waiting: dict[K, _Place[K]] = field(default_factory=dict)
    _later: list[_Place[K]] = field(default_factory=list)
    _working: dict[K, float] = field(default_factory=dict)
    _again: dict[K, Priority] = field(default_factory=dict)
    _failures: dict[K, int] = field(default_factory=dict)
    _tickets: Iterator[int] = field(default_factory=count)
    _sleepers: deque[asyncio.Future[None]] = field(default_factory=deque)
    """Those who wait for a key; the first has waited longest."""
    _alarm: asyncio.TimerHandle | None = None
    """Wakes one of them when the first key of `_later` is due, or before."""
    _alarm_at: float = float("inf")
    _moved_at: float = float("-inf")
    _is_closed: bool = False
    added: int = 0
    """How often a key was scheduled, now or for later."""
    retried: int = 0
    """How often one was scheduled after a failure."""
    taken: Callable[[float], None] = lambda _: None
    """Told how many seconds a key had been due when it was taken."""
    _backoff: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self._backoff = Backoff(FIRST_DELAY, LONGEST_DELAY, half_jitter(self.random))

    def __contains__(self, key: object) -> bool:
        """Whether a key waits, for now or for later, or is being worked on."""
        return key in self._waiting or key in self._working

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def depth(self) -> int:
        """How many keys are due now, not those that wait for their time; may be read from another thread."""
        now = self.monotonic()
        return sum(place.due <= now for place in list(self._waiting.values()))

    @property
    def ready(self) -> int:
        """How many keys wait for nothing but their turn."""
        self._promote()
        return len(self.turns)

    def ready_in(self, namespace: str, priority: Priority) -> int:
        """How many of them are of a namespace and of a priority."""
        self._promote()
        return self.turns.waiting_in(namespace, is_urgent=_is_urgent(priority))

    @property
    def working(self) -> int:
        """How many keys are being worked on."""
        return len(self._working)

    def oldest_work(self) -> float | None:
        """Since when (monotonic) the longest-running key is being worked on; may be read from another thread."""
        return min(list(self._working.values()), default=None)

    def overdue_since(self) -> float | None:
        """Since when (monotonic) keys are due and none was taken; None where none is due. A long queue that moves is well."""
        due = min((place.due for place in self._waiting.values()), default=None)
        return max(due, self._moved_at) if due is not None and due <= self.monotonic() else None

    def add(self, key: K, priority: Priority = Priority.SOMEBODY_WAITS, *, delay: timedelta = timedelta(0)) -> None:
        """Work on a key, now or after a delay. Adding it again changes nothing but to bring it forward."""
        if self._is_closed:
            return
        if key in self._working and delay <= timedelta(0):
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        due = self.monotonic() + max(delay.total_seconds(), 0.0)
        place = self._waiting.get(key)
        if place is not None and place.due <= due and place.priority <= priority:
            return
        if place is not None:
            due, priority = min(due, place.due), min(priority, place.priority)
        self._schedule(key, due, priority)

    def retry(self, key: K, *, at_least: timedelta = timedelta(0), took_too_long: bool = False) -> timedelta:
        """Work on a key again after a growing delay with jitter; returns the delay.

        Where it took too long, fewer keys of its namespace are worked on at a time until one succeeds.
        """
        self.retried += 1
        if took_too_long:
            self.turns.narrow(self.namespace_of(key))
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = max(self._backoff.pause(failures), at_least)
        self.add(key, Priority.ROUTINE, delay=delay)
        return delay

    def succeeded(self, key: K) -> None:
        """Start over with short delays at the next failure."""
        self._failures.pop(key, None)
        self.turns.widen(self.namespace_of(key))

    def forget(self, key: K) -> None:
        """Drop what waits for a key: the object is gone, or there is nothing to do for it any more."""
        self._waiting.pop(key, None)
        self.turns.forget(key)
        self._failures.pop(key, None)
        self._again.pop(key, None)

    def close(self) -> None:
        """Drop every place, and take in no key until `begin_anew`: 100,000 places would be over 30 MiB."""
        self._is_closed = True
        self._drop_all_places()

    def begin_anew(self) -> None:
        """Drop every place. A new leader adds each key again, in an order of its own."""
        self._is_closed = False
        # What became due while nobody took keys is not overdue.
        self._moved_at = self.monotonic()
        self._drop_all_places()

    async def take(self) -> K:
        """Wait for a key that is due; call `done` with it afterwards."""
        while True:
            self._promote()
            key = self.turns.take()
            if key is not None:
                place = self._waiting.pop(key)
                self._working[key] = self._moved_at = self.monotonic()
                self.taken(self._moved_at - place.due)
                self._set_alarm()
                if len(self.turns):
                    # More became due at the same time.
                    self.wake_one()
                return key
            await self._sleep()

    def done(self, key: K) -> None:
        """The work on a key is over; if it was added meanwhile, it is due again."""
        if self._working.pop(key, None) is not None:
            self.turns.leave(key)
            if len(self.turns):
                # Its place may be for another key of its namespace.
                self.wake_one()
        priority = self._again.pop(key, None)
        if priority is not None:
            self.add(key, priority)

    def _schedule(self, key: K, due: float, priority: Priority) -> None:
        self.added += 1
        place = self._waiting[key] = _Place(due, next(self._tickets), key, priority)
        heapq.heappush(self._later, place)
        if len(self._later) > 2 * len(self._waiting) + _MOST_VOID:
            self._drop_void_places()
        if self._later[0] is place:
            self.wake_one()

    def _drop_all_places(self) -> None:
        for key in self._waiting:
            self.turns.forget(key)
        self._waiting.clear()
        self._later.clear()

    def _drop_void_places(self) -> None:
        self._later = [place for place in self._later if self._is_valid(place)]
        heapq.heapify(self._later)

    def _is_valid(self, place: _Place[K]) -> bool:
        """Whether a key still waits in that place: it may have been forgotten, taken, or given a better one."""
        return self._waiting.get(place.key) is place

    def _promote(self) -> None:
        now = self.monotonic()
        while self._later and self._later[0].due <= now:
            place = heapq.heappop(self._later)
            key, priority = place.key, place.priority
            if self._is_valid(place) and key not in self._working:
                self.turns.submit(key, namespace=self.namespace_of(key), is_urgent=_is_urgent(priority))
            elif self._is_valid(place):
                # Due while being worked on: once more afterwards.
                del self._waiting[key]
                self._again[key] = min(priority, self._again.get(key, priority))

    def wake_one(self) -> None:
        """Let one who waits look again whether a key is due."""
        while self._sleepers:
            sleeper = self._sleepers.popleft()
            if not sleeper.done():
                sleeper.set_result(None)
                return

    async def _sleep(self) -> None:
        """Wait until a key may be due. Only one is woken for each: all of them would look at each key of thousands in vain."""
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        self._set_alarm()
        try:
            await sleeper
        except asyncio.CancelledError:
            if sleeper.done() and not sleeper.cancelled():
                # It was woken for a key that nobody would look for.
                self.wake_one()
            raise
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def _set_alarm(self) -> None:
        """See to it that one who waits is woken when the next key is due. One alarm for all of them costs the least."""
        if not self._later or self._later[0].due >= self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = self._later[0].due
        pause = max(self._alarm_at - self.monotonic(), 0.0)
        self._alarm = asyncio.get_running_loop().call_later(pause, self._ring)

    def _ring(self) -> None:
        self._alarm, self._alarm_at = None, float("inf")
        self.wake_one()


def _is_urgent(priority: Priority) -> bool:
    return priority < Priority.ROUTINE
