"""I/O: id_tokens verified with the keys of the configured issuer, which are fetched from where its metadata says, and kept."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import structlog

from datasource.oauth2.errors import MetadataNotAskedFor, MetadataUnavailable, MetadataUnusable
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.oauth2.signature import UnknownKey, VerificationKey, parse_key_set, verified_claims
from datasource.providers.discovery import Discovery, Failure, read_document
from datasource.providers.transport import Transport

logger = structlog.get_logger(__name__)

LIFETIME = timedelta(hours=1)
LONGEST_GRACE = timedelta(days=1)
"""How long keys are used after they ran out, while their provider cannot be reached."""

REFETCH_PAUSE = timedelta(minutes=1)
"""How soon keys are fetched again, whatever an id_token names: a stranger's tokens must not make us storm a provider."""

MOST_ISSUERS = 1024

KEYS_UNAVAILABLE = Failure("The provider's keys cannot be read now.", is_unusable=False)


class _Place(NamedTuple):
    """Whose keys, and by which certificate authorities: what one tenant trusts is no word for another."""

    issuer: str
    ca_bundle: str | None


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
        self._kept: OrderedDict[_Place, _Kept] = OrderedDict()

    async def prepare(self, issuer: str, *, tenant: str, ca_bundle: str | None = None) -> None:
        """Have the keys at hand: a code must not be spent on an id_token that nobody can verify.

        Raises:
            MetadataUnavailable: they cannot be read now.
            MetadataUnusable: the issuer publishes none that can be used.
        """
        metadata = await self._discovery.metadata(issuer, tenant=tenant, ca_bundle=ca_bundle)
        await self._keys(_Place(issuer, ca_bundle), metadata, tenant)

    async def claims(
        self, id_token: str, issuer: str, *, tenant: str, ca_bundle: str | None = None
    ) -> Mapping[str, Any]:
        """The claims of an id_token that the issuer signed; what they say is not looked at.

        Raises:
            IdentityMismatch: it is not signed by the issuer.
            MetadataUnavailable, MetadataUnusable: there are no keys to tell by.
        """
        place = _Place(issuer, ca_bundle)
        metadata = await self._discovery.metadata(issuer, tenant=tenant, ca_bundle=ca_bundle)
        supported = metadata.id_token_signing_alg_values_supported
        keys = await self._keys(place, metadata, tenant)
        try:
            return verified_claims(id_token, keys, supported=supported)
        except UnknownKey:
            # Rotated since (OIDC Core section 10.1.1).
            newer = await self._keys(place, metadata, tenant, older_than=keys)
            return verified_claims(id_token, newer, supported=supported)

    async def _keys(
        self,
        place: _Place,
        metadata: ProviderMetadata,
        tenant: str,
        *,
        older_than: tuple[VerificationKey, ...] | None = None,
    ) -> tuple[VerificationKey, ...]:
        kept = self._kept.setdefault(place, _Kept())
        self._kept.move_to_end(place)
        while len(self._kept) > MOST_ISSUERS:
            self._kept.popitem(last=False)
        # One request for all who wait.
        async with kept.lock:
            if self._is_due(kept, older_than):
                await self._fetch(kept, place, metadata, tenant)
        if kept.keys is not None and self._monotonic() < kept.fetched_at + (LIFETIME + LONGEST_GRACE).total_seconds():
            return kept.keys
        raise (kept.failure or KEYS_UNAVAILABLE).error()

    def _is_due(self, kept: _Kept, older_than: tuple[VerificationKey, ...] | None) -> bool:
        now = self._monotonic()
        if now < kept.asked_at + REFETCH_PAUSE.total_seconds():
            return False
        is_old = now >= kept.fetched_at + LIFETIME.total_seconds()
        return kept.keys is None or is_old or kept.keys is older_than

    async def _fetch(self, kept: _Kept, place: _Place, metadata: ProviderMetadata, tenant: str) -> None:
        asked_before, kept.asked_at = kept.asked_at, self._monotonic()
        try:
            kept.keys = await self._fetch_keys(metadata, place.ca_bundle, tenant)
        except MetadataNotAskedFor:
            kept.asked_at = asked_before
            raise
        except (MetadataUnavailable, MetadataUnusable) as error:
            logger.warning("no keys of an issuer", issuer=place.issuer, error=str(error))
            kept.failure = Failure.of(error)
        else:
            kept.fetched_at, kept.failure = kept.asked_at, None

    async def _fetch_keys(
        self, metadata: ProviderMetadata, ca_bundle: str | None, tenant: str
    ) -> tuple[VerificationKey, ...]:
        uri = metadata.jwks_uri
        if uri is None:
            raise MetadataUnusable("The provider's metadata has no jwks_uri, so id_tokens cannot be verified.")
        return parse_key_set(await read_document(self._transport, uri, tenant=tenant, ca_bundle=ca_bundle))
