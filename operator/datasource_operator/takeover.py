"""In which order whoever begins to lead looks at everything: first what is due, and what people wait for."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator
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
"""Datasources that are judged, or queued, before others have their turn."""

_AT_ONCE = datetime.min.replace(tzinfo=UTC)


MOST_READY = 1_000
"""How many may wait for their turn before more are queued: each place takes half a KiB."""

PAUSE = 0.05
"""Seconds until it is looked again whether fewer wait."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """Queues all Datasources, and no more at a time than are soon looked at."""

    cache: Cache
    queue: WorkQueue[Key]
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self) -> None:
        """Queue them all, once."""
        waits, routine = await self._judged()
        await self._queue([key for _, key in sorted(waits)], Priority.SOMEBODY_WAITS)
        await self._queue(routine, Priority.ROUTINE)

    async def _queue(self, keys: list[Key], priority: Priority) -> None:
        for number, key in enumerate(in_turns(keys), 1):
            self.queue.add(key, priority)
            if number % AT_A_TIME == 0:
                await self.sleep(0)
                while self.queue.ready > MOST_READY:
                    await self.sleep(PAUSE)

    async def _judged(self) -> tuple[list[tuple[datetime, Key]], list[Key]]:
        """What goes first, by when it was due, and the rest."""
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
        """The same, whatever a tenant may have written: all others are queued."""
        try:
            return waits_since(datasource, credential, now)
        except Exception:
            logger.exception("cannot tell whether it is due", datasource=str(key))
            return _AT_ONCE


def in_turns(keys: list[Key]) -> Iterator[Key]:
    """The first one of each namespace, then the second one of each: a namespace with many holds up no other."""
    namespaces: dict[str, deque[Key]] = defaultdict(deque)
    for key in keys:
        namespaces[key.namespace].append(key)
    while namespaces:
        for namespace, waiting in list(namespaces.items()):
            yield waiting.popleft()
            if not waiting:
                del namespaces[namespace]


def waits_since(datasource: Datasource, credential: Contents | None, now: datetime) -> datetime | None:
    """Since when something is to be done for a Datasource, as far as that can be seen at once; None: nothing is."""
    metadata, status = datasource.metadata, datasource.status
    if metadata.generation != status.observed_generation or metadata.annotations or metadata.deletion_timestamp:
        # A person made it, edited it, or asked for something. Of the annotations only requests are kept.
        return _AT_ONCE
    is_authorized = status.state == State.AUTHORIZED
    if is_authorized is not isinstance(credential, StoredCredential):
        return _AT_ONCE
    if isinstance(credential, StoredCredential) and credential.facts.intent is not None:
        return _AT_ONCE
    due = About.of(datasource, credential, first_seen=now, now=now).due_at
    return due if due is not None and due <= now else None
