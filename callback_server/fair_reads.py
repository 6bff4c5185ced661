"""I/O: reads on behalf of people, of what tenants wrote: so many at a time and so many bytes, for each namespace in turn.

A Datasource and its Secret may have 1.5 MiB each, and everybody with a link may have them read a few times a second. Whoever
writes much keeps his own people waiting, and nobody else's.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from callback_server.limits import Bulkhead, Exceeded
from datasource.cluster.amount import measured
from datasource.cluster.kube import Kube
from datasource.cluster.resources import Resource
from datasource.concurrency.token_bucket import LatestKeys, TokenBucket

T = TypeVar("T")

PER_NAMESPACE = 16

IN_ALL = 48
"""Reads at a time. There are 64 connections: the others are for what we wrote ourselves, and for what is stored."""

AT_ONCE = 16 * 2**20

PER_SECOND = 4 * 2**20
"""Bytes of one namespace. A flow takes 50 KiB, so this is for eighty people a second."""

LONGEST_WAIT = 5.0
"""Seconds until who waits for their turn is sent away."""

_NAMESPACES = 4096
"""How many namespaces are remembered; of more, the one that was silent for longest begins anew."""


class FairReads:
    """As the Kube that it stands before, but for how much is read for one namespace.

    Each read raises what that of Kube raises, and Exceeded where too much is waited for.
    """

    def __init__(
        self,
        kube: Kube,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._kube = kube
        self._monotonic = monotonic
        self._sleep = sleep
        self._at_a_time = Bulkhead(
            in_all=IN_ALL,
            per_namespace=PER_NAMESPACE,
            reserved=IN_ALL - PER_NAMESPACE,
            longest_wait=LONGEST_WAIT,
            longest_line=1024,
        )
        # One after another, so that what the first reads counts for the next. They hold no place of others meanwhile.
        self._in_debt = Bulkhead(in_all=_NAMESPACES, per_namespace=1, longest_wait=LONGEST_WAIT, longest_line=1024)
        self._read: LatestKeys[str, TokenBucket] = LatestKeys(_NAMESPACES)
        self.create = kube.create
        self.merge_patch = kube.merge_patch
        self.list_metadata = kube.list_metadata

    async def get(
        self, resource: Resource, namespace: str, name: str, type_: type[T], *, metadata_only: bool = False
    ) -> T:
        """Read an object live.

        Raises:
            Exceeded: for too long it was not that namespace's turn.
        """
        async with self._may_read(namespace), self._at_a_time.one(namespace):
            with measured() as amount:
                try:
                    return await self._kube.get(resource, namespace, name, type_, metadata_only=metadata_only)
                finally:
                    self._bytes_of(namespace).take(self._monotonic(), amount.of_bytes)

    @asynccontextmanager
    async def _may_read(self, namespace: str) -> AsyncIterator[None]:
        if self._wait(namespace) == 0:
            yield
            return
        async with self._in_debt.one(namespace):
            await self._sleep(self._wait(namespace))
            yield

    def _wait(self, namespace: str) -> float:
        wait = self._bytes_of(namespace).wait(self._monotonic())
        if wait > LONGEST_WAIT:
            raise Exceeded(wait)
        return wait

    def _bytes_of(self, namespace: str) -> TokenBucket:
        return self._read.of(namespace, lambda: TokenBucket(self._monotonic(), per_second=PER_SECOND, burst=AT_ONCE))
