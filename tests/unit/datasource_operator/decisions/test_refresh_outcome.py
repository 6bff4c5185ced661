"""What follows from each answer to a refresh, at a first send and at one after a lost answer."""

from collections.abc import Iterator
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
    Throttled,
    TooManyLookups,
    UnexpectedStatus,
)
from datasource.oauth2.id_token import IdentityMismatch
from datasource.oauth2.identity import IdentityChanged
from datasource.oauth2.token_response import TokenResponse
from datasource.outbound.egress import Denied
from datasource.providers.discovery import MetadataMissing
from datasource.records.credential import CredentialData
from datasource.records.intent import Intent
from datasource.records.turn import Turn
from datasource_operator.decisions.refresh_outcome import (
    BLOCKED_PAUSE,
    Answer,
    KeepRefreshToken,
    LeaveIntent,
    RefreshOutcome,
    Setback,
    Store,
    TakeBack,
    Unproven,
    Verdict,
    another_process_refreshes,
    api_server_refused,
    client_is_not_ready,
    credential_is_damaged,
    intent_took_too_long,
    refresh_outcome,
    reply_could_not_be_stored,
    reply_waits,
    stopped_before_it_was_sent,
)
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
    (MalformedTokenResponse(), LeaveIntent, Reason.REFRESH_FAILING),
    (UnexpectedStatus(404), TakeBack, Reason.REFRESH_FAILING),
    (UnexpectedStatus(500), LeaveIntent, Reason.REFRESH_FAILING),
    (RedirectRefused(307), TakeBack, Reason.REFRESH_FAILING),
    (MetadataNotAskedFor(), TakeBack, Reason.REFRESH_FAILING),
    (MetadataMissing(), TakeBack, Reason.REFRESH_FAILING),
    (MetadataUnavailable(), TakeBack, Reason.REFRESH_FAILING),
    (MetadataUnusable(), TakeBack, Reason.REFRESH_FAILING),
)


@pytest.mark.parametrize("sends", [1, 2], ids=["first send", "second send"])
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


@pytest.mark.parametrize(
    ("sends", "verdict"), [(1, Reason.GRANT_REVOKED), (2, Reason.REFRESH_INTERRUPTED), (3, Reason.REFRESH_INTERRUPTED)]
)
@pytest.mark.parametrize("answer", [InvalidGrant("invalid_grant"), Unproven(REPLY, IdentityChanged("sub"))], ids=type)
def test_dead_grant_is_written_down(answer: Answer, sends: int, verdict: Reason) -> None:
    """After a lost answer the grant was most likely rotated away by it."""
    outcome = refresh_outcome(turn(sends), answer, LATER)
    assert isinstance(outcome, Verdict)
    written = outcome.change(turn(sends).facts)
    assert (written.facts.verdict, written.facts.intent, written.data) == (verdict, None, None)
    assert written.facts.handled.pending(Requests(refresh="1")).refresh is None
    assert outcome.revoke is isinstance(answer, Unproven)
    assert outcome.stands(written.facts)
    assert not outcome.stands(turn(sends).facts)


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
    outcome = refresh_outcome(turn(), Unproven(REPLY, IdentityMismatch("The id_token has run out.")), LATER)
    assert isinstance(outcome, KeepRefreshToken)
    written = outcome.change(turn().facts)
    assert written.data is not None
    assert (written.data.access_token, written.data.refresh_token) == ("at-1", "rt-2")
    assert (written.facts.revision, written.facts.intent) == (4, None)
    assert outcome.stands(written.facts)
    assert "The id_token has run out." in outcome.trouble.message


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


def test_rejected_client_waits_for_the_secret_that_may_mend_it() -> None:
    outcome = refresh_outcome(turn(), InvalidClient("invalid_client"), LATER)
    assert outcome.trouble is not None
    assert (outcome.trouble.pause, outcome.trouble.look_again_at) == (BLOCKED_PAUSE, "app")


def test_host_that_may_not_be_called_is_told_with_its_field() -> None:
    outcome = refresh_outcome(turn(), EgressDenied("10.0.0.1", Denied("a private network")), LATER)
    assert outcome.trouble is not None
    assert "spec.oauth2.tokenURL: 10.0.0.1 leads to" in outcome.trouble.message


def test_nothing_of_a_reply_can_be_printed() -> None:
    outcome = refresh_outcome(turn(), REPLY, LATER)
    assert isinstance(outcome, Store)
    assert not [
        token for token in ("at-1", "at-2", "rt-1", "rt-2") if token in repr((outcome, outcome.change(turn().facts)))
    ]


# Before anything was sent.

SAID = "exceeded quota: small " + "x" * 5000
BEFORE_IT_WAS_SENT = {
    "another process": another_process_refreshes(timedelta(seconds=9)),
    "client": client_is_not_ready(ValueError("Secret app has no key client-secret."), "app"),
    "damaged": credential_is_damaged("Secret calendar-oauth2-credential cannot be read.", "calendar-oauth2-credential"),
    "not stored": reply_could_not_be_stored(Reason.SECRET_CONFLICT, "Secret x is immutable.", "x"),
    "refused": api_server_refused(SAID, timedelta(seconds=30)),
    "waits": reply_waits(SAID),
    "too long": intent_took_too_long(),
    "stopping": stopped_before_it_was_sent(),
}


@pytest.mark.parametrize("setback", BEFORE_IT_WAS_SENT.values(), ids=BEFORE_IT_WAS_SENT)
def test_setback_is_remembered_for_the_revision_that_it_happened_to(setback: Setback) -> None:
    """The next revision proves that it is over."""
    happened_to = msgspec.structs.replace(facts(), revision=41)
    remembered = setback.trouble(happened_to, timedelta(seconds=17), LATER)
    assert (remembered.credential_id, remembered.revision) == (happened_to.credential_id, 41)
    assert remembered.try_again_at == LATER + timedelta(seconds=17)
    assert (remembered.reason, remembered.message) == (setback.reason, setback.message)
    assert remembered.look_again_at == setback.look_again_at
    assert len(setback.message) < 2048, "the words of the API server have no end of their own"


def test_what_nobody_need_mend_is_tried_again_without_anybody() -> None:
    mends_itself = ("another process", "client", "refused", "waits", "too long", "stopping")
    assert {BEFORE_IT_WAS_SENT[name].reason for name in mends_itself} == {Reason.REFRESH_FAILING}


@pytest.mark.parametrize(
    ("name", "secret"), [("client", "app"), ("damaged", "calendar-oauth2-credential"), ("not stored", "x")]
)
def test_what_a_secret_mends_is_noticed_when_it_changes(name: str, secret: str) -> None:
    assert (BEFORE_IT_WAS_SENT[name].look_again_at, BEFORE_IT_WAS_SENT[name].pause) == (secret, BLOCKED_PAUSE)


def test_words_of_the_api_server_are_passed_on_as_far_as_they_fit() -> None:
    for name in ("refused", "waits"):
        assert SAID[:1024] in BEFORE_IT_WAS_SENT[name].message
    assert BEFORE_IT_WAS_SENT["refused"].at_least == timedelta(seconds=30)
    assert api_server_refused("no", None).at_least == timedelta(0)


def test_what_stopped_is_begun_at_once_by_whoever_leads_next() -> None:
    assert BEFORE_IT_WAS_SENT["stopping"].pause == timedelta(0)
    assert BEFORE_IT_WAS_SENT["another process"].pause == timedelta(seconds=9)
