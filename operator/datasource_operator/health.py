"""What tells kubelet whether the operator works."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

STALLED_AFTER = timedelta(minutes=10)
"""A token request takes 60 s at most, any other 20 s, and a reconciliation a dozen of these. What takes longer is stuck."""

WATCH_STALLED_AFTER = timedelta(minutes=5)
"""Bookmarks come every minute, a watch that hears nothing for 90 s lists again, and retries pause for 30 s at most."""

DATASOURCES_STALLED_AFTER = timedelta(minutes=12)
"""kopf begins a watch anew every five minutes, and pauses for 30 s at most: after two of them it does not watch at all."""

SILENT_AFTER = timedelta(minutes=3)
"""Bookmarks come every minute: an API server silent for longer is out of reach."""


@dataclass(frozen=True, slots=True)
class Health:
    """Liveness and readiness of the operator, from what its parts report. Times are monotonic seconds."""

    unreadable: Callable[[], str | None]
    """Why Datasources or Secrets cannot be read anywhere."""
    is_leading: Callable[[], bool]
    oldest_work: Callable[[], float | None]
    overdue_since: Callable[[], float | None]
    watches_alive_at: Callable[[], float]
    datasources_alive_at: Callable[[], float]
    answered_at: Callable[[], float]
    history_went_back: Callable[[], bool] = lambda: False
    monotonic: Callable[[], float] = time.monotonic

    def stalled(self) -> str | None:
        """Why the process should be restarted (liveness); None: it should not."""
        if self.history_went_back():
            return "the API server was restored to an earlier state, and what is remembered is from a later one"
        since = self.oldest_work()
        if since is not None and self.monotonic() - since > STALLED_AFTER.total_seconds():
            return "a worker has been on one Datasource for too long"
        overdue = self.overdue_since() if self.is_leading() else None
        if overdue is not None and self.monotonic() - overdue > STALLED_AFTER.total_seconds():
            return "the work queue does not move"
        if self.monotonic() - self.watches_alive_at() > WATCH_STALLED_AFTER.total_seconds():
            return "a watch of Secrets does not move"
        if self.monotonic() - self.datasources_alive_at() > DATASOURCES_STALLED_AFTER.total_seconds():
            return "Datasources are not watched"
        return None

    def unready(self) -> str | None:
        """Why the operator cannot work now (readiness); None: it can."""
        if (why := self.unreadable()) is not None:
            return why
        if self.monotonic() - self.answered_at() > SILENT_AFTER.total_seconds():
            return "the API server does not answer"
        return None
