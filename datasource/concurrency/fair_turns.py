"""Turns of what is worked on by a fixed number of workers, as a fair bulkhead without providers. Pure: no I/O, no clock.

Namespaces go round, whatever the number of keys that wait in each, and none has more than `per_namespace` of the `in_all`
places; the last `reserved` ones are for namespaces that hold none. What is urgent goes first, but for each fourth turn: that is
for routine, where some waits, so that nobody who makes things urgent holds up what is merely due. What a turn costs depends on
the number of places alone.

A namespace begins with `at_first` places, and has one more for each piece of work that goes well. It has half as many where one
takes too long: all of it at once may be what makes it take so long. TCP does the same with what it has under way (RFC 5681,
section 3.1).
"""

from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

URGENT_IN_A_ROW = 3
"""Turns that urgent keys may have one after another while routine ones wait."""

_Lane = OrderedDict[str, OrderedDict[K, None]]
"""By namespace, in the order of their turns: the keys that wait, the first is next."""


@dataclass(slots=True)
class FairTurns(Generic[K]):
    """Who waits for a turn, and who holds a place. Bounds are at least 1, `reserved` is less than `in_all`."""

    in_all: int
    per_namespace: int
    reserved: int = 0
    at_first: int | None = None
    """How many places a namespace has at first, and again after it had no work; None: all of `per_namespace`."""
    _urgent: _Lane[K] = field(default_factory=OrderedDict)
    _routine: _Lane[K] = field(default_factory=OrderedDict)
    _waiting: dict[K, tuple[str, bool]] = field(default_factory=dict)
    _holders: dict[K, str] = field(default_factory=dict)
    _held_in: Counter[str] = field(default_factory=Counter)
    _in_a_row: int = 0
    _most: dict[str, int] = field(default_factory=dict)
    """By namespace with work: how many places it may have, where these are not as many as at first."""

    def __len__(self) -> int:
        """How many wait for a turn."""
        return len(self._waiting)

    def waiting_in(self, namespace: str, *, is_urgent: bool) -> int:
        """How many urgent, or routine, keys of a namespace wait for a turn."""
        return len(self._lane(is_urgent).get(namespace, ()))

    def submit(self, key: K, *, namespace: str, is_urgent: bool) -> None:
        """Let a key wait for its turn. One that waits already keeps it, and what was urgent stays so."""
        before = self._waiting.get(key)
        if before is not None:
            if before[1] or not is_urgent:
                return
            self.forget(key)
        self._waiting[key] = (namespace, is_urgent)
        self._lane(is_urgent).setdefault(namespace, OrderedDict())[key] = None

    def take(self) -> K | None:
        """The key whose turn it is, which holds a place from now on; None where nobody may have one."""
        if len(self._holders) >= self.in_all:
            return None
        routine_first = self._in_a_row >= URGENT_IN_A_ROW
        for is_urgent in (not routine_first, routine_first):
            namespace = self._next_in(self._lane(is_urgent))
            if namespace is not None:
                return self._took(namespace, is_urgent)
        return None

    def leave(self, key: K) -> None:
        """A holder needs its place no more."""
        namespace = self._holders.pop(key)
        self._held_in[namespace] -= 1
        if not self._held_in[namespace]:
            del self._held_in[namespace]
            if namespace not in self._urgent and namespace not in self._routine:
                self._most.pop(namespace, None)

    def narrow(self, namespace: str) -> None:
        """What a namespace does takes too long: it may have half as many places as before, but one in any case."""
        self._most[namespace] = max(self._most_of(namespace) // 2, 1)

    def widen(self, namespace: str) -> None:
        """Something went well: a namespace may have one place more, up to `per_namespace`."""
        most = self._most_of(namespace)
        if most < self.per_namespace:
            self._most[namespace] = most + 1

    def forget(self, key: K) -> None:
        """A key waits no more; one that holds a place keeps it."""
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            namespace, is_urgent = waiting
            lane = self._lane(is_urgent)
            del lane[namespace][key]
            if not lane[namespace]:
                del lane[namespace]

    def _lane(self, is_urgent: bool) -> _Lane[K]:
        return self._urgent if is_urgent else self._routine

    def _next_in(self, lane: _Lane[K]) -> str | None:
        # Whoever is passed over holds places, as no more namespaces do than there are places.
        return next((namespace for namespace in lane if self._has_room(namespace)), None)

    def _has_room(self, namespace: str) -> bool:
        held = self._held_in[namespace]
        return held == 0 or (held < self._most_of(namespace) and self.in_all - len(self._holders) > self.reserved)

    def _most_of(self, namespace: str) -> int:
        return self._most.get(namespace, self.per_namespace if self.at_first is None else self.at_first)

    def _took(self, namespace: str, is_urgent: bool) -> K:
        lane = self._lane(is_urgent)
        key = next(iter(lane[namespace]))
        lane.move_to_end(namespace)
        self.forget(key)
        self._in_a_row = self._in_a_row + 1 if is_urgent else 0
        self._holders[key] = namespace
        self._held_in[namespace] += 1
        return key
