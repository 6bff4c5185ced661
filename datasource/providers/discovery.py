"""I/O: the metadata of an issuer, fetched once for all who ask, kept for a while, never from anybody else than the issuer.

A failure is kept, too, but briefly: a provider that is down is not asked by every Datasource that waits for it. While an
issuer cannot be reached, what it said before goes on to hold for a day.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import msgspec
import structlog

from datasource.concurrency.fair_cache import FairCache
from datasource.oauth2.errors import (
    EgressDenied,
    MetadataNotAskedFor,
    MetadataUnavailable,
    MetadataUnusable,
    OAuth2Error,
    TooManyLookups,
)
from datasource.oauth2.provider_metadata import (
    ProviderMetadata,
    document_request,
    parse_provider_metadata,
    well_known_urls,
)
from datasource.outbound.provider_request import UnusableReply
from datasource.providers.transport import Transport

logger = structlog.get_logger(__name__)

LIFETIME = timedelta(hours=1)
FAILURE_LIFETIME = timedelta(seconds=30)
LONGEST_GRACE = timedelta(days=1)
"""How long a document is used after it ran out, while its issuer cannot be reached."""

DEADLINE = timedelta(seconds=5)
"""For each of the places where a document may stand."""

KEPT_IN_ALL = 16 * 2**20
"""Bytes that documents take at most; a usual one is counted for some 5 KiB."""

KEPT_PER_NAMESPACE = 2**20
"""Bytes of what a namespace asks about: whoever names many issuers forgets his own."""

_PARSED_GROWTH = 16
_SMALLEST_ENTRY = 1024


class Trusted(NamedTuple):
    """An issuer, where its metadata is said to stand, and a digest of the authorities by which it is trusted beside the
    system's: what one tenant trusts is no word for another."""

    issuer: str
    discovery_url: str | None
    ca_digest: bytes | None

    @classmethod
    def by(cls, issuer: str, ca_bundle: str | None, discovery_url: str | None = None) -> "Trusted":
        """An issuer as whoever names that bundle, and that place for its metadata, trusts it."""
        return cls(issuer, discovery_url, None if ca_bundle is None else hashlib.sha256(ca_bundle.encode()).digest())


class _Asked(NamedTuple):
    """Whose metadata, by which authorities, and on whose behalf."""

    issuer: str
    ca_bundle: str | None
    tenant: str
    discovery_url: str | None = None

    @property
    def trusted(self) -> Trusted:
        return Trusted.by(self.issuer, self.ca_bundle, self.discovery_url)

    @property
    def places(self) -> tuple[str, ...]:
        """Where the document may stand."""
        return well_known_urls(self.issuer) if self.discovery_url is None else (self.discovery_url,)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something that a provider publishes is not to be had, as it is kept for whoever asks next.

    Not the exception: its traceback would keep all that was on the way, and grow each time that it is raised.
    """

    text: str
    is_unusable: bool
    """MetadataUnusable; else MetadataUnavailable."""

    @classmethod
    def of(cls, error: MetadataUnavailable | MetadataUnusable) -> "Failure":
        """What is kept of an error."""
        return cls(str(error), isinstance(error, MetadataUnusable))

    def error(self) -> MetadataUnavailable | MetadataUnusable:
        """What is raised: a fresh one each time."""
        return MetadataUnusable(self.text) if self.is_unusable else MetadataUnavailable(self.text)


@dataclass(slots=True)
class _Entry:
    """What is known of an issuer, and until when by the monotonic clock."""

    found: ProviderMetadata | Failure
    fresh_until: float
    usable_until: float


class Discovery:
    """Answers what a provider says about itself (RFC 8414, OpenID Connect Discovery 1.0)."""

    def __init__(
        self, transport: Transport, monotonic: Callable[[], float], *, allow_insecure_http: bool = False
    ) -> None:
        self._transport = transport
        self._monotonic = monotonic
        self._allow_insecure_http = allow_insecure_http
        self._known: FairCache[Trusted, _Entry] = FairCache(KEPT_IN_ALL, KEPT_PER_NAMESPACE)
        self._asking: dict[tuple[Trusted, str | None], asyncio.Task[ProviderMetadata]] = {}

    def is_known(self, issuer: str, *, ca_bundle: str | None = None, discovery_url: str | None = None) -> bool:
        """Whether `metadata` answers at once, an error included."""
        entry = self._known.peek(Trusted.by(issuer, ca_bundle, discovery_url))
        return entry is not None and self._monotonic() < entry.fresh_until

    async def metadata(
        self, issuer: str, *, tenant: str, ca_bundle: str | None = None, discovery_url: str | None = None
    ) -> ProviderMetadata:
        """The metadata of an issuer, at most an hour old while it can be reached.

        It is asked for on behalf of a tenant (its namespace), and told to all.

        With a `ca_bundle` its authorities are trusted beside the system's, and what is learnt so is told to nobody else:
        whoever names a bundle could pass for the issuer. The same holds for a `discovery_url`: the document is read there, and
        nowhere else.

        Raises:
            MetadataUnavailable: it cannot be reached now, and has not been for long.
            MetadataUnusable: there is no document, or one that cannot be believed.
        """
        asked = _Asked(issuer, ca_bundle, tenant, discovery_url)
        entry = self._known.get(asked.trusted, tenant)
        if entry is not None and self._monotonic() < entry.fresh_until:
            return _told(entry)
        try:
            return await self._together(asked)
        except MetadataNotAskedFor:
            # Whoever began had no room to ask; that must not keep others from it.
            return await self._together(asked, by_itself=True)

    async def _together(self, asked: _Asked, *, by_itself: bool = False) -> ProviderMetadata:
        """One request for all who wait, or for all of a tenant (single flight)."""
        flight = (asked.trusted, asked.tenant if by_itself else None)
        asking = self._asking.get(flight)
        if asking is None:
            asking = asyncio.create_task(self._ask(asked), name=f"metadata of {asked.issuer}")
            self._asking[flight] = asking
            asking.add_done_callback(lambda task: self._end(flight, task))
        # Shielded: one who gives up does not take the answer from the others.
        return await asyncio.shield(asking)

    def _end(self, flight: tuple[Trusted, str | None], asking: asyncio.Task[ProviderMetadata]) -> None:
        del self._asking[flight]
        if not asking.cancelled():
            asking.exception()  # looked at, also where everybody who asked has gone away

    async def _ask(self, asked: _Asked) -> ProviderMetadata:
        found: ProviderMetadata | Failure
        try:
            found = await self._fetch(asked)
        except MetadataNotAskedFor:
            raise  # It is no failure of the issuer, so it is told to nobody else.
        except (MetadataUnavailable, MetadataUnusable) as error:
            logger.warning("no metadata", namespace=asked.tenant, issuer=asked.issuer, error=str(error))
            found = Failure.of(error)
        entry = self._remember(asked, found)
        return _told(entry)

    def _remember(self, asked: _Asked, found: ProviderMetadata | Failure) -> _Entry:
        now = self._monotonic()
        before = self._known.peek(asked.trusted)
        if isinstance(found, ProviderMetadata):
            until = now + LIFETIME.total_seconds()
            entry = _Entry(found, until, until + LONGEST_GRACE.total_seconds())
        else:
            until = now + FAILURE_LIFETIME.total_seconds()
            holds_on = not found.is_unusable and before is not None and now < before.usable_until
            entry = (
                _Entry(before.found, until, before.usable_until)
                if holds_on and before is not None
                else _Entry(found, until, 0.0)
            )
        self._known.put(asked.trusted, entry, asked.tenant, cost=_cost(asked.issuer, entry.found))
        return entry

    async def _fetch(self, asked: _Asked) -> ProviderMetadata:
        """Ask at each place until a document fits; otherwise the failure that says most."""
        failures: list[MetadataUnavailable | MetadataUnusable] = []
        for url in asked.places:
            try:
                return await self._document(url, asked)
            except MetadataNotAskedFor:
                raise
            except (MetadataUnavailable, MetadataUnusable) as error:
                failures.append(error)
        raise max(failures, key=_telling)

    async def _document(self, url: str, asked: _Asked) -> ProviderMetadata:
        body = await read_document(self._transport, url, tenant=asked.tenant, ca_bundle=asked.ca_bundle)
        return parse_provider_metadata(
            body,
            issuer=asked.issuer,
            allow_insecure_http=self._allow_insecure_http,
            may_be_of_many=asked.discovery_url is not None,
        )


async def read_document(transport: Transport, url: str, *, tenant: str, ca_bundle: str | None) -> bytes:
    """What stands at a place where a provider publishes something about itself: its metadata, its keys.

    Raises:
        MetadataUnavailable: it cannot be read now; MetadataNotAskedFor where the tenant has no room to ask.
        MetadataUnusable: nothing that may be read stands there; MetadataMissing for nothing at all.
    """
    try:
        reply = await transport.send(document_request(url), deadline=DEADLINE, tenant=tenant, ca_bundle=ca_bundle)
    except (UnusableReply, EgressDenied) as error:
        raise MetadataUnusable(f"{url}: {error}") from None
    except TooManyLookups as error:
        raise MetadataNotAskedFor(f"{url} was not asked for: {error}") from None
    except OAuth2Error as error:
        raise MetadataUnavailable(f"{url} cannot be read now: {error}") from None
    if reply.status == 429 or reply.status >= 500:
        raise MetadataUnavailable(f"{url} answered {reply.status}.")
    if reply.status != 200:
        raise MetadataMissing(f"{url} answered {reply.status}: there is no provider metadata.")
    return reply.body


class MetadataMissing(MetadataUnusable):
    """Nothing stands at one of the places; another may do."""


def _telling(failure: MetadataUnavailable | MetadataUnusable) -> int:
    """A document that does not fit says most. One that could not be read may be there; one that is missing is not."""
    if isinstance(failure, MetadataMissing):
        return 0
    return 1 if isinstance(failure, MetadataUnavailable) else 2


def _told(entry: _Entry) -> ProviderMetadata:
    if isinstance(entry.found, ProviderMetadata):
        return entry.found
    raise entry.found.error()


def _cost(issuer: str, found: ProviderMetadata | Failure) -> int:
    """About how many bytes it takes to keep, rather more."""
    said = len(found.text) if isinstance(found, Failure) else _PARSED_GROWTH * len(msgspec.json.encode(found))
    return _SMALLEST_ENTRY + len(issuer) + said
