"""I/O: list and watch the metadata of our Secrets. Values are never read here.

Three types of Secrets are ours. A token Secret of another type is found by a label.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

import structlog

from datasource.api.names import CREDENTIAL_SUFFIX, TOKEN_LABELS, Annotation, Role, SecretType
from datasource.api.objects import Metadata, PartialObject
from datasource.cluster.answers import WatchEvent
from datasource.cluster.api_errors import ApiError, Expired, Forbidden, NotFound, Unavailable
from datasource.cluster.resources import SECRETS
from datasource.cluster.streaming_lists import CutShort, Selection, StreamingLists
from datasource.concurrency.backoff import Backoff, no_jitter
from datasource_operator.cache import Key
from datasource_operator.metrics import seconds_since
from datasource_operator.served_scopes import ServedScopes, Source
from datasource_operator.tasks import spawn

logger = structlog.get_logger(__name__)

_BACKOFF = Backoff(timedelta(seconds=1), timedelta(seconds=30), no_jitter)


_SELECTIONS = {
    Source.CREDENTIALS: Selection(SECRETS, None, f"type={SecretType.CREDENTIAL}"),
    Source.TOKENS: Selection(SECRETS, None, f"type={SecretType.TOKEN}"),
    # Token and credential Secrets are left out here, also with this label: the watches of their types show them.
    Source.OTHER_TOKENS: Selection(
        SECRETS,
        None,
        f"type!={SecretType.TOKEN},type!={SecretType.CREDENTIAL}",
        ",".join(f"{key}={value}" for key, value in TOKEN_LABELS.items()),
    ),
    Source.IMPORTS: Selection(SECRETS, None, f"type={SecretType.IMPORT}"),
}

WATCHED = tuple(_SELECTIONS)
"""The kinds of Secrets that are watched in each scope."""


class Mirror(Protocol):
    """Keeps the Secrets that a watch shows, by the Datasource that each belongs to."""

    def owner(self, metadata: Metadata) -> Key | None:
        """The Datasource that a Secret belonged to when it was last seen."""

    def store_secret(self, metadata: Metadata, *, has_usual_type: bool = True) -> Key | None:
        """Remember a Secret. Returns the Datasource that it belongs or belonged to; None where nothing is new."""

    def drop_secret(self, metadata: Metadata) -> Key | None:
        """Forget a Secret. Returns the Datasource that it belonged to."""

    def drop_secret_named(self, key: Key, name: str) -> None:
        """Forget a Secret that a full list no longer has."""

    def secret_names(self, source: Source) -> Iterator[tuple[Key, str]]:
        """The remembered Secrets of a source: the Datasource and the name of each."""


@dataclass(slots=True)
class SecretWatch:
    """Copies the metadata of one kind of Secret in one namespace (None: all) to the cache. Calls `changed` for each change."""

    lists: StreamingLists
    cache: Mirror
    namespace: str | None
    source: Source
    changed: Callable[[Key], None]
    scopes: ServedScopes
    monotonic: Callable[[], float] = time.monotonic
    alive_at: float = field(init=False)
    """When this loop last did anything (monotonic): read a list, heard an event or a bookmark, or failed."""

    heard_at: float = field(init=False)
    """When the API server last answered (monotonic): with a list, an event, a bookmark or a refusal."""

    history_went_back: bool = False
    """Whether a list was older than what was seen before, as after a restore of etcd.

    The cache then ignores new versions until they are higher than those before the restore. After a restart it is empty.
    """

    _newest: int = 0
    """The newest resourceVersion that was seen."""

    def __post_init__(self) -> None:
        self.alive_at = self.heard_at = self.monotonic()

    async def run(self) -> None:
        """List, then watch, for ever; after any failure list again."""
        failures, in_pages = 0, False
        while True:
            self.alive_at = self.monotonic()
            try:
                resource_version = await self._list(in_pages=in_pages)
                self.scopes.listed(self.namespace, self.source)
                failures, in_pages = 0, False
                await self._watch(resource_version)
            except CutShort as error:
                logger.info(
                    "a list was cut short, reading it in pages",
                    what=self.source,
                    namespace=self.namespace or "*",
                    error=str(error),
                )
                in_pages = True
            except Expired:
                logger.info("watch expired, listing again", what=self.source)
            except (ApiError, Unavailable) as error:
                if isinstance(error, Forbidden | NotFound):
                    # A refusal is an answer, so the API server does not count as silent.
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

    async def _list(self, *, in_pages: bool = False) -> str:
        # Hashes of the Secrets that were known before. A second table of all names would take more memory.
        missing = {hash((key.namespace, name)) for key, name in self._known()}
        resource_version = ""
        async with aclosing(self.lists.events(self._selection, in_pages=in_pages)) as events:
            async for event in events:
                # A list may take longer than a watch may be silent before it counts as stalled.
                self.alive_at = self.heard_at = self.monotonic()
                metadata = event.object.metadata
                if event.ends_list:
                    resource_version = metadata.resource_version
                elif event.type != "DELETED":
                    missing.discard(hash((metadata.namespace, metadata.name)))
                self._take(event)
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

    @property
    def _selection(self) -> Selection:
        return replace(_SELECTIONS[self.source], namespace=self.namespace)

    def _known(self) -> Iterator[tuple[Key, str]]:
        """The known Secrets of this source and namespace: the Datasource and the name of each."""
        known = self.cache.secret_names(self.source)
        return ((key, name) for key, name in known if self.namespace in {None, key.namespace})

    def _drop(self, missing: Collection[int]) -> None:
        """Forget Secrets that a list no longer has. A watch that ended may have missed their deletion."""
        if missing:
            for key, name in [(key, name) for key, name in self._known() if hash((key.namespace, name)) in missing]:
                self.cache.drop_secret_named(key, name)
                self.changed(key)

    async def _watch(self, resource_version: str) -> None:
        selection = self._selection
        while True:
            async for event in self.lists.kube.watch_metadata(
                selection.resource,
                selection.namespace,
                field_selector=selection.fields,
                label_selector=selection.labels,
                resource_version=resource_version,
            ):
                self.alive_at = self.heard_at = self.monotonic()
                resource_version = event.object.metadata.resource_version
                self._newest = max(self._newest, int(resource_version))
                self._take(event)

    def _take(self, event: WatchEvent[PartialObject]) -> None:
        match event.type:
            case "ADDED" | "MODIFIED":
                self._see(event.object)
            case "DELETED" if self._may_be_ours(event.object):
                self._tell(self.cache.drop_secret(event.object.metadata))
            case "DELETED" | "BOOKMARK":
                pass

    def _may_be_ours(self, item: PartialObject) -> bool:
        """Whether a Secret may be ours. A type of ours is enough, because the type of a Secret cannot change.

        A label is not enough, because it can be put on any Secret. Such a Secret must also have the role of a token Secret, and
        must not have the name of a credential Secret.
        """
        metadata = item.metadata
        return self.source is not Source.OTHER_TOKENS or (
            metadata.annotations.get(Annotation.ROLE) == Role.TOKEN and not metadata.name.endswith(CREDENTIAL_SUFFIX)
        )

    def _see(self, item: PartialObject) -> None:
        """Store one Secret. A tenant may write anything into it, so an error must not keep other Secrets from being stored."""
        try:
            self._store(item)
        except Exception:
            where = f"{item.metadata.namespace}/{item.metadata.name}"
            logger.exception("a Secret is passed over: what it says of itself cannot be dealt with", secret=where)

    def _store(self, item: PartialObject) -> None:
        before = self.cache.owner(item.metadata)
        if not self._may_be_ours(item):
            # It may have been ours before, and is not any more.
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
    """The watches of all scopes, and their state as a whole."""

    watches: list[SecretWatch]
    monotonic: Callable[[], float]

    def start(self) -> list[asyncio.Task[None]]:
        """Start them all."""
        return [
            spawn(f"watch of {each.source} in {each.namespace or 'all namespaces'}", each.run) for each in self.watches
        ]

    def alive_at(self) -> float:
        """When the watch that is idle longest last did anything (monotonic)."""
        return min(watch.alive_at for watch in self.watches)

    def history_went_back(self) -> bool:
        """Whether a watch showed that the API server was restored to an earlier state."""
        return any(watch.history_went_back for watch in self.watches)

    def silent_for(self) -> dict[Source, float]:
        """By source, how many seconds ago the API server last answered its most silent watch."""
        silences: dict[Source, float] = {}
        for watch in self.watches:
            longest = silences.get(watch.source, 0.0)
            silences[watch.source] = max(seconds_since(watch.heard_at, self.monotonic), longest)
        return silences
