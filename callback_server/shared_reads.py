"""I/O: reads of the API server for visitors who may be strangers: shared and limited (known as single flight).

One read serves all requests for the same object that came before it began. So each answer is as fresh as that of a read of its
own, and a thousand requests cost no more than a few. One object is read a few times a second at most. A rate limiter bounds all
reads together. A visitor who turns out to have the right ticket gives the place in its queue back: only strangers use it up.

There are several such queues, the lanes. A request with a mark of ours (`records/link_keys.py`) waits in the lane of its
namespace or Datasource. All requests without a mark, as v0.1.0 made links, share one lane. For a forged mark nothing is read.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from callback_server.flows import FlowStore
from callback_server.limits import Buckets, RateLimiter
from callback_server.refusals import Refused
from callback_server.situation import Observer, Situation
from datasource.api.objects import Datasource
from datasource.records.flow import FlowKey, StoredFlow
from datasource.records.link_keys import Origin

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

PER_DOOR = (4.0, 4)
"""Reads of one object, per second and at once. A person needs two in a row: for the callback, and for the page it leads to."""

_DOORS = 1024

_OWNERS = 1024
"""How many namespaces and Datasources have a lane at one time. Only a request with a mark of ours makes one."""


@dataclass(slots=True, eq=False)
class _Read(Generic[T]):
    task: "asyncio.Task[T]"
    has_begun: bool = False
    is_given_back: bool = False


class SharedReads(Generic[K, T]):
    """Reads by key: one read answers all requests for a key that came before it began."""

    def __init__(
        self,
        read: Callable[[K], Awaitable[T]],
        limiter: RateLimiter,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._read = read
        self._limiter = limiter
        self._sleep = sleep
        self._latest: dict[K, _Read[T]] = {}
        self._monotonic = monotonic
        self._doors = Buckets(monotonic, most=_DOORS)

    async def read(self, key: K, has_key: Callable[[T], bool]) -> T:
        """Return the result of a read that begins after this call.

        Args:
            key: what to read.
            has_key: whether what was found shows that the visitor is no stranger, as the right ticket does.

        Raises:
            Exceeded: too many other keys wait to be read.
        """
        read = self._latest.get(key)
        if read is None or read.has_begun:
            # Only the request that begins a read takes a place in the queue. Those that join it cost nothing.
            read = self._begin(key, self._limiter.reserve(), after=read)
        # Shielded: a visitor who goes away must not cancel the read of the others.
        found = await asyncio.shield(read.task)
        if not read.is_given_back and has_key(found):
            read.is_given_back = True
            self._limiter.cancel()
        return found

    def _begin(self, key: K, turn: float, after: "_Read[T] | None") -> _Read[T]:
        read: _Read[T] = _Read(asyncio.get_running_loop().create_task(self._run(key, turn, after)))
        self._latest[key] = read
        read.task.add_done_callback(lambda _: self._ended(key, read))
        return read

    async def _run(self, key: K, turn: float, after: "_Read[T] | None") -> T:
        if after is not None:
            await asyncio.wait([after.task])
        per_second, burst = PER_DOOR
        door = self._doors.of(key, per_second=per_second, burst=burst)
        await self._sleep(max(turn, door.wait(self._monotonic())))
        door.take(self._monotonic())
        self._latest[key].has_begun = True
        return await self._read(key)

    def _ended(self, key: K, read: _Read[T]) -> None:
        if self._latest.get(key) is read:
            del self._latest[key]
        if not read.task.cancelled():
            read.task.exception()  # retrieved, so that asyncio does not log it where all visitors are gone


@dataclass(slots=True)
class Lane:
    """The reads that share one rate limiter: Datasources, their situations, and flow records."""

    observer: Observer
    flows: FlowStore
    limiter: RateLimiter
    _datasources: SharedReads[tuple[str, str], Datasource | None] = field(init=False)
    _situations: SharedReads[tuple[str, str], Situation | None] = field(init=False)
    _records: SharedReads[str, StoredFlow | None] = field(init=False)

    def __post_init__(self) -> None:
        self._datasources = SharedReads(lambda place: self.observer.datasource(*place), self.limiter)
        self._situations = SharedReads(lambda place: self._situation(*place), self.limiter)
        self._records = SharedReads(self.flows.find_named, self.limiter)

    async def datasource(
        self, namespace: str, name: str, *, has_key: Callable[[Datasource], bool]
    ) -> Datasource | None:
        """As `Observer.datasource`, for a visitor who may be a stranger.

        Raises:
            Exceeded: too many reads wait.
        """
        return await self._datasources.read((namespace, name), _where_there_is_one(has_key))

    async def situation(self, namespace: str, name: str, *, has_key: Callable[[Situation], bool]) -> Situation | None:
        """As `Observer.situation`, for a visitor who may be a stranger; None where none can be used.

        Raises:
            Exceeded: too many reads wait.
        """
        return await self._situations.read((namespace, name), _where_there_is_one(has_key))

    async def record(self, key: FlowKey, *, has_key: Callable[[StoredFlow], bool]) -> StoredFlow | None:
        """As `FlowStore.find`, for a visitor who may be a stranger.

        Raises:
            Exceeded: too many reads wait.
        """
        return await self._records.read(key.secret_name, _where_there_is_one(has_key))

    async def _situation(self, namespace: str, name: str) -> Situation | None:
        datasource = await self.observer.datasource(namespace, name)
        try:
            return None if datasource is None else await self.observer.situation(datasource)
        except Refused:
            return None


@dataclass(slots=True)
class Lanes:
    """All lanes: one for requests without a mark, and one for each owner of a mark of ours."""

    new_lane: Callable[[], Lane]
    _unmarked: Lane = field(init=False)
    _marked: OrderedDict[Hashable, Lane] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._unmarked = self.new_lane()

    def lane(self, origin: Origin, owner: Hashable, *, refused: Refused) -> Lane:
        """The lane for a request.

        Args:
            origin: what the mark of the request says.
            owner: the namespace or Datasource that a mark of ours is for.
            refused: what to raise for a forged mark.

        Raises:
            Refused: the mark is forged; nothing is read for it.
        """
        match origin:
            case Origin.FORGED:
                raise refused
            case Origin.UNKNOWN:
                return self._unmarked
            case Origin.OURS:
                return self._marked_lane(owner)

    def _marked_lane(self, owner: Hashable) -> Lane:
        lane = self._marked.get(owner)
        if lane is None:
            lane = self._marked[owner] = self.new_lane()
        self._marked.move_to_end(owner)
        while len(self._marked) > _OWNERS:
            self._marked.popitem(last=False)
        return lane


def _where_there_is_one(has_key: Callable[[T], bool]) -> Callable[[T | None], bool]:
    return lambda found: found is not None and has_key(found)
