"""What follows from a provider's answer to a refresh. Pure: the answer and the time are arguments, and so is all it rests on.

`refresh_outcome` answers with what to write onto the credential Secret; the refresher writes it, and decides nothing. The
table of every class of error, at a first send and at a later one, is decisions/test_refresh_outcome.py of the unit tests.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from datasource.api.states import Reason
from datasource.oauth2.errors import EgressDenied, InvalidClient, InvalidGrant, OAuth2Error, Processed, Throttled
from datasource.oauth2.id_token import IdentityMismatch
from datasource.oauth2.identity import IdentityChanged
from datasource.oauth2.token_response import TokenResponse, successor
from datasource.records.credential import Change, CredentialData, CredentialFacts
from datasource.records.intent import Intent
from datasource.records.turn import Turn
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

    def trouble(self, facts: CredentialFacts, pause: timedelta, now: datetime) -> Trouble:
        """What is remembered of it, for the revision that was not renewed."""
        return Trouble(
            credential_id=facts.credential_id,
            revision=facts.revision,
            reason=self.reason,
            message=self.message,
            try_again_at=now + pause,
            look_again_at=self.look_again_at,
        )


@dataclass(frozen=True, slots=True)
class Unproven:
    """A reply whose id_token is not as it should be (OIDC Core section 12.2)."""

    response: TokenResponse
    error: IdentityMismatch | IdentityChanged


Answer = TokenResponse | Unproven | OAuth2Error
"""What came of a request: tokens, tokens of which nobody can say whose they are, or an error."""


@dataclass(frozen=True, slots=True)
class Store:
    """Store the reply as the next revision."""

    turn: Turn
    response: TokenResponse
    received_at: datetime
    trouble: None = None
    revoke: bool = False

    def change(self, found: CredentialFacts) -> Change:
        """What to write, where `found` stands now."""
        response, turn = self.response, self.turn
        data = as_replied(turn.data, response).with_captured(response.captured)
        facts = msgspec.structs.replace(
            found,
            revision=turn.facts.revision + 1,
            granted_scopes=found.granted_scopes if response.scopes is None else response.scopes,
            expires_at=response.expires_at,
            refreshed_at=self.received_at,
            has_refresh_token=True,
            is_revocable=data.revocation_endpoint is not None,
            handled=found.handled.with_requests(turn.requests),
            intent=None,
            stored_by=turn.intent.id,
            # Somebody who took over may have been told invalid_grant, because our request had rotated the token.
            verdict=None,
        )
        return Change(facts, data)

    def stands(self, found: CredentialFacts) -> bool:
        """Whether it was written, though no answer said so."""
        return found.stored_by == self.turn.intent.id


@dataclass(frozen=True, slots=True)
class KeepRefreshToken:
    """Nothing of the reply reaches apps. But the old refresh token may be used up, and the grant is not to be lost."""

    turn: Turn
    response: TokenResponse
    trouble: Setback
    revoke: bool = False

    def change(self, found: CredentialFacts) -> Change:
        """The same revision: it is still the old access token that stands there."""
        kept, replied = self.turn.data, as_replied(self.turn.data, self.response)
        data = msgspec.structs.replace(kept, refresh_token=replied.refresh_token)
        return Change(msgspec.structs.replace(found, intent=None, stored_by=self.turn.intent.id), data)

    def stands(self, found: CredentialFacts) -> bool:
        """Whether it was written, though no answer said so."""
        return found.stored_by == self.turn.intent.id


@dataclass(frozen=True, slots=True)
class TakeBack:
    """The request was surely not acted on. Earlier ones whose outcome nobody knows stay on record."""

    intent: Intent
    trouble: Setback
    revoke: bool = False

    def change(self, found: CredentialFacts) -> Change:
        """The intent goes, or goes back to what it was."""
        sends = self.intent.sends - 1
        left = msgspec.structs.replace(self.intent, sends=sends) if sends else None
        return Change(msgspec.structs.replace(found, intent=left))

    def stands(self, found: CredentialFacts) -> bool:
        """Whether it was written, though no answer said so."""
        return found.intent != self.intent


@dataclass(frozen=True, slots=True)
class LeaveIntent:
    """The request may have been acted on: the intent stays, and says that the old refresh token may be used up."""

    trouble: Setback
    revoke: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The refresh token is dead, and that is written down: it is never sent again."""

    turn: Turn
    verdict: Literal[Reason.GRANT_REVOKED, Reason.REFRESH_INTERRUPTED]
    trouble: Setback | None = None
    revoke: bool = False
    """Whether the reply that came is to be revoked: its tokens are somebody else's."""

    def change(self, found: CredentialFacts) -> Change:
        """The verdict in the place of the intent; a request for a refresh is answered with it."""
        handled = found.handled.with_requests(self.turn.requests)
        return Change(msgspec.structs.replace(found, intent=None, verdict=self.verdict, handled=handled))

    def stands(self, found: CredentialFacts) -> bool:
        """Whether it was written, though no answer said so."""
        return found.intent != self.turn.intent


def as_replied(sent: CredentialData, response: TokenResponse) -> CredentialData:
    """The tokens that hold from now on, beside what was sent. Whoever needs one of them takes it from here."""
    return msgspec.structs.replace(
        sent,
        access_token=response.access_token,
        token_type=response.token_type,
        refresh_token=successor(sent.refresh_token, response),
    )


RefreshOutcome = Store | KeepRefreshToken | TakeBack | LeaveIntent | Verdict


def refresh_outcome(turn: Turn, answer: Answer, now: datetime) -> RefreshOutcome:
    """Decide what follows from an answer; `now` is when it came."""
    match answer:
        case TokenResponse():
            return Store(turn, answer, now)
        case Unproven(error=IdentityChanged()):
            # The grant is somebody else's now: apps get nothing of it, and nobody may go on with it.
            return Verdict(turn, _verdict(turn), Setback(Reason.REFRESH_FAILING, str(answer.error)), revoke=True)
        case Unproven():
            message = (
                f"The access token could not be refreshed. {answer.error} It was dropped, the refresh token is kept."
            )
            return KeepRefreshToken(turn, answer.response, Setback(Reason.REFRESH_FAILING, message))
        case InvalidGrant():
            return Verdict(turn, _verdict(turn))
        case OAuth2Error(processed=Processed.NO):
            return TakeBack(turn.intent, _setback(turn, answer))
        case _:
            return LeaveIntent(_setback(turn, answer))


def _verdict(turn: Turn) -> Literal[Reason.GRANT_REVOKED, Reason.REFRESH_INTERRUPTED]:
    """After a send whose answer was lost, the grant was most likely rotated away by it."""
    return Reason.REFRESH_INTERRUPTED if turn.intent.sends > 1 else Reason.GRANT_REVOKED


def _setback(turn: Turn, error: OAuth2Error) -> Setback:
    where = "spec.oauth2.tokenURL: " if isinstance(error, EgressDenied) else ""
    message = f"The access token could not be refreshed. {where}{error}"
    if isinstance(error, InvalidClient):
        return Setback(
            Reason.CLIENT_REJECTED,
            f"{message}. Compare spec.oauth2.clientID, the client Secret and spec.oauth2.clientAuthentication with the "
            "application's registration; the credential is kept.",
            BLOCKED_PAUSE,
            look_again_at=turn.client_secret_name,
        )
    wait = error.retry_after if isinstance(error, Throttled) else None
    return Setback(Reason.REFRESH_FAILING, message, at_least=wait or timedelta(0))


# Before anything was sent.


def another_process_refreshes(pause: timedelta) -> Setback:
    """Somebody else's intent stands on the Secret."""
    return Setback(
        Reason.REFRESH_FAILING,
        "Another process began to refresh the token and has not finished; it is taken over if it stays so.",
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


_LONGEST_WORDS = 1024


def api_server_refused(words: str, retry_after: timedelta | None) -> Setback:
    """The intent could not be written, or what the request takes could not be read: nothing was sent."""
    return Setback(
        Reason.REFRESH_FAILING,
        "The access token could not be refreshed: the API server refuses what the operator reads and writes before it sends "
        f"a refresh token, or does not answer. It says: {words[:_LONGEST_WORDS]}",
        at_least=retry_after or timedelta(0),
    )


def reply_waits(words: str) -> Setback:
    """The reply is in memory alone."""
    return Setback(
        Reason.REFRESH_FAILING,
        "The provider has answered, and the API server does not take the new tokens. They are in the operator's memory "
        "alone: do not restart the operator, correct what refuses the write to the credential Secret. It is tried every few "
        f"seconds. The API server says: {words[:_LONGEST_WORDS]}",
        BLOCKED_PAUSE,
    )


def intent_took_too_long() -> Setback:
    """Another replica may take the intent over before our request would have ended."""
    return Setback(
        Reason.REFRESH_FAILING,
        "The refresh was not sent: the API server took so long to write that it begins that another replica could begin it, "
        "too.",
    )


def stopped_before_it_was_sent() -> Setback:
    """This process ends, or leads no longer: whoever leads next begins anew."""
    return Setback(Reason.REFRESH_FAILING, "The refresh was not begun: the operator was stopping.", timedelta(0))
