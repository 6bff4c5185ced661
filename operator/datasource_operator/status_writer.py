"""I/O: write the status of a Datasource where it differs from what should stand there, and tell of what is new."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import structlog

from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import Datasource, Status
from datasource.api.requests import requests_in
from datasource.cluster.api_errors import Invalid, NotFound
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.kube import Kube
from datasource.cluster.resources import DATASOURCES
from datasource_operator.cache import Cache, Key, trimmed
from datasource_operator.decisions.observed import Finding, Observed
from datasource_operator.decisions.status import (
    Surface,
    dropped_fields,
    essential_status,
    status_patch,
    wanted_status,
    without,
)

logger = structlog.get_logger(__name__)

UNKNOWN_FOR = timedelta(minutes=10)
"""For how long a field is left out that the API server dropped: somebody may have updated the CRD since."""


class Announce(Protocol):
    """Tells of a new state or reason."""

    async def __call__(self, seen: Observed, finding: Finding, *, seconds: float) -> None:
        """`seconds` is what it took to find and write it."""


@dataclass(slots=True)
class StatusWriter:
    """Writes what a reconciliation found."""

    kube: Kube
    cache: Cache
    surface: Surface
    announce: Announce
    monotonic: Callable[[], float] = time.monotonic
    _unknown: dict[str, float] = field(default_factory=dict)
    """Fields that the API server does not know, and until when (monotonic) we believe that: its CRD is older than we are."""

    async def write(self, key: Key, seen: Observed, finding: Finding, began: float) -> None:
        """Write the status for a finding; `began` is when (monotonic) the reconciliation began.

        Raises:
            Stale: what the status rests on changed meanwhile; decide again.
            Invalid: the API server refused the status; what it said stands in the conditions.
            ApiError, Unavailable: it is not written; come again later.
        """
        wanted = wanted_status(seen, finding, self.surface)
        patch = self._patch(seen.status, wanted)
        if patch is None:
            return
        try:
            written = await self._send(key, patch)
        except NotFound:
            return
        except Invalid as error:
            await self._write_essentials(key, seen, wanted, error)
            raise
        await self.announce(seen, finding, seconds=self.monotonic() - began)
        self._remember(dropped_fields(patch, written.status))
        # The answer shows the object as this very write left it: what differs from the patch is the API server's doing.
        rest = without(self._patch(written.status, wanted), patch)
        if rest or _has_moved_on(written, seen):
            # The watch will show us the version that we have just stored, and that is nothing new to the cache.
            raise Stale("the Datasource changed while its status was written")

    async def _write_essentials(self, key: Key, seen: Observed, wanted: Status, refused: Invalid) -> None:
        """A status that cannot be written whole still says what holds, and that the rest was refused."""
        logger.error("the API server refused a status", datasource=str(key), error=refused.message)
        patch = self._patch(seen.status, essential_status(seen.status, wanted, refused.message))
        if patch is not None:
            await self._send(key, patch)

    async def _send(self, key: Key, patch: dict[str, Any]) -> Datasource:
        written = await self.kube.merge_patch(
            DATASOURCES,
            key.namespace,
            key.name,
            patch,
            Datasource,
            manager=FIELD_MANAGER,
            subresource="status",
        )
        self.cache.store_datasource(trimmed(written))
        return written

    def _patch(self, current: Status, wanted: Status) -> dict[str, Any] | None:
        now = self.monotonic()
        unknown = frozenset(field for field, until in self._unknown.items() if until > now)
        return status_patch(current, wanted, unknown=unknown)

    def _remember(self, dropped: frozenset[str]) -> None:
        if not dropped:
            return
        logger.error(
            "the API server does not know fields of the status: its CRD is older than this operator, update the CRD",
            fields=sorted(dropped),
        )
        until = self.monotonic() + UNKNOWN_FOR.total_seconds()
        self._unknown.update(dict.fromkeys(dropped, until))


def _has_moved_on(written: Datasource, seen: Observed) -> bool:
    """Whether somebody changed what the status rests on before it was written: what the answer shows is newer."""
    metadata = written.metadata
    return (metadata.uid, metadata.generation) != (seen.uid, seen.generation) or (
        requests_in(metadata.annotations) != seen.requests or metadata.deletion_timestamp is not None
    )
