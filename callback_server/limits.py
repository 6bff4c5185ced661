"""How much strangers may cost. No I/O; the clock is an argument, in seconds that only go forward.

Clients are not distinguished by address. Behind a load balancer all have the same one, and a sender writes X-Forwarded-For as
it likes. So no limit here is one that a stranger can use up for others:

- `JunkLimit` bounds the answers to requests that turned out to be junk.
- `Denials` bounds what a person who signed in is denied.
- `Clicks` bounds how often one link begins an authorization.
- `RateLimiter` bounds the reads for strangers. It is a queue in which each request has its turn, and not a lottery.
- `Bulkhead` bounds the work at one time, by namespace. So one tenant's slow provider does not delay others.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

from datasource.concurrency.fair_turns import FairTurns
from datasource.concurrency.token_bucket import LatestKeys, TokenBucket

_KEYS = 4096
"""How many keys of each kind have a token bucket at one time."""


class Exceeded(Exception):
    """A limit is reached; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"again in {retry_after:.1f} s")
        self.retry_after = retry_after


class Buckets:
    """A token bucket for each key, for at most `most` keys. For one more, the key that was not used for longest is dropped."""

    def __init__(self, monotonic: Callable[[], float], *, most: int) -> None:
        self._monotonic = monotonic
        self._buckets: LatestKeys[Hashable, TokenBucket] = LatestKeys(most)

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, key: Hashable, *, per_second: float, burst: int) -> TokenBucket:
        """The bucket of a key; the rate is that of a new one."""
        return self._buckets.of(key, lambda: TokenBucket(self._monotonic(), per_second=per_second, burst=burst))


def _require(bucket: TokenBucket, now: float) -> None:
    """Check that a bucket has a token at `now` (seconds). No token is taken.

    Raises:
        Exceeded: it has none.
    """
    wait = bucket.wait(now)
    if wait > 0:
        raise Exceeded(wait)


class RateLimiter:
    """A rate limiter that queues: it tells each caller how long to wait, and refuses a wait of over `longest_wait` seconds."""

    def __init__(self, monotonic: Callable[[], float], *, per_second: float, burst: int, longest_wait: float) -> None:
        self._monotonic = monotonic
        self._bucket = TokenBucket(monotonic(), per_second=per_second, burst=burst)
        self._longest_wait = longest_wait

    def reserve(self) -> float:
        """Take a place in the queue. Returns how many seconds the caller has to wait for its turn.

        Raises:
            Exceeded: the wait would be longer than `longest_wait`; no place was taken.
        """
        now = self._monotonic()
        wait = self._bucket.wait(now)
        if wait > self._longest_wait:
            raise Exceeded(wait)
        self._bucket.take(now)
        return wait

    def cancel(self) -> None:
        """Give a place back that the caller did not need. All who wait behind it move up."""
        self._bucket.give_back()


class JunkLimit:
    """The rate limit for requests that turn out to be junk: for each Datasource, for each namespace and in all.

    A request that is no junk is neither counted nor refused here, however much junk comes.
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
        """Count one request. `namespace` and `name` are None where the request's path has none.

        Raises:
            Exceeded: there were too many such requests; the answer should say so.
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
        # Only a request that passes is counted. Otherwise a client that goes on would be sent away for hours.
        for bucket in (self._in_all, *buckets):
            bucket.take(now)


class Denials:
    """The rate limit for what is denied to a person who signed in. Each denial costs an access review and an audit line.

    A person's limits cover all of their sessions, and nobody else's. They apply to questions whose answer may be no. A person
    who was allowed the same a moment ago is not asked about, and passes.
    """

    PER_NAMESPACE = (0.5, 10)
    IN_ALL = (1.0, 30)
    """Each per second, and at once."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._buckets = Buckets(monotonic, most=_KEYS)

    def require_room(self, person: str, namespace: str | None) -> None:
        """Check that one more denial of this person is within the limits. Call it before the access review.

        Raises:
            Exceeded: there were too many denials.
        """
        # This comes first, so that a person at the limit makes no bucket for another namespace.
        now = self._monotonic()
        _require(self._of_all(person), now)
        _require(self._of_one(person, namespace), now)

    def count(self, person: str, namespace: str | None) -> None:
        """Count one denial, also beyond the limit: many reviews that run at the same moment are all counted."""
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
    """The rate limit of one link: how often it may begin an authorization. Each writes a flow record over an older one."""

    PER_LINK = (0.5, 20)
    """Per second, and at once. It is enough for a crowd that follows a link in a chat, and for an impatient person."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._buckets = Buckets(monotonic, most=_KEYS)

    def count(self, link: Hashable) -> None:
        """Count one click. Call it for live links only.

        Raises:
            Exceeded: there were too many clicks.
        """
        per_second, burst = self.PER_LINK
        bucket = self._buckets.of(link, per_second=per_second, burst=burst)
        now = self._monotonic()
        _require(bucket, now)
        bucket.take(now)


class Bulkhead:
    """A bulkhead: how much work may run at one time, in all and for one namespace. Work that finds no place waits for one.

    Namespaces have their turns one after another (`datasource.concurrency.fair_turns`). The last places are for namespaces that
    hold none. So a tenant whose services hang delays only himself, even if he has several namespaces.

    Args:
        in_all: how many places there are.
        per_namespace: how many of them one namespace may have.
        reserved: how many of them are for namespaces that hold none.
        longest_wait: seconds after which work that waits is refused.
        longest_line: how many of one namespace may wait; each of them holds a connection that others may need.
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
            Exceeded: no place was free within `longest_wait`, or too many of the namespace wait already.
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
                # The place was given at the moment at which the caller gave up.
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
                # The caller has given up, but its task did not run yet.
                self._turns.leave(person)
            else:
                turn.set_result(None)
