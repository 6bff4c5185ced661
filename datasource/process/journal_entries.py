"""What is known in memory of a journal's entries: found by place, counted, and in their order. Pure.

There may be ten thousand after an outage, and each is found some ten times until it is done: nothing here but what tells of all
of them looks at more than one place.
"""

from bisect import insort
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from datasource.process.journal_file import Entry


class Kept(NamedTuple):
    """What is known of an entry beside its name."""

    size: int
    seen_at: float
    """When this process first saw it (monotonic)."""
    file: str
    """Where it is: not under its own name, where a directory took no change any more."""


@dataclass(slots=True)
class Entries:
    """Those of one directory. What is read by metrics is read from another thread."""

    size: int = 0
    """Bytes of all files."""
    latest: int = 0
    """The greatest sequence that was seen."""
    number_aside: int = 0
    """How many are set aside."""
    _kept: dict[Entry, Kept] = field(default_factory=dict)
    _waiting: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    """Those that are not set aside, by place, the oldest first."""
    _aside: Counter[str] = field(default_factory=Counter)
    """How many of a place are set aside."""
    _in_hand: set[Entry] = field(default_factory=set)
    _left: Counter[str] = field(default_factory=Counter)
    """How many of a namespace are in nobody's hand."""

    def __contains__(self, entry: Entry) -> bool:
        return entry in self._kept

    def __getitem__(self, entry: Entry) -> Kept:
        return self._kept[entry]

    @property
    def waiting(self) -> list[Entry]:
        """Those that are not set aside, the oldest first."""
        return sorted(entry for entry in tuple(self._kept) if not entry.is_aside)

    @property
    def aside(self) -> list[Entry]:
        """Those that are."""
        return sorted(entry for entry in tuple(self._kept) if entry.is_aside)

    @property
    def number_waiting(self) -> int:
        """How many are not."""
        return len(self._kept) - self.number_aside

    def seen_at(self) -> list[tuple[Entry, float]]:
        """Those that are not set aside, each with when this process first saw it."""
        return [(entry, kept.seen_at) for entry, kept in tuple(self._kept.items()) if not entry.is_aside]

    def first_of(self, place: str) -> Entry | None:
        """The oldest of a place that is not set aside."""
        waiting = self._waiting.get(place)
        return waiting[0] if waiting else None

    def has_any(self, place: str) -> bool:
        """Whether anything of a place is there."""
        return place in self._waiting or place in self._aside

    def left_of(self, namespace: str) -> int:
        """How many of a namespace are in nobody's hand."""
        return self._left[namespace]

    def is_in_hand(self, entry: Entry) -> bool:
        """Whether somebody works on it."""
        return entry in self._in_hand

    def add(self, entry: Entry, kept: Kept, *, in_hand: bool) -> None:
        """One more. In the place of one of the same name, whose file it replaced."""
        self.remove(entry)
        self._kept[entry] = kept
        self.size += kept.size
        self.latest = max(self.latest, entry.sequence)
        if entry.is_aside:
            self._aside[entry.place] += 1
            self.number_aside += 1
        else:
            insort(self._waiting[entry.place], entry)
        if in_hand:
            self._in_hand.add(entry)
        else:
            self._left[entry.namespace] += 1

    def let_go(self, entry: Entry) -> None:
        """Nobody works on it any more."""
        if entry in self._in_hand:
            self._in_hand.remove(entry)
            self._left[entry.namespace] += 1

    def remove(self, entry: Entry) -> Kept | None:
        """It is no more; returns what was known of it."""
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
        if entry in self._in_hand:
            self._in_hand.remove(entry)
        else:
            _count_down(self._left, entry.namespace)
        return kept


def _count_down(counts: Counter[str], of: str) -> None:
    counts[of] -= 1
    if not counts[of]:
        del counts[of]
