"""I/O: what lies in the journal, dealt with one entry of a place at a time, for both processes.

What an entry asks for is for whoever is called with it; here it is decided when, and how often. An entry is counted before
it is tried: one that ends the process each time is set aside after the third.
"""

import asyncio
import heapq
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import structlog

from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.concurrency.backoff import Backoff, full_jitter
from datasource.process.journal import MOST_TRIES, REPLIES, Journal
from datasource.process.journal_file import Entry

logger = structlog.get_logger(__name__)

AT_ONE_TIME = 8
"""Entries that are worked on: each is a few requests."""

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_PAUSE_OF_AN_OUTAGE = timedelta(seconds=15)
"""While the API server does not answer at all: it is ours, and everybody waits for it."""

LONGEST_PAUSE_AT_THE_END = timedelta(seconds=2)
"""A pod that ends takes its journal with it, and kubelet does not wait for ever."""


class Later(Exception):
    """The entry stays; says why, and for how long it is left alone, where that does not grow."""

    def __init__(self, why: str, pause: timedelta | None = None) -> None:
        super().__init__(why)
        self.pause = pause


@dataclass(frozen=True, slots=True)
class Rest:
    """Why an entry is still there, and until when (monotonic) it is left alone."""

    why: str
    until: float
    failures: int


@dataclass(slots=True)
class Replays:
    """Deals with the entries of one journal."""

    journal: Journal
    deal_with: Callable[[bytes], Awaitable[None]]
    """Does all that an entry asks for; given what it says. What it raises keeps the entry: Later, ApiError and Unavailable say
    nothing about the entry itself, a MsgspecError says that it cannot be read, and anything else counts as a try."""
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    """From 0 to 1."""
    is_stopping: bool = False
    """Whether the process ends."""
    _ready: dict[str, None] = field(init=False)
    """Places that are looked at next, in their order. One with an entry that nobody works on is here, rests, or is at work."""
    _rests: dict[str, Rest] = field(default_factory=dict)
    _ends_of_rests: list[tuple[float, str]] = field(default_factory=list)
    """A heap; those of rests that are over are in it, too."""
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._ready = self._left()

    async def run(self) -> None:
        """Deal with what lies there, and with what comes to lie there, for ever."""
        while True:
            self._begin_what_is_due()
            await self._news_or_time()

    async def drain(self) -> None:
        """Deal with what lies there until nothing does, for as long as it takes: what is left would be lost with the pod."""
        self.is_stopping = True
        self._rests.clear()
        self._ends_of_rests.clear()
        self._ready = self._left()
        self._begin_what_is_due()
        while self._ready or self._rests or self._running:
            await self._news_or_time()
            self._begin_what_is_due()

    def leave(self, entry: Entry) -> None:
        """Whoever wrote an entry works on it no more: where it is there still, it is dealt with here."""
        self.journal.leave(entry)
        self._look_at(entry.place)

    def lies_there(self, place: str) -> bool:
        """Whether a reply for a place waits: then nothing may be sent that it would make void."""
        return self.journal.first_of(place) is not None

    async def replay(self, place: str) -> Rest | None:
        """Deal with the reply for a place, if it is its time; returns why it is still there, where that is known."""
        if self._is_due(place):
            await asyncio.wait({self._begin(place)})
        return self._rests.get(place)

    # When.

    def _left(self) -> dict[str, None]:
        """Places with an entry that nobody works on, the oldest first."""
        return dict.fromkeys(entry.place for entry in self.journal.waiting if not self.journal.is_in_hand(entry))

    def _look_at(self, place: str) -> None:
        self._ready[place] = None
        self._news.set()

    def _begin_what_is_due(self) -> None:
        """As many as may be at work at one time. What is due beyond that waits for one of those that run."""
        self._news.clear()
        now = self.monotonic()
        while self._ends_of_rests and self._ends_of_rests[0][0] <= now:
            _, place = heapq.heappop(self._ends_of_rests)
            self._ready[place] = None
        while self._ready and len(self._running) < AT_ONE_TIME:
            place = next(iter(self._ready))
            del self._ready[place]
            if not self._is_left(place):
                self._rests.pop(place, None)
            elif self._is_due(place):
                self._begin(place)

    async def _news_or_time(self) -> None:
        """Wait until there is more to be done."""
        pause = max(self._ends_of_rests[0][0] - self.monotonic(), 0) if self._ends_of_rests else None
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({news, *self._running.values()}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()

    def _is_due(self, place: str) -> bool:
        rest = self._rests.get(place)
        return rest is None or rest.until <= self.monotonic()

    def _is_left(self, place: str) -> bool:
        entry = self.journal.first_of(place)
        return entry is not None and not self.journal.is_in_hand(entry)

    def _begin(self, place: str) -> asyncio.Task[None]:
        """The oldest entry of a place first: a later one may rest on what it brings."""
        if place not in self._running:
            self._running[place] = task = asyncio.create_task(self._try_first_of(place), name=f"replay for {place}")
            task.add_done_callback(lambda _: self._ended(place))
        return self._running[place]

    def _ended(self, place: str) -> None:
        self._running.pop(place, None)
        if place not in self._rests and self._is_left(place):
            self._look_at(place)

    async def _try_first_of(self, place: str) -> None:
        entry = self.journal.first_of(place)
        if entry is None or self.journal.is_in_hand(entry):
            return
        if entry.tries >= MOST_TRIES:
            self._set_aside(entry, "each try ended the process, or failed for a reason that is not the API server's")
            return
        entry = self.journal.counted(entry)
        try:
            content = self.journal.read(entry)
        except FileNotFoundError:
            self._forget(entry)
            return
        except OSError as error:
            self._rest(entry, f"its file cannot be read: {error.strerror}", LONGEST_PAUSE_OF_AN_OUTAGE)
            return
        try:
            await self.deal_with(content)
        except Later as later:
            self._rest(self.journal.not_counted(entry), str(later), LONGEST_PAUSE, later.pause)
        except (ApiError, Unavailable) as error:
            longest = LONGEST_PAUSE if isinstance(error, ApiError) else LONGEST_PAUSE_OF_AN_OUTAGE
            words = error.message if isinstance(error, ApiError) else str(error)
            self._rest(self.journal.not_counted(entry), words, longest)
        except asyncio.CancelledError:
            self.journal.not_counted(entry)
            raise
        except (msgspec.MsgspecError, UnicodeError):
            # No try makes it better. What is wrong with it is not told: that may be a token.
            self._set_aside(entry, "it cannot be read")
        except Exception as error:
            logger.exception(
                "a reply of the journal could not be dealt with", namespace=entry.namespace, tries=entry.tries
            )
            self._rest(entry, type(error).__name__, LONGEST_PAUSE_OF_AN_OUTAGE)
        else:
            self._rests.pop(place, None)
            self.journal.remove(entry)

    def _rest(self, entry: Entry, why: str, longest: timedelta, exactly: timedelta | None = None) -> None:
        before = self._rests.get(entry.place)
        failures = 0 if before is None else before.failures + 1
        pause = exactly or Backoff(FIRST_PAUSE, longest, full_jitter(self.random)).pause(failures)
        pause = min(pause, LONGEST_PAUSE_AT_THE_END) if self.is_stopping else pause
        self._rests[entry.place] = rest = Rest(why, self.monotonic() + pause.total_seconds(), failures)
        heapq.heappush(self._ends_of_rests, (rest.until, entry.place))
        self._news.set()
        logger.info(
            "a reply waits in the journal", namespace=entry.namespace, seconds=round(pause.total_seconds(), 1), why=why
        )

    def _forget(self, entry: Entry) -> None:
        """Nobody brings back what was deleted, and refreshes of its place go on."""
        self._rests.pop(entry.place, None)
        self.journal.remove(entry)
        REPLIES.labels("dropped").inc()
        logger.error("a reply in the journal is lost: its file was deleted", namespace=entry.namespace)

    def _set_aside(self, entry: Entry, why: str) -> None:
        self._rests.pop(entry.place, None)
        logger.error(
            "a reply in the journal is not tried any more: its file has what a provider answered",
            namespace=entry.namespace,
            file=self.journal.set_aside(entry).file_name,
            why=why,
        )
