"""I/O: the connections to one provider, each for one request at a time."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpcore

from datasource.providers.wire import Wire

CONNECT_TIMEOUT = timedelta(seconds=5)
CONNECTIONS_TO_ONE_PROVIDER = 100
"""At a time; through a proxy they are counted for each provider, too. Who may send at all has places: those are fewer."""

IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection, or the pool of one that httpcore makes of a tunnel through a proxy; for one request at a time."""

    wire: Wire
    handle: Callable[[httpcore.Request], Awaitable[httpcore.Response]]
    aclose: Callable[[], Awaitable[None]]
    made: Callable[[], httpcore.AsyncConnectionInterface | None]
    """What httpcore made; None where it gave it up."""

    @property
    def can_be_kept(self) -> bool:
        """Whether another request may be sent over it."""
        made = self.made()
        # One that never came about calls itself idle, and closed.
        return made is not None and made.is_idle() and not made.is_closed()

    @property
    def has_expired(self) -> bool:
        """Whether it was idle for too long, or the other side closed it."""
        made = self.made()
        return made is None or made.has_expired()


class ProviderConnections:
    """Connections to one provider, each for one request at a time; the one that was used last is used next.

    The pool of httpcore does the same. But at each request it looks at every connection for every other one, which was three
    quarters of all that httpcore took.
    """

    def __init__(self, new_connection: Callable[[str], Connection]) -> None:
        self._new_connection = new_connection
        self._idle: deque[Connection] = deque()
        self._room = asyncio.Semaphore(CONNECTIONS_TO_ONE_PROVIDER)
        self._under_way = 0
        self._used_at = time.monotonic()

    @asynccontextmanager
    async def connection(self, tenant: str) -> AsyncIterator[Connection]:
        """One that nobody else uses meanwhile; a new one is made on behalf of the tenant.

        Raises:
            httpcore.PoolTimeout: all are in use, and stay so.
        """
        await self._take_room()
        self._under_way += 1
        try:
            connection = await self._usable() or self._new_connection(tenant)
            try:
                yield connection
            finally:
                await self._keep(connection)
        finally:
            self._under_way -= 1
            self._used_at = time.monotonic()
            self._room.release()

    @property
    def is_left(self) -> bool:
        """Whether nobody has used it for as long as an idle connection is kept."""
        return not self._under_way and time.monotonic() - self._used_at > IDLE_SECONDS

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            await self._idle.pop().aclose()

    async def _take_room(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT.total_seconds()):
                await self._room.acquire()
        except TimeoutError:
            raise httpcore.PoolTimeout from None

    async def _usable(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired:
                return connection
            await connection.aclose()
        return None

    async def _keep(self, connection: Connection) -> None:
        if connection.can_be_kept:
            self._idle.append(connection)
        else:
            await connection.aclose()
        while self._idle and self._idle[0].has_expired:
            await self._idle.popleft().aclose()
