"""I/O: id_tokens verified with the keys of the configured issuer, which are fetched from where its metadata says, and kept."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from datasource.concurrency.fair_cache import FairCache
from datasource.oauth2.errors import MetadataNotAskedFor, MetadataUnavailable, MetadataUnusable
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.oauth2.signature import UnknownKey, VerificationKey, parse_key_set, verified_claims
from datasource.providers.discovery import Discovery, Failure, Trusted, read_document
from datasource.providers.transport import Transport

logger = structlog.get_logger(__name__)

LIFETIME = timedelta(hours=1)
LONGEST_GRACE = timedelta(days=1)
"""How long keys are used after they ran out, while their provider cannot be reached."""

REFETCH_PAUSE = timedelta(minutes=1)
"""How soon keys are fetched again, whatever an id_token names: a stranger's tokens must not make us storm a provider."""

KEPT_IN_ALL = 16 * 2**20
"""Bytes that key sets take at most; a usual one is counted for 14 KiB."""

KEPT_PER_NAMESPACE = 2**20

_KEY_COST = 4096
_SMALLEST_ENTRY = 2048

KEYS_UNAVAILABLE = Failure("The provider's keys cannot be read now.", is_unusable=False)


@dataclass(frozen=True, slots=True)
class _Place:
    """Whose keys, by which certificate authorities, and on whose behalf they are asked for."""

    issuer: str
    ca_bundle: str | None
    tenant: str
    discovery_url: str | None

    @property
    def trusted(self) -> Trusted:
        return Trusted.by(self.issuer, self.ca_bundle, self.discovery_url)


@dataclass(slots=True)
class _Kept:
    """What is known of an issuer's keys; times by the monotonic clock."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keys: tuple[VerificationKey, ...] | None = None
    fetched_at: float = float("-inf")
    asked_at: float = float("-inf")
    failure: Failure | None = None


class IdTokenVerifier:
    """Verifies signatures; nothing but `Discovery` says where an issuer's keys are."""

    def __init__(self, transport: Transport, discovery: Discovery, monotonic: Callable[[], float]) -> None:
        self._transport = transport
        self._discovery = discovery
        self._monotonic = monotonic
        self._kept: FairCache[Trusted, _Kept] = FairCache(KEPT_IN_ALL, KEPT_PER_NAMESPACE)

    async def prepare(
        self, issuer: str, *, tenant: str, ca_bundle: str | None = None, discovery_url: str | None = None
    ) -> None:
        """Have the keys at hand: a code must not be spent on an id_token that nobody can verify.

        Raises:
            MetadataUnavailable: they cannot be read now.
            MetadataUnusable: the issuer publishes none that can be used.
        """
        place = _Place(issuer, ca_bundle, tenant, discovery_url)
        await self._keys(place, await self._metadata(place))

    async def claims(
        self,
        id_token: str,
        issuer: str,
        *,
        tenant: str,
        ca_bundle: str | None = None,
        discovery_url: str | None = None,
        is_asked_once: bool = False,
    ) -> Mapping[str, Any]:
        """The claims of an id_token that the issuer signed; what they say is not looked at.

        Args:
            id_token: as the token endpoint sent it.
            issuer: the configured one.
            tenant: on whose behalf keys are fetched.
            ca_bundle: by which its server is trusted beside the system's authorities.
            discovery_url: where its metadata stands, if not where the issuer says.
            is_asked_once: whether a code was spent for it. Then newer keys are fetched whenever the last were: no other
                id_token comes in its place.

        Raises:
            IdentityMismatch: it is not signed by the issuer.
            MetadataUnavailable, MetadataUnusable: there are no keys to tell by.
        """
        place = _Place(issuer, ca_bundle, tenant, discovery_url)
        metadata = await self._metadata(place)
        supported = metadata.id_token_signing_alg_values_supported
        keys = await self._keys(place, metadata)
        try:
            return verified_claims(id_token, keys, supported=supported)
        except UnknownKey:
            # Rotated since (OIDC Core section 10.1.1).
            newer = await self._keys(place, metadata, older_than=keys, at_once=is_asked_once)
            return verified_claims(id_token, newer, supported=supported)

    async def _metadata(self, place: _Place) -> ProviderMetadata:
        return await self._discovery.metadata(
            place.issuer, tenant=place.tenant, ca_bundle=place.ca_bundle, discovery_url=place.discovery_url
        )

    async def _keys(
        self,
        place: _Place,
        metadata: ProviderMetadata,
        *,
        older_than: tuple[VerificationKey, ...] | None = None,
        at_once: bool = False,
    ) -> tuple[VerificationKey, ...]:
        kept = self._kept.get(place.trusted, place.tenant)
        if kept is None:
            kept = _Kept()
            self._keep(place, kept)
        # One request for all who wait.
        async with kept.lock:
            if self._is_due(kept, older_than, at_once):
                await self._fetch(kept, place, metadata)
                self._keep(place, kept)
        if kept.keys is not None and self._monotonic() < kept.fetched_at + (LIFETIME + LONGEST_GRACE).total_seconds():
            return kept.keys
        raise (kept.failure or KEYS_UNAVAILABLE).error()

    def _is_due(self, kept: _Kept, older_than: tuple[VerificationKey, ...] | None, at_once: bool) -> bool:
        now = self._monotonic()
        if now < kept.asked_at + REFETCH_PAUSE.total_seconds() and not (at_once and kept.keys is older_than):
            return False
        is_old = now >= kept.fetched_at + LIFETIME.total_seconds()
        return kept.keys is None or is_old or kept.keys is older_than

    def _keep(self, place: _Place, kept: _Kept) -> None:
        failure = 0 if kept.failure is None else len(kept.failure.text)
        cost = _SMALLEST_ENTRY + len(place.issuer) + _KEY_COST * len(kept.keys or ()) + failure
        self._kept.put(place.trusted, kept, place.tenant, cost=cost)

    async def _fetch(self, kept: _Kept, place: _Place, metadata: ProviderMetadata) -> None:
        asked_before, kept.asked_at = kept.asked_at, self._monotonic()
        try:
            kept.keys = await self._fetch_keys(metadata, place)
        except MetadataNotAskedFor:
            kept.asked_at = asked_before
            raise
        except (MetadataUnavailable, MetadataUnusable) as error:
            logger.warning("no keys of an issuer", namespace=place.tenant, issuer=place.issuer, error=str(error))
            kept.failure = Failure.of(error)
        else:
            kept.fetched_at, kept.failure = kept.asked_at, None

    async def _fetch_keys(self, metadata: ProviderMetadata, place: _Place) -> tuple[VerificationKey, ...]:
        uri = metadata.jwks_uri
        if uri is None:
            raise MetadataUnusable("The provider's metadata has no jwks_uri, so id_tokens cannot be verified.")
        return parse_key_set(await read_document(self._transport, uri, tenant=place.tenant, ca_bundle=place.ca_bundle))
