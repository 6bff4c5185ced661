"""What is told of a refresh that did not come about, and when it is tried again. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from datasource.api.clock import rfc3339
from datasource.api.states import Reason
from datasource.records.credential import CredentialFacts
from datasource_operator.decisions.observed import Trouble

BLOCKED_PAUSE = timedelta(minutes=1)
"""How soon to try again what only a person can mend; a change of the Secret concerned is noticed sooner."""


@dataclass(frozen=True, slots=True)
class Setback:
    """The access token was not renewed: what to tell, and when to try again."""

    reason: Reason
    message: str
    pause: timedelta | None = None
    """None: it grows from one failure to the next."""
    at_least: timedelta = timedelta(0)
    """What the provider asked for, where the pause grows."""
    look_again_at: str | None = None
    """The Secret whose change may mend it."""
    asks_for_a_person: bool = False
    """Whether a new credential may be what mends it."""

    def trouble(
        self, facts: CredentialFacts, pause: timedelta, now: datetime, asked: str | None = None, provider: str = ""
    ) -> Trouble:
        """What is remembered of it, for the revision that was not renewed.

        Args:
            facts: of that revision.
            pause: until it is tried again.
            now: when it failed.
            asked: the request for a refresh that stood.
            provider: who did not answer as it should.
        """
        return Trouble(
            credential_id=facts.credential_id,
            revision=facts.revision,
            reason=self.reason,
            message=self.message,
            try_again_at=now + pause,
            look_again_at=self.look_again_at,
            asks_for_a_person=self.asks_for_a_person,
            failed_at=now,
            asked=asked,
            provider=provider if self.pause is None and not self.at_least else "",
            # By the minute, so that a row of failures does not make a row of writes.
            told=rfc3339((now + pause).replace(second=0, microsecond=0) + timedelta(minutes=1)),
        )


class NotNow(Exception):
    """The refresh cannot be done now; carries what to tell and when to try again."""

    def __init__(self, setback: Setback, about: CredentialFacts | None = None) -> None:
        super().__init__(setback.message)
        self.setback = setback
        self.about = about
        """What stands there now, where that is not what was seen before."""


def another_process_refreshes(pause: timedelta) -> Setback:
    """Somebody else's intent stands on the Secret."""
    return Setback(
        Reason.REFRESH_FAILING,
        "Another process began to refresh the token and has not finished. If this does not change, this process takes over.",
        pause,
    )


def client_is_not_ready(error: Exception, secret: str | None) -> Setback:
    """What the client authenticates with is missing, or may not go where the tokens came from."""
    return Setback(
        Reason.REFRESH_FAILING,
        f"The access token cannot be refreshed: {error}",
        BLOCKED_PAUSE,
        look_again_at=secret,
    )


def credential_is_damaged(advice: str, secret: str) -> Setback:
    """Somebody edited the credential Secret between two looks."""
    return Setback(Reason.CREDENTIAL_UNREADABLE, advice, BLOCKED_PAUSE, look_again_at=secret)


def reply_could_not_be_stored(reason: Reason, message: str, secret: str) -> Setback:
    """The credential Secret cannot be written, so nothing is sent."""
    return Setback(reason, message, BLOCKED_PAUSE, look_again_at=secret)


def journal_may_hold_the_reply(pause: timedelta) -> Setback:
    """Somebody else's intent stands on the Secret, and nobody is at work on it; but what it came to may be written down."""
    return Setback(
        Reason.REFRESH_FAILING,
        "Another process began to refresh the token and ended. The journal of its pod may have the provider's answer. The "
        "refresh begins again when that pod says that it has none, after 15 minutes, or shortly before the token expires.",
        pause,
    )


LONGEST_WORDS = 1024


def api_server_refused(words: str, retry_after: timedelta | None) -> Setback:
    """The intent could not be written, or what the request takes could not be read: nothing was sent."""
    return Setback(
        Reason.REFRESH_FAILING,
        "The access token could not be refreshed. The API server does not answer, or refuses what the operator reads and "
        f"writes before it sends a refresh token. It says: {words[:LONGEST_WORDS]}",
        at_least=retry_after or timedelta(0),
    )


def reply_waits(words: str) -> Setback:
    """The reply is in memory alone."""
    return Setback(
        Reason.REFRESH_FAILING,
        "The provider has answered, and the API server does not take the new tokens. They are in the operator's memory "
        "only: do not restart the operator. Correct what refuses the write to the credential Secret. The operator tries "
        f"again every few seconds. The API server says: {words[:LONGEST_WORDS]}",
        BLOCKED_PAUSE,
    )


def reply_is_in_the_journal(words: str, pause: timedelta) -> Setback:
    """The reply is written down, and nobody is kept waiting for it."""
    return Setback(
        Reason.REFRESH_FAILING,
        "The provider has answered, and the new tokens are not stored yet. They are in the journal of the operator's pod: "
        "do not delete the pod. Correct what refuses the write to the credential Secret. The operator tries again every 5 "
        f"minutes or sooner. It waits for: {words[:LONGEST_WORDS]}",
        pause,
    )


def intent_took_too_long() -> Setback:
    """Another replica may take the intent over before our request would have ended."""
    return Setback(
        Reason.REFRESH_FAILING,
        "The refresh was not sent. The API server took so long to record it that another replica could start it, too.",
    )


def stopped_before_it_was_sent() -> Setback:
    """This process ends, or leads no longer: whoever leads next begins anew."""
    return Setback(Reason.REFRESH_FAILING, "The refresh was not started: the operator was stopping.", timedelta(0))
