"""What follows from a provider's answer to a refresh. Pure: the answer and the time are arguments, and so is all it rests on.

`refresh_outcome` answers with what to write onto the credential Secret; the refresher writes it, and decides nothing. The
table of every class of error, at a first send and at a later one, is decisions/test_refresh_outcome.py of the unit tests.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from datasource.api.states import Reason
from datasource.oauth2.errors import (
    InvalidClient,
    InvalidGrant,
    MalformedTokenResponse,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    Processed,
    RedirectRefused,
    Unauthorized,
    UnexpectedStatus,
)
from datasource.oauth2.id_token import IdentityMismatch
from datasource.oauth2.identity import IdentityChanged
from datasource.oauth2.token_response import TokenResponse, successor
from datasource.outbound.printable import sentence
from datasource.records.change import Change
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.grant import told_end, told_life
from datasource.records.history import SUCCEEDED, Act, entry_of
from datasource.records.intent import Intent
from datasource.records.page_request import PageRequest
from datasource.records.turn import Turn
from datasource_operator.decisions.setbacks import BLOCKED_PAUSE, LONGEST_WORDS, Setback

_FIRST_AFTER_A_LOST_ANSWER = 2


@dataclass(frozen=True, slots=True)
class Unproven:
    """A reply whose id_token is not as it should be (OIDC Core section 12.2)."""

    response: TokenResponse
    error: IdentityMismatch | IdentityChanged


@dataclass(frozen=True, slots=True)
class Identified:
    """The first reply to an imported refresh token, and who stands behind it, as far as its id_token tells."""

    response: TokenResponse
    shown: str | None = None
    """What a person recognizes."""
    kept: str | None = field(default=None, repr=False)
    """Verified claims, as they are kept with the credential."""
    problem: str | None = None
    """Why that is not known, although there was an id_token."""


Answer = TokenResponse | Unproven | Identified | OAuth2Error
"""What came of a request: tokens, tokens of which nobody can say whose they are, or an error."""


@dataclass(frozen=True, slots=True)
class Store:
    """Store the reply as the next revision."""

    turn: Turn
    response: TokenResponse
    received_at: datetime
    trouble: None = None
    revoke: bool = False
    identity: Identified | None = None

    def change(self, found: CredentialFacts) -> Change:
        """What to write, where `found` stands now."""
        response, turn = self.response, self.turn
        data = as_replied(turn.data, response).with_captured(response.captured)
        facts = msgspec.structs.replace(
            found,
            revision=turn.facts.revision + 1,
            granted_scopes=found.granted_scopes if response.scopes is None else response.scopes,
            expires_at=response.expires_at,
            told_lifetime=response.told_lifetime,
            # Somebody else was told that the grant is dead: that this one lives is proved at once.
            expiry_hint=response.expiry_hint if found.verdict is None else self.received_at,
            grant_expires_at=told_end(found, response.grant_expires_at),
            grant_lifetime=told_life(found, response.grant_expires_at, self.received_at),
            refreshed_at=self.received_at,
            has_refresh_token=True,
            is_revocable=data.revocation_endpoint is not None,
            handled=found.handled.with_requests(turn.requests),
            intent=None,
            stored_by=turn.intent.id,
            # Somebody who took over may have been told invalid_grant, because our request had rotated the token.
            verdict=None,
            verdict_message=None,
            page_request=_without_answered(found, turn),
        )
        change = Change(facts, data) if self.identity is None else _identified(facts, data, self.identity)
        return _told(change, turn, self.received_at, SUCCEEDED)

    def stands(self, found: CredentialFacts) -> bool:
        """Whether it was written, though no answer said so."""
        return found.stored_by == self.turn.intent.id


def _identified(facts: CredentialFacts, data: CredentialData, identity: Identified) -> Change:
    """With who stands behind the tokens. Whether that is whom the spec expects is compared before apps get one."""
    known = msgspec.structs.replace(facts, authorized_as=identity.shown, identity_problem=identity.problem)
    return Change(known, msgspec.structs.replace(data, identity=identity.kept))


@dataclass(frozen=True, slots=True)
class KeepRefreshToken:
    """Nothing of the reply reaches apps. But the old refresh token may be used up, and the grant is not to be lost."""

    turn: Turn
    refresh_token: str | None = field(repr=False)
    """The new one; None where the reply had none, and the old one stays."""
    trouble: Setback
    revoke: bool = False

    def change(self, found: CredentialFacts) -> Change:
        """The next revision, although it is still the old access token that stands there: the tokens are others."""
        sent, turn = self.turn.data, self.turn
        data = msgspec.structs.replace(sent, refresh_token=self.refresh_token or sent.refresh_token)
        facts = msgspec.structs.replace(found, revision=turn.facts.revision + 1, intent=None, stored_by=turn.intent.id)
        if self.refresh_token is not None:
            # Whoever was told that the grant is dead asked with the old one.
            facts = msgspec.structs.replace(facts, verdict=None, verdict_message=None)
        return Change(facts, data)

    def facts_after(self) -> CredentialFacts:
        """What stands there once it is written: what is remembered of the failure is about that."""
        return self.change(self.turn.facts).facts

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
    words: str = ""
    """Why, in the provider's words."""
    at: datetime = field(kw_only=True)
    """When the answer came."""

    def change(self, found: CredentialFacts) -> Change:
        """The verdict in the place of the intent; a request for a refresh is answered with it."""
        handled = found.handled.with_requests(self.turn.requests)
        facts = msgspec.structs.replace(
            found,
            intent=None,
            verdict=self.verdict,
            verdict_message=self.words[:LONGEST_WORDS] or None,
            handled=handled,
            page_request=_without_answered(found, self.turn),
        )
        return _told(Change(facts), self.turn, self.at, self.verdict)

    def stands(self, found: CredentialFacts) -> bool:
        """Whether it was written, though no answer said so."""
        return found.intent is None and found.verdict is self.verdict

    def is_about(self, found: CredentialFacts) -> bool:
        """Whether it is that very request whose outcome is still waited for."""
        return found.intent is not None and found.intent.id == self.turn.intent.id


def _without_answered(found: CredentialFacts, turn: Turn) -> PageRequest | None:
    """What is asked for at a page once this turn is over: a clear, or a refresh that somebody asked for since, stays."""
    request = found.page_request
    return None if request is not None and request.id == turn.page_request else request


def _told(change: Change, turn: Turn, at: datetime, result: str) -> Change:
    """With an entry in the history, where somebody asked for the refresh."""
    if not turn.asked_by:
        return change
    return change.with_entry(turn.history, entry_of(turn.act_id, Act.REFRESH, by=turn.asked_by, at=at, result=result))


def as_replied(sent: CredentialData, response: TokenResponse) -> CredentialData:
    """The tokens that hold from now on, beside what was sent. Whoever needs one of them takes it from here."""
    return msgspec.structs.replace(
        sent,
        access_token=response.access_token,
        token_type=response.token_type,
        refresh_token=successor(sent.refresh_token, response),
    )


def tokens_in(sent: CredentialData, answer: Answer) -> CredentialData | None:
    """The tokens that an answer brought, beside what was sent; None where it brought none."""
    match answer:
        case TokenResponse():
            return as_replied(sent, answer)
        case Unproven() | Identified():
            return as_replied(sent, answer.response)
        case OAuth2Error(refresh_token=str()):
            return msgspec.structs.replace(sent, refresh_token=answer.refresh_token)
        case _:
            return None


RefreshOutcome = Store | KeepRefreshToken | TakeBack | LeaveIntent | Verdict


def refresh_outcome(turn: Turn, answer: Answer, now: datetime) -> RefreshOutcome:
    """Decide what follows from an answer; `now` is when it came."""
    match answer:
        case TokenResponse():
            return Store(turn, answer, now)
        case Identified():
            return Store(turn, answer.response, now, identity=answer)
        case Unproven(error=IdentityChanged()):
            # The grant is somebody else's now: apps get nothing of it, and nobody may go on with it.
            return Verdict(
                turn,
                Reason.GRANT_REVOKED,
                Setback(Reason.REFRESH_FAILING, str(answer.error)),
                revoke=True,
                words=f"{answer.error} So it was revoked.",
                at=now,
            )
        case Unproven():
            said = f"The access token could not be refreshed. {answer.error}"
            message = f"{said} The answer was dropped. Its refresh token is kept."
            return KeepRefreshToken(turn, answer.response.refresh_token, Setback(Reason.REFRESH_FAILING, message))
        case OAuth2Error(refresh_token=str()):
            # Before anything else is judged: whatever the reply lacks, the old refresh token may be used up by it.
            return KeepRefreshToken(turn, answer.refresh_token, _setback(turn, answer, "Its refresh token is kept."))
        case InvalidGrant() if turn.intent.sends == _FIRST_AFTER_A_LOST_ANSWER:
            # The request whose answer was lost may still be at work, and the provider refuses a second one meanwhile
            # ("token request is already being processed").
            return LeaveIntent(_setback(turn, answer, "The operator tries once more.", turn.last_try_after))
        case InvalidGrant():
            return Verdict(turn, _verdict(turn), words=_words_of(turn, answer), at=now)
        case OAuth2Error(processed=Processed.NO):
            return TakeBack(turn.intent, _setback(turn, answer))
        case _:
            return LeaveIntent(_setback(turn, answer))


def _verdict(turn: Turn) -> Literal[Reason.GRANT_REVOKED, Reason.REFRESH_INTERRUPTED]:
    """After a send whose answer was lost, the grant was most likely rotated away by it."""
    return Reason.REFRESH_INTERRUPTED if turn.intent.sends > 1 else Reason.GRANT_REVOKED


def _words_of(turn: Turn, error: InvalidGrant) -> str:
    """Why the grant is dead, as the provider says it, and what went wrong before."""
    before = (
        f" The refresh before it failed: {turn.failure_before}" if turn.failure_before and turn.intent.sends > 1 else ""
    )
    return f"{error}.{before}"


_OF_THE_ENDPOINT = (NotDelivered, OutcomeUnknown, UnexpectedStatus, RedirectRefused, MalformedTokenResponse)
"""What nobody said who knows us: it may be the wrong place that was asked."""


def _where(turn: Turn, error: OAuth2Error) -> str:
    """The field that says where the refresh token was sent, where that may be what is wrong."""
    if not isinstance(error, _OF_THE_ENDPOINT):
        return ""
    return f"spec.oauth2.{'tokenURL' if turn.data.refresh_endpoint is None else 'refreshURL'}: "


def _setback(turn: Turn, error: OAuth2Error, what_next: str = "", pause: timedelta | None = None) -> Setback:
    message = f"The access token could not be refreshed. {_where(turn, error)}{error}"
    if what_next:
        return Setback(Reason.REFRESH_FAILING, f"{sentence(message)} {what_next}", pause)
    if isinstance(error, Unauthorized):
        return Setback(
            Reason.REFRESH_FAILING,
            f"{message} Perhaps the client secret is no longer valid: compare spec.oauth2.clientID and the client Secret with "
            "the application's registration. Perhaps the grant is gone: get a new credential.",
            BLOCKED_PAUSE,
            look_again_at=turn.client_secret_name,
            asks_for_a_person=True,
        )
    if isinstance(error, InvalidClient):
        return Setback(
            Reason.CLIENT_REJECTED,
            f"{sentence(message)} Compare spec.oauth2.clientID, the client Secret and spec.oauth2.clientAuthentication "
            "with the application's registration. The credential is kept.",
            BLOCKED_PAUSE,
            look_again_at=turn.client_secret_name,
        )
    return Setback(Reason.REFRESH_FAILING, message, at_least=error.retry_after or timedelta(0))
