"""What is told where nothing was sent, or a reply waits: remembered for its revision, with what may mend it."""

from datetime import timedelta

import msgspec
import pytest

from datasource.api.states import Reason
from datasource_operator.decisions.setbacks import (
    BLOCKED_PAUSE,
    NotNow,
    Setback,
    another_process_refreshes,
    api_server_refused,
    client_is_not_ready,
    credential_is_damaged,
    intent_took_too_long,
    journal_may_hold_the_reply,
    reply_could_not_be_stored,
    reply_is_in_the_journal,
    reply_waits,
    stopped_before_it_was_sent,
)
from tests.support.builders import NOW, facts

LATER = NOW + timedelta(seconds=3)

# Before anything was sent.

SAID = "exceeded quota: small " + "x" * 5000
BEFORE_IT_WAS_SENT = {
    "another process": another_process_refreshes(timedelta(seconds=9)),
    "client": client_is_not_ready(ValueError("Secret app has no key client-secret."), "app"),
    "damaged": credential_is_damaged("Secret calendar-oauth2-credential cannot be read.", "calendar-oauth2-credential"),
    "not stored": reply_could_not_be_stored(Reason.SECRET_CONFLICT, "Secret x is immutable.", "x"),
    "refused": api_server_refused(SAID, timedelta(seconds=30)),
    "waits": reply_waits(SAID),
    "journal of another": journal_may_hold_the_reply(timedelta(seconds=9)),
    "in the journal": reply_is_in_the_journal(SAID, timedelta(seconds=9)),
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
    assert remembered.watched_secret == setback.watched_secret
    assert len(setback.message) < 2048, "the words of the API server have no end of their own"


def test_what_nobody_need_mend_is_tried_again_without_anybody() -> None:
    mends_itself = ("another process", "client", "refused", "waits", "too long", "stopping")
    assert {BEFORE_IT_WAS_SENT[name].reason for name in mends_itself} == {Reason.REFRESH_FAILING}


@pytest.mark.parametrize(
    ("name", "secret"), [("client", "app"), ("damaged", "calendar-oauth2-credential"), ("not stored", "x")]
)
def test_what_a_secret_mends_is_noticed_when_it_changes(name: str, secret: str) -> None:
    assert (BEFORE_IT_WAS_SENT[name].watched_secret, BEFORE_IT_WAS_SENT[name].pause) == (secret, BLOCKED_PAUSE)


def test_words_of_the_api_server_are_passed_on_as_far_as_they_fit() -> None:
    for name in ("refused", "waits"):
        assert SAID[:1024] in BEFORE_IT_WAS_SENT[name].message
    assert BEFORE_IT_WAS_SENT["refused"].at_least == timedelta(seconds=30)
    assert api_server_refused("no", None).at_least == timedelta(0)


def test_what_stopped_is_begun_at_once_by_whoever_leads_next() -> None:
    assert BEFORE_IT_WAS_SENT["stopping"].pause == timedelta(0)
    assert BEFORE_IT_WAS_SENT["another process"].pause == timedelta(seconds=9)


def test_failure_remembers_when_it_was_and_which_request_it_answered() -> None:
    trouble = intent_took_too_long().trouble(facts(), timedelta(minutes=3), NOW, "1")
    assert (trouble.failed_at, trouble.asked) == (NOW, "1")
    assert intent_took_too_long().trouble(facts(), timedelta(minutes=3), NOW).asked is None


def test_next_try_is_told_by_the_minute_and_never_too_early() -> None:
    told = {
        intent_took_too_long().trouble(facts(), timedelta(seconds=seconds), NOW).told for seconds in range(120, 180, 7)
    }
    assert told == {"2026-07-01T12:03:00Z"}


@pytest.mark.parametrize(
    ("setback", "provider"),
    [
        (Setback(Reason.REFRESH_FAILING, "no answer"), "login.example.com"),
        (Setback(Reason.REFRESH_FAILING, "too many", at_least=timedelta(hours=1)), ""),
        (client_is_not_ready(ValueError("no secret"), "app"), ""),
    ],
)
def test_pause_is_ended_by_an_answer_to_another_only_where_nobody_asked_for_it(setback: Setback, provider: str) -> None:
    assert setback.trouble(facts(), timedelta(minutes=3), NOW, None, "login.example.com").provider == provider


def test_what_cannot_be_done_now_says_why_and_about_what() -> None:
    setback = another_process_refreshes(timedelta(seconds=9))
    assert (NotNow(setback).setback, NotNow(setback).about, str(NotNow(setback))) == (setback, None, setback.message)
    assert NotNow(setback, facts()).about == facts()
