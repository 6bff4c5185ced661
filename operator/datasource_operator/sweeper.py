"""I/O: take expired flow records away; the callback server may not list or delete."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from datasource.api.names import SecretType
from datasource.cluster.api_errors import ApiError, Conflict, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.records.flow import has_expired

logger = structlog.get_logger(__name__)

INTERVAL = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class FlowSweeper:
    """Sweeps the callback server's namespace."""

    kube: Kube
    namespace: str
    now: Callable[[], datetime]
    interval: timedelta = INTERVAL

    async def run(self) -> None:
        """Sweep now and then, for ever."""
        while True:
            try:
                await self.sweep()
            except (ApiError, Unavailable) as error:
                logger.warning("could not sweep flow records", namespace=self.namespace, error=str(error))
            await asyncio.sleep(self.interval.total_seconds())

    async def sweep(self) -> int:
        """Delete what has expired, unless somebody has taken the slot meanwhile; returns how many."""
        records, _ = await self.kube.list_metadata(SECRETS, self.namespace, field_selector=f"type={SecretType.FLOW}")
        swept = 0
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
            swept += 1
        return swept
