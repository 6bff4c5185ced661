"""Refreshes wait here for their turn: a few at a time for each provider, so that none is stormed and none holds up others."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from datasource_operator.cache import Key

PER_PROVIDER = 16
"""Refreshes between their first request to the API server and the answer of one token endpoint."""

IN_ALL = 128
"""Refreshes under way altogether: eight providers may hang, and others are still asked."""


@dataclass(slots=True)
class RefreshPool:
    """Runs `refresh` for keys; each key at most once at a time."""

    refresh: Callable[[Key], Awaitable[None]]
    per_provider: int = PER_PROVIDER
    in_all: int = IN_ALL
    _waiting: dict[str, OrderedDict[Key, None]] = field(default_factory=dict)
    _running: dict[Key, asyncio.Task[None]] = field(default_factory=dict)
    _at_provider: Counter[str] = field(default_factory=Counter)
    _places: dict[Key, str] = field(default_factory=dict)
    """The provider at which a running key holds a place."""

    def submit(self, key: Key, provider: str, *, is_urgent: bool = False) -> None:
        """Refresh a key when its provider has room; urgent ones (somebody asked) go first."""
        if key in self._running:
            return
        waiting = self._waiting.setdefault(provider, OrderedDict())
        waiting[key] = None
        if is_urgent:
            waiting.move_to_end(key, last=False)
        self._start_what_fits(provider)

    def answered(self, key: Key) -> None:
        """The provider has answered a running key: its place is free, however long the API server takes to store that."""
        provider = self._places.pop(key, None)
        if provider is None:
            return
        self._at_provider[provider] -= 1
        if not self._at_provider[provider]:
            del self._at_provider[provider]
        self._start_what_fits(provider)

    def forget_waiting(self) -> None:
        """Start nothing more of what was submitted; what runs goes on."""
        self._waiting.clear()

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
        return sum(map(len, list(self._waiting.values())))

    def _start_what_fits(self, provider: str) -> None:
        waiting = self._waiting.get(provider)
        while waiting and self._at_provider[provider] < self.per_provider and len(self._running) < self.in_all:
            key, _ = waiting.popitem(last=False)
            self._at_provider[provider] += 1
            self._places[key] = provider
            self._running[key] = asyncio.create_task(self._run(key), name=f"refresh of {key}")
        if not waiting:
            self._waiting.pop(provider, None)

    async def _run(self, key: Key) -> None:
        try:
            await self.refresh(key)
        finally:
            del self._running[key]
            self.answered(key)
            for waiting_at in tuple(self._waiting):
                self._start_what_fits(waiting_at)
