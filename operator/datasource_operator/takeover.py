"""The order in which a new leader looks at all Datasources: first those that are due, or that people wait for."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from datasource.api.objects import Datasource
from datasource.api.states import State
from datasource.records.contents import Contents, StoredCredential
from datasource_operator.about_datasources import About
from datasource_operator.cache import Cache, Key
from datasource_operator.queue import Priority, WorkQueue

logger = structlog.get_logger(__name__)

AT_A_TIME = 250
"""How many Datasources are judged, or queued, before other tasks may run."""

_AT_ONCE = datetime.min.replace(tzinfo=UTC)

MOST_READY = 1_000
"""How many may be ready before a namespace gets no more than its share: each takes a third of a KiB."""

SHARE = 20
"""How many of a namespace may be ready in any case, of each priority. Others may hold all of MOST_READY, and be slow."""

PAUSE = 0.05
"""Seconds until it is looked again whether fewer are ready."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """Queues all Datasources, and no more at a time than are soon looked at."""

    cache: Cache
    queue: WorkQueue[Key]
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self) -> None:
        """Queue all Datasources, once."""
        waits, routine = await self._judged()
        # Side by side: of four turns one is for routine, and only what is queued has a turn.
        await asyncio.gather(
            self._queue([key for _, key in sorted(waits)], Priority.SOMEBODY_WAITS),
            self._queue(routine, Priority.ROUTINE),
        )

    async def _queue(self, keys: list[Key], priority: Priority) -> None:
        """Namespaces take turns, so that one with many holds up no other."""
        namespaces: dict[str, deque[Key]] = defaultdict(deque)
        for key in keys:
            namespaces[key.namespace].append(key)
        while namespaces:
            is_full = True
            for number, (namespace, waiting) in enumerate(list(namespaces.items()), 1):
                if number % AT_A_TIME == 0:
                    await self.sleep(0)
                if self.queue.ready > MOST_READY and self.queue.ready_in(namespace, priority) >= SHARE:
                    continue
                is_full = False
                self.queue.add(waiting.popleft(), priority)
                if not waiting:
                    del namespaces[namespace]
            await self.sleep(PAUSE if is_full else 0)

    async def _judged(self) -> tuple[list[tuple[datetime, Key]], list[Key]]:
        """The Datasources that go first, with the time since when each waits, and all others."""
        waits, routine, now = [], [], self.now()
        for number, (datasource, credential) in enumerate(self.cache.pairs(), 1):
            key = self.cache.own(Key(datasource.metadata.namespace, datasource.metadata.name))
            since = self._waits_since(key, datasource, credential, now)
            if since is None:
                routine.append(key)
            else:
                waits.append((since, key))
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
        return waits, routine

    @staticmethod
    def _waits_since(key: Key, datasource: Datasource, credential: Contents | None, now: datetime) -> datetime | None:
        """`waits_since`, without errors. A tenant may write anything, and the other Datasources must still be queued."""
        try:
            return waits_since(datasource, credential, now)
        except Exception:
            logger.exception("cannot tell whether it is due", datasource=str(key))
            return _AT_ONCE


def waits_since(datasource: Datasource, credential: Contents | None, now: datetime) -> datetime | None:
    """Since when a Datasource waits for work, as far as the cache shows it; None: it does not wait."""
    metadata, status = datasource.metadata, datasource.status
    if metadata.generation != status.observed_generation or metadata.annotations or metadata.deletion_timestamp:
        # It was created, edited or deleted, or a request was made. The cache keeps no annotations but requests.
        return _AT_ONCE
    is_authorized = status.state == State.AUTHORIZED
    if is_authorized is not isinstance(credential, StoredCredential):
        return _AT_ONCE
    if isinstance(credential, StoredCredential) and credential.facts.intent is not None:
        return _AT_ONCE
    due = About.of(datasource, credential, first_seen=now, now=now).due_at
    return due if due is not None and due <= now else None
