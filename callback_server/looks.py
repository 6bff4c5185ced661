"""I/O: reads on behalf of whoever knocks, so that a thousand who knock at one door cost no more than a few.

A read serves everybody who asked before it began, so what they are told is as fresh as if each had read alone, and who comes
with the right ticket passes in the middle of a thousand with a wrong one. One door is looked at a few times a second at most,
and all of them together at a steady pace, in turn.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from callback_server.flows import FlowStore
from callback_server.limits import Pace
from callback_server.refusals import Refused
from callback_server.situation import Observer, Situation
from datasource.flow import FlowKey, StoredFlow
from datasource.objects import Datasource

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

GAP = 0.25
"""Seconds between the beginnings of two reads at one door."""

_DOORS = 1024


@dataclass(slots=True, eq=False)
class _Read(Generic[T]):
    task: "asyncio.Task[T]"
    has_begun: bool = False


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
        self._monotonic = monotonic
        self._sleep = sleep
        self._latest: dict[K, _Read[T]] = {}
        self._began_at: OrderedDict[K, float] = OrderedDict()

    async def look(self, key: K) -> T:
        """What a read says that begins after this call.

        Raises:
            Exceeded: too many different ones are waited for.
        """
        latest = self._latest.get(key)
        if latest is None or latest.has_begun:
            # Only whoever begins a read stands in line; those who join it cost nothing.
            latest = self._begin(key, self._pace.stand_in_line(), after=latest)
        # Shielded: one who goes away must not take the others' answer along.
        return await asyncio.shield(latest.task)

    def _begin(self, key: K, turn: float, after: "_Read[T] | None") -> _Read[T]:
        read: _Read[T] = _Read(asyncio.get_running_loop().create_task(self._run(key, turn, after)))
        self._latest[key] = read
        read.task.add_done_callback(lambda _: self._ended(key, read))
        return read

    async def _run(self, key: K, turn: float, after: "_Read[T] | None") -> T:
        if after is not None:
            await asyncio.wait([after.task])
        early = self._began_at.get(key, float("-inf")) + GAP - self._monotonic()
        await self._sleep(max(turn, early, 0.0))
        self._latest[key].has_begun = True
        self._note_beginning(key)
        return await self._read(key)

    def _note_beginning(self, key: K) -> None:
        self._began_at[key] = self._monotonic()
        self._began_at.move_to_end(key)
        while len(self._began_at) > _DOORS:
            self._began_at.popitem(last=False)

    def _ended(self, key: K, read: _Read[T]) -> None:
        if self._latest.get(key) is read:
            del self._latest[key]
        if not read.task.cancelled():
            read.task.exception()  # taken: everybody who waited may be gone by now


@dataclass(slots=True)
class Looks:
    """What strangers may make us read."""

    observer: Observer
    flows: FlowStore
    pace: Pace
    _datasources: SharedReads[tuple[str, str], Datasource | None] = field(init=False)
    _situations: SharedReads[tuple[str, str], Situation | None] = field(init=False)
    _records: SharedReads[str, tuple[StoredFlow | None]] = field(init=False)

    def __post_init__(self) -> None:
        self._datasources = SharedReads(lambda place: self.observer.datasource(*place), self.pace)
        self._situations = SharedReads(lambda place: self._situation(*place), self.pace)
        self._records = SharedReads(self._record, self.pace)

    async def datasource(self, namespace: str, name: str) -> Datasource | None:
        """As `Observer.datasource`, on behalf of a stranger.

        Raises:
            Exceeded: too much is waited for.
        """
        return await self._datasources.look((namespace, name))

    async def situation(self, namespace: str, name: str) -> Situation | None:
        """As `Observer.situation`, on behalf of a stranger; None where there is none that can be used.

        Raises:
            Exceeded: too much is waited for.
        """
        return await self._situations.look((namespace, name))

    async def record(self, key: FlowKey) -> StoredFlow | None:
        """As `FlowStore.find`, on behalf of a stranger.

        Raises:
            Exceeded: too much is waited for.
        """
        (record,) = await self._records.look(key.secret_name)
        return record

    async def _situation(self, namespace: str, name: str) -> Situation | None:
        datasource = await self.observer.datasource(namespace, name)
        try:
            return None if datasource is None else await self.observer.situation(datasource)
        except Refused:
            return None

    async def _record(self, secret_name: str) -> tuple[StoredFlow | None]:
        return (await self.flows.find_named(secret_name),)
