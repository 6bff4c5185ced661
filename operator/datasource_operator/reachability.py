"""I/O: whether providers can be reached from here, looked at beside the reconcile workers: no worker waits for anybody whom a
tenant names.

One look serves all who go to the same host under the same trust. Nothing is sent to a provider: it is connected to as a request
would be, by way of the same names, egress rules, proxies and certificates, and let go.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple
from weakref import WeakValueDictionary

import structlog

from datasource.api.spec import InvalidSpec, OAuth2, Spec, SpecProblem
from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.clients import ClientMaterialMissing, Clients
from datasource.concurrency.fair_cache import FairCache
from datasource.oauth2.errors import EgressDenied, MetadataNotAskedFor, MetadataUnavailable, NotDelivered
from datasource.outbound.endpoint import split_url
from datasource.outbound.provider import provider_of
from datasource.outbound.reach import Hindrance, Obstacle, Reach
from datasource.providers.discovery import Discovery
from datasource.providers.metadata_lookup import look_up_metadata
from datasource.providers.transport import Transport
from datasource.records.effective import needs_metadata
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.outward_conditions import reach_is_news
from datasource_operator.fair_pool import FairPool

logger = structlog.get_logger(__name__)

IN_ALL = 32
"""Looks under way altogether. One takes some 30 s at most, where a host that answered before answers no more."""

PER_NAMESPACE = 4
PER_PROVIDER = 4

LIFETIME = timedelta(minutes=10)
"""How long an outcome counts."""

COME_AGAIN = timedelta(minutes=1)
"""When to look again where no look came about."""

CONFIRM_AFTER = timedelta(seconds=5)
"""A host that could be reached before is looked at twice: one lost packet is no outage."""

DEADLINE = timedelta(seconds=12)
"""For one connection: 5 s for name and address, 5 s for TLS, and what a proxy takes."""

_REACHED = Reach("The operator reached the token endpoint: name, connection and TLS are in order.")
_THE_ENDPOINT = "the token endpoint"
_UNREADABLE = "The operator cannot read the provider's metadata. "

KEPT_IN_ALL = 4 * 2**20
KEPT_PER_NAMESPACE = 2**18
_ENTRY_COST = 512


class _Where(NamedTuple):
    """A scheme, host and port, and a digest of the authorities by which it is trusted beside the system's."""

    origin: str
    ca_digest: bytes | None


class _Kept(NamedTuple):
    found: Hindrance | None
    until: float
    """By the monotonic clock."""


class _Told(NamedTuple):
    """What came of a look for a Datasource, and which parameters it was for."""

    asked: int
    reach: Reach | None
    """None where no look came about."""
    until: float


class _Wanted(NamedTuple):
    asked: int
    oauth2: OAuth2


@dataclass(slots=True)
class Reachability:
    """Knows of each Datasource whether its provider can be reached, and looks again where that is old."""

    transport: Transport
    discovery: Discovery
    clients: Clients
    cache: Cache
    look_again: Callable[[Key], None]
    """Told of a Datasource whose status lacks what a look showed."""
    monotonic: Callable[[], float] = time.monotonic
    pause: timedelta = CONFIRM_AFTER
    _pool: FairPool = field(init=False)
    _wanted: dict[Key, _Wanted] = field(default_factory=dict)
    _told: dict[Key, _Told] = field(default_factory=dict)
    _known: FairCache[_Where, _Kept] = field(default_factory=lambda: FairCache(KEPT_IN_ALL, KEPT_PER_NAMESPACE))
    _connecting: WeakValueDictionary[_Where, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """Kept for as long as somebody connects, or waits for that."""

    def __post_init__(self) -> None:
        self._pool = FairPool(self._run, PER_PROVIDER, IN_ALL, PER_NAMESPACE, "look at the reach")

    def of(self, key: Key, spec: Spec | SpecProblem) -> Reach | None:
        """What is known, at once; None where nothing is yet. Where that is old, or for other parameters, a look begins."""
        oauth2 = spec.oauth2 if isinstance(spec, Spec) else None
        if oauth2 is None:
            return None
        asked = _asked(oauth2)
        told = self._told.get(key)
        is_for_these = told is not None and told.asked == asked
        if (told is None or not is_for_these or told.until <= self.monotonic()) and not oauth2.missing():
            kept = self._known_without_a_look(oauth2, key)
            if kept is not None and self.cache.has_datasource(key):
                self._told[key] = _Told(asked, *kept)
                return kept[0]
            self._wanted[key] = _Wanted(asked, oauth2)
            whole = oauth2.expanded()
            provider = provider_of(whole.token_url or whole.issuer or "")
            self._pool.submit(key, provider)
        return told.reach if told is not None and is_for_these else None

    def _known_without_a_look(self, oauth2: OAuth2, key: Key) -> tuple[Reach, float] | None:
        """What another Datasource's look found a moment ago, and until when it counts: at a start there are 100,000 to tell."""
        whole = oauth2.expanded()
        if not whole.token_url or whole.ca_bundle or whole.ca_bundle_ref is not None or needs_metadata(oauth2):
            return None
        host, origin = _place_of(whole.token_url)
        kept = self._known.get(_Where(origin, None), key.namespace)
        if kept is None or kept.until <= self.monotonic():
            return None
        return _reach(kept.found, host, _THE_ENDPOINT), kept.until

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        self._pool.forget(key)
        self._wanted.pop(key, None)
        self._told.pop(key, None)

    async def stop(self) -> None:
        """End what is under way."""
        self._wanted.clear()
        await self._pool.stop()

    async def _run(self, key: Key) -> None:
        # Edited meanwhile, it is looked at once more.
        while (wanted := self._wanted.pop(key, None)) is not None:
            reach = await self._look(key, wanted.oauth2)
            self._tell(key, wanted.asked, reach)

    def _tell(self, key: Key, asked: int, reach: Reach | None) -> None:
        before = self._told.get(key)
        lifetime = COME_AGAIN if reach is None else LIFETIME
        if reach is None and before is not None and before.asked == asked:
            reach = before.reach
        self._told[key] = _Told(asked, reach, self.monotonic() + lifetime.total_seconds())
        datasource = self.cache.datasource(key)
        if datasource is None:
            self.forget(key)
        elif reach is not None and reach_is_news(datasource.status, reach):
            self.look_again(key)

    async def _look(self, key: Key, oauth2: OAuth2) -> Reach | None:
        """None where no look came about: that says nothing about the provider."""
        try:
            ca_bundle = await self.clients.ca_bundle(key.namespace, oauth2)
            return await self._look_under(ca_bundle, key, oauth2)
        except (ClientMaterialMissing, ApiError, Unavailable, NotDelivered, MetadataNotAskedFor) as error:
            logger.info("a provider was not looked at", datasource=str(key), error=str(error))
        except Exception:
            logger.exception("a look at a provider failed", datasource=str(key))
        return None

    async def _look_under(self, ca_bundle: str | None, key: Key, oauth2: OAuth2) -> Reach:
        whole = oauth2.expanded()
        try:
            metadata = await look_up_metadata(self.discovery, oauth2, tenant=key.namespace, ca_bundle=ca_bundle)
        except InvalidSpec as error:
            return Reach(_UNREADABLE + str(error.problem), Obstacle.METADATA_UNREADABLE)
        except MetadataNotAskedFor:
            raise  # for want of room of the tenant's own
        except MetadataUnavailable as error:
            place = whole.discovery_url or whole.issuer or ""
            reach = await self._connected(place, "the provider's metadata", ca_bundle, key)
            return reach if reach.obstacle else Reach(_UNREADABLE + str(error), Obstacle.METADATA_UNREADABLE)
        told = None if metadata is None else metadata.token_endpoint
        return await self._connected(whole.token_url or told or "", _THE_ENDPOINT, ca_bundle, key)

    async def _connected(self, url: str, what: str, ca_bundle: str | None, key: Key) -> Reach:
        host, origin = _place_of(url)
        try:
            found = await self._known_or_looked(_Where(origin, _digest(ca_bundle)), ca_bundle, key)
        except EgressDenied as error:
            return Reach(str(error), Obstacle.EGRESS_DENIED)
        return _reach(found, host, what)

    async def _known_or_looked(self, where: _Where, ca_bundle: str | None, key: Key) -> Hindrance | None:
        """What was found under that trust at most ten minutes ago, by whomever; else a look."""
        lock = self._connecting.setdefault(where, asyncio.Lock())
        async with lock:
            kept = self._known.get(where, key.namespace)
            if kept is not None and self.monotonic() < kept.until:
                return kept.found
            found = await self._connect(where.origin, ca_bundle, key)
            if found is not None and kept is not None and kept.found is None:
                await asyncio.sleep(self.pause.total_seconds())
                found = await self._connect(where.origin, ca_bundle, key)
            until = self.monotonic() + LIFETIME.total_seconds()
            self._known.put(where, _Kept(found, until), key.namespace, cost=_ENTRY_COST + len(where.origin))
            return found

    async def _connect(self, origin: str, ca_bundle: str | None, key: Key) -> Hindrance | None:
        return await self.transport.connect(origin, deadline=DEADLINE, tenant=key.namespace, ca_bundle=ca_bundle)


def _place_of(url: str) -> tuple[str, str]:
    """The host of a URL, and its origin."""
    split = split_url(url)
    return ("", "") if split is None else (split.hostname or "", f"{split.scheme}://{split.netloc.lower()}")


def _reach(found: Hindrance | None, host: str, what: str) -> Reach:
    return _REACHED if found is None else Reach(found.about(host, what), found.obstacle)


def _digest(ca_bundle: str | None) -> bytes | None:
    return None if ca_bundle is None else hashlib.sha256(ca_bundle.encode()).digest()


def _asked(oauth2: OAuth2) -> int:
    """Tells whether parameters changed on which the outcome rests, in this process."""
    return hash(
        (
            oauth2.provider,
            oauth2.issuer,
            oauth2.discovery_url,
            oauth2.authorize_url,
            oauth2.token_url,
            oauth2.ca_bundle,
            oauth2.ca_bundle_ref,
        )
    )
