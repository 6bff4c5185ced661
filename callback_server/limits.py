"""How much strangers may cost. No I/O; the clock is an argument, in seconds that only go forward.

Nobody is told apart by address: behind a load balancer there is one for all, and X-Forwarded-For says what the sender likes.
So a limit must not be something that a stranger can use up for others. What is limited: answers to what turned out to be
junk (`Misses`), reads on behalf of whoever knocks (`Pace`, a queue that everybody stands in, and not a lottery), and work at
one time (`Places`, by namespace, so that one tenant's slow provider holds up nobody else).
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

_KEYS = 4096
"""How many keys are remembered for their junk."""


_ROUNDING = 1e-6
"""Seconds; what sums of floats may be off."""


class Exceeded(Exception):
    """A limit is reached; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"again in {retry_after:.1f} s")
        self.retry_after = retry_after


class Bucket:
    """A token bucket: `burst` at once, then `per_second` (as a theoretical arrival time, the GCRA of ITU-T I.371)."""

    def __init__(self, monotonic: Callable[[], float], *, per_second: float, burst: int) -> None:
        self._monotonic = monotonic
        self._gap = 1 / per_second
        self._slack = (burst - 1) * self._gap
        self._next = monotonic()
        """When the next one would come if all came evenly."""

    def wait(self) -> float:
        """Seconds until the next one may pass; 0 where it may now."""
        wait = self._next - self._slack - self._monotonic()
        return wait if wait > _ROUNDING else 0.0

    def require(self) -> None:
        """Check that the next one may pass now.

        Raises:
            Exceeded: it may not.
        """
        wait = self.wait()
        if wait > 0:
            raise Exceeded(wait)

    def take(self) -> None:
        """Let one pass, or let one stand in line."""
        self._next = max(self._next, self._monotonic()) + self._gap

    def give_back(self) -> None:
        """Undo one `take`."""
        self._next -= self._gap


class Buckets:
    """A bucket for each key; of more than `most`, the one that was silent for longest is forgotten."""

    def __init__(self, monotonic: Callable[[], float], *, most: int) -> None:
        self._monotonic = monotonic
        self._most = most
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, key: Hashable, *, per_second: float, burst: int) -> Bucket:
        """The bucket of a key; the rate is that of a new one."""
        bucket = self._buckets.setdefault(key, Bucket(self._monotonic, per_second=per_second, burst=burst))
        self._buckets.move_to_end(key)
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return bucket


class Pace:
    """A line for what costs something: each comes in turn, and nobody stands longer than `longest_wait` seconds."""

    def __init__(self, monotonic: Callable[[], float], *, per_second: float, burst: int, longest_wait: float) -> None:
        self._bucket = Bucket(monotonic, per_second=per_second, burst=burst)
        self._longest_wait = longest_wait

    def stand_in_line(self) -> float:
        """Seconds to wait for one's turn.

        Raises:
            Exceeded: the line is too long.
        """
        wait = self._bucket.wait()
        if wait > self._longest_wait:
            raise Exceeded(wait)
        self._bucket.take()
        return wait

    def step_out(self) -> None:
        """It was somebody for whom the line is not meant: all behind move up."""
        self._bucket.give_back()


class Misses:
    """Counts what turned out to be junk: for each Datasource, for each namespace and in all.

    What is no junk is never counted and never refused here, however much junk there is.
    """

    PER_DATASOURCE = (1.0, 20)
    PER_NAMESPACE = (5.0, 60)
    IN_ALL = (25.0, 200)
    """Each per second, and at once."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        per_second, burst = self.IN_ALL
        self._in_all = Bucket(monotonic, per_second=per_second, burst=burst)
        self._buckets = Buckets(monotonic, most=_KEYS)

    def count(self, namespace: str | None, name: str | None) -> None:
        """Count one; either is None where the path names none.

        Raises:
            Exceeded: there were too many like it; the answer should say so.
        """
        self._in_all.require()
        wanted: list[tuple[Hashable, tuple[float, int]]] = []
        if namespace is not None:
            wanted.append((namespace, self.PER_NAMESPACE))
        if namespace is not None and name is not None:
            wanted.append(((namespace, name), self.PER_DATASOURCE))
        buckets = [self._buckets.of(key, per_second=rate, burst=burst) for key, (rate, burst) in wanted]
        for bucket in buckets:
            bucket.require()
        # Counted only now: who goes on hammering hears of a second, and not of an hour.
        for bucket in (self._in_all, *buckets):
            bucket.take()


class Places:
    """How much may be done at one time: in all, and for one namespace. People come in crowds: who finds no place waits.

    Args:
        in_all: how many places there are.
        per_namespace: how many of them one namespace may have.
        longest_wait: seconds until who waits is sent away.
        longest_line: how many of one namespace may wait; each holds a connection that others may need.
    """

    def __init__(self, *, in_all: int, per_namespace: int, longest_wait: float, longest_line: int) -> None:
        self._in_all = asyncio.Semaphore(in_all)
        self._per_namespace = per_namespace
        self._longest_wait = longest_wait
        self._longest_line = longest_line
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def one(self, namespace: str) -> AsyncIterator[None]:
        """Hold a place while the block runs.

        Raises:
            Exceeded: there was none for longer than anybody should wait, or too many wait already.
        """
        line = self._lines.setdefault(namespace, _Line(asyncio.Semaphore(self._per_namespace)))
        if line.people >= self._per_namespace + self._longest_line:
            raise Exceeded(self._longest_wait)
        line.people += 1
        try:
            async with AsyncExitStack() as held:
                await self._enter(held, line)
                yield
        finally:
            line.people -= 1
            if not line.people:
                del self._lines[namespace]

    async def _enter(self, held: AsyncExitStack, line: "_Line") -> None:
        try:
            async with asyncio.timeout(self._longest_wait):
                # In this order: a crowd of one namespace stands in its own line, and only its first ones in that of all.
                await held.enter_async_context(line.places)
                await held.enter_async_context(self._in_all)
        except TimeoutError:
            raise Exceeded(self._longest_wait) from None


@dataclass(slots=True)
class _Line:
    """Those of one namespace who have a place or wait for one."""

    places: asyncio.Semaphore
    people: int = 0
