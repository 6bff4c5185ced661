"""I/O: list and watch the metadata of our Secrets: of three types, and by a label those of others. Values never pass here."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from datasource.api.names import CREDENTIAL_SUFFIX, TOKEN_LABELS, Annotation, Role, SecretType
from datasource.api.objects import Metadata, PartialObject
from datasource.cluster.api_errors import ApiError, Expired, Forbidden, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.concurrency.backoff import Backoff, no_jitter
from datasource_operator.cache import Key
from datasource_operator.metrics import seconds_since
from datasource_operator.served_scopes import ServedScopes, Source
from datasource_operator.tasks import spawn

logger = structlog.get_logger(__name__)

_BACKOFF = Backoff(timedelta(seconds=1), timedelta(seconds=30), no_jitter)


@dataclass(frozen=True, slots=True)
class _Selectors:
    fields: str
    labels: str = ""


_SELECTORS = {
    Source.CREDENTIALS: _Selectors(f"type={SecretType.CREDENTIAL}"),
    Source.TOKENS: _Selectors(f"type={SecretType.TOKEN}"),
    # Whoever labels a Secret of one of our types changes nothing: its type shows it in the other watches.
    Source.OTHER_TOKENS: _Selectors(
        f"type!={SecretType.TOKEN},type!={SecretType.CREDENTIAL}",
        ",".join(f"{key}={value}" for key, value in TOKEN_LABELS.items()),
    ),
    Source.IMPORTS: _Selectors(f"type={SecretType.IMPORT}"),
}

WATCHED = tuple(_SELECTORS)
"""What is watched in each scope."""


class Mirror(Protocol):
    """What is kept of the Secrets that a watch shows, by the Datasources that they belong to."""

    def owner(self, metadata: Metadata) -> Key | None:
        """Whose a Secret was when it was last seen."""

    def store_secret(self, metadata: Metadata, *, has_usual_type: bool = True) -> Key | None:
        """Remember a Secret; returns whose it is, or was; None where nothing new was learnt."""

    def drop_secret(self, metadata: Metadata) -> Key | None:
        """Forget a Secret; returns whose it was."""

    def drop_secret_named(self, key: Key, name: str) -> None:
        """Forget a Secret that a full list no longer has."""

    def secret_names(self, source: Source) -> Iterator[tuple[Key, str]]:
        """Which Secrets are remembered that a watch shows."""


@dataclass(slots=True)
class SecretWatch:
    """Secrets of one kind in one namespace (None: all), mirrored into the cache; changes are told by key."""

    kube: Kube
    cache: Mirror
    namespace: str | None
    source: Source
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
                self.scopes.listed(self.namespace, self.source)
                failures = 0
                await self._watch(resource_version)
            except Expired:
                logger.info("watch expired, listing again", what=self.source)
            except (ApiError, Unavailable) as error:
                if isinstance(error, Forbidden | NotFound):
                    # An answer, and told as what it is: not the silence of an API server out of reach.
                    self.heard_at = self.monotonic()
                    self.scopes.refused(self.namespace, self.source, str(error))
                logger.warning(
                    "cannot watch Secrets",
                    what=self.source,
                    namespace=self.namespace or "*",
                    error=str(error),
                )
                await asyncio.sleep(_BACKOFF.pause(failures).total_seconds())
                failures += 1

    async def _list(self) -> str:
        # What was known before, by its hash: no second table of all names stands beside the cache.
        missing = {hash((key.namespace, name)) for key, name in self._known()}
        resource_version, selectors = "", _SELECTORS[self.source]
        async for page, resource_version in self.kube.metadata_pages(  # noqa: B007 - the last one counts
            SECRETS, self.namespace, field_selector=selectors.fields, label_selector=selectors.labels
        ):
            # Many pages may take longer than a watch may be silent.
            self.alive_at = self.heard_at = self.monotonic()
            for item in page:
                missing.discard(hash((item.metadata.namespace, item.metadata.name)))
                self._see(item)
        self._drop(missing)
        if int(resource_version) < self._newest and not self.history_went_back:
            self.history_went_back = True
            logger.error(
                "the API server shows less than it did before, as after a restore of etcd: a restart is asked for",
                what=self.source,
                seen=self._newest,
                shown=resource_version,
            )
        self._newest = max(self._newest, int(resource_version))
        return resource_version

    def _known(self) -> Iterator[tuple[Key, str]]:
        """The Secrets that the list is about, as far as they are known: whose, and their names."""
        known = self.cache.secret_names(self.source)
        return ((key, name) for key, name in known if self.namespace in {None, key.namespace})

    def _drop(self, missing: Collection[int]) -> None:
        """A watch that ended may have missed deletions."""
        if missing:
            for key, name in [(key, name) for key, name in self._known() if hash((key.namespace, name)) in missing]:
                self.cache.drop_secret_named(key, name)
                self.changed(key)

    async def _watch(self, resource_version: str) -> None:
        selectors = _SELECTORS[self.source]
        while True:
            async for event in self.kube.watch_metadata(
                SECRETS,
                self.namespace,
                field_selector=selectors.fields,
                label_selector=selectors.labels,
                resource_version=resource_version,
            ):
                self.alive_at = self.heard_at = self.monotonic()
                resource_version = event.object.metadata.resource_version
                self._newest = max(self._newest, int(resource_version))
                match event.type:
                    case "ADDED" | "MODIFIED":
                        self._see(event.object)
                    case "DELETED" if self._may_be_ours(event.object):
                        self._tell(self.cache.drop_secret(event.object.metadata))
                    case "DELETED" | "BOOKMARK":
                        pass

    def _may_be_ours(self, item: PartialObject) -> bool:
        """A type cannot be had without rights; a label can, and what it stands on may then say of itself what it likes."""
        metadata = item.metadata
        return self.source is not Source.OTHER_TOKENS or (
            metadata.annotations.get(Annotation.ROLE) == Role.TOKEN and not metadata.name.endswith(CREDENTIAL_SUFFIX)
        )

    def _see(self, item: PartialObject) -> None:
        """Store one. Whatever a tenant may write into it, all others are seen."""
        try:
            self._store(item)
        except Exception:
            where = f"{item.metadata.namespace}/{item.metadata.name}"
            logger.exception("a Secret is passed over: what it says of itself cannot be dealt with", secret=where)

    def _store(self, item: PartialObject) -> None:
        before = self.cache.owner(item.metadata)
        if not self._may_be_ours(item):
            # What it was before, it is no more.
            if before is not None:
                self.cache.drop_secret_named(before, item.metadata.name)
                self._tell(before)
            return
        now = self.cache.store_secret(item.metadata, has_usual_type=self.source is not Source.OTHER_TOKENS)
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
            spawn(f"watch of {each.source} in {each.namespace or 'all namespaces'}", each.run) for each in self.watches
        ]

    def alive_at(self) -> float:
        """When the stalest one last did anything, by the monotonic clock."""
        return min(watch.alive_at for watch in self.watches)

    def history_went_back(self) -> bool:
        """Whether one showed that the API server was restored to an earlier state."""
        return any(watch.history_went_back for watch in self.watches)

    def silent_for(self) -> dict[Source, float]:
        """For how many seconds the most silent one of each kind heard nothing."""
        silences: dict[Source, float] = {}
        for watch in self.watches:
            longest = silences.get(watch.source, 0.0)
            silences[watch.source] = max(seconds_since(watch.heard_at, self.monotonic), longest)
        return silences
