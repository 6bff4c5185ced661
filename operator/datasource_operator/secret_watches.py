"""I/O: all watches of Secrets, and how long ago they heard anything."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from datasource.api.names import SecretType
from datasource_operator.metrics import seconds_since
from datasource_operator.secret_watch import SecretWatch
from datasource_operator.tasks import spawn


@dataclass(frozen=True, slots=True)
class SecretWatches:
    """One for each scope and type of Secret."""

    watches: tuple[SecretWatch, ...]
    monotonic: Callable[[], float]

    def start(self) -> list[asyncio.Task[None]]:
        """Begin to watch."""
        return [
            spawn(f"watch of {watch.secret_type} in {watch.namespace or 'all namespaces'}", watch.run)
            for watch in self.watches
        ]

    def alive_at(self) -> float:
        """When the stalest one last did anything, by the monotonic clock."""
        return min(watch.alive_at for watch in self.watches)

    def history_went_back(self) -> bool:
        """Whether one showed that the API server was restored to an earlier state."""
        return any(watch.history_went_back for watch in self.watches)

    def silent_for(self) -> dict[SecretType, float]:
        """Seconds for which the stalest one of each type heard nothing."""
        silences: dict[SecretType, float] = {}
        for watch in self.watches:
            longest = silences.get(watch.secret_type, 0.0)
            silences[watch.secret_type] = max(seconds_since(watch.heard_at, self.monotonic), longest)
        return silences
