"""For how much of the time the token that an app has mounted was valid. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class Mounted:
    """The token that an app has. kubelet swaps it; while nobody can be asked, the app goes on with the one that it has."""

    token: str = field(repr=False)
    expires_at: datetime
    is_refused: bool = False
    """Whether the provider said that it does not know it."""

    def valid_seconds(self, begin: datetime, end: datetime) -> float:
        """For how much of a time it was good."""
        if self.is_refused:
            return 0.0
        return max((min(self.expires_at, end) - begin).total_seconds(), 0.0)


@dataclass(slots=True)
class ValidSeconds:
    """Adds up over all Datasources whose apps may expect a token.

    What somebody cleared or edited is `withdrawn` from then on until a new credential stands: its apps expect nothing.
    """

    valid: float = 0.0
    expected: float = 0.0
    worst: dict[str, float] = field(default_factory=dict)
    """Seconds without a valid token, by Datasource; only those that had any."""
    _mounted: dict[str, Mounted] = field(default_factory=dict)
    _since: dict[str, datetime] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """From 0 to 1; 1 where nothing was expected."""
        return self.valid / self.expected if self.expected else 1.0

    def expect(self, name: str, now: datetime, mounted: Mounted) -> None:
        """From now on its apps expect a token, and have this one."""
        self._since[name] = now
        self._mounted[name] = mounted

    def withdraw(self, name: str, now: datetime) -> None:
        """From now on its apps expect none."""
        self._count(name, now)
        self._since.pop(name, None)
        self._mounted.pop(name, None)

    def looked(self, now: datetime, found: Mapping[str, Mounted]) -> None:
        """What is mounted by now; whoever is not found has nothing."""
        for name in list(self._since):
            self._count(name, now)
            self._swap(name, found.get(name), now)

    def not_looked(self, now: datetime) -> None:
        """Nobody could be asked: apps go on with what they have."""
        for name in list(self._since):
            self._count(name, now)

    def refused(self, name: str, token: str) -> None:
        """The provider said that it does not know this token; nothing if the app has another by now."""
        mounted = self._mounted.get(name)
        if mounted is not None and mounted.token == token:
            mounted.is_refused = True

    def to_try(self, now: datetime) -> Iterator[tuple[str, str]]:
        """Whose token an app could send to the provider: name and token."""
        for name, mounted in list(self._mounted.items()):
            if mounted.expires_at > now and not mounted.is_refused:
                yield name, mounted.token

    def is_expected(self, name: str) -> bool:
        """Whether its apps expect a token."""
        return name in self._since

    def _swap(self, name: str, found: Mounted | None, now: datetime) -> None:
        if found is None:
            # Its apps have nothing: as if the token had run out.
            self._mounted[name] = Mounted("", now)
        elif found.token != self._mounted[name].token:
            self._mounted[name] = found

    def _count(self, name: str, now: datetime) -> None:
        if name not in self._since:
            return
        begin = self._since[name]
        span = max((now - begin).total_seconds(), 0.0)
        valid = min(self._mounted[name].valid_seconds(begin, now), span)
        self.expected += span
        self.valid += valid
        if span > valid:
            self.worst[name] = self.worst.get(name, 0.0) + span - valid
        self._since[name] = now
