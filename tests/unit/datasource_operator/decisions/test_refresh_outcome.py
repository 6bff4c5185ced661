"""What follows from each answer to a refresh, at a first send and at one after a lost answer."""

from collections.abc import Iterator
from dataclasses import replace as dataclass_replace
from datetime import timedelta

import msgspec
import pytest

from datasource.api.requests import Requests
from datasource.api.states import Reason
from datasource.oauth2.errors import (
    EgressDenied,
    InvalidClient,
    InvalidGrant,
    MalformedTokenResponse,
    MetadataNotAskedFor,
    MetadataUnavailable,
    MetadataUnusable,
    NotDelivered,
    OAuth2Error,
    OutcomeUnknown,
    ProviderRefused,
    RedirectRefused,
    ReplyTooLarge,
    TemporarilyRefused,
    Throttled,
    TooManyLookups,
    Unauthorized,
    UnexpectedStatus,
)
from datasource.oauth2.id_token import IdentityMismatch
from datasource.oauth2.identity import IdentityChanged
from datasource.oauth2.token_response import TokenResponse
from datasource.outbound.egress import Denied
from datasource.providers.discovery import MetadataMissing
from datasource.records.change import Change
from datasource.records.credential import CredentialData
from datasource.records.history import Act, appended, entry_of, read_history
from datasource.records.intent import Intent
from datasource.records.page_request import PageRequest, RequestKind
from datasource.records.schedule import SHORTEST_PAUSE, refresh_due
from datasource.records.turn import LAST_TRY_AFTER, Turn
from datasource_operator.decisions.refresh_outcome import (
    Answer,
    Identified,
    KeepRefreshToken,
    LeaveIntent,
    RefreshOutcome,
    Store,
    TakeBack,
    UnverifiedReply,
    Verdict,
    refresh_outcome,
    tokens_in,
)
from datasource_operator.decisions.setbacks import BLOCKED_PAUSE
from tests.support.builders import NOW, facts

LATER = NOW + timedelta(seconds=3)
REPLY = TokenResponse("at-2", "Bearer", LATER + timedelta(hours=1), "rt-2", scopes=("read",))
DATA = CredentialData(
    access_token="at-1",
    token_type="Bearer",
    token_endpoint="https://login.example.com/token",
    fingerprint="f",
    client_id="my-app",
    refresh_token="rt-1",
    revocation_endpoint="https://login.example.com/revoke",
)


def turn(sends: int = 1) -> Turn:
    intent = Intent(id="intent-1", process="process-1", pod="pod-1", at=NOW, sends=sends)
    return Turn(
        namespace="shop",
        name="calendar",
        facts=msgspec.structs.replace(facts(), revision=4, intent=intent),
        intent=intent,
        resource_version="7",
        requests=Requests(refresh="1"),
        data=DATA,
        client_secret_name="app",
    )


# Every class of error: what is done with the intent, and what a state says meanwhile.
ERRORS: tuple[tuple[OAuth2Error, type[RefreshOutcome], Reason | None], ...] = (
    (OAuth2Error("new"), LeaveIntent, Reason.REFRESH_FAILING),
    (NotDelivered(), TakeBack, Reason.REFRESH_FAILING),
    (TooManyLookups("login.example.com"), TakeBack, Reason.REFRESH_FAILING),
    (EgressDenied("login.example.com", Denied("a private network")), TakeBack, Reason.REFRESH_FAILING),
    (Throttled(429, timedelta(minutes=7)), TakeBack, Reason.REFRESH_FAILING),
    (OutcomeUnknown(), LeaveIntent, Reason.REFRESH_FAILING),
    (ReplyTooLarge(), LeaveIntent, Reason.REFRESH_FAILING),
    (ProviderRefused("server_error"), TakeBack, Reason.REFRESH_FAILING),
    (InvalidGrant("invalid_grant"), Verdict, None),
    (InvalidClient("invalid_client"), TakeBack, Reason.CLIENT_REJECTED),
    (TemporarilyRefused("invalid_grant", "already being processed"), TakeBack, Reason.REFRESH_FAILING),
    (Unauthorized(), TakeBack, Reason.REFRESH_FAILING),
    (MalformedTokenResponse(), LeaveIntent, Reason.REFRESH_FAILING),
    (UnexpectedStatus(404), TakeBack, Reason.REFRESH_FAILING),
    (UnexpectedStatus(500), LeaveIntent, Reason.REFRESH_FAILING),
    (RedirectRefused(307), TakeBack, Reason.REFRESH_FAILING),
    (MetadataNotAskedFor(), TakeBack, Reason.REFRESH_FAILING),
    (MetadataMissing(), TakeBack, Reason.REFRESH_FAILING),
    (MetadataUnavailable(), TakeBack, Reason.REFRESH_FAILING),
    (MetadataUnusable(), TakeBack, Reason.REFRESH_FAILING),
)


@pytest.mark.parametrize("sends", [1, 3], ids=["first send", "last send"])
@pytest.mark.parametrize(("error", "kind", "reason"), ERRORS, ids=lambda case: type(case).__name__)
def test_every_error_has_its_outcome(
    error: OAuth2Error, kind: type[RefreshOutcome], reason: Reason | None, sends: int
) -> None:
    outcome = refresh_outcome(turn(sends), error, LATER)
    assert type(outcome) is kind
    assert (None if outcome.trouble is None else outcome.trouble.reason) is reason
    assert not outcome.revoke


def every_class(base: type[OAuth2Error] = OAuth2Error) -> Iterator[type[OAuth2Error]]:
    yield base
    for each in base.__subclasses__():
        yield from every_class(each)


def test_no_class_of_error_is_missing_in_the_table() -> None:
    ours = {each for each in every_class() if each.__module__.startswith("datasource")}
    assert ours == {type(error) for error, _, _ in ERRORS}


SOMEBODY_ELSE = UnverifiedReply(REPLY, IdentityChanged("Its sub differs."))


@pytest.mark.parametrize(
    ("answer", "sends", "verdict"),
    [
        (InvalidGrant("invalid_grant"), 1, Reason.GRANT_REVOKED),
        (InvalidGrant("invalid_grant"), 3, Reason.REFRESH_INTERRUPTED),
        (SOMEBODY_ELSE, 1, Reason.GRANT_REVOKED),
        (SOMEBODY_ELSE, 2, Reason.GRANT_REVOKED),
    ],
)
def test_dead_grant_is_written_down(answer: Answer, sends: int, verdict: Reason) -> None:
    """After a lost answer the grant was most likely rotated away by it."""
    outcome = refresh_outcome(turn(sends), answer, LATER)
    assert isinstance(outcome, Verdict)
    written = outcome.change(turn(sends).facts)
    assert (written.facts.verdict, written.facts.intent, written.data) == (verdict, None, None)
    assert written.facts.handled.pending(Requests(refresh="1")).refresh is None
    assert outcome.revoke is isinstance(answer, UnverifiedReply)
    assert outcome.stands(written.facts)
    assert outcome.is_about(turn(sends).facts)
    assert not outcome.is_about(written.facts)
    taken_over = msgspec.structs.replace(turn().facts, intent=Intent("intent-9", "process-2", "pod-2", NOW))
    assert not outcome.is_about(taken_over)
    assert not outcome.stands(taken_over)
    assert not outcome.stands(turn(sends).facts)


def test_refused_grant_waits_for_one_more_try_after_a_lost_answer() -> None:
    """Salesforce refuses our second request while it still works at the first: "already being processed"."""
    outcome = refresh_outcome(turn(2), InvalidGrant("invalid_grant", "already being processed"), LATER)
    assert isinstance(outcome, LeaveIntent)
    assert outcome.trouble.pause == LAST_TRY_AFTER
    assert "already being processed. The operator tries once more." in outcome.trouble.message


def test_verdict_has_the_providers_words_and_the_failure_before() -> None:
    lost = msgspec.structs.replace(turn(3), failure_before="login.example.com gave no whole answer.")
    for given, words in (
        (turn(), "The provider refused: invalid_grant: User disabled."),
        (
            lost,
            "The provider refused: invalid_grant: User disabled. The refresh before it failed: login.example.com gave no "
            "whole answer.",
        ),
    ):
        outcome = refresh_outcome(given, InvalidGrant("invalid_grant", "User disabled"), LATER)
        assert isinstance(outcome, Verdict)
        assert outcome.change(given.facts).facts.verdict_message == words
    ended_by_us = refresh_outcome(turn(), SOMEBODY_ELSE, LATER)
    assert isinstance(ended_by_us, Verdict)
    assert ended_by_us.change(turn().facts).facts.verdict_message == "Its sub differs. So it was revoked."


@pytest.mark.parametrize("error", [error for error, _, _ in ERRORS], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("sends", [1, 2, 3])
def test_readable_refresh_token_is_stored_before_anything_else_is_judged(
    monkeypatch: pytest.MonkeyPatch, error: OAuth2Error, sends: int
) -> None:
    monkeypatch.setattr(error, "refresh_token", "rt-2")
    outcome = refresh_outcome(turn(sends), error, LATER)
    assert isinstance(outcome, KeepRefreshToken)
    written = outcome.change(turn(sends).facts)
    assert written.data is not None
    assert (written.data.access_token, written.data.refresh_token) == ("at-1", "rt-2")
    assert (written.facts.revision, written.facts.intent, written.facts.verdict) == (5, None, turn().facts.verdict)
    # What is remembered of the failure is about what stands there now.
    assert outcome.facts_after() == written.facts
    assert outcome.trouble.message.endswith("Its refresh token is kept.")
    assert "rt-2" not in repr(outcome)
    brought = tokens_in(DATA, error)
    assert brought is not None
    assert (brought.access_token, brought.refresh_token) == ("at-1", "rt-2")


def test_answer_without_tokens_brings_none() -> None:
    assert tokens_in(DATA, OutcomeUnknown()) is None
    for answer in (REPLY, UnverifiedReply(REPLY, IdentityMismatch("x"))):
        brought = tokens_in(DATA, answer)
        assert brought is not None
        assert (brought.access_token, brought.refresh_token) == ("at-2", "rt-2")


def test_401_that_names_nobody_says_both_and_asks_for_a_person() -> None:
    outcome = refresh_outcome(turn(), Unauthorized("who are you?"), LATER)
    assert outcome.trouble is not None
    assert (outcome.trouble.asks_for_a_person, outcome.trouble.watched_secret) == (True, "app")
    assert "who are you?" in outcome.trouble.message
    assert "client secret" in outcome.trouble.message
    assert "grant is gone" in outcome.trouble.message
    assert outcome.trouble.trouble(turn().facts, BLOCKED_PAUSE, LATER).asks_for_a_person


def test_lifetimes_are_stored_with_the_reply() -> None:
    found = msgspec.structs.replace(turn().facts, grant_expires_at=NOW, verdict_message="x")
    told = dataclass_replace(REPLY, told_lifetime=timedelta(hours=1), expiry_hint=LATER)
    outcome = refresh_outcome(turn(), told, LATER)
    assert isinstance(outcome, Store)
    facts_now = outcome.change(found).facts
    assert (facts_now.told_lifetime, facts_now.expiry_hint) == (timedelta(hours=1), LATER)
    # What is not told again still holds.
    assert (facts_now.grant_expires_at, facts_now.verdict_message) == (NOW, None)
    moved = LATER + timedelta(hours=1)
    later = refresh_outcome(turn(), dataclass_replace(REPLY, grant_expires_at=moved), LATER)
    assert isinstance(later, Store)
    assert later.change(found).facts.grant_expires_at == moved


def test_end_of_the_grant_that_is_told_in_another_second_is_the_same_one() -> None:
    """It is told as whole seconds from now; else each refresh would be news to whoever is notified of it."""
    told = dataclass_replace(REPLY, grant_expires_at=LATER + timedelta(days=1, seconds=2))
    outcome = refresh_outcome(turn(), told, LATER)
    assert isinstance(outcome, Store)
    found = msgspec.structs.replace(turn().facts, grant_expires_at=LATER + timedelta(days=1))
    assert outcome.change(found).facts.grant_expires_at == LATER + timedelta(days=1)


def test_reply_is_stored_as_the_next_revision() -> None:
    found = msgspec.structs.replace(turn().facts, verdict=Reason.REFRESH_INTERRUPTED, granted_scopes=("old",))
    outcome = refresh_outcome(turn(), REPLY, LATER)
    assert isinstance(outcome, Store)
    written = outcome.change(found)
    assert written.data is not None
    assert (written.data.access_token, written.data.refresh_token) == ("at-2", "rt-2")
    assert (written.facts.revision, written.facts.stored_by, written.facts.intent) == (5, "intent-1", None)
    assert (written.facts.expires_at, written.facts.refreshed_at) == (REPLY.expires_at, LATER)
    assert (written.facts.granted_scopes, written.facts.verdict, written.facts.is_revocable) == (("read",), None, True)
    assert outcome.stands(written.facts)
    assert not outcome.stands(found)
    assert outcome.trouble is None


def test_grant_that_another_process_was_told_is_dead_is_proved_at_once() -> None:
    outcome = refresh_outcome(turn(), REPLY, LATER)
    assert isinstance(outcome, Store)
    for verdict, hint in ((Reason.REFRESH_INTERRUPTED, LATER), (Reason.GRANT_REVOKED, LATER), (None, None)):
        written = outcome.change(msgspec.structs.replace(turn().facts, verdict=verdict)).facts
        assert (written.expiry_hint, written.verdict) == (hint, None)
        due = refresh_due(written, refresh_before=None, first_seen=LATER)
        assert due is not None
        assert (due - LATER <= SHORTEST_PAUSE) is (verdict is not None)


def test_reply_without_refresh_token_or_scopes_keeps_those_there_are() -> None:
    """RFC 6749 sections 5.1 and 6."""
    found = msgspec.structs.replace(turn().facts, granted_scopes=("old",))
    outcome = refresh_outcome(turn(), TokenResponse("at-2", "Bearer"), LATER)
    assert isinstance(outcome, Store)
    written = outcome.change(found)
    assert written.data is not None
    assert written.data.refresh_token == "rt-1"
    assert written.facts.granted_scopes == ("old",)


def test_reply_that_nobody_vouches_for_gives_apps_nothing_and_keeps_the_grant() -> None:
    outcome = refresh_outcome(turn(), UnverifiedReply(REPLY, IdentityMismatch("The id_token has run out.")), LATER)
    assert isinstance(outcome, KeepRefreshToken)
    written = outcome.change(turn().facts)
    assert written.data is not None
    assert (written.data.access_token, written.data.refresh_token) == ("at-1", "rt-2")
    assert (written.facts.revision, written.facts.intent) == (5, None)
    assert outcome.stands(written.facts)
    assert "The id_token has run out." in outcome.trouble.message


@pytest.mark.parametrize("new", ["rt-2", None])
def test_refresh_token_that_is_kept_takes_back_what_was_said_of_the_one_before_and_of_no_other(new: str | None) -> None:
    """Else it would stand there and never be sent."""
    response = dataclass_replace(REPLY, refresh_token=new)
    outcome = refresh_outcome(turn(), UnverifiedReply(response, IdentityMismatch("The id_token has run out.")), LATER)
    assert isinstance(outcome, KeepRefreshToken)
    dead = msgspec.structs.replace(turn().facts, verdict=Reason.REFRESH_INTERRUPTED, verdict_message="invalid_grant")
    written = outcome.change(dead).facts
    told = (None, None) if new else (Reason.REFRESH_INTERRUPTED, "invalid_grant")
    assert (written.verdict, written.verdict_message) == told


@pytest.mark.parametrize(("sends", "left"), [(1, None), (2, 1), (5, 4)])
def test_what_was_not_acted_on_leaves_earlier_sends_on_record(sends: int, left: int | None) -> None:
    outcome = refresh_outcome(turn(sends), NotDelivered(), LATER)
    assert isinstance(outcome, TakeBack)
    intent = outcome.change(turn(sends).facts).facts.intent
    assert (None if intent is None else intent.sends) == left
    assert outcome.stands(outcome.change(turn(sends).facts).facts)


def test_provider_says_how_long_to_wait() -> None:
    outcome = refresh_outcome(turn(), Throttled(503, timedelta(minutes=7)), LATER)
    assert outcome.trouble is not None
    assert (outcome.trouble.pause, outcome.trouble.at_least) == (None, timedelta(minutes=7))


def test_pause_that_is_asked_for_with_another_status_is_kept_too() -> None:
    refused = ProviderRefused("rate_limit_exceeded")
    refused.retry_after = timedelta(seconds=30)
    outcome = refresh_outcome(turn(), refused, LATER)
    assert outcome.trouble is not None
    assert outcome.trouble.at_least == timedelta(seconds=30)


def test_rejected_client_waits_for_the_secret_that_may_mend_it() -> None:
    outcome = refresh_outcome(turn(), InvalidClient("invalid_client"), LATER)
    assert outcome.trouble is not None
    assert (outcome.trouble.pause, outcome.trouble.watched_secret) == (BLOCKED_PAUSE, "app")


def test_host_that_may_not_be_called_is_told_with_its_field() -> None:
    outcome = refresh_outcome(turn(), EgressDenied("10.0.0.1", Denied("a private network")), LATER)
    assert outcome.trouble is not None
    assert "spec.oauth2.tokenURL: 10.0.0.1 leads to" in outcome.trouble.message


def test_who_stands_behind_an_import_is_stored_with_its_first_reply() -> None:
    known = Identified(REPLY, shown="ada@example.com", kept="{}", problem=None)
    outcome = refresh_outcome(turn(), known, LATER)
    assert isinstance(outcome, Store)
    written = outcome.change(turn().facts)
    assert (written.facts.authorized_as, written.facts.identity_problem) == ("ada@example.com", None)
    assert written.data is not None
    assert (written.data.identity, written.data.access_token) == ("{}", REPLY.access_token)


def test_reply_to_an_import_is_stored_though_nobody_knows_who_stands_behind_it() -> None:
    outcome = refresh_outcome(turn(), Identified(REPLY, problem="The id_token has run out."), LATER)
    assert isinstance(outcome, Store)
    written = outcome.change(turn().facts)
    assert (written.facts.authorized_as, written.facts.identity_problem) == (None, "The id_token has run out.")


def test_nothing_of_a_reply_can_be_printed() -> None:
    outcome = refresh_outcome(turn(), REPLY, LATER)
    assert isinstance(outcome, Store)
    assert not [
        token for token in ("at-1", "at-2", "rt-1", "rt-2") if token in repr((outcome, outcome.change(turn().facts)))
    ]


# A refresh that somebody asked for.

PAGE = PageRequest(RequestKind.REFRESH, "0" * 32, NOW, "ada", "credential-1")
CLEAR = msgspec.structs.replace(PAGE, kind=RequestKind.CLEAR, id="1" * 32)


def asked_turn(**changes: object) -> Turn:
    before = appended(None, entry_of("act-1", Act.CLEAR, by="annotation", at=NOW))
    return msgspec.structs.replace(
        turn(), **({"asked_by": "ada", "page_request": PAGE.id, "history": before} | changes)
    )


def change(of: Turn, answer: Answer, asks: PageRequest | None) -> Change:
    """What is written where `asks` stands on the Secret by then."""
    outcome = refresh_outcome(of, answer, LATER)
    assert isinstance(outcome, Store | KeepRefreshToken | Verdict)
    return outcome.change(msgspec.structs.replace(of.facts, page_request=asks))


@pytest.mark.parametrize(
    ("answer", "result"), [(REPLY, "Succeeded"), (InvalidGrant("invalid_grant"), "GrantRevoked")], ids=str
)
def test_refresh_that_somebody_asked_for_ends_in_the_history(answer: Answer, result: str) -> None:
    written = change(asked_turn(), answer, PAGE)
    assert written.facts.page_request is None
    assert written.facts.history == PAGE.id
    assert [(each.id, each.what, each.by, each.result) for each in read_history(written.history)] == [
        ("act-1", "ClearCredential", "annotation", "Succeeded"),
        (PAGE.id, "Refresh", "ada", result),
    ]


def test_refresh_of_an_annotation_is_told_by_the_id_of_its_intent() -> None:
    written = change(asked_turn(asked_by="annotation", page_request=""), REPLY, None)
    assert written.facts.history == "intent-1"


@pytest.mark.parametrize("answer", [REPLY, InvalidGrant("invalid_grant")], ids=str)
def test_automatic_refresh_leaves_the_history_as_it_is(answer: Answer) -> None:
    written = change(turn(), answer, None)
    assert (written.entry, written.facts.history) == (None, None)


@pytest.mark.parametrize("answer", [REPLY, InvalidGrant("invalid_grant")], ids=str)
@pytest.mark.parametrize("since", [CLEAR, msgspec.structs.replace(PAGE, id="2" * 32)], ids=["a clear", "a refresh"])
def test_what_is_asked_for_while_a_reply_is_waited_for_is_not_lost(answer: Answer, since: PageRequest) -> None:
    assert change(asked_turn(), answer, since).facts.page_request == since
    assert change(turn(), answer, since).facts.page_request == since


def test_refresh_that_brought_apps_nothing_stays_asked_for() -> None:
    unproven = UnverifiedReply(REPLY, IdentityMismatch("sub"))
    written = change(asked_turn(), unproven, PAGE)
    assert written.facts.page_request == PAGE
    assert written.entry is None
