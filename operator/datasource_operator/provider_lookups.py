"""I/O: lookups of provider metadata beside the reconcile workers, so that no worker waits for a provider that a tenant names.

A reconciliation asks for the metadata of a provider. Where it is not known yet, the reconciliation goes on without it, and a
lookup starts. Once the lookup has ended, `looked` is called with the key, and the next reconciliation gets the result.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from datasource.api.spec import InvalidSpec, OAuth2, SpecProblem
from datasource.concurrency.fairness import FairBulkhead
from datasource.oauth2.errors import MetadataUnavailable
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.outbound.provider import provider_of
from datasource.providers.discovery import Discovery
from datasource.providers.metadata_lookup import look_up_metadata
from datasource_operator.cache import Key

logger = structlog.get_logger(__name__)

IN_ALL = 64
"""Lookups at one time. One takes 10 s at most where an issuer hangs: 5 s for each of two URLs."""

PER_NAMESPACE = 8
PER_PROVIDER = 8
RESERVED = 16
"""Lookups that are kept for namespaces that have none at this time."""


class LookupPending(Exception):
    """The metadata are not known yet. A lookup is under way or waits for its turn."""


class _About(NamedTuple):
    """The parameters that a lookup is for."""

    oauth2: OAuth2
    ca_bundle: str | None


class _Told(NamedTuple):
    """The result of a lookup."""

    about: _About
    found: ProviderMetadata | SpecProblem | None


@dataclass(slots=True)
class ProviderLookups:
    """Looks up the providers of Datasources, a few at a time for each namespace."""

    discovery: Discovery
    looked: Callable[[Key], None] = lambda _: None
    """Called with the key of each lookup that has a result."""
    _places: FairBulkhead[Key] = field(
        default_factory=lambda: FairBulkhead(IN_ALL, PER_NAMESPACE, PER_PROVIDER, RESERVED)
    )
    _wanted: dict[Key, _About] = field(default_factory=dict)
    _running: dict[Key, asyncio.Task[None]] = field(default_factory=dict)
    _told: dict[Key, _Told] = field(default_factory=dict)
    """Results that wait for the next reconciliation of their key, which comes at once."""

    async def metadata(self, key: Key, oauth2: OAuth2, ca_bundle: str | None) -> ProviderMetadata | None:
        """The metadata of a provider; None without an issuer, or where no endpoint depends on them. It does not wait.

        Raises:
            LookupPending: they are not known yet; `looked` is called when they are.
            MetadataUnavailable: an endpoint depends on it, and it could not be read a moment ago.
            InvalidSpec: an endpoint depends on it, and there is none that can be believed.
        """
        about = _About(oauth2, ca_bundle)
        told = self._told.pop(key, None)
        if told is not None and told.about == about:
            if isinstance(told.found, SpecProblem):
                raise told.found.error()
            return told.found
        whole = oauth2.expanded()
        issuer, place = whole.issuer, whole.discovery_url
        if not issuer or self.discovery.is_known(issuer, ca_bundle=ca_bundle, discovery_url=place):
            return await look_up_metadata(self.discovery, oauth2, tenant=key.namespace, ca_bundle=ca_bundle)
        self._wanted[key] = about
        self._places.submit(key, namespace=key.namespace, provider=provider_of(place or issuer))
        self._start_what_fits()
        raise LookupPending(issuer)

    @property
    def running(self) -> int:
        """The number of lookups under way."""
        return len(self._running)

    def forget(self, key: Key) -> None:
        """The Datasource is gone. A lookup that is under way ends by itself."""
        self._places.forget(key)
        self._wanted.pop(key, None)
        self._told.pop(key, None)

    async def stop(self) -> None:
        """Cancel what is under way, and forget all results. The next leader looks them up again."""
        self._places.forget_waiting()
        self._wanted.clear()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._told.clear()

    def _start_what_fits(self) -> None:
        for key in self._places.admit():
            about = self._wanted.pop(key)
            self._running[key] = asyncio.create_task(self._run(key, about), name=f"look up the provider of {key}")

    async def _run(self, key: Key, about: _About) -> None:
        try:
            await self._look_up(key, about)
        finally:
            del self._running[key]
            self._places.leave(key)
            if key in self._wanted:
                # Edited meanwhile: another provider, perhaps.
                whole = self._wanted[key].oauth2.expanded()
                asked = whole.discovery_url or whole.issuer or ""
                self._places.submit(key, namespace=key.namespace, provider=provider_of(asked))
            self._start_what_fits()

    async def _look_up(self, key: Key, about: _About) -> None:
        found: ProviderMetadata | SpecProblem | None
        try:
            found = await look_up_metadata(
                self.discovery, about.oauth2, tenant=key.namespace, ca_bundle=about.ca_bundle
            )
        except InvalidSpec as error:
            found = error.problem
        except MetadataUnavailable as error:
            # The link is offered all the same: whoever opens it is told, and a provider comes back.
            logger.info("a provider's metadata cannot be read now", datasource=str(key), error=str(error))
            return
        except Exception:
            logger.exception("a look at a provider failed", datasource=str(key))
            return
        if key not in self._wanted:
            self._told[key] = _Told(about, found)
        self.looked(key)
