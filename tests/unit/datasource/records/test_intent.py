"""Intents: who is about to send a refresh token, and who may after them."""

from datetime import timedelta

import msgspec
import pytest

from datasource.records.intent import (
    JOURNAL_IS_LOST_AFTER,
    REQUEST_DEADLINE,
    SHORT_LIFE,
    TAKEOVER_AFTER,
    Intent,
    Process,
    TokenLife,
    handed_over,
    is_left_by,
    may_be_taken,
    next_intent,
)
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
        pytest.param(
            msgspec.structs.replace(intent(), ended=True), NOT_AT_ALL, True, id="one whose pod says that it has ended"
        ),
        pytest.param(intent(), TAKEOVER_AFTER - timedelta(microseconds=1), False, id="a stranger's not too soon"),
        pytest.param(intent(), TAKEOVER_AFTER, True, id="a stranger's when its sender waits no more"),
    ],
)
def test_refresh_token_may_be_sent_after(found: Intent | None, seen_unchanged: timedelta, may: bool) -> None:
    assert may_be_taken(found, US, seen_unchanged=seen_unchanged) is may


def test_stranger_is_given_its_deadline_and_15_seconds() -> None:
    assert timedelta(seconds=15) == TAKEOVER_AFTER - REQUEST_DEADLINE


@pytest.mark.parametrize(
    ("found", "process", "is_left"),
    [
        (None, Process("p", "q", journal=True), False),
        (Intent("0a", "before", "q", NOW, journal=True), Process("p", "q", journal=True), True),
        (Intent("0a", "p", "q", NOW, journal=True), Process("p", "q", journal=True), True),
        (Intent("0a", "before", "q", NOW, journal=True), Process("p", "q", journal=False), False),
        (Intent("0a", "before", "q", NOW, journal=False), Process("p", "q", journal=True), False),
        (Intent("0a", "before", "another", NOW, journal=True), Process("p", "q", journal=True), False),
    ],
)
def test_pod_that_keeps_the_journal_knows_of_its_own_intents_alone_whether_a_reply_lies_there(
    found: Intent | None, process: Process, is_left: bool
) -> None:
    assert is_left_by(found, process) is is_left


@pytest.mark.parametrize(("process", "ended"), [("an earlier one", True), (US.process, False)])
def test_pod_says_that_a_process_has_ended_of_earlier_ones_alone(process: str, ended: bool) -> None:
    left = Intent("0a", process, US.pod, NOW, sends=2, journal=True)
    assert handed_over(left, US) == Intent("0a", process, US.pod, NOW, sends=2, ended=ended)


def test_intent_that_follows_one_that_has_ended_is_under_way() -> None:
    before = msgspec.structs.replace(intent(), ended=True)
    assert not next_intent(before, US, intent_id="intent-3", now=NOW).ended


def test_first_intent_counts_one_send() -> None:
    assert next_intent(None, US, intent_id="intent-3", now=NOW) == Intent(
        id="intent-3", process="process-1", pod="pod-1", at=NOW, sends=1
    )


def test_next_intent_remembers_the_sends_that_nobody_knows_of() -> None:
    assert next_intent(intent(sends=2), US, intent_id="intent-3", now=NOW).sends == 3


def test_intent_that_was_surely_not_sent_counts_no_send() -> None:
    assert next_intent(intent(sends=2), US, intent_id="intent-3", now=NOW, was_sent=False).sends == 2


def test_journal_is_told_only_where_there_is_one() -> None:
    """So that what is written without one is as it was, and what an older process reads says the rest of it."""
    kept = msgspec.structs.replace(intent(), journal=True)
    assert kept.encode() == intent().encode()[:-1] + ',"journal":true}'
    ended = msgspec.structs.replace(intent(), ended=True)
    assert ended.encode() == intent().encode()[:-1] + ',"ended":true}'
    assert Intent.decode(kept.encode()) == kept
    keeper = Process(process="process-1", pod="pod-1", journal=True)
    assert next_intent(None, keeper, intent_id="intent-3", now=NOW).journal
    assert not next_intent(kept, US, intent_id="intent-3", now=NOW).journal


LONG = TokenLife(left=timedelta(minutes=40), whole=timedelta(hours=1))


@pytest.mark.parametrize(
    ("seen_unchanged", "age", "life", "may"),
    [
        pytest.param(TAKEOVER_AFTER - timedelta(seconds=1), JOURNAL_IS_LOST_AFTER, None, False, id="is still at work"),
        pytest.param(TAKEOVER_AFTER, timedelta(minutes=1), LONG, False, id="may come back to it"),
        pytest.param(
            TAKEOVER_AFTER, timedelta(minutes=1), None, False, id="may come back to it, and nobody knows the life"
        ),
        pytest.param(TAKEOVER_AFTER, JOURNAL_IS_LOST_AFTER, LONG, True, id="had its time"),
        pytest.param(JOURNAL_IS_LOST_AFTER, timedelta(hours=-1), LONG, True, id="had its time, by our clock alone"),
        pytest.param(
            TAKEOVER_AFTER,
            timedelta(minutes=1),
            TokenLife(SHORT_LIFE, timedelta(hours=1)),
            True,
            id="five minutes left",
        ),
        pytest.param(
            TAKEOVER_AFTER,
            timedelta(minutes=1),
            TokenLife(timedelta(hours=2), timedelta(hours=20)),
            True,
            id="a tenth left",
        ),
        pytest.param(
            TAKEOVER_AFTER,
            timedelta(minutes=1),
            TokenLife(timedelta(hours=2, seconds=1), timedelta(hours=20)),
            False,
            id="more than a tenth left",
        ),
        pytest.param(
            TAKEOVER_AFTER,
            timedelta(minutes=1),
            TokenLife(-timedelta(hours=1), timedelta(hours=2)),
            True,
            id="dead already",
        ),
    ],
)
def test_pod_with_a_journal_is_given_time_to_come_back_to_it(
    seen_unchanged: timedelta, age: timedelta, life: TokenLife | None, may: bool
) -> None:
    found = msgspec.structs.replace(intent(), journal=True)
    assert may_be_taken(found, US, seen_unchanged=seen_unchanged, age=age, life=life) is may


@pytest.mark.parametrize(("has_it", "may"), [(True, True), (False, False)])
def test_process_of_the_same_pod_goes_on_at_once_where_it_has_read_the_journal(has_it: bool, may: bool) -> None:
    """Without it (another process still has the lock) it cannot know what was written down."""
    found = msgspec.structs.replace(intent(pod="pod-1"), journal=True)
    assert may_be_taken(found, Process("process-1", "pod-1", journal=has_it), seen_unchanged=NOT_AT_ALL) is may
