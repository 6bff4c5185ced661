"""What follows from a provider's answer to a refresh. Pure: the answer, the time and all else are arguments.

`refresh_outcome` returns what to write to the credential Secret. The refresher writes it and decides nothing. The unit test
decisions/test_refresh_outcome.py has the table of all classes of errors, at a first send and at a later one.
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
class UnverifiedReply:
    """A reply whose id_token is not as it should be (OIDC Core section 12.2)."""

    response: TokenResponse
    error: IdentityMismatch | IdentityChanged


@dataclass(frozen=True, slots=True)
class Identified:
    """The first reply to an imported refresh token, with the account that its id_token names, if any."""

    response: TokenResponse
    shown: str | None = None
    """The account in words that a person recognizes."""
    kept: str | None = field(default=None, repr=False)
    """The verified claims, as they are stored with the credential."""
    problem: str | None = None
    """Why the account is not known, although there was an id_token."""


Answer = TokenResponse | UnverifiedReply | Identified | OAuth2Error
"""The result of a request: tokens, tokens of an account that could not be verified, or an error."""


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
        """What to write over the facts `found`, which the Secret has now."""
        response, turn = self.response, self.turn
        data = as_replied(turn.data, response).with_captured(response.captured)
        facts = msgspec.structs.replace(
            found,
            revision=turn.facts.revision + 1,
            granted_scopes=found.granted_scopes if response.scopes is None else response.scopes,
            expires_at=response.expires_at,
            told_lifetime=response.told_lifetime,
            # Another process was told that the grant is dead. So this token is refreshed at once, to see whether it works.
            expiry_hint=response.expiry_hint if found.verdict is None else self.received_at,
            grant_expires_at=told_end(found, response.grant_expires_at),
            grant_lifetime=told_life(found, response.grant_expires_at, self.received_at),
            refreshed_at=self.received_at,
            has_refresh_token=True,
            is_revocable=data.revocation_endpoint is not None,
            handled=found.handled.with_requests(turn.requests),
            intent=None,
            stored_by=turn.intent.id,
            # A process that took over may have received invalid_grant, because our request had rotated the token.
            verdict=None,
            verdict_message=None,
            page_request=_without_answered(found, turn),
        )
        change = Change(facts, data) if self.identity is None else _identified(facts, data, self.identity)
        return _told(change, turn, self.received_at, SUCCEEDED)

    def stands(self, found: CredentialFacts) -> bool:
        """Whether the write took effect, although its answer was lost: `found` is read after that."""
        return found.stored_by == self.turn.intent.id


def _identified(facts: CredentialFacts, data: CredentialData, identity: Identified) -> Change:
    """The change with the account of the tokens. It is compared with expectedIdentity before apps get a token."""
    known = msgspec.structs.replace(facts, authorized_as=identity.shown, identity_problem=identity.problem)
    return Change(known, msgspec.structs.replace(data, identity=identity.kept))


@dataclass(frozen=True, slots=True)
class KeepRefreshToken:
    """Store only the refresh token of a reply. Apps get nothing of it, but the old refresh token may be used up."""

    turn: Turn
    refresh_token: str | None = field(repr=False)
    """The new refresh token; None where the reply had none, and the old one is kept."""
    trouble: Setback
    revoke: bool = False

    def change(self, found: CredentialFacts) -> Change:
        """The next revision, because the refresh token changed. The access token is still the old one."""
        sent, turn = self.turn.data, self.turn
        data = msgspec.structs.replace(sent, refresh_token=self.refresh_token or sent.refresh_token)
        facts = msgspec.structs.replace(found, revision=turn.facts.revision + 1, intent=None, stored_by=turn.intent.id)
        if self.refresh_token is not None:
            # A process that was told that the grant is dead had sent the old refresh token.
            facts = msgspec.structs.replace(facts, verdict=None, verdict_message=None)
        return Change(facts, data)

    def facts_after(self) -> CredentialFacts:
        """The facts after this write. The failure is remembered for their revision."""
        return self.change(self.turn.facts).facts

    def stands(self, found: CredentialFacts) -> bool:
        """Whether the write took effect, although its answer was lost: `found` is read after that."""
        return found.stored_by == self.turn.intent.id


@dataclass(frozen=True, slots=True)
class TakeBack:
    """The provider did not act on the request: withdraw the intent. Earlier sends with an unknown outcome stay recorded."""

    intent: Intent
    trouble: Setback
    revoke: bool = False

    def change(self, found: CredentialFacts) -> Change:
        """Remove the intent, or set it back to the sends before this one."""
        sends = self.intent.sends - 1
        left = msgspec.structs.replace(self.intent, sends=sends) if sends else None
        return Change(msgspec.structs.replace(found, intent=left))

    def stands(self, found: CredentialFacts) -> bool:
        """Whether the write took effect, although its answer was lost: `found` is read after that."""
        return found.intent != self.intent


@dataclass(frozen=True, slots=True)
class LeaveIntent:
    """The provider may have acted on the request. The intent stays: it records that the refresh token may be used up."""

    trouble: Setback
    revoke: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Record that the refresh token is dead. It is never sent again."""

    turn: Turn
    verdict: Literal[Reason.GRANT_REVOKED, Reason.REFRESH_INTERRUPTED]
    trouble: Setback | None = None
    revoke: bool = False
    """Whether to revoke the tokens of the reply, because they belong to another account."""
    words: str = ""
    """The reason in the provider's words."""
    at: datetime = field(kw_only=True)
    """When the answer came."""

    def change(self, found: CredentialFacts) -> Change:
        """Write the verdict in place of the intent. A request for a refresh is handled with it."""
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
        """Whether the write took effect, although its answer was lost: `found` is read after that."""
        return found.intent is None and found.verdict is self.verdict

    def is_about(self, found: CredentialFacts) -> bool:
        """Whether the Secret still has the intent of this request."""
        return found.intent is not None and found.intent.id == self.turn.intent.id


def _without_answered(found: CredentialFacts, turn: Turn) -> PageRequest | None:
    """The request of a page that is left after this turn. A clear, or a refresh that was requested later, stays."""
    request = found.page_request
    return None if request is not None and request.id == turn.page_request else request


def _told(change: Change, turn: Turn, at: datetime, result: str) -> Change:
    """The change with an entry for the history, where the refresh was requested."""
    if not turn.asked_by:
        return change
    return change.with_entry(turn.history, entry_of(turn.act_id, Act.REFRESH, by=turn.asked_by, at=at, result=result))


def as_replied(sent: CredentialData, response: TokenResponse) -> CredentialData:
    """The data that was sent, with the tokens of the reply. Its refresh token is the old one where the reply has none."""
    return msgspec.structs.replace(
        sent,
        access_token=response.access_token,
        token_type=response.token_type,
        refresh_token=successor(sent.refresh_token, response),
    )


def tokens_in(sent: CredentialData, answer: Answer) -> CredentialData | None:
    """The data that was sent, with the tokens of an answer; None where the answer has none."""
    match answer:
        case TokenResponse():
            return as_replied(sent, answer)
        case UnverifiedReply() | Identified():
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
        case UnverifiedReply(error=IdentityChanged()):
            # The grant belongs to another account now. Apps get nothing of it, and it is revoked.
            return Verdict(
                turn,
                Reason.GRANT_REVOKED,
                Setback(Reason.REFRESH_FAILING, str(answer.error)),
                revoke=True,
                words=f"{answer.error} So it was revoked.",
                at=now,
            )
        case UnverifiedReply():
            said = f"The access token could not be refreshed. {answer.error}"
            message = f"{said} The answer was dropped. Its refresh token is kept."
            return KeepRefreshToken(turn, answer.response.refresh_token, Setback(Reason.REFRESH_FAILING, message))
        case OAuth2Error(refresh_token=str()):
            # This case comes before other errors: whatever the reply lacks, it may have used up the old refresh token.
            return KeepRefreshToken(turn, answer.refresh_token, _setback(turn, answer, "Its refresh token is kept."))
        case InvalidGrant() if turn.intent.sends == _FIRST_AFTER_A_LOST_ANSWER:
            # The provider may still process the request whose answer was lost. It refuses a second one meanwhile ("token
            # request is already being processed").
            return LeaveIntent(_setback(turn, answer, "The operator tries once more.", turn.last_try_after))
        case InvalidGrant():
            return Verdict(turn, _verdict(turn), words=_words_of(turn, answer), at=now)
        case OAuth2Error(processed=Processed.NO):
            return TakeBack(turn.intent, _setback(turn, answer))
        case _:
            return LeaveIntent(_setback(turn, answer))


def _verdict(turn: Turn) -> Literal[Reason.GRANT_REVOKED, Reason.REFRESH_INTERRUPTED]:
    """The reason of a verdict. After a send whose answer was lost, that send most likely rotated the refresh token."""
    return Reason.REFRESH_INTERRUPTED if turn.intent.sends > 1 else Reason.GRANT_REVOKED


def _words_of(turn: Turn, error: InvalidGrant) -> str:
    """Why the grant is dead, in the provider's words, and how the refresh before it failed."""
    before = (
        f" The refresh before it failed: {turn.failure_before}" if turn.failure_before and turn.intent.sends > 1 else ""
    )
    return f"{error}.{before}"


_OF_THE_ENDPOINT = (NotDelivered, OutcomeUnknown, UnexpectedStatus, RedirectRefused, MalformedTokenResponse)
"""Errors that did not come from an OAuth2 endpoint: the request may have gone to a wrong URL."""


def _where(turn: Turn, error: OAuth2Error) -> str:
    """The field of the spec with the URL that was used, where that URL may be wrong; else empty."""
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
            watched_secret=turn.client_secret_name,
            asks_for_a_person=True,
        )
    if isinstance(error, InvalidClient):
        return Setback(
            Reason.CLIENT_REJECTED,
            f"{sentence(message)} Compare spec.oauth2.clientID, the client Secret and spec.oauth2.clientAuthentication "
            "with the application's registration. The credential is kept.",
            BLOCKED_PAUSE,
            watched_secret=turn.client_secret_name,
        )
    return Setback(Reason.REFRESH_FAILING, message, at_least=error.retry_after or timedelta(0))
