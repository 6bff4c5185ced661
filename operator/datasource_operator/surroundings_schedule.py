"""When to read the surroundings of a Datasource: its client Secret, its provider, and Secrets with names that it needs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from datasource_operator.cache import Key


@dataclass(slots=True)
class SurroundingsSchedule:
    """When the next look at them is due, by key. The first reconciliation after that takes it. `monotonic` is injected."""

    monotonic: Callable[[], float]
    _due: dict[Key, float] = field(default_factory=dict)

    def look(self, key: Key, *, after: timedelta = timedelta(0)) -> None:
        """Make a look due after that time. An earlier due time stays: it may have been set during the last look."""
        due = self.monotonic() + after.total_seconds()
        self._due[key] = min(due, self._due.get(key, due))

    def take(self, key: Key) -> bool:
        """Whether a look is due. It counts as taken from now on; a caller that fails to take it calls `look` again."""
        due = self._due.get(key)
        if due is None or due > self.monotonic():
            return False
        del self._due[key]
        return True

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        self._due.pop(key, None)
