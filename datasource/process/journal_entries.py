"""An index in memory of the entries of a journal: by place, in order, and counted. Pure.

After an outage there may be ten thousand entries, and each is looked up some ten times until it is done. So a method goes
through all entries only if its result is about all of them.
"""

from bisect import insort
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from datasource.process.journal_file import Entry


class Kept(NamedTuple):
    """What is known of an entry besides its name."""

    size: int
    """Bytes."""
    seen_at: float
    """When this process first saw it (monotonic seconds)."""
    file: str
    """The name of its file. It differs from the name of the entry where the file could not be renamed."""


@dataclass(slots=True)
class Entries:
    """The entries of one directory. Metrics read them from another thread.

    An entry is claimed while a task of this process works on it, and else unclaimed.
    """

    size: int = 0
    """Bytes of all files."""
    latest: int = 0
    """The greatest sequence of all entries so far."""
    number_aside: int = 0
    """The number of entries that are set aside."""
    _kept: dict[Entry, Kept] = field(default_factory=dict)
    _waiting: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    """The entries that are not set aside, by place, the oldest first."""
    _aside: Counter[str] = field(default_factory=Counter)
    """The number of entries that are set aside, by place."""
    _claimed: set[Entry] = field(default_factory=set)
    _unclaimed: Counter[str] = field(default_factory=Counter)
    """The number of unclaimed entries, by namespace."""

    def __contains__(self, entry: Entry) -> bool:
        return entry in self._kept

    def __getitem__(self, entry: Entry) -> Kept:
        return self._kept[entry]

    @property
    def waiting(self) -> list[Entry]:
        """The entries that are not set aside, the oldest first."""
        return sorted(entry for entry in tuple(self._kept) if not entry.is_aside)

    @property
    def aside(self) -> list[Entry]:
        """The entries that are set aside, the oldest first."""
        return sorted(entry for entry in tuple(self._kept) if entry.is_aside)

    @property
    def number_waiting(self) -> int:
        """The number of entries that are not set aside."""
        return len(self._kept) - self.number_aside

    def seen_at(self) -> list[tuple[Entry, float]]:
        """The entries that are not set aside, each with the time at which this process first saw it."""
        return [(entry, kept.seen_at) for entry, kept in tuple(self._kept.items()) if not entry.is_aside]

    def first_of(self, place: str) -> Entry | None:
        """The oldest entry of a place that is not set aside; None: there is none."""
        waiting = self._waiting.get(place)
        return waiting[0] if waiting else None

    def has_any(self, place: str) -> bool:
        """Whether there is an entry of a place, set aside or not."""
        return place in self._waiting or place in self._aside

    def unclaimed_in(self, namespace: str) -> int:
        """The number of unclaimed entries of a namespace."""
        return self._unclaimed[namespace]

    def is_claimed(self, entry: Entry) -> bool:
        """Whether a task of this process works on the entry."""
        return entry in self._claimed

    def add(self, entry: Entry, kept: Kept, *, claimed: bool) -> None:
        """Add an entry. It replaces one of the same name, whose file it has overwritten."""
        self.remove(entry)
        self._kept[entry] = kept
        self.size += kept.size
        self.latest = max(self.latest, entry.sequence)
        if entry.is_aside:
            self._aside[entry.place] += 1
            self.number_aside += 1
        else:
            insort(self._waiting[entry.place], entry)
        if claimed:
            self._claimed.add(entry)
        else:
            self._unclaimed[entry.namespace] += 1

    def release(self, entry: Entry) -> None:
        """End the claim of a task on an entry."""
        if entry in self._claimed:
            self._claimed.remove(entry)
            self._unclaimed[entry.namespace] += 1

    def remove(self, entry: Entry) -> Kept | None:
        """Remove an entry. Returns what was known of it; None: it was not there."""
        kept = self._kept.pop(entry, None)
        if kept is None:
            return None
        self.size -= kept.size
        if entry.is_aside:
            _count_down(self._aside, entry.place)
            self.number_aside -= 1
        else:
            self._waiting[entry.place].remove(entry)
            if not self._waiting[entry.place]:
                del self._waiting[entry.place]
        if entry in self._claimed:
            self._claimed.remove(entry)
        else:
            _count_down(self._unclaimed, entry.namespace)
        return kept


def _count_down(counts: Counter[str], of: str) -> None:
    counts[of] -= 1
    if not counts[of]:
        del counts[of]
