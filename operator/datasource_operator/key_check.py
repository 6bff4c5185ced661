"""I/O: compares the cached Datasources with those that exist. A watch that starts again never shows deletions it missed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from datasource.api.objects import Metadata
from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import DATASOURCES
from datasource_operator.cache import Cache, Key
from datasource_operator.served_scopes import Scope, scope_name

logger = structlog.get_logger(__name__)

INTERVAL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """Drops from the cache what a full list no longer has."""

    kube: Kube
    cache: Cache
    scopes: tuple[Scope, ...]
    dropped: Callable[[Key], None]
    """Called with the key of each Datasource that is gone."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self) -> None:
        """Compare once an hour, for ever."""
        while True:
            await self.sleep(INTERVAL.total_seconds())
            for scope in self.scopes:
                try:
                    await self.drop_missed_deletions(scope)
                except (ApiError, Unavailable) as error:
                    logger.warning("could not compare keys", namespace=scope_name(scope), error=str(error))

    async def drop_missed_deletions(self, scope: Scope) -> None:
        """Forget Datasources that a full list of a scope no longer has."""
        suspects = {key for key in self.cache.datasource_keys() if scope in {None, key.namespace}}
        version = ""
        async for page, version in self.kube.metadata_pages(DATASOURCES, scope):  # noqa: B007 - the last one counts
            suspects -= {Key(item.metadata.namespace, item.metadata.name) for item in page}
        for key in suspects:
            # It may have been deleted before the list, and created again since.
            if self.cache.drop_datasource(key, Metadata(key.name, key.namespace, resource_version=version)):
                logger.info("missed a deletion", datasource=str(key))
                self.dropped(key)
