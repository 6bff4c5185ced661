"""Notices another installation that serves the same Datasources. Pure: no I/O, no clock of its own.

Two of them would write each other's links over for ever. What tells of it: a link, or a redirect URI, that we wrote and that
somebody wrote over with another one, again and again. Whoever notices it first leaves the status to the other one, which then
finds nothing written over any more. Now and then it is tried again: the other installation may be gone.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from datasource.api.objects import Status

K = TypeVar("K", bound=Hashable)

TOLERATED = 3
"""How often somebody may write over what we wrote: a person with kubectl, a leader of ours that was slow to end."""

WITHIN = timedelta(minutes=10)

LEAVE_IT_FOR = timedelta(minutes=30)
"""How soon we write again, to see whether the other installation is gone."""


@dataclass(slots=True)
class _Written:
    surface: int
    """Of what we wrote: a hash, there is one for each Datasource."""
    times: tuple[float, ...] = ()
    """When somebody wrote over it of late (monotonic)."""
    left_until: float | None = None
    is_told: bool = False


@dataclass(slots=True)
class Rivals(Generic[K]):
    """What we wrote last into which status, and who wrote over it."""

    monotonic: Callable[[], float]
    _written: dict[K, _Written] = field(default_factory=dict)

    def wrote(self, key: K, status: Status) -> None:
        """We have just written a status."""
        surface, written = _surface(status), self._written.get(key)
        if written is None:
            self._written[key] = _Written(surface)
        else:
            written.surface = surface

    def is_left_to_another(self, key: K, standing: Status) -> bool:
        """Whether the status that stands is to be left as it is, since another installation writes it."""
        written, now = self._written.get(key), self.monotonic()
        if written is None or _says_nothing(standing):
            return False
        if written.left_until is not None and now < written.left_until:
            return True
        if _surface(standing) == written.surface:
            return False
        # Until we write again it is the same one: counted once.
        written.surface = _surface(standing)
        written.times = (*(each for each in written.times if now - each < WITHIN.total_seconds()), now)
        was_left = written.left_until is not None
        if len(written.times) < TOLERATED and not was_left:
            return False
        written.left_until, written.is_told = now + LEAVE_IT_FOR.total_seconds(), False
        return True

    def is_news(self, key: K) -> bool:
        """Whether it was not told yet that a status is left to another installation; from now on it was."""
        written = self._written[key]
        is_news, written.is_told = not written.is_told, True
        return is_news

    @property
    def left(self) -> int:
        """How many statuses are left to another installation now."""
        now = self.monotonic()
        return sum(each.left_until is not None and now < each.left_until for each in self._written.values())

    def begin_anew(self) -> None:
        """Somebody else of us led meanwhile: what stands now may be what that one wrote."""
        self._written.clear()

    def forget(self, key: K) -> None:
        """The Datasource is gone."""
        self._written.pop(key, None)


def another_installation(namespace: str, standing: Status, wanted: Status) -> str:
    """What is said of it."""
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
    """What two installations write differently."""
    return hash((status.redirect_uri, status.authorization_link))


def _says_nothing(status: Status) -> bool:
    """Wiped, as by a restore: no other installation does that."""
    return status.redirect_uri is None
