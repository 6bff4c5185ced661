"""What takes longer than a step waits here for its turn: a few at a time for each provider and each namespace, so that none is
stormed and none holds up others."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from datasource.concurrency.fairness import FairBulkhead
from datasource_operator.cache import Key
from datasource_operator.tasks import cancel


@dataclass(slots=True)
class FairPool:
    """Runs a job for keys; each key at most once at a time."""

    job: Callable[[Key], Awaitable[None]]
    per_provider: int
    in_all: int
    per_namespace: int
    name: str
    """What is done, for the names of tasks."""
    _bulkhead: FairBulkhead[Key] = field(init=False)
    _running: dict[Key, asyncio.Task[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._bulkhead = FairBulkhead(
            in_all=self.in_all,
            per_namespace=self.per_namespace,
            per_provider=self.per_provider,
            reserved=self.in_all // 4,
        )

    def submit(self, key: Key, provider: str, *, is_urgent: bool = False) -> None:
        """Do the job for a key when it is its turn; urgent ones (somebody asked) go first in their namespace.

        `provider` is whoever answers at its endpoint (datasource.outbound.provider).
        """
        self._bulkhead.submit(key, namespace=key.namespace, provider=provider, is_urgent=is_urgent)
        self._start_what_fits()

    def answered(self, key: Key) -> None:
        """The provider has answered a running key: its place is free, however long the API server takes to store that."""
        self._bulkhead.leave_provider(key)
        self._start_what_fits()

    def forget(self, key: Key) -> None:
        """The Datasource is gone: do not begin with it. What runs goes on."""
        self._bulkhead.forget(key)

    def forget_waiting(self) -> None:
        """Start nothing more of what was submitted; what runs goes on."""
        self._bulkhead.forget_waiting()

    async def stop(self) -> None:
        """Start nothing more, and end what runs."""
        self.forget_waiting()
        await cancel(list(self._running.values()))

    async def drain(self) -> None:
        """Start nothing more, and wait for what runs: a reply that is not stored yet is worth waiting for."""
        self.forget_waiting()
        while self._running:
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    @property
    def running(self) -> int:
        """How many are under way."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many wait for their turn; may be read from another thread."""
        return self._bulkhead.waiting

    def _start_what_fits(self) -> None:
        for key in self._bulkhead.admit():
            self._running[key] = asyncio.create_task(self._run(key), name=f"{self.name} of {key}")

    async def _run(self, key: Key) -> None:
        try:
            await self.job(key)
        finally:
            del self._running[key]
            self._bulkhead.leave(key)
            self._start_what_fits()
