"""I/O: connections to addresses that were judged before, by the first of them that answers (RFC 8305)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from itertools import zip_longest
from typing import Any

import httpcore

from datasource.oauth2.errors import (
    EgressDenied,
)
from datasource.outbound.egress import EgressPolicy, read_host
from datasource.outbound.reach import Stage
from datasource.providers.resolver import Lookups

STAGGER = timedelta(milliseconds=250)
"""How long one address may take before the next is tried beside it (RFC 8305 section 5)."""


_ADDRESSES_TRIED = 8


class NameNotResolved(httpcore.ConnectError):
    """The name has no address."""

    stage = Stage.NAME


class NameNotResolvedInTime(httpcore.ConnectTimeout):
    """No name server told an address in time."""

    stage = Stage.NAME


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, on behalf of a tenant, and connects to nothing but addresses that may be connected to."""

    def __init__(self, egress: EgressPolicy, lookups: Lookups, tenant: str) -> None:
        self._egress = egress
        self._lookups = lookups
        self._tenant = tenant
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async def connect(address: str) -> httpcore.AsyncNetworkStream:
            return await self._network.connect_tcp(
                address, port, local_address=local_address, socket_options=socket_options
            )

        addresses: Sequence[str] | None = None
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._checked_addresses(host, port)
                return await connect_to_first(addresses, connect)
        except TimeoutError:
            raise (NameNotResolvedInTime if addresses is None else httpcore.ConnectTimeout) from None

    async def _checked_addresses(self, host: str, port: int) -> Sequence[str]:
        found = await self._addresses(host, port)
        denials = [self._egress.address_denial(host, address) for address in found]
        allowed = [address for address, denial in zip(found, denials, strict=True) if denial is None]
        if allowed:
            return _alternating(allowed)[:_ADDRESSES_TRIED]
        denied = next((denial for denial in denials if denial is not None), None)
        if denied is None:
            raise NameNotResolved("the name has no address")
        raise EgressDenied(host, denied)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        read = read_host(host)
        if read is not None and not isinstance(read, str):
            return (str(read),)
        # With a dot at its end a name is whole: the search list of the pod would make a Service of payments.shop. A name that
        # the platform team allowed is meant as they wrote it, and may stand in /etc/hosts.
        name = host if self._egress.allows_name(host) or host.endswith(".") else f"{host}."
        try:
            return await self._lookups.addresses(name, port, tenant=self._tenant)
        except TimeoutError as error:
            raise NameNotResolvedInTime(str(error)) from error
        except OSError as error:
            raise NameNotResolved(str(error)) from error


def _alternating(addresses: Sequence[str]) -> Sequence[str]:
    """One of each family in turn, beginning with the first one's (RFC 8305 section 4)."""
    first = [address for address in addresses if (":" in address) == (":" in addresses[0])]
    others = [address for address in addresses if address not in first]
    return [address for pair in zip_longest(first, others) for address in pair if address is not None]


async def connect_to_first(
    addresses: Sequence[str], connect: Callable[[str], Awaitable[httpcore.AsyncNetworkStream]]
) -> httpcore.AsyncNetworkStream:
    """The first connection that stands; an address that takes long gets company from the next (RFC 8305 section 5).

    Raises:
        httpcore.ConnectError: there is none; the last failure.
    """
    waiting = list(addresses)
    racing: set[asyncio.Future[httpcore.AsyncNetworkStream]] = set()
    failure: BaseException = httpcore.ConnectError()
    try:
        while waiting or racing:
            if waiting:
                racing.add(asyncio.ensure_future(connect(waiting.pop(0))))
            pause = STAGGER.total_seconds() if waiting else None
            done, _ = await asyncio.wait(racing, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                racing.discard(attempt)
                if attempt.exception() is None:
                    return attempt.result()
                failure = attempt.exception() or failure
        raise failure
    finally:
        await _abandon(racing)


async def _abandon(attempts: Iterable[asyncio.Future[httpcore.AsyncNetworkStream]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for stream in await asyncio.gather(*attempts, return_exceptions=True):
        if not isinstance(stream, BaseException):
            await stream.aclose()
