"""I/O: what follows from an answer, written to the credential that was sent, and to no other."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.credential_secrets import CredentialSecrets, NotOurs
from datasource.cluster.recording import Recording
from datasource.records.change import Change
from datasource.records.contents import Readable, StoredCredential, still_there
from datasource.records.credential import CredentialFacts
from datasource.records.standing import Standing, Written
from datasource.records.turn import Turn
from datasource_operator.cache import Key
from datasource_operator.decisions.refresh_outcome import KeepRefreshToken, Store, TakeBack, Verdict
from datasource_operator.decisions.replay import gone_on_from, is_brought_back
from datasource_operator.decisions.setbacks import BLOCKED_PAUSE, NotNow, reply_is_in_the_journal, reply_waits
from datasource_operator.executor import Executor
from datasource_operator.observer import DatasourceGone
from datasource_operator.refresh_memory import LOOK_GAP, RefreshMemory
from datasource_operator.waiting_replies import WaitingReplies

logger = structlog.get_logger(__name__)

LEFT_TO_THE_JOURNAL_AFTER = timedelta(minutes=1)
"""How long a store that is refused keeps its place: others of its namespace and of its provider wait for that."""

CANNOT_BE_READ = "the credential Secret cannot be read: its annotations or data were altered"
"""Why a reply waits in the journal."""

GivesUp = Callable[[ApiError | Unavailable], bool]
"""Whether what the API server said is not worth another try."""


@dataclass(slots=True)
class OutcomeWriter:
    """Writes until it stands, for as long as the process lives. Every unclear answer is resolved by reading again."""

    steps: Executor
    memory: RefreshMemory
    now: Callable[[], datetime]
    waiting: WaitingReplies
    monotonic: Callable[[], float] = time.monotonic
    credential_secrets: CredentialSecrets = field(init=False)

    def __post_init__(self) -> None:
        self.credential_secrets = self.steps.credential_secrets

    async def write(
        self,
        key: Key,
        sent: CredentialFacts,
        resource_version: str,
        outcome: Store | KeepRefreshToken | TakeBack | Verdict,
        *,
        gives_up: GivesUp = lambda _: False,
    ) -> bool:
        """Write an outcome; True if it stands in the end. What is newer than the revision that was sent stays; what a backup
        brought back meanwhile does not, where the reply brought tokens.

        Args:
            key: the Datasource.
            sent: what was known of the credential when it was sent, with our intent.
            resource_version: of the Secret then.
            outcome: what to write.
            gives_up: whether an error is not worth another try.

        Raises:
            ApiError, Unavailable: what `gives_up` says so of.
        """
        return (await self._write(key, sent, resource_version, outcome, gives_up)).stands

    async def _write(
        self,
        key: Key,
        sent: CredentialFacts,
        resource_version: str,
        outcome: Store | KeepRefreshToken | TakeBack | Verdict,
        gives_up: GivesUp,
    ) -> Written:
        before, came_at = StoredCredential(sent, resource_version, owners=()), self.now()
        if isinstance(outcome, Verdict):
            # A verdict is about what stands there now: whatever has moved on, the intent alone included, voids it.
            found = await self.credential_secrets.facts_until_answered(*key, gives_up=gives_up)
            there = None if isinstance(found, NotOurs) else still_there(found)
            if not isinstance(there, StoredCredential) or _is_void(outcome, there.facts, sent):
                return Written(False)
            before = there

        def resolve(found: Readable | None) -> Standing | StoredCredential:
            if not isinstance(found, StoredCredential) or found.facts.credential_id != sent.credential_id:
                return Standing.LOST
            if outcome.stands(found.facts):
                return Standing.STORED
            if isinstance(outcome, Store | KeepRefreshToken) and is_brought_back(found.facts, sent, came_at):
                return gone_on_from(found, sent)
            return Standing.LOST if _is_void(outcome, found.facts, sent) else found

        def change(found: StoredCredential) -> Change:
            wanted = outcome.change(found.facts)
            if wanted.data is not None:
                self.steps.token_secrets.begins_to_store(key, wanted.facts.stored_by, wanted.data)
            return wanted

        def failed(error: ApiError | Unavailable) -> None:
            if isinstance(outcome, Store | KeepRefreshToken):
                self._tell_that_it_waits(key, sent, error)

        try:
            written = await self.credential_secrets.write_until_it_stands(
                *key, before, change, resolve, gives_up=gives_up, failed=failed
            )
        finally:
            self.waiting.end(key)
            self.steps.token_secrets.has_stored(key)
        if written.data is not None and written.resource_version is not None:
            self.steps.token_secrets.hand_over(key, written.resource_version, written.data)
        return written

    async def write_or_leave(
        self,
        key: Key,
        turn: Turn,
        outcome: Store | KeepRefreshToken | TakeBack | Verdict,
        recording: Recording,
        *,
        is_stopping: Callable[[], bool],
    ) -> bool:
        """Write what follows from a reply; whether it stands.

        Raises:
            NotNow: the API server refuses it, or the Secret cannot be read. It is left to the journal, so that nobody waits
                behind it.
        """
        began_at = self.monotonic()

        def gives_up(error: ApiError | Unavailable) -> bool:
            is_late = self.monotonic() - began_at > LEFT_TO_THE_JOURNAL_AFTER.total_seconds()
            return is_late and isinstance(error, ApiError) and recording.may_be_left and not is_stopping()

        try:
            written = await self._write(key, turn.facts, turn.resource_version, outcome, gives_up)
        except ApiError as error:
            logger.warning("a reply is left to the journal", datasource=str(key), error=str(error))
            raise NotNow(reply_is_in_the_journal(words_of(error), LOOK_GAP)) from None
        if written.cannot_be_judged and recording.may_be_left:
            # It may be put right, and then nothing else has these tokens.
            logger.warning("a reply is left to the journal", datasource=str(key), error=CANNOT_BE_READ)
            raise NotNow(reply_is_in_the_journal(CANNOT_BE_READ, LOOK_GAP))
        return written.stands

    def _tell_that_it_waits(self, key: Key, sent: CredentialFacts, error: ApiError | Unavailable) -> None:
        setback = reply_waits(words_of(error))
        try:
            seen = self.steps.observer.observe(key)
        except DatasourceGone:
            return
        trouble = setback.trouble(sent, BLOCKED_PAUSE, self.now(), seen.asked_refresh)
        self.memory.failed(key, seen.generation, trouble, self.now())
        self.waiting.wait(key, setback.message)


def has_moved_on(found: CredentialFacts, sent: CredentialFacts) -> bool:
    """Whether something newer stands there than what was sent: another credential, or a later revision."""
    return (found.credential_id, found.revision) != (sent.credential_id, sent.revision)


def words_of(error: ApiError | Unavailable) -> str:
    """What the API server said, or why nothing came of it."""
    return error.message if isinstance(error, ApiError) else str(error)


def _is_void(
    outcome: Store | KeepRefreshToken | TakeBack | Verdict, found: CredentialFacts, sent: CredentialFacts
) -> bool:
    return has_moved_on(found, sent) or (isinstance(outcome, Verdict) and not outcome.is_about(found))
