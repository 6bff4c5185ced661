"""I/O: look again for Secrets that are not ours to watch: a missing client Secret, a foreign one that has our name.

One GET (metadata only) for each distinct Secret, however many Datasources wait for it: after 2 s, rising to 60 s. Whoever waits
for very many Secrets waits longer, and nobody else does.
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
"""Of what is due in one namespace, so much is looked at in each round, twice a second; those that wait longest first."""


IN_FLIGHT = 8
"""Looks at a time, each a request: where the API server is slow, they do not add up."""


@dataclass(slots=True)
class _Watched:
    waiting: set[Key]
    due: float
    looks: int = 0
    """How often it was looked at since somebody came to wait."""
    version: str | None = None
    """The resourceVersion last seen; empty: it is not there; None: not looked at yet."""


@dataclass(slots=True)
class SecretPoller:
    """Knows who waits for which Secret."""

    kube: Kube
    changed: Callable[[Key], None]
    monotonic: Callable[[], float]
    _watched: dict[tuple[str, str], _Watched] = field(default_factory=dict)
    _waits_for: dict[Key, str] = field(default_factory=dict)

    def wait_for(self, key: Key, secret: str | None) -> None:
        """From now on tell `key` when that Secret changes; None: it waits for none any more."""
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
            # Whoever is new has not seen it: start over with short pauses.
            watched.due, watched.looks, watched.version = min(watched.due, due), 0, None

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        self.wait_for(key, None)

    async def run(self) -> None:
        """Look at whatever is due, for ever."""
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
        """Namespaces go round, those that wait longest first: whoever waits for many Secrets does not stand before others."""
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
