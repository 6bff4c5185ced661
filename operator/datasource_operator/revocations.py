"""I/O: whose tokens are due to be revoked, and the workers that do it: a provider that hangs holds up nothing else."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from datasource.concurrency.fair_turns import FairTurns
from datasource_operator.cache import Cache, Key
from datasource_operator.queue import WorkQueue
from datasource_operator.revoker import Revoker
from datasource_operator.tasks import spawn
from datasource_operator.worker import Done, Ending, TryAgain, Worker

WORKERS = 64
"""Revocations under way."""

WORKERS_PER_NAMESPACE = 8
"""Whose revocation URLs hang holds up his own finalizers, and nobody else's."""


@dataclass(slots=True)
class Revocations:
    """A queue of its own, in which a key stands for as long as something of it waits to be revoked."""

    cache: Cache
    revoker: Revoker
    monotonic: Callable[[], float]
    random: Callable[[], float]
    tried: Callable[[Key], None]
    """Told when a key was worked on: what a revocation wrote is no news when a watch shows it."""
    queue: WorkQueue[Key] = field(init=False)
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        turns: FairTurns[Key] = FairTurns(WORKERS, WORKERS_PER_NAMESPACE, WORKERS // 4)
        self.queue = WorkQueue(self.monotonic, self.random, turns, lambda key: key.namespace)
        self.worker = Worker("revoke", self.queue, self._revoke, self._after_revoking)

    def start(self) -> list[asyncio.Task[None]]:
        """Queue whatever is due, and set the workers to it."""
        for key in self.cache.revocations_due():
            self.queue.add(key)
        return [spawn(f"revocation worker {number}", self.worker.run) for number in range(WORKERS)]

    def follow(self, key: Key) -> None:
        """Queue a key if something of it is due, and forget it if not.

        A key that waits for its next try is left to wait: a provider that asks for a minute means it.
        """
        if not self.cache.revocation_is_due(key):
            # Somebody else revoked it, or the Secret is gone: a standby would keep every key that ever was due.
            self.queue.forget(key)
        elif key not in self.queue:
            self.queue.add(key)

    async def _revoke(self, key: Key) -> Ending:
        pause = await self.revoker.revoke(key)
        return Done() if pause is None else TryAgain(pause)

    def _after_revoking(self, key: Key) -> None:
        self.tried(key)
        # What was stored while the last one ended has brought nobody here.
        self.follow(key)
