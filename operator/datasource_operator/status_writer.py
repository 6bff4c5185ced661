"""I/O: write the status of a Datasource where it differs from the wanted one, and record Events about what is new."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

import structlog

from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import Datasource, Status
from datasource.api.requests import requests_in
from datasource.api.states import GRANT_EXPIRING
from datasource.cluster.api_errors import ApiError, Invalid, NotFound
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.kube import Kube
from datasource.cluster.resources import DATASOURCES
from datasource.process.audit import AuditLog
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.audit import audit_lines
from datasource_operator.decisions.observed import Finding, Observed
from datasource_operator.decisions.rivals import LEAVE_IT_FOR, Rivals, another_installation
from datasource_operator.decisions.status import (
    StatusSettings,
    brought_nearer,
    dropped_fields,
    essential_status,
    refused_import,
    status_patch,
    wanted_status,
    without,
)
from datasource_operator.trimming import trimmed

logger = structlog.get_logger(__name__)

REFUSED_FOR = timedelta(minutes=10)
"""How long a status that the API server refused is not sent again for the same generation. Its essentials are sent."""

ANOTHER_INSTALLATION = "AnotherInstallation"
"""The reason of the Event."""

AUTHORIZATION_FAILED = "AuthorizationFailed"
"""The reason of the Event."""

IMPORT_REFUSED = "ImportRefused"
"""The reason of the Event."""

UNKNOWN_FOR = timedelta(minutes=10)
"""How long a field is left out that the API server dropped. Then it is tried again: the CRD may have been updated."""


class Announce(Protocol):
    """Announces a new state or reason."""

    async def __call__(self, seen: Observed, finding: Finding, *, seconds: float) -> None:
        """Announce it. `seconds` is how long it took to find and write it."""


class Warn(Protocol):
    """Records a warning about a Datasource that is not about its state."""

    async def __call__(self, key: Key, *, reason: str, action: str, note: str) -> None:
        """Record an Event. Where it cannot be written, the log says so."""


async def _warn_nobody(key: Key, *, reason: str, action: str, note: str) -> None:
    """For a writer that records no Events."""


class _Refused(NamedTuple):
    """A status that the API server refused, and until when (monotonic) it is not sent again."""

    generation: int
    until: float
    words: str


@dataclass(slots=True)
class StatusWriter:
    """Writes what a reconciliation found."""

    kube: Kube
    cache: Cache
    status_settings: StatusSettings
    announce: Announce
    monotonic: Callable[[], float] = time.monotonic
    warn: Warn = _warn_nobody
    come_again: Callable[[Key, timedelta], None] = lambda _, __: None
    """Called where a status was not written, with the time after which to reconcile again at the latest."""
    audit: AuditLog = field(default_factory=lambda: AuditLog(is_wanted=False))
    rivals: Rivals[Key] = field(init=False)
    _refused: dict[Key, _Refused] = field(default_factory=dict)
    _unknown: dict[str, float] = field(default_factory=dict)
    """Fields that an older CRD does not have, and until when (monotonic) they are left out."""

    def __post_init__(self) -> None:
        self.rivals = Rivals(self.monotonic)

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        self.rivals.forget(key)
        self._refused.pop(key, None)

    async def write(self, key: Key, seen: Observed, finding: Finding, began: float) -> None:
        """Write the status for a finding; `began` is when (monotonic) the reconciliation began.

        Raises:
            Stale: what the status depends on changed meanwhile; decide again.
            ApiError, Unavailable: the status is not written; try again later.
        """
        wanted = wanted_status(seen, finding, self.status_settings)
        patch = self._patch(seen.status, wanted)
        if patch is None:
            return
        if self.rivals.is_left_to_another(key, seen.status):
            await self._tell_of_another(key, seen, wanted)
            return
        for line in audit_lines(seen, wanted, self.status_settings.link_keys()):
            self.audit.tell(line)
        refused = self._refused.get(key)
        if refused is not None and refused.generation == seen.generation and self.monotonic() < refused.until:
            await self._write_essentials(key, seen, wanted, refused.words)
            return
        try:
            written = await self._send(key, patch)
        except NotFound:
            return
        except ApiError as error:
            if not _is_about_what_was_sent(error):
                raise
            logger.error("the API server refused a status", datasource=str(key), error=error.message)
            until = self.monotonic() + REFUSED_FOR.total_seconds()
            self._refused[key] = _Refused(seen.generation, until, error.message)
            self.come_again(key, REFUSED_FOR)
            await self._write_essentials(key, seen, wanted, error.message)
            return
        self._refused.pop(key, None)
        await self.announce(seen, finding, seconds=self.monotonic() - began)
        failure = wanted.last_authorization
        if failure is not None and failure.has_failed and "lastAuthorization" in patch["status"]:
            await self.warn(key, reason=AUTHORIZATION_FAILED, action="Authorize", note=failure.message)
        nearer = brought_nearer(seen.status, wanted)
        if nearer is not None:
            await self.warn(key, reason=GRANT_EXPIRING, action="Authorize", note=nearer)
        refused_token = refused_import(seen.status, wanted)
        if refused_token is not None:
            await self.warn(key, reason=IMPORT_REFUSED, action="Import", note=refused_token)
        self._remember(dropped_fields(patch, written.status))
        # The answer is the object right after this write. A field of the patch that differs was changed by the API server.
        # Any other difference from the wanted status shows that another process wrote meanwhile.
        rest = without(self._patch(written.status, wanted), patch)
        if rest or _has_moved_on(written, seen):
            # The watch will show a version that the cache has already. So it would trigger no reconciliation.
            raise Stale("the Datasource changed while its status was written")

    async def _write_essentials(self, key: Key, seen: Observed, wanted: Status, words: str) -> None:
        """Write only the essentials of a status, with a note that the API server refused the rest."""
        patch = self._patch(seen.status, essential_status(seen.status, wanted, words))
        if patch is None:
            return
        try:
            await self._send(key, patch)
        except ApiError as error:
            if not _is_about_what_was_sent(error):
                raise
            # The same would be refused again, so there is no retry. The next reconciliation tries again.
            logger.error("the API server refuses even a short status", datasource=str(key), error=error.message)

    async def _tell_of_another(self, key: Key, seen: Observed, wanted: Status) -> None:
        """Report that a status is left to another installation, once for each time."""
        if not self.rivals.is_news(key):
            return
        logger.error(
            "another installation writes this status, too: it is left to that one",
            datasource=str(key),
            theirs=seen.status.redirect_uri,
            ours=wanted.redirect_uri,
        )
        self.come_again(key, LEAVE_IT_FOR)
        note = another_installation(key.namespace, seen.status, wanted)
        await self.warn(key, reason=ANOTHER_INSTALLATION, action="WriteStatus", note=note)

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
        self.rivals.wrote(key, written.status)
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


def _is_about_what_was_sent(error: ApiError) -> bool:
    """Whether the API server would refuse the same status again. 413: it is too large for the API server or its storage."""
    return isinstance(error, Invalid) or error.status == 413


def _has_moved_on(written: Datasource, seen: Observed) -> bool:
    """Whether the Datasource in the answer is newer than the observed one: another spec or request, or a deletion."""
    metadata = written.metadata
    return (metadata.uid, metadata.generation) != (seen.uid, seen.generation) or (
        requests_in(metadata.annotations) != seen.requests or metadata.deletion_timestamp is not None
    )
