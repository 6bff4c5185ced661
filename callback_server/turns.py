"""How much is begun in one turn of the event loop. Pure but for the callback that begins the next turn."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_IN_A_TURN = 8
"""Pieces of requests. A page that refuses takes 1 to 4 ms; between two turns probes, timers and the others go on."""


@dataclass(slots=True)
class Turns:
    """Lets so many go on in each turn; the others wait for the next ones, in the order in which they came.

    An event loop reads all sockets that are ready before it does anything else: a thousand requests that are sent at one moment
    would all be worked on in a single turn, which took seconds.
    """

    call_soon: Callable[[Callable[[], None]], object]
    """Calls something in the next turn of the event loop."""
    most: int = MOST_IN_A_TURN
    _begun: int = 0
    """In this turn."""
    _waiting: deque[Callable[[], None]] = field(default_factory=deque)

    def take(self, begin: Callable[[], None]) -> bool:
        """Begin now, or in a later turn; returns whether it was now."""
        if self._begun == self.most or self._waiting:
            self._waiting.append(begin)
            return False
        self._count()
        begin()
        return True

    def _count(self) -> None:
        if self._begun == 0:
            self.call_soon(self._next)
        self._begun += 1

    def _next(self) -> None:
        self._begun = 0
        for _ in range(min(self.most, len(self._waiting))):
            self._count()
            self._waiting.popleft()()
