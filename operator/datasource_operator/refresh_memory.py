"""What this process remembers about refreshes: failures, first sightings, how long a stranger's intent stood unchanged.

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
"""How many intents of one Datasource are remembered as never sent; of more, the oldest count as sent."""

RECOVERY_PAUSE = timedelta(minutes=1)
"""How often the answer of a provider ends the pauses of all who wait for it."""

LOOK_GAP = timedelta(seconds=5)
"""How often a stranger's intent is looked at."""


_SIGHTING = Struct("=dq")
"""When a revision was first seen, and its hash. It is packed: each of 100,000 credentials has one.

The time is monotonic: a clock that somebody sets back must make no refresh late.
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
    """Told of whoever need not wait any longer."""
    _troubles: dict[Key, tuple[int, Trouble, float]] = field(default_factory=dict)
    """With the generation that it is about, and until when (monotonic) nothing is tried."""
    _recovered_at: dict[str, float] = field(default_factory=dict)
    """When (monotonic) the pauses of a provider were ended, while that is not long ago."""
    _failed_at: dict[Key, float] = field(default_factory=dict)
    """Monotonic."""
    _failures: dict[Key, int] = field(default_factory=dict)
    _sightings: dict[Key, bytes] = field(default_factory=dict)
    _strangers: dict[Key, _StrangersIntent] = field(default_factory=dict)
    _unsent: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    """Intents of ours that were written, perhaps, and surely not sent."""
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
        """The same, and None where it was not seen yet; may be asked from another thread, for it changes nothing."""
        sighting = self._sightings.get(key)
        if sighting is None:
            return None
        at, revision = _SIGHTING.unpack(sighting)
        return now - timedelta(seconds=self.monotonic() - at) if revision == _revision(facts) else None

    def trouble(self, key: Key, facts: CredentialFacts, generation: int, now: datetime) -> Trouble | None:
        """The last failure, as long as it is about that revision and that spec: an edit may have mended it.

        When to try again is told by the clock that shows `now`, whatever it showed at the failure.
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
        """Remember a failure, which happened `now`."""
        until = self.monotonic() + (trouble.try_again_at - now).total_seconds()
        self._troubles[key] = (generation, trouble, until)
        self._failed_at[key] = self.monotonic()

    def succeeded(self, key: Key) -> None:
        """Start over with short pauses, and so may others for whom that provider did not answer."""
        remembered = self._troubles.pop(key, None)
        if remembered is not None and remembered[1].provider:
            self._recovered(remembered[1].provider)
        self._failed_at.pop(key, None)
        self._failures.pop(key, None)

    def _recovered(self, provider: str) -> None:
        """End the pauses after an outage, once a minute: where a provider answers some and not others, those of the others are
        to grow."""
        now = self.monotonic()
        earlier = {each: at for each, at in self._recovered_at.items() if now - at < RECOVERY_PAUSE.total_seconds()}
        self._recovered_at = {provider: now} | earlier
        if provider in earlier:
            return
        for key in [key for key, (_, trouble, _) in self._troubles.items() if trouble.provider == provider]:
            self.try_now(key)
            self.come_again(key)

    def try_now(self, key: Key) -> None:
        """What stood in the way may be gone."""
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
        """An intent is about to be written. Whether it stands is not known where nobody answers; that it was not sent is."""
        self._unsent[key] = (*self._unsent.get(key, ()), intent.id)[-MOST_UNSENT:]

    def sends(self, key: Key) -> None:
        """What was written last is about to be sent."""
        self._unsent.pop(key, None)

    def may_have_been_sent(self, key: Key, intent: Intent | None) -> bool:
        """Whether a request may have gone out for an intent; only of our own do we ever know that none did."""
        return intent is None or intent.id not in self._unsent.get(key, ())

    def looked(self, key: Key, intent: Intent) -> None:
        """A live read showed a stranger's intent. Only time between two reads that worked counts as seen unchanged."""
        now = self.monotonic()
        stranger = self._strangers.get(key)
        if stranger is None or stranger.intent_id != intent.id:
            self._strangers[key] = _StrangersIntent(intent.id, now)
            return
        # A read that failed between the two leaves a gap: the API server may have been frozen, and the sender with it.
        stranger.unchanged += min(timedelta(seconds=now - stranger.looked_at), LOOK_GAP * 1.5)
        stranger.looked_at = now

    def seen_unchanged(self, key: Key, intent: Intent) -> timedelta:
        """How long that intent was seen unchanged."""
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
    """Which one it is, in 64 bits whatever its number."""
    return hash((facts.credential_id, facts.revision))
