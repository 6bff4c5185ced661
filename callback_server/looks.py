"""I/O: reads on behalf of whoever knocks, so that a thousand who knock at one door cost no more than a few.

A read serves everyone who asked before it began. So each answer is as fresh as that of a read of its own, and a person with the
right ticket passes among a thousand visitors with a wrong one. One door is looked at a few times a second at most, and all of
them together at a steady pace, in turn. A visitor who has the key gives the place in that line back: only strangers are held
to its pace.

A request with a mark of ours (`records/link_keys.py`) waits in no line of strangers, but in that of its namespace or
Datasource. For a forged mark nothing is read. A request without a mark, as in v0.1.0, waits in a line of its own.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from callback_server.flows import FlowStore
from callback_server.limits import Buckets, Pace
from callback_server.refusals import Refused
from callback_server.situation import Observer, Situation
from datasource.api.objects import Datasource
from datasource.records.flow import FlowKey, StoredFlow
from datasource.records.link_keys import Origin

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

PER_DOOR = (4.0, 4)
"""Reads at one door, per second and at once: a person needs two in a row, the page that comes back and where it leads."""

_DOORS = 1024

_OWNERS = 1024
"""How many namespaces and Datasources have lines at one time; only what carries a mark of ours makes one."""


@dataclass(slots=True, eq=False)
class _Read(Generic[T]):
    task: "asyncio.Task[T]"
    has_begun: bool = False
    is_given_back: bool = False


class SharedReads(Generic[K, T]):
    """One read for all who asked for the same before it began."""

    def __init__(
        self,
        read: Callable[[K], Awaitable[T]],
        pace: Pace,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._read = read
        self._pace = pace
        self._sleep = sleep
        self._latest: dict[K, _Read[T]] = {}
        self._monotonic = monotonic
        self._doors = Buckets(monotonic, most=_DOORS)

    async def look(self, key: K, has_key: Callable[[T], bool]) -> T:
        """What a read says that begins after this call.

        Args:
            key: of what is read.
            has_key: whether what was found shows that who asks is no stranger.

        Raises:
            Exceeded: too many different ones are waited for.
        """
        read = self._latest.get(key)
        if read is None or read.has_begun:
            # Only whoever begins a read stands in line; those who join it cost nothing.
            read = self._begin(key, self._pace.stand_in_line(), after=read)
        # Shielded: one who goes away must not take the others' answer along.
        found = await asyncio.shield(read.task)
        if not read.is_given_back and has_key(found):
            read.is_given_back = True
            self._pace.step_out()
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
            read.task.exception()  # taken: everybody who waited may be gone by now


@dataclass(slots=True)
class Lane:
    """What those may make us read who stand in one line."""

    observer: Observer
    flows: FlowStore
    pace: Pace
    _datasources: SharedReads[tuple[str, str], Datasource | None] = field(init=False)
    _situations: SharedReads[tuple[str, str], Situation | None] = field(init=False)
    _records: SharedReads[str, StoredFlow | None] = field(init=False)

    def __post_init__(self) -> None:
        self._datasources = SharedReads(lambda place: self.observer.datasource(*place), self.pace)
        self._situations = SharedReads(lambda place: self._situation(*place), self.pace)
        self._records = SharedReads(self.flows.find_named, self.pace)

    async def datasource(
        self, namespace: str, name: str, *, has_key: Callable[[Datasource], bool]
    ) -> Datasource | None:
        """As `Observer.datasource`, on behalf of a stranger.

        Raises:
            Exceeded: too much is waited for.
        """
        return await self._datasources.look((namespace, name), _where_there_is_one(has_key))

    async def situation(self, namespace: str, name: str, *, has_key: Callable[[Situation], bool]) -> Situation | None:
        """As `Observer.situation`, on behalf of a stranger; None where there is none that can be used.

        Raises:
            Exceeded: too much is waited for.
        """
        return await self._situations.look((namespace, name), _where_there_is_one(has_key))

    async def record(self, key: FlowKey, *, has_key: Callable[[StoredFlow], bool]) -> StoredFlow | None:
        """As `FlowStore.find`, on behalf of a stranger.

        Raises:
            Exceeded: too much is waited for.
        """
        return await self._records.look(key.secret_name, _where_there_is_one(has_key))

    async def _situation(self, namespace: str, name: str) -> Situation | None:
        datasource = await self.observer.datasource(namespace, name)
        try:
            return None if datasource is None else await self.observer.situation(datasource)
        except Refused:
            return None


@dataclass(slots=True)
class Looks:
    """The lines: one for all that carries no mark, one each for what does."""

    new_lane: Callable[[], Lane]
    _unmarked: Lane = field(init=False)
    _marked: OrderedDict[Hashable, Lane] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._unmarked = self.new_lane()

    def lane(self, origin: Origin, owner: Hashable, *, refused: Refused) -> Lane:
        """The line for what is from there; `owner` is whose doors a mark of ours may have been made for.

        Raises:
            Refused: it is forged, and nothing is read for it.
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
