"""Replies of providers that are in this process's memory alone, since the API server does not take them.

It is counted for a metric and an alert. What lasts is told: in an Event, and, once the old token is dead, in the status.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from datasource_operator.cache import Key

TOLD_AFTER = timedelta(seconds=5)
"""A reply that waits for less is nobody's concern: an API server may be restarted."""


async def _tell_nobody(_: Key, __: str) -> None:
    """Where nobody records Events."""


@dataclass(slots=True)
class WaitingReplies:
    """By key, with when each began to wait."""

    warn: Callable[[Key, str], Awaitable[None]] = _tell_nobody
    """Records an Event; the words are what it says. Raises nothing."""
    changed: Callable[[Key], None] = lambda _: None
    """Told that there is news for the status."""
    monotonic: Callable[[], float] = time.monotonic
    _since: dict[Key, float] = field(default_factory=dict)
    _told: set[Key] = field(default_factory=set)
    _warnings: set[asyncio.Task[None]] = field(default_factory=set)

    def __len__(self) -> int:
        """How many wait; may be read from another thread."""
        return len(self._since)

    def wait(self, key: Key, words: str) -> None:
        """A write failed. The reply that it is about goes on waiting."""
        since = self._since.setdefault(key, self.monotonic())
        if key in self._told or self.monotonic() - since < TOLD_AFTER.total_seconds():
            return
        self._told.add(key)
        self.changed(key)
        # Whoever waits for the API server here would keep the reply from being stored.
        warning = asyncio.ensure_future(self.warn(key, words))
        self._warnings.add(warning)
        warning.add_done_callback(self._warnings.discard)

    def end(self, key: Key) -> None:
        """The reply is stored, or something newer stands there."""
        self._since.pop(key, None)
        self._told.discard(key)
