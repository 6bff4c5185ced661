"""What this process remembers about refreshes: failures, when it first saw a revision, and intents of other processes.

Nothing here is needed for correctness after a restart: the Secret says what was sent and what the verdict was.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from struct import Struct

from datasource.concurrency.backoff import Backoff, full_jitter
from datasource.records.credential import CredentialFacts
from datasource.records.intent import Intent
from datasource_operator.cache import Key
from datasource_operator.decisions.observed import Trouble

FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=5)

MOST_UNSENT = 16
"""The most intents of one Datasource that are remembered as not sent. Beyond that, the oldest count as sent."""

RECOVERY_PAUSE = timedelta(minutes=1)
"""The shortest time before an answer of the same provider ends pauses again."""

LOOK_GAP = timedelta(seconds=5)
"""The time between two live reads of another process's intent."""


_SIGHTING = Struct("=dq")
"""When a revision was first seen, and its hash. It is packed: each of 100,000 credentials has one.

The time is monotonic, so a clock that is set back makes no refresh late.
"""


@dataclass(slots=True)
class _StrangersIntent:
    intent_id: str
    looked_at: float
    unchanged: timedelta = timedelta(0)


@dataclass(slots=True)
class RefreshMemory:
    """By key; `monotonic` and `random` (0 to 1) are injected."""

    monotonic: Callable[[], float]
    random: Callable[[], float]
    come_again: Callable[[Key], None] = lambda _: None
    """Called with the key of each Datasource whose pause has ended early."""
    _troubles: dict[Key, tuple[int, Trouble, float]] = field(default_factory=dict)
    """The generation of the spec, the last failure, and until when (monotonic) nothing is tried."""
    _recovered_at: dict[str, float] = field(default_factory=dict)
    """When (monotonic) the pauses of a provider were last ended. Only times within RECOVERY_PAUSE are kept."""
    _failed_at: dict[Key, float] = field(default_factory=dict)
    """When the last refresh failed (monotonic)."""
    _failures: dict[Key, int] = field(default_factory=dict)
    _sightings: dict[Key, bytes] = field(default_factory=dict)
    _strangers: dict[Key, _StrangersIntent] = field(default_factory=dict)
    _unsent: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    """IDs of our intents whose requests were not sent. The intents themselves may have been written or not."""
    _backoff: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE, full_jitter(self.random))

    def first_seen(self, key: Key, facts: CredentialFacts, now: datetime) -> datetime:
        """When this process first saw that revision, by the clock that shows `now`."""
        seen = self.seen_before(key, facts, now)
        if seen is not None:
            return seen
        self._sightings[key] = _SIGHTING.pack(self.monotonic(), _revision(facts))
        return now

    def seen_before(self, key: Key, facts: CredentialFacts, now: datetime) -> datetime | None:
        """The same; None where it was not seen yet. It changes nothing, so it may be called from another thread."""
        sighting = self._sightings.get(key)
        if sighting is None:
            return None
        at, revision = _SIGHTING.unpack(sighting)
        return now - timedelta(seconds=self.monotonic() - at) if revision == _revision(facts) else None

    def trouble(self, key: Key, facts: CredentialFacts, generation: int, now: datetime) -> Trouble | None:
        """The last failure, if it was of this revision and this generation. An edit of the spec may have removed the cause.

        Its times are by the clock that shows `now`, even if that clock was changed after the failure.
        """
        remembered = self._troubles.get(key)
        if remembered is None:
            return None
        about_generation, trouble, until = remembered
        is_about = (trouble.credential_id, trouble.revision) == (facts.credential_id, facts.revision)
        if not is_about or about_generation != generation:
            return None
        left = timedelta(seconds=max(until - self.monotonic(), 0.0))
        ago = timedelta(seconds=self.monotonic() - self._failed_at[key])
        return replace(trouble, try_again_at=now + left, failed_at=now - ago)

    def failed(self, key: Key, generation: int, trouble: Trouble, now: datetime) -> None:
        """Remember a failure that happened at `now`."""
        until = self.monotonic() + (trouble.try_again_at - now).total_seconds()
        self._troubles[key] = (generation, trouble, until)
        self._failed_at[key] = self.monotonic()

    def succeeded(self, key: Key) -> None:
        """Forget the failures. If the provider had not answered, end the pauses of others that wait for it, too."""
        remembered = self._troubles.pop(key, None)
        if remembered is not None and remembered[1].provider:
            self._recovered(remembered[1].provider)
        self._failed_at.pop(key, None)
        self._failures.pop(key, None)

    def _recovered(self, provider: str) -> None:
        """End the pauses of all that wait for a provider, because it answers again. At most once a minute.

        A provider may answer some requests and not others. Then the pauses of the others still grow.
        """
        now = self.monotonic()
        earlier = {each: at for each, at in self._recovered_at.items() if now - at < RECOVERY_PAUSE.total_seconds()}
        self._recovered_at = {provider: now} | earlier
        if provider in earlier:
            return
        for key in [key for key, (_, trouble, _) in self._troubles.items() if trouble.provider == provider]:
            self.try_now(key)
            self.come_again(key)

    def try_now(self, key: Key) -> None:
        """End the pause, because the cause of the failure may be gone."""
        remembered = self._troubles.get(key)
        if remembered is not None:
            generation, trouble, _ = remembered
            self._troubles[key] = (generation, trouble, self.monotonic())

    def pause(self, key: Key, at_least: timedelta = timedelta(0)) -> timedelta:
        """How long to wait after a failure: exponential with full jitter, never less than the provider asked for."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return max(self._backoff.pause(failures), FIRST_PAUSE / 2, at_least)

    def begins(self, key: Key, intent: Intent) -> None:
        """An intent is about to be written. Until `sends` is called, its request was surely not sent."""
        self._unsent[key] = (*self._unsent.get(key, ()), intent.id)[-MOST_UNSENT:]

    def sends(self, key: Key) -> None:
        """The request of the last intent is about to be sent."""
        self._unsent.pop(key, None)

    def may_have_been_sent(self, key: Key, intent: Intent | None) -> bool:
        """Whether the request of an intent may have been sent. False only for our own intents that surely were not sent."""
        return intent is None or intent.id not in self._unsent.get(key, ())

    def looked(self, key: Key, intent: Intent) -> None:
        """A live read showed another process's intent. Only time between two successful reads counts as seen unchanged."""
        now = self.monotonic()
        stranger = self._strangers.get(key)
        if stranger is None or stranger.intent_id != intent.id:
            self._strangers[key] = _StrangersIntent(intent.id, now)
            return
        # Of a longer gap only a part counts: the API server may have been frozen, and kept the sender waiting, too.
        stranger.unchanged += min(timedelta(seconds=now - stranger.looked_at), LOOK_GAP * 1.5)
        stranger.looked_at = now

    def seen_unchanged(self, key: Key, intent: Intent) -> timedelta:
        """How long another process's intent was seen unchanged."""
        stranger = self._strangers.get(key)
        return stranger.unchanged if stranger is not None and stranger.intent_id == intent.id else timedelta(0)

    def forget(self, key: Key) -> None:
        """The Datasource is gone."""
        for remembered in (
            self._troubles,
            self._failed_at,
            self._failures,
            self._sightings,
            self._strangers,
            self._unsent,
        ):
            remembered.pop(key, None)


def _revision(facts: CredentialFacts) -> int:
    """A hash of 64 bits that identifies a revision of a credential."""
    return hash((facts.credential_id, facts.revision))
