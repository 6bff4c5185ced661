"""A cache that tenants share, so that whoever fills it forgets what he put there himself. Pure: no I/O, no clock.

An entry is kept for as long as a namespace claims it, and whoever asks for it claims it, too: nobody pushes out what somebody
else uses. Each namespace pays in full for what it claims, and no more than `per_namespace`; beyond that its own oldest claims
go. Where all of it is more than `in_all`, the oldest claims of whoever holds most go.

Costs are bytes, or whatever the bounds count. What costs more than a namespace may hold is not kept.
"""

from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

CLAIM = 256
"""What a claim costs beside its entry, in bytes."""

_LEFT = 15 / 16
"""How much is left of what is full: to find out who holds most costs something, so it is not done for each entry."""


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    cost: int
    claimed_by: set[str] = field(default_factory=set)


@dataclass(slots=True)
class FairCache(Generic[K, V]):
    """Values by key, each claimed by the namespaces that use it."""

    in_all: int
    per_namespace: int
    _entries: dict[K, _Entry[V]] = field(default_factory=dict)
    _claims: dict[str, OrderedDict[K, None]] = field(default_factory=dict)
    """By namespace, what was used last comes last."""
    _held_in: Counter[str] = field(default_factory=Counter)
    _held: int = 0

    @property
    def held(self) -> int:
        """What all of it costs."""
        return self._held

    def held_in(self, namespace: str) -> int:
        """What the claims of a namespace cost."""
        return self._held_in[namespace]

    def __len__(self) -> int:
        return len(self._entries)

    def peek(self, key: K) -> V | None:
        """A value, for whoever does not use it."""
        entry = self._entries.get(key)
        return None if entry is None else entry.value

    def get(self, key: K, namespace: str) -> V | None:
        """A value, which that namespace uses from now on."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._claim(key, entry, namespace)
        self._shrink(namespace)
        return entry.value

    def put(self, key: K, value: V, namespace: str, *, cost: int) -> None:
        """Keep a value, in place of what stood there; those who used that use this one."""
        before = self._entries.get(key)
        claimed_by = {namespace} if before is None else before.claimed_by | {namespace}
        if before is not None:
            for each in tuple(before.claimed_by):
                self._disclaim(key, each)
        if cost + CLAIM > self.per_namespace:
            return
        entry = self._entries[key] = _Entry(value, cost)
        self._held += cost
        # Whoever puts it there comes last: his other claims are older.
        for each in (*(claimed_by - {namespace}), namespace):
            self._claim(key, entry, each)
        for each in claimed_by:
            self._shrink(each)

    def _claim(self, key: K, entry: _Entry[V], namespace: str) -> None:
        claims = self._claims.setdefault(namespace, OrderedDict())
        if key not in claims:
            claims[key] = None
            entry.claimed_by.add(namespace)
            self._held_in[namespace] += entry.cost + CLAIM
            self._held += CLAIM
        claims.move_to_end(key)

    def _disclaim(self, key: K, namespace: str) -> None:
        entry = self._entries[key]
        entry.claimed_by.remove(namespace)
        del self._claims[namespace][key]
        self._held_in[namespace] -= entry.cost + CLAIM
        self._held -= CLAIM
        if not self._claims[namespace]:
            del self._claims[namespace], self._held_in[namespace]
        if not entry.claimed_by:
            del self._entries[key]
            self._held -= entry.cost

    def _shrink(self, namespace: str) -> None:
        while self._held_in[namespace] > self.per_namespace:
            self._disclaim_oldest(namespace)
        if self._held <= self.in_all:
            return
        largest = [(-held, each) for each, held in self._held_in.items()]
        heapify(largest)
        while self._held > self.in_all * _LEFT:
            _, most = heappop(largest)
            self._disclaim_oldest(most)
            if most in self._held_in:
                heappush(largest, (-self._held_in[most], most))

    def _disclaim_oldest(self, namespace: str) -> None:
        self._disclaim(next(iter(self._claims[namespace])), namespace)
