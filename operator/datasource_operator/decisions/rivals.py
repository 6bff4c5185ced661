"""Detects another installation that serves the same Datasources. Pure: no I/O, no clock of its own.

Two installations would overwrite each other's links for ever. The sign of it: a link or redirect URI that we wrote is
overwritten with another one, several times. The installation that detects this first leaves the status to the other one. The
other one then sees no more overwrites. After a while we write again, because the other installation may be gone.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from datasource.api.objects import Status

K = TypeVar("K", bound=Hashable)

TOLERATED = 3
"""The number of overwrites within WITHIN at which a status is left to the other installation.

Fewer may have another cause: a person with kubectl, or a leader of ours that was slow to end.
"""

WITHIN = timedelta(minutes=10)

LEAVE_IT_FOR = timedelta(minutes=30)
"""How long a status is left to the other installation. Then we write again, to see whether it is gone."""


@dataclass(slots=True)
class _Written:
    surface: int
    """The `_surface` that we wrote, or the last one that was counted as an overwrite."""
    times: tuple[float, ...] = ()
    """When the status was overwritten (monotonic). Only times within WITHIN are kept."""
    left_until: float | None = None
    """Until when (monotonic) the status is left to the other installation; None: it is not."""
    tried_at: float | None = None
    """When (monotonic) we wrote again after it was left; None: it never was left."""
    is_told: bool = False


@dataclass(slots=True)
class Rivals(Generic[K]):
    """What we wrote last to each status, and when it was overwritten."""

    monotonic: Callable[[], float]
    _written: dict[K, _Written] = field(default_factory=dict)

    def wrote(self, key: K, status: Status) -> None:
        """Remember a status that we have just written."""
        surface, written = _surface(status), self._written.get(key)
        if written is None:
            self._written[key] = _Written(surface)
        else:
            written.surface = surface
            if written.left_until is not None:
                written.left_until, written.tried_at = None, self.monotonic()

    def is_left_to_another(self, key: K, standing: Status) -> bool:
        """Whether to leave the current status (`standing`) as it is, because another installation writes it."""
        written, now = self._written.get(key), self.monotonic()
        if written is None or _says_nothing(standing):
            return False
        if written.left_until is not None and now < written.left_until:
            return True
        if _surface(standing) == written.surface:
            return False
        # The same overwrite is seen at each call until we write again. It is counted once.
        written.surface = _surface(standing)
        written.times = (*(each for each in written.times if now - each < WITHIN.total_seconds()), now)
        # It is there still: one overwrite shows that.
        was_tried = written.tried_at is not None and now - written.tried_at < WITHIN.total_seconds()
        if len(written.times) < TOLERATED and not was_tried:
            return False
        written.left_until, written.is_told = now + LEAVE_IT_FOR.total_seconds(), False
        return True

    def is_news(self, key: K) -> bool:
        """Whether it was not reported yet that a status is left to another installation. From now on it counts as reported."""
        written = self._written[key]
        is_news, written.is_told = not written.is_told, True
        return is_news

    @property
    def left(self) -> int:
        """How many statuses are left to another installation now."""
        now = self.monotonic()
        return sum(each.left_until is not None and now < each.left_until for each in self._written.values())

    def begin_anew(self) -> None:
        """Forget all writes: another replica led meanwhile, and may have written the current statuses."""
        self._written.clear()

    def forget(self, key: K) -> None:
        """The Datasource is gone."""
        self._written.pop(key, None)


def another_installation(namespace: str, standing: Status, wanted: Status) -> str:
    """The text of the Event about another installation."""
    theirs, ours = standing.redirect_uri, wanted.redirect_uri
    differs = (
        f"the redirect URI in the status is {theirs}, and this installation's is {ours}"
        if theirs != ours
        else "it has the same external URL, and other links"
    )
    return (
        f"Another installation of the Datasource Operator serves namespace {namespace}, too: {differs}. This one leaves the "
        "status to the other one. Remove one installation, or name different namespaces in DATASOURCE_NAMESPACES of each."
    )


def _surface(status: Status) -> int:
    """A hash of the fields that two installations write differently. A hash is small, and each Datasource has one."""
    return hash((status.redirect_uri, status.authorization_link))


def _says_nothing(status: Status) -> bool:
    """Whether the status was emptied, as by a restore. No other installation does that."""
    return status.redirect_uri is None
