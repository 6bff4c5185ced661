"""I/O: list and watch the metadata of our two Secret types; token values never pass here."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from datasource.api.names import Role, SecretType
from datasource.api.objects import PartialObject
from datasource.cluster.api_errors import ApiError, Expired, Forbidden, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.concurrency.backoff import Backoff, no_jitter
from datasource_operator.cache import Cache, Key
from datasource_operator.metrics import seconds_since
from datasource_operator.served_scopes import ServedScopes, Source
from datasource_operator.tasks import spawn

logger = structlog.get_logger(__name__)

_BACKOFF = Backoff(timedelta(seconds=1), timedelta(seconds=30), no_jitter)

_ROLES = {SecretType.CREDENTIAL: Role.CREDENTIAL, SecretType.TOKEN: Role.TOKEN}
_SOURCES = {SecretType.CREDENTIAL: Source.CREDENTIALS, SecretType.TOKEN: Source.TOKENS}


@dataclass(slots=True)
class SecretWatch:
    """One Secret type in one namespace (None: all), mirrored into the cache; changes are told by key."""

    kube: Kube
    cache: Cache
    namespace: str | None
    secret_type: SecretType
    changed: Callable[[Key], None]
    scopes: ServedScopes
    monotonic: Callable[[], float] = time.monotonic
    alive_at: float = field(init=False)
    """When this loop last did anything (monotonic): read a list, heard an event or a bookmark, or failed."""

    heard_at: float = field(init=False)
    """When it last heard of the API server (monotonic): a list, an event, a bookmark."""

    history_went_back: bool = False
    """Whether a list was older than what was seen before it, as after a restore of etcd: the cache would pass over all that is
    written from now on, until versions have caught up. A restart begins with an empty one."""

    _newest: int = 0
    """The newest resourceVersion that was seen."""

    def __post_init__(self) -> None:
        self.alive_at = self.heard_at = self.monotonic()

    async def run(self) -> None:
        """List, then watch, for ever; after any failure list again."""
        failures = 0
        while True:
            self.alive_at = self.monotonic()
            try:
                resource_version = await self._list()
                self.scopes.listed(self.namespace, _SOURCES[self.secret_type])
                failures = 0
                await self._watch(resource_version)
            except Expired:
                logger.info("watch expired, listing again", secret_type=self.secret_type)
            except (ApiError, Unavailable) as error:
                if isinstance(error, Forbidden | NotFound):
                    # An answer, and told as what it is: not the silence of an API server out of reach.
                    self.heard_at = self.monotonic()
                    self.scopes.refused(self.namespace, _SOURCES[self.secret_type], str(error))
                logger.warning(
                    "cannot watch Secrets",
                    secret_type=self.secret_type,
                    namespace=self.namespace or "*",
                    error=str(error),
                )
                await asyncio.sleep(_BACKOFF.pause(failures).total_seconds())
                failures += 1

    async def _list(self) -> str:
        present, resource_version = set(), ""
        async for page, resource_version in self.kube.metadata_pages(  # noqa: B007 - the last one counts
            SECRETS, self.namespace, field_selector=f"type={self.secret_type}"
        ):
            # Many pages may take longer than a watch may be silent.
            self.alive_at = self.heard_at = self.monotonic()
            for item in page:
                present.add((item.metadata.namespace, item.metadata.name))
                self._store(item)
        self._drop_all_but(present)
        if int(resource_version) < self._newest and not self.history_went_back:
            self.history_went_back = True
            logger.error(
                "the API server shows less than it did before, as after a restore of etcd: a restart is asked for",
                secret_type=self.secret_type,
                seen=self._newest,
                shown=resource_version,
            )
        self._newest = max(self._newest, int(resource_version))
        return resource_version

    def _drop_all_but(self, present: set[tuple[str, str]]) -> None:
        """A watch that ended may have missed deletions."""
        for key, names in self.cache.secret_names().items():
            if self.namespace is not None and key.namespace != self.namespace:
                continue
            for name in names.get(_ROLES[self.secret_type], ()):
                if (key.namespace, name) not in present:
                    self.cache.drop_secret_named(key, name)
                    self.changed(key)

    async def _watch(self, resource_version: str) -> None:
        while True:
            async for event in self.kube.watch_metadata(
                SECRETS, self.namespace, field_selector=f"type={self.secret_type}", resource_version=resource_version
            ):
                self.alive_at = self.heard_at = self.monotonic()
                resource_version = event.object.metadata.resource_version
                self._newest = max(self._newest, int(resource_version))
                match event.type:
                    case "ADDED" | "MODIFIED":
                        self._store(event.object)
                    case "DELETED":
                        self._tell(self.cache.drop_secret(event.object.metadata))
                    case "BOOKMARK":
                        pass

    def _store(self, item: PartialObject) -> None:
        before = self.cache.owner(item.metadata)
        now = self.cache.store_secret(item.metadata)
        self._tell(now)
        if now is not None and before != now:
            self._tell(before)

    def _tell(self, key: Key | None) -> None:
        if key is not None:
            self.changed(key)


@dataclass(slots=True)
class SecretWatches:
    """The watches of all scopes, and what can be told of them together."""

    watches: list[SecretWatch]
    monotonic: Callable[[], float]

    def start(self) -> list[asyncio.Task[None]]:
        """Start them all."""
        return [
            spawn(f"watch of {each.secret_type} in {each.namespace or 'all namespaces'}", each.run)
            for each in self.watches
        ]

    def alive_at(self) -> float:
        """When the stalest one last did anything, by the monotonic clock."""
        return min(watch.alive_at for watch in self.watches)

    def history_went_back(self) -> bool:
        """Whether one showed that the API server was restored to an earlier state."""
        return any(watch.history_went_back for watch in self.watches)

    def silent_for(self) -> dict[SecretType, float]:
        """For how many seconds the most silent one of each type heard nothing."""
        silences: dict[SecretType, float] = {}
        for watch in self.watches:
            longest = silences.get(watch.secret_type, 0.0)
            silences[watch.secret_type] = max(seconds_since(watch.heard_at, self.monotonic), longest)
        return silences
