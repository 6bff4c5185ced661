"""I/O: when the entries of the journal are replayed, and how often, for both processes. One entry of a place at a time.

What to do with an entry is decided by the function that is called with it. A try is counted before it is made. So an entry that
ends the process each time is set aside after the third.
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
"""Entries that are replayed at one time. Each takes a few requests."""

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_PAUSE_OF_AN_OUTAGE = timedelta(seconds=15)
"""The longest pause while the API server does not answer. It is short, because all work waits for the API server."""

LONGEST_PAUSE_AT_THE_END = timedelta(seconds=2)
"""The longest pause while the process ends. The journal is deleted with the pod, and kubelet ends the pod soon."""


class Later(Exception):
    """The entry cannot be replayed now and stays. `pause` is the time until the next try; None: it grows with each failure."""

    def __init__(self, why: str, pause: timedelta | None = None) -> None:
        super().__init__(why)
        self.pause = pause


@dataclass(frozen=True, slots=True)
class Rest:
    """Why an entry is still there, and until when (monotonic seconds) it is not tried."""

    why: str
    until: float
    failures: int


@dataclass(slots=True)
class Replays:
    """Replays the entries of one journal."""

    journal: Journal
    deal_with: Callable[[bytes], Awaitable[None]]
    """Called with the content of an entry; it does all that the entry asks for. An exception keeps the entry.

    Later, ApiError and Unavailable say nothing about the entry itself, so the try does not count. After a MsgspecError the
    entry is set aside, because it cannot be parsed. Any other exception counts as a try.
    """
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    """From 0 to 1."""
    is_stopping: bool = False
    """Whether the process ends."""
    _ready: dict[str, None] = field(init=False)
    """Places to try next, in order. A place with an unclaimed entry is here, in `_rests`, or in `_running`."""
    _rests: dict[str, Rest] = field(default_factory=dict)
    _ends_of_rests: list[tuple[float, str]] = field(default_factory=list)
    """A heap of when (monotonic seconds) each rest ends, and its place. It may have entries of rests that are over."""
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._ready = self._left()

    async def run(self) -> None:
        """Replay the entries of the journal, and those that are added later, for ever."""
        while True:
            self._begin_what_is_due()
            await self._news_or_time()

    async def drain(self) -> None:
        """Replay entries until none is left, for as long as that takes. The journal is deleted with the pod."""
        self.is_stopping = True
        self._rests.clear()
        self._ends_of_rests.clear()
        self._ready = self._left()
        self._begin_what_is_due()
        while self._ready or self._rests or self._running:
            await self._news_or_time()
            self._begin_what_is_due()

    def leave(self, entry: Entry) -> None:
        """End the claim on an entry. If the entry is still there, it is replayed from here."""
        self.journal.leave(entry)
        self._look_at(entry.place)

    def lies_there(self, place: str) -> bool:
        """Whether a reply for a place is in the journal. No refresh may be sent then: the reply may replace the token."""
        return self.journal.first_of(place) is not None

    async def replay(self, place: str) -> Rest | None:
        """Replay the reply for a place now, unless it rests. Returns why it is still there; None: that is not known."""
        if self._is_due(place):
            await asyncio.wait({self._begin(place)})
        return self._rests.get(place)

    # When.

    def _left(self) -> dict[str, None]:
        """Places with an unclaimed entry, the oldest first."""
        return dict.fromkeys(entry.place for entry in self.journal.waiting if not self.journal.is_claimed(entry))

    def _look_at(self, place: str) -> None:
        self._ready[place] = None
        self._news.set()

    def _begin_what_is_due(self) -> None:
        """Begin what is due, up to `AT_ONE_TIME` entries. The rest waits until one of them has ended."""
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
        """Wait until an entry is added, a rest is over, or a replay has ended."""
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
        return entry is not None and not self.journal.is_claimed(entry)

    def _begin(self, place: str) -> asyncio.Task[None]:
        """Begin a replay of the oldest entry of a place. A later one may depend on its result."""
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
        if entry is None or self.journal.is_claimed(entry):
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
            # Another try would not help. The log does not say what is wrong with it, since that text may hold a token.
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
        """Forget an entry whose file was deleted. Its reply is lost, and refreshes of its place go on."""
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
