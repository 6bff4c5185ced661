"""Why a refresh failed or was put off, in words for the status, and when the operator tries again. Pure.

A `NotNow` carries a `Setback` out of the refresh. Once it is remembered for a revision, it is a `Trouble`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from datasource.api.clock import rfc3339
from datasource.api.states import Reason
from datasource.records.credential import CredentialFacts
from datasource_operator.decisions.observed import Trouble

BLOCKED_PAUSE = timedelta(minutes=1)
"""The pause where only a person can remove the cause. A change of the watched Secret ends it sooner."""


@dataclass(frozen=True, slots=True)
class Setback:
    """Why the access token was not renewed, and when to try again."""

    reason: Reason
    message: str
    pause: timedelta | None = None
    """The pause until the next try. None: it grows from one failure to the next."""
    at_least: timedelta = timedelta(0)
    """The shortest pause that the provider asked for (Retry-After), where the pause grows."""
    watched_secret: str | None = None
    """The name of the Secret whose change may remove the cause."""
    asks_for_a_person: bool = False
    """Whether a new credential may remove the cause."""

    def trouble(
        self, facts: CredentialFacts, pause: timedelta, now: datetime, asked: str | None = None, provider: str = ""
    ) -> Trouble:
        """The trouble to remember for the revision that was not renewed.

        Args:
            facts: the facts of that revision.
            pause: the time until the next try.
            now: when the refresh failed.
            asked: the open request for a refresh (`Observed.asked_refresh`).
            provider: the provider that did not answer as it should.
        """
        return Trouble(
            credential_id=facts.credential_id,
            revision=facts.revision,
            reason=self.reason,
            message=self.message,
            try_again_at=now + pause,
            watched_secret=self.watched_secret,
            asks_for_a_person=self.asks_for_a_person,
            failed_at=now,
            asked=asked,
            provider=provider if self.pause is None and not self.at_least else "",
            # In whole minutes, so that several failures in a row do not each cause a write of the status.
            told=rfc3339((now + pause).replace(second=0, microsecond=0) + timedelta(minutes=1)),
        )


class NotNow(Exception):
    """The refresh cannot be done now. The exception carries the setback."""

    def __init__(self, setback: Setback, about: CredentialFacts | None = None) -> None:
        super().__init__(setback.message)
        self.setback = setback
        self.about = about
        """The facts that the Secret has now, where the failed refresh itself changed them."""


def another_process_refreshes(pause: timedelta) -> Setback:
    """The Secret has the intent of another process."""
    return Setback(
        Reason.REFRESH_FAILING,
        "Another process began to refresh the token and has not finished. If this does not change, this process takes over.",
        pause,
    )


def client_is_not_ready(error: Exception, secret: str | None) -> Setback:
    """The client Secret or key is missing, or it may not be sent to the endpoint that the tokens came from."""
    return Setback(
        Reason.REFRESH_FAILING,
        f"The access token cannot be refreshed: {error}",
        BLOCKED_PAUSE,
        watched_secret=secret,
    )


def credential_is_damaged(advice: str, secret: str) -> Setback:
    """The credential Secret was edited after it was last read."""
    return Setback(Reason.CREDENTIAL_UNREADABLE, advice, BLOCKED_PAUSE, watched_secret=secret)


def reply_could_not_be_stored(reason: Reason, message: str, secret: str) -> Setback:
    """The credential Secret cannot be written, so nothing is sent."""
    return Setback(reason, message, BLOCKED_PAUSE, watched_secret=secret)


def journal_may_hold_the_reply(pause: timedelta) -> Setback:
    """The Secret has the intent of a process that has ended, and the journal of that process may have the reply."""
    return Setback(
        Reason.REFRESH_FAILING,
        "Another process began to refresh the token and ended. The journal of its pod may have the provider's answer. The "
        "refresh begins again when that pod says that it has none, after 15 minutes, or shortly before the token expires.",
        pause,
    )


LONGEST_WORDS = 1024


def api_server_refused(words: str, retry_after: timedelta | None) -> Setback:
    """The intent could not be written, or a Secret that the request needs could not be read. Nothing was sent."""
    return Setback(
        Reason.REFRESH_FAILING,
        "The access token could not be refreshed. The API server does not answer, or refuses what the operator reads and "
        f"writes before it sends a refresh token. It says: {words[:LONGEST_WORDS]}",
        at_least=retry_after or timedelta(0),
    )


def reply_waits(words: str) -> Setback:
    """The reply is only in the memory of this process."""
    return Setback(
        Reason.REFRESH_FAILING,
        "The provider has answered, and the API server does not take the new tokens. They are in the operator's memory "
        "only: do not restart the operator. Correct what refuses the write to the credential Secret. The operator tries "
        f"again every few seconds. The API server says: {words[:LONGEST_WORDS]}",
        BLOCKED_PAUSE,
    )


def reply_is_in_the_journal(words: str, pause: timedelta) -> Setback:
    """The reply is in the journal of this process, so no worker waits for it to be stored."""
    return Setback(
        Reason.REFRESH_FAILING,
        "The provider has answered, and the new tokens are not stored yet. They are in the journal of the operator's pod: "
        "do not delete the pod. Correct what refuses the write to the credential Secret. The operator tries again every 5 "
        f"minutes or sooner. It waits for: {words[:LONGEST_WORDS]}",
        pause,
    )


def intent_took_too_long() -> Setback:
    """Writing the intent took so long that another replica may take it over before our request would end."""
    return Setback(
        Reason.REFRESH_FAILING,
        "The refresh was not sent. The API server took so long to record it that another replica could start it, too.",
    )


def stopped_before_it_was_sent() -> Setback:
    """This process ends or is no longer the leader. The next leader starts the refresh."""
    return Setback(Reason.REFRESH_FAILING, "The refresh was not started: the operator was stopping.", timedelta(0))
