"""I/O: read how authorizations ended, and delete expired records. The callback server may not list or delete.

The records are Secrets that it leaves in our namespace: flow records, and sessions of people who signed in. Each has an expiry.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from datasource.api.names import SecretType
from datasource.cluster.api_errors import ApiError, Conflict, Forbidden, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.process.clock import utc_now
from datasource.process.settings import Settings
from datasource.records.flow import FailedFlow, failed_flow, has_expired

logger = structlog.get_logger(__name__)

INTERVAL = timedelta(seconds=15)
"""The shortest pause between two sweeps. It is short, so that the status soon shows why an authorization failed."""


PAUSE_FOR_WORK = 20
"""The pause is at least so many times as long as the sweep before it. So many records do not load the API server more."""


@dataclass(frozen=True, slots=True)
class FlowSweeper:
    """Sweeps the callback server's namespace."""

    kube: Kube
    namespace: str
    now: Callable[[], datetime]
    hear: Callable[[FailedFlow], None] = lambda _: None
    """Called with each authorization that failed, at each sweep while its record exists."""
    interval: timedelta = INTERVAL
    monotonic: Callable[[], float] = time.monotonic
    people_sign_in: bool = False

    async def run(self) -> None:
        """Sweep at intervals, for ever. Where people do not sign in, sessions are swept once: a few may be left from before."""
        is_first = True
        while True:
            began = self.monotonic()
            try:
                await self.sweep(sessions=is_first or self.people_sign_in)
                is_first = False
            except (ApiError, Unavailable) as error:
                logger.warning("could not sweep flow records", namespace=self.namespace, error=str(error))
            took = self.monotonic() - began
            await asyncio.sleep(max(self.interval.total_seconds(), took * PAUSE_FOR_WORK))

    async def sweep(self, *, sessions: bool = True) -> int:
        """Delete expired records, and return how many. A record whose slot was reused meanwhile stays."""
        kinds = (SecretType.FLOW, SecretType.SESSION) if sessions else (SecretType.FLOW,)
        return sum([await self._sweep(kind) for kind in kinds])

    async def _sweep(self, kind: SecretType) -> int:
        records, _ = await self.kube.list_metadata(SECRETS, self.namespace, field_selector=f"type={kind}")
        # All failures are reported before the first deletion, so that thousands of old records do not delay them.
        for record in records if kind is SecretType.FLOW else ():
            failed = failed_flow(record.metadata)
            if failed is not None:
                self.hear(failed)
        swept, refused = 0, list[Forbidden]()
        for record in records:
            metadata = record.metadata
            if not has_expired(metadata, self.now()):
                continue
            try:
                await self.kube.delete(
                    SECRETS, self.namespace, metadata.name, uid=metadata.uid, resource_version=metadata.resource_version
                )
            except (Conflict, NotFound):
                continue
            except Forbidden as error:
                # A policy may concern this record only, so the others are still deleted.
                refused.append(error)
                continue
            swept += 1
        if refused:
            about = {"namespace": self.namespace, "records": len(refused), "error": str(refused[0])}
            logger.warning("records that are over may not be deleted", **about)
        return swept


def sweeper_for(kube: Kube, settings: Settings, hear: Callable[[FailedFlow], None]) -> FlowSweeper:
    """The sweeper of this installation."""
    return FlowSweeper(kube, settings.system_namespace, utc_now, hear, people_sign_in=settings.sign_in is not None)
