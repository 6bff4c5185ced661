"""When the surroundings of a Datasource are due for a look: its client Secret, its provider, the names that it wants."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from datasource_operator.cache import Key


@dataclass(slots=True)
class SurroundingsSchedule:
    """By key; `monotonic` is injected. A look that is due is taken at the next reconciliation, whatever triggers that."""

    monotonic: Callable[[], float]
    _due: dict[Key, float] = field(default_factory=dict)

    def look(self, key: Key, *, after: timedelta = timedelta(0)) -> None:
        """A look is due after that time. An earlier one stays due: it may have been asked for while the last one was taken."""
        due = self.monotonic() + after.total_seconds()
        self._due[key] = min(due, self._due.get(key, due))

    def take(self, key: Key) -> bool:
        """Whether a look is due; from now on it is not. Whoever cannot take it calls `look` again."""
        due = self._due.get(key)
        if due is None or due > self.monotonic():
            return False
        del self._due[key]
        return True

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        self._due.pop(key, None)
