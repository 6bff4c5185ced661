"""I/O: how the names of providers become addresses, so that one tenant's names cost only that tenant.

A tenant who may write a Datasource says which names are asked for, and can have a name server that never answers. The resolver
of the event loop does such work on two threads (libuv), and a cancelled wait frees neither. So two silent names stop every
lookup of the process. The library c-ares needs no thread for each lookup. How many a tenant may have under way is bounded here.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any
from weakref import WeakValueDictionary

import aiodns
from aiodns.error import DNSError

from datasource.oauth2.errors import TooManyLookups

LONGEST_LOOKUP = timedelta(seconds=5)
LONGEST_QUEUE = timedelta(seconds=2)
"""How long a lookup waits for others of its own tenant to end."""

MOST_OF_A_TENANT = 8
MOST_OF_A_DOMAIN = 4
"""Of one tenant's lookups: names below one domain leave room for others of the same tenant."""
MOST_IN_ALL = 512
"""Beyond these a tenant that has none under way may still begin one."""

MOST_ADDRESSES = 32
"""Of one name; each is judged, and a zone may hold thousands."""

_TRIES = 5
"""c-ares waits five times as long as the name server usually takes, a quarter of a second at least, and doubles that at each
try: with five it waits for as long as a lookup may take."""

_MOST_REMEMBERED = 4096
"""Addresses and names that c-ares keeps for as long as they say; it has no bound of its own."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class NameServers:
    """Asks the name servers of this machine, and looks into /etc/hosts, as resolv.conf and nsswitch.conf say.

    Args:
        options: of c-ares, in place of what those files say.
    """

    def __init__(self, **options: Any) -> None:
        self._options = {"tries": _TRIES} | options
        self._asked: aiodns.DNSResolver | None = None
        self._remembered = 0

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        """The addresses of a name, in the order in which they are to be tried (RFC 6724).

        Raises:
            OSError: it has none.
        """
        # Held here: one that is replaced meanwhile ends with its last lookup.
        asked = self._asked = self._asked or aiodns.DNSResolver(**self._options)
        self._count(1)
        try:
            found = await asked.getaddrinfo(name, port=port, type=socket.SOCK_STREAM)
        except DNSError as error:
            raise OSError(error.args[1]) from None
        self._count(len(found.nodes) + len(found.cnames))
        texts = (bytes(node.addr[0]).decode() for node in found.nodes)
        return tuple(islice(dict.fromkeys(texts), MOST_ADDRESSES))

    async def aclose(self) -> None:
        """End what is under way."""
        if self._asked is not None:
            await self._asked.close()
            self._asked = None

    def _count(self, learnt: int) -> None:
        """Begin anew with an empty memory once it may hold too much: tenants choose how much a name tells."""
        self._remembered += learnt
        if self._remembered > _MOST_REMEMBERED:
            self._asked, self._remembered = None, 0


@dataclass(frozen=True, slots=True)
class _Lookup:
    tenant: str
    addresses: asyncio.Task[Sequence[str]]


class Lookups:
    """A bulkhead for each tenant, and one lookup at a time for each name (single flight), whoever asks."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._under_way: dict[tuple[str, int], _Lookup] = {}
        # Kept for as long as somebody holds or awaits a place: nothing stays for every name that was ever asked for.
        self._bulkheads: WeakValueDictionary[tuple[str, ...], asyncio.Semaphore] = WeakValueDictionary()

    async def addresses(self, name: str, port: int, *, tenant: str) -> Sequence[str]:
        """The addresses of a name.

        Raises:
            OSError: it has none, or no name server told in time.
            TooManyLookups: the tenant's other lookups take all the room that it has.
        """
        # Only what is under way is shared. To wait for room together would be to wait for somebody else's silent names.
        lookup = self._under_way.get((name, port)) or await self._begin(name, port, tenant)
        # Shielded: one who gives up does not take the answer from the others.
        return await asyncio.shield(lookup.addresses)

    async def _begin(self, name: str, port: int, tenant: str) -> _Lookup:
        bulkheads = self._bulkhead(MOST_OF_A_DOMAIN, tenant, _domain(name)), self._bulkhead(MOST_OF_A_TENANT, tenant)
        async with AsyncExitStack() as places:
            try:
                async with asyncio.timeout(LONGEST_QUEUE.total_seconds()):
                    for bulkhead in bulkheads:
                        await places.enter_async_context(bulkhead)
            except TimeoutError:
                raise TooManyLookups(name) from None
            lookup = self._under_way.get((name, port))
            if lookup is None:
                if len(self._under_way) >= MOST_IN_ALL and self._has_one_under_way(tenant):
                    raise TooManyLookups(name)
                lookup = self._start(name, port, tenant, bulkheads)
                places.pop_all()  # They are the lookup's now: it goes on where nobody waits for it any more.
            return lookup

    def _start(self, name: str, port: int, tenant: str, bulkheads: Sequence[asyncio.Semaphore]) -> _Lookup:
        lookup = _Lookup(tenant, asyncio.create_task(self._look_up(name, port), name=f"lookup of {name}"))
        self._under_way[name, port] = lookup

        def end(ended: asyncio.Task[Sequence[str]]) -> None:
            del self._under_way[name, port]
            for bulkhead in bulkheads:
                bulkhead.release()
            if not ended.cancelled():
                ended.exception()  # looked at, also where everybody who asked has gone away

        lookup.addresses.add_done_callback(end)
        return lookup

    async def _look_up(self, name: str, port: int) -> Sequence[str]:
        async with asyncio.timeout(LONGEST_LOOKUP.total_seconds()):
            return await self._resolve(name, port)

    def _has_one_under_way(self, tenant: str) -> bool:
        return any(lookup.tenant == tenant for lookup in self._under_way.values())

    def _bulkhead(self, places: int, *of: str) -> asyncio.Semaphore:
        bulkhead = self._bulkheads.get(of)
        if bulkhead is None:
            bulkhead = self._bulkheads[of] = asyncio.Semaphore(places)
        return bulkhead


def _domain(name: str) -> str:
    """What is bought, roughly: only lookups of one tenant are counted by it."""
    return ".".join(name.lower().removesuffix(".").split(".")[-2:])
