"""I/O: keep the keys that mark links, and have links marked anew, a few at a time, when the key of the day is another."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from datasource.cluster.link_keys import LinkKeyStore
from datasource.records.link_keys import LinkKey
from datasource_operator.cache import Key

WAVE = timedelta(hours=1)
"""In which all links are marked anew after a change of keys; the old marks hold for months meanwhile."""


@dataclass(slots=True)
class LinkKeyKeeper:
    """Runs while this process leads."""

    store: LinkKeyStore
    now: Callable[[], datetime]
    keys: Callable[[], Iterable[Key]]
    """Of all Datasources."""
    look: Callable[[Key, timedelta], None]
    """Has a Datasource looked at after so long: where its link has an older mark, the status is written."""
    _marked_with: LinkKey | None = None

    async def begin(self) -> None:
        """Have keys before the first link is made. What stands already is looked at by the start, anyway."""
        await self.store.keep()
        self._marked_with = self.store.current.for_links(self.now())

    async def run(self) -> None:
        """Keep them, for ever."""
        while True:
            await asyncio.sleep(self.store.interval.total_seconds())
            await self.keep()

    async def keep(self) -> None:
        """Look once."""
        await self.store.keep()
        key = self.store.current.for_links(self.now())
        if key == self._marked_with:
            return
        had_one = self._marked_with is not None
        self._marked_with = key
        if had_one:
            self._look_at_all()

    def _look_at_all(self) -> None:
        every = list(self.keys())
        for number, key in enumerate(every):
            self.look(key, WAVE * (number / len(every)))
