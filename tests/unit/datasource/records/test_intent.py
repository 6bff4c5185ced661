"""Intents: who is about to send a refresh token, and who may after them."""

from datetime import timedelta

import msgspec
import pytest

from datasource.records.intent import REQUEST_DEADLINE, TAKEOVER_AFTER, Intent, Process, may_be_taken, next_intent
from tests.unit.datasource.builders import NOW

US = Process(process="process-1", pod="pod-1")
NOT_AT_ALL = timedelta(0)


def intent(*, process: str = "process-2", pod: str = "pod-2", sends: int = 1) -> Intent:
    return Intent(id="intent-1", process=process, pod=pod, at=NOW, sends=sends)


def test_encoding_is_pinned() -> None:
    # It stands in stored Secrets, and an older operator must know it beside a newer one.
    assert intent(sends=2).encode() == (
        '{"id":"intent-1","process":"process-2","pod":"pod-2","at":"2026-07-01T12:00:00Z","sends":2}'
    )


@pytest.mark.parametrize("sends", [1, 2])
def test_intent_survives_its_annotation(sends: int) -> None:
    assert Intent.decode(intent(sends=sends).encode()) == intent(sends=sends)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("{}", id="nobody's"),
        pytest.param(intent().encode()[:-1], id="cut short"),
        pytest.param(intent().encode().replace("2026-07-01T12:00:00Z", "soon"), id="at no time"),
        pytest.param(intent(sends=2).encode().replace("2}", '"2"}'), id="a count in words"),
    ],
)
def test_altered_intent_cannot_be_decoded(text: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        Intent.decode(text)


@pytest.mark.parametrize(
    ("found", "seen_unchanged", "may"),
    [
        pytest.param(None, NOT_AT_ALL, True, id="where there is none"),
        pytest.param(intent(process="process-1", pod="pod-1"), NOT_AT_ALL, True, id="our own at once"),
        pytest.param(intent(pod="pod-1"), NOT_AT_ALL, True, id="of an earlier process of our pod at once"),
        pytest.param(intent(), NOT_AT_ALL, False, id="a stranger's not at once"),
        pytest.param(intent(), TAKEOVER_AFTER - timedelta(microseconds=1), False, id="a stranger's not too soon"),
        pytest.param(intent(), TAKEOVER_AFTER, True, id="a stranger's when its sender waits no more"),
    ],
)
def test_refresh_token_may_be_sent_after(found: Intent | None, seen_unchanged: timedelta, may: bool) -> None:
    assert may_be_taken(found, US, seen_unchanged=seen_unchanged) is may


def test_stranger_is_given_its_deadline_and_15_seconds() -> None:
    assert timedelta(seconds=15) == TAKEOVER_AFTER - REQUEST_DEADLINE


def test_first_intent_counts_one_send() -> None:
    assert next_intent(None, US, intent_id="intent-3", now=NOW) == Intent(
        id="intent-3", process="process-1", pod="pod-1", at=NOW, sends=1
    )


def test_next_intent_remembers_the_sends_that_nobody_knows_of() -> None:
    assert next_intent(intent(sends=2), US, intent_id="intent-3", now=NOW).sends == 3


def test_intent_that_was_surely_not_sent_counts_no_send() -> None:
    assert next_intent(intent(sends=2), US, intent_id="intent-3", now=NOW, was_sent=False).sends == 2
