"""Replies of providers that this process has in memory and cannot store, because writes to the API server fail.

Their number is a metric, and has an alert. A reply that waits for long is reported: in an Event and, once the old access token
has expired, in the status.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from datasource_operator.cache import Key

TOLD_AFTER = timedelta(seconds=5)
"""How long a reply waits before it is reported. A shorter wait is normal, as when an API server is restarted."""


async def _tell_nobody(_: Key, __: str) -> None:
    """For replies about which no Events are recorded."""


@dataclass(slots=True)
class WaitingReplies:
    """The replies that wait, by key, and since when."""

    warn: Callable[[Key, str], Awaitable[None]] = _tell_nobody
    """Records an Event; the words are what it says. Raises nothing."""
    changed: Callable[[Key], None] = lambda _: None
    """Called with the key of a reply when there is news for the status."""
    monotonic: Callable[[], float] = time.monotonic
    _since: dict[Key, float] = field(default_factory=dict)
    _told: set[Key] = field(default_factory=set)
    _warnings: set[asyncio.Task[None]] = field(default_factory=set)

    def __len__(self) -> int:
        """How many replies wait; may be read from another thread."""
        return len(self._since)

    def wait(self, key: Key, words: str) -> None:
        """A write of a reply failed, so the reply waits on. `words` say why, for the Event."""
        since = self._since.setdefault(key, self.monotonic())
        if key in self._told or self.monotonic() - since < TOLD_AFTER.total_seconds():
            return
        self._told.add(key)
        self.changed(key)
        # A task of its own: to wait for the API server here would delay the next try to store the reply.
        warning = asyncio.ensure_future(self.warn(key, words))
        self._warnings.add(warning)
        warning.add_done_callback(self._warnings.discard)

    def end(self, key: Key) -> None:
        """The reply waits no longer: it is stored, void, or left to the journal."""
        self._since.pop(key, None)
        self._told.discard(key)
