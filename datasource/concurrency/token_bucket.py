"""Token buckets: so much at once, then one after another. Pure: no I/O, no clock of its own.

Times are in seconds of one clock that never goes back.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_ROUNDING = 1e-6
"""Seconds; what sums of floats may be off."""


class TokenBucket:
    """`burst` at once, then `per_second` (as a theoretical arrival time, the GCRA of ITU-T I.371). It begins full."""

    __slots__ = ("_gap", "_next", "_slack")

    def __init__(self, now: float, *, per_second: float, burst: int) -> None:
        self._gap = 1 / per_second
        self._slack = (burst - 1) * self._gap
        self._next = now
        """When the next one would come if all came evenly."""

    def wait(self, now: float) -> float:
        """Seconds until the next one may pass; 0 where it may now."""
        wait = self._next - self._slack - now
        return wait if wait > _ROUNDING else 0.0

    def is_full(self, now: float) -> bool:
        """Whether nothing passed for so long that the whole burst is left."""
        return self._next - now <= _ROUNDING

    def take(self, now: float, number: int = 1) -> None:
        """Let one pass, or let one stand in line; or so many, of which all but the first may be more than may pass."""
        self._next = max(self._next, now) + self._gap * number

    def give_back(self) -> None:
        """Undo one `take`."""
        self._next -= self._gap


class LatestKeys(Generic[K, V]):
    """A value for each key; of more than `most`, the one that was not asked for for longest is forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def of(self, key: K, new: Callable[[], V]) -> V:
        """The value of a key: a new one where there is none."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        if len(self._values) >= self._most:
            self._values.popitem(last=False)
        value = self._values[key] = new()
        return value
