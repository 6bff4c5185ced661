"""How much strangers may cost. No I/O; the clock is an argument, in seconds that only go forward.

Nobody is told apart by address: behind a load balancer there is one for all, and X-Forwarded-For says what the sender likes.
So a limit must not be something that a stranger can use up for others. What is limited: answers to what turned out to be
junk (`Misses`), what a person who signed in is denied (`Denials`), reads on behalf of whoever knocks (`Pace`, a queue that
everybody stands in, and not a lottery), and work at one time (`Places`, by namespace, so that one tenant's slow provider
holds up nobody else).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

from datasource.concurrency.fair_turns import FairTurns
from datasource.concurrency.token_bucket import LatestKeys, TokenBucket

_KEYS = 4096
"""How many keys are remembered for their junk."""


class Exceeded(Exception):
    """A limit is reached; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"again in {retry_after:.1f} s")
        self.retry_after = retry_after


class Buckets:
    """A token bucket for each key; of more than `most`, the one that was silent for longest is forgotten."""

    def __init__(self, monotonic: Callable[[], float], *, most: int) -> None:
        self._monotonic = monotonic
        self._buckets: LatestKeys[Hashable, TokenBucket] = LatestKeys(most)

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, key: Hashable, *, per_second: float, burst: int) -> TokenBucket:
        """The bucket of a key; the rate is that of a new one."""
        return self._buckets.of(key, lambda: TokenBucket(self._monotonic(), per_second=per_second, burst=burst))


def _require(bucket: TokenBucket, now: float) -> None:
    """Check that the next one may pass now.

    Raises:
        Exceeded: it may not.
    """
    wait = bucket.wait(now)
    if wait > 0:
        raise Exceeded(wait)


class Pace:
    """A line for what costs something: each comes in turn, and nobody stands longer than `longest_wait` seconds."""

    def __init__(self, monotonic: Callable[[], float], *, per_second: float, burst: int, longest_wait: float) -> None:
        self._monotonic = monotonic
        self._bucket = TokenBucket(monotonic(), per_second=per_second, burst=burst)
        self._longest_wait = longest_wait

    def stand_in_line(self) -> float:
        """Seconds to wait for one's turn.

        Raises:
            Exceeded: the line is too long.
        """
        now = self._monotonic()
        wait = self._bucket.wait(now)
        if wait > self._longest_wait:
            raise Exceeded(wait)
        self._bucket.take(now)
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
        self._monotonic = monotonic
        self._in_all = TokenBucket(monotonic(), per_second=per_second, burst=burst)
        self._buckets = Buckets(monotonic, most=_KEYS)

    def count(self, namespace: str | None, name: str | None) -> None:
        """Count one; either is None where the path names none.

        Raises:
            Exceeded: there were too many like it; the answer should say so.
        """
        now = self._monotonic()
        _require(self._in_all, now)
        wanted: list[tuple[Hashable, tuple[float, int]]] = []
        if namespace is not None:
            wanted.append((namespace, self.PER_NAMESPACE))
        if namespace is not None and name is not None:
            wanted.append(((namespace, name), self.PER_DATASOURCE))
        buckets = [self._buckets.of(key, per_second=rate, burst=burst) for key, (rate, burst) in wanted]
        for bucket in buckets:
            _require(bucket, now)
        # Counted only now: who goes on hammering hears of a second, and not of an hour.
        for bucket in (self._in_all, *buckets):
            bucket.take(now)


class Denials:
    """Counts what somebody who signed in was denied: each costs the API server a question, and the log stream `audit` a line.

    The limits are that person's, with all of their sessions, and nobody else's. They are for questions whose answer may be no:
    who was allowed the same a moment ago passes in any case.
    """

    PER_NAMESPACE = (0.5, 10)
    IN_ALL = (1.0, 30)
    """Each per second, and at once."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._buckets = Buckets(monotonic, most=_KEYS)

    def require_room(self, person: str, namespace: str | None) -> None:
        """Check that one more may be denied; to be called before anybody is asked.

        Raises:
            Exceeded: there were too many.
        """
        # First: no bucket is made for the thousandth namespace.
        now = self._monotonic()
        _require(self._of_all(person), now)
        _require(self._of_one(person, namespace), now)

    def count(self, person: str, namespace: str | None) -> None:
        """Count one, also beyond the limit: of many that were asked about at one moment each is paid for later."""
        now = self._monotonic()
        self._of_all(person).take(now)
        self._of_one(person, namespace).take(now)

    def _of_all(self, person: str) -> TokenBucket:
        per_second, burst = self.IN_ALL
        return self._buckets.of(person, per_second=per_second, burst=burst)

    def _of_one(self, person: str, namespace: str | None) -> TokenBucket:
        per_second, burst = self.PER_NAMESPACE
        return self._buckets.of((person, namespace), per_second=per_second, burst=burst)


class Clicks:
    """How often one link may begin an authorization. Each writes a record, which takes the place of another one's."""

    PER_LINK = (0.5, 20)
    """Per second, and at once: a crowd that follows a link in a chat, or somebody who has no patience."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._buckets = Buckets(monotonic, most=_KEYS)

    def count(self, link: Hashable) -> None:
        """Count one; to be called for live links only.

        Raises:
            Exceeded: there were too many.
        """
        per_second, burst = self.PER_LINK
        bucket = self._buckets.of(link, per_second=per_second, burst=burst)
        now = self._monotonic()
        _require(bucket, now)
        bucket.take(now)


class Places:
    """How much may be done at one time: in all, and for one namespace. People come in crowds: who finds no place waits.

    Namespaces have their turns one after another (`datasource.concurrency.fair_turns`), and the last places are for those that
    hold none. So a tenant whose services hang holds up himself, and not others, with however many namespaces of a few.

    Args:
        in_all: how many places there are.
        per_namespace: how many of them one namespace may have.
        reserved: how many of them are for namespaces that hold none.
        longest_wait: seconds until who waits is sent away.
        longest_line: how many of one namespace may wait; each holds a connection that others may need.
    """

    def __init__(
        self, *, in_all: int, per_namespace: int, longest_wait: float, longest_line: int, reserved: int = 0
    ) -> None:
        self._turns: FairTurns[object] = FairTurns(in_all, per_namespace, reserved)
        self._most_people = per_namespace + longest_line
        self._longest_wait = longest_wait
        self._people: Counter[str] = Counter()
        """By namespace: those who have a place or wait for one."""
        self._waiting: dict[object, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def one(self, namespace: str) -> AsyncIterator[None]:
        """Hold a place while the block runs.

        Raises:
            Exceeded: there was none for longer than anybody should wait, or too many wait already.
        """
        if self._people[namespace] >= self._most_people:
            raise Exceeded(self._longest_wait)
        self._people[namespace] += 1
        person = object()
        try:
            await self._enter(person, namespace)
            try:
                yield
            finally:
                self._leave(person)
        finally:
            self._people[namespace] -= 1
            if not self._people[namespace]:
                del self._people[namespace]

    async def _enter(self, person: object, namespace: str) -> None:
        turn = self._waiting[person] = asyncio.get_running_loop().create_future()
        self._turns.submit(person, namespace=namespace, is_urgent=False)
        self._let_in()
        try:
            async with asyncio.timeout(self._longest_wait):
                await turn
        except BaseException as error:
            if self._waiting.pop(person, None) is not None:
                self._turns.forget(person)
            elif not turn.cancelled():
                # The turn came at the very moment of giving up.
                self._leave(person)
            if isinstance(error, TimeoutError):
                raise Exceeded(self._longest_wait) from None
            raise

    def _leave(self, person: object) -> None:
        self._turns.leave(person)
        self._let_in()

    def _let_in(self) -> None:
        while (person := self._turns.take()) is not None:
            turn = self._waiting.pop(person)
            if turn.cancelled():
                # Whoever it is gives up, and has not come to say so.
                self._turns.leave(person)
            else:
                turn.set_result(None)
