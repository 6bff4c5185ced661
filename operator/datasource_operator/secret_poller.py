"""I/O: polls Secrets that no watch shows: a missing client Secret, or a foreign Secret with a name that we need.

Each distinct Secret is polled with one GET (metadata only), however many Datasources wait for it. The pause is 2 s at first and
grows to 60 s. A namespace that waits for very many Secrets waits longer, and other namespaces do not.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from operator import itemgetter

import structlog

from datasource.api.objects import PartialObject
from datasource.cluster.api_errors import ApiError, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.concurrency.backoff import Backoff, no_jitter
from datasource_operator.cache import Key

logger = structlog.get_logger(__name__)

FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(seconds=60)
_BACKOFF = Backoff(FIRST_PAUSE, LONGEST_PAUSE, no_jitter, growth=1.5)
_TICK = 0.5

LOOKS_PER_NAMESPACE = 20
"""The most Secrets of one namespace that are read in one round: those that are due longest. Rounds are half a second apart."""


IN_FLIGHT = 8
"""The most requests at a time, so that they do not pile up where the API server is slow."""


@dataclass(slots=True)
class _Watched:
    waiting: set[Key]
    due: float
    looks: int = 0
    """How often the Secret was read since the last Datasource began to wait for it."""
    version: str | None = None
    """The resourceVersion that was seen last; empty: the Secret does not exist; None: it was not read yet."""


@dataclass(slots=True)
class SecretPoller:
    """Polls Secrets, and calls `changed` with each Datasource that waits for one that changed."""

    kube: Kube
    changed: Callable[[Key], None]
    monotonic: Callable[[], float]
    _watched: dict[tuple[str, str], _Watched] = field(default_factory=dict)
    _waits_for: dict[Key, str] = field(default_factory=dict)

    def wait_for(self, key: Key, secret: str | None) -> None:
        """Let `key` wait for that Secret from now on, and for no other; None: for no Secret."""
        before = self._waits_for.get(key)
        if before == secret:
            return
        if before is not None:
            self._leave(key, before)
        if secret is not None:
            self._waits_for[key] = secret
            due = self.monotonic() + FIRST_PAUSE.total_seconds()
            watched = self._watched.setdefault((key.namespace, secret), _Watched(set(), due))
            watched.waiting.add(key)
            # The new Datasource does not know the Secret yet, so start again with short pauses.
            watched.due, watched.looks, watched.version = min(watched.due, due), 0, None

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        self.wait_for(key, None)

    async def run(self) -> None:
        """Read the Secrets that are due, for ever."""
        while True:
            await asyncio.sleep(_TICK)
            await self._look_at_all(self._due())

    async def _look_at_all(self, places: list[tuple[str, str]]) -> None:
        left = iter(places)

        async def looker() -> None:
            for place in left:
                await self._look(place)

        async with asyncio.TaskGroup() as lookers:
            for _ in range(min(IN_FLIGHT, len(places))):
                lookers.create_task(looker())

    def _due(self) -> list[tuple[str, str]]:
        """The Secrets to read in this round. Namespaces take turns, so that one with many Secrets does not delay the others."""
        now, taken = self.monotonic(), Counter[str]()
        waiting = sorted((watched.due, place) for place, watched in self._watched.items() if watched.due <= now)
        due = []
        for _, place in waiting:
            namespace, _ = place
            taken[namespace] += 1
            if taken[namespace] <= LOOKS_PER_NAMESPACE:
                due.append((taken[namespace], place))
        return [place for _, place in sorted(due, key=itemgetter(0))]

    def _leave(self, key: Key, secret: str) -> None:
        self._waits_for.pop(key, None)
        place = (key.namespace, secret)
        watched = self._watched.get(place)
        if watched is not None:
            watched.waiting.discard(key)
            if not watched.waiting:
                del self._watched[place]

    async def _look(self, place: tuple[str, str]) -> None:
        version = await self._read_version(*place)
        watched = self._watched.get(place)
        if watched is None:
            return
        watched.due = self.monotonic() + _BACKOFF.pause(watched.looks).total_seconds()
        watched.looks += 1
        if version is None or version == watched.version:
            return
        watched.version = version
        for key in tuple(watched.waiting):
            self.changed(key)

    async def _read_version(self, namespace: str, name: str) -> str | None:
        try:
            secret = await self.kube.get(SECRETS, namespace, name, PartialObject, metadata_only=True)
        except NotFound:
            return ""
        except (ApiError, Unavailable) as error:
            logger.info("cannot look for a Secret", namespace=namespace, secret=name, error=str(error))
            return None
        return secret.metadata.resource_version
