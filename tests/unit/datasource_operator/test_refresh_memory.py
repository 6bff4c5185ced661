"""What a process remembers about refreshes, and how it counts time."""

from datetime import UTC, datetime, timedelta

import pytest

from datasource.api.states import Reason
from datasource.records.credential import CredentialFacts
from datasource.records.intent import TAKEOVER_AFTER, Intent, Process, may_be_taken
from datasource_operator.cache import Key
from datasource_operator.decisions.observed import Trouble
from datasource_operator.refresh_memory import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LOOK_GAP,
    MOST_UNSENT,
    RECOVERY_PAUSE,
    RefreshMemory,
)
from tests.unit.datasource_operator.stand_ins import Clock

NOW = datetime(2026, 11, 24, tzinfo=UTC)
KEY = Key("apps", "calendar")
FACTS = CredentialFacts(credential_id="one", revision=3)
ME = Process(process="me", pod="my-pod")


def intent(intent_id: str = "theirs") -> Intent:
    return Intent(id=intent_id, process="other", pod="other-pod", at=NOW)


def trouble(**changes: object) -> Trouble:
    values = {
        "credential_id": "one",
        "revision": 3,
        "reason": Reason.REFRESH_FAILING,
        "message": "",
        "try_again_at": NOW + timedelta(minutes=1),
    }
    return Trouble(**{**values, **changes})  # type: ignore[arg-type]


def memory(clock: Clock | None = None, random: float = 1.0) -> RefreshMemory:
    return RefreshMemory(clock or Clock(), lambda: random)


def test_whoever_only_asks_makes_no_sighting() -> None:
    remembered = memory()
    assert remembered.seen_before(KEY, FACTS, NOW) is None
    assert remembered.seen_before(KEY, FACTS, NOW) is None
    remembered.first_seen(KEY, FACTS, NOW)
    assert remembered.seen_before(KEY, FACTS, NOW) == NOW


def test_a_revision_is_first_seen_once() -> None:
    clock = Clock()
    remembered = memory(clock)
    assert remembered.first_seen(KEY, FACTS, NOW) == NOW
    clock.advance(timedelta(hours=1))
    assert remembered.first_seen(KEY, FACTS, NOW + timedelta(hours=1)) == NOW
    newer = CredentialFacts(credential_id="one", revision=4)
    assert remembered.first_seen(KEY, newer, NOW + timedelta(hours=1)) == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("facts", "generation", "is_remembered"),
    [
        (FACTS, 1, True),
        (FACTS, 2, False),
        (CredentialFacts(credential_id="one", revision=4), 1, False),
        (CredentialFacts(credential_id="two", revision=3), 1, False),
    ],
    ids=["the same", "an edited spec", "a newer revision", "another credential"],
)
def test_a_failure_is_about_one_revision_and_one_spec(
    facts: CredentialFacts, generation: int, is_remembered: bool
) -> None:
    remembered = memory()
    remembered.failed(KEY, 1, trouble(), NOW)
    assert (remembered.trouble(KEY, facts, generation, NOW) is not None) is is_remembered


def test_what_may_be_mended_is_tried_at_once() -> None:
    remembered = memory()
    remembered.failed(KEY, 1, trouble(), NOW)
    remembered.try_now(KEY)
    found = remembered.trouble(KEY, FACTS, 1, NOW)
    assert found is not None
    assert found.try_again_at == NOW


def test_pauses_grow_up_to_a_bound_and_start_over_after_a_success() -> None:
    remembered = memory()
    pauses = [remembered.pause(KEY) for _ in range(20)]
    assert pauses[0] == FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    remembered.succeeded(KEY)
    assert remembered.pause(KEY) == FIRST_PAUSE


def test_a_pause_is_as_long_as_the_provider_asks_for() -> None:
    assert memory(random=0.0).pause(KEY, timedelta(seconds=30)) == timedelta(seconds=30)
    assert memory(random=0.0).pause(KEY) == FIRST_PAUSE / 2


def test_an_intent_that_is_looked_at_often_is_taken_over_in_time() -> None:
    clock = Clock()
    remembered = memory(clock)
    looks = 0
    while not may_be_taken(intent(), ME, seen_unchanged=remembered.seen_unchanged(KEY, intent())):
        remembered.looked(KEY, intent())
        clock.advance(LOOK_GAP)
        looks += 1
    assert (looks - 2) * LOOK_GAP < TAKEOVER_AFTER <= (looks - 1) * LOOK_GAP


def test_time_in_which_no_read_worked_does_not_count() -> None:
    """A frozen API server freezes the sender, too: its reply may still be on its way into the store."""
    clock = Clock()
    remembered = memory(clock)
    remembered.looked(KEY, intent())
    clock.advance(timedelta(hours=1))
    remembered.looked(KEY, intent())
    assert remembered.seen_unchanged(KEY, intent()) < TAKEOVER_AFTER


def test_another_intent_starts_over() -> None:
    clock = Clock()
    remembered = memory(clock)
    for name in ("first", "first", "second"):
        remembered.looked(KEY, intent(name))
        clock.advance(LOOK_GAP)
    assert remembered.seen_unchanged(KEY, intent("second")) == timedelta(0)
    assert remembered.seen_unchanged(KEY, intent("first")) == timedelta(0)


def test_what_is_gone_is_forgotten() -> None:
    remembered = memory()
    remembered.failed(KEY, 1, trouble(), NOW)
    remembered.first_seen(KEY, FACTS, NOW)
    remembered.looked(KEY, intent())
    remembered.pause(KEY)
    remembered.forget(KEY)
    assert remembered.trouble(KEY, FACTS, 1, NOW) is None
    assert remembered.first_seen(KEY, FACTS, NOW + timedelta(1)) == NOW + timedelta(1)
    assert remembered.pause(KEY) == FIRST_PAUSE


def test_no_failure_is_waited_out_for_longer_where_somebody_sets_the_clock_back() -> None:
    clock = Clock()
    remembered = memory(clock)
    remembered.failed(KEY, 1, trouble(), NOW)
    clock.advance(timedelta(seconds=20))
    for shown in (NOW - timedelta(hours=5), NOW + timedelta(hours=5)):
        kept = remembered.trouble(KEY, FACTS, 1, shown)
        assert kept is not None
        assert kept.try_again_at - shown == timedelta(seconds=40)
        assert kept.failed_at == shown - timedelta(seconds=20)


def test_a_revision_was_seen_as_long_ago_whatever_the_clock_shows() -> None:
    clock = Clock()
    remembered = memory(clock)
    remembered.first_seen(KEY, FACTS, NOW)
    clock.advance(timedelta(minutes=3))
    shown = NOW - timedelta(hours=5)
    assert remembered.first_seen(KEY, FACTS, shown) == shown - timedelta(minutes=3)


def test_only_intents_of_ours_that_were_not_sent_are_known_as_such() -> None:
    remembered = memory()
    remembered.begins(KEY, intent("first"))
    remembered.begins(KEY, intent("second"))
    assert [
        remembered.may_have_been_sent(KEY, each) for each in (None, intent("first"), intent("second"), intent())
    ] == [
        True,
        False,
        False,
        True,
    ]
    remembered.sends(KEY)
    assert remembered.may_have_been_sent(KEY, intent("second"))


def test_of_very_many_intents_that_nobody_answered_the_oldest_count_as_sent() -> None:
    remembered = memory()
    for number in range(MOST_UNSENT + 1):
        remembered.begins(KEY, intent(str(number)))
    assert remembered.may_have_been_sent(KEY, intent("0"))
    assert not remembered.may_have_been_sent(KEY, intent("1"))


def after_an_outage(clock: Clock, *keys: Key, provider: str = "login.example.com") -> tuple[RefreshMemory, list[Key]]:
    """Who did not get an answer of a provider, and who comes again."""
    again: list[Key] = []
    remembered = RefreshMemory(clock, lambda: 1.0, again.append)
    for key in keys:
        far = NOW + timedelta(minutes=5)
        remembered.failed(key, 1, trouble(provider=provider, try_again_at=far), NOW)
    return remembered, again


OTHER, THIRD = Key("shop", "other"), Key("billing", "third")


def test_answer_of_a_provider_after_its_outage_ends_the_pauses_of_all_who_wait_for_it() -> None:
    """The instance: after an outage of four minutes the last came back three minutes later."""
    remembered, again = after_an_outage(Clock(), KEY, OTHER, THIRD)
    remembered.failed(THIRD, 1, trouble(provider="elsewhere.example.com"), NOW)
    remembered.succeeded(KEY)
    assert again == [OTHER]
    ended = remembered.trouble(OTHER, FACTS, 1, NOW)
    assert ended is not None
    assert ended.try_again_at == NOW
    waits = remembered.trouble(THIRD, FACTS, 1, NOW)
    assert waits is not None
    assert waits.try_again_at > NOW


def test_provider_that_answers_some_and_not_others_is_not_stormed() -> None:
    clock = Clock()
    remembered, again = after_an_outage(clock, KEY, OTHER)
    for _ in range(50):
        remembered.succeeded(KEY)
        remembered.failed(KEY, 1, trouble(provider="login.example.com"), NOW)
        clock.advance(timedelta(seconds=1))
    assert again == [OTHER]
    clock.advance(RECOVERY_PAUSE)
    remembered.succeeded(KEY)
    assert again == [OTHER, OTHER]


@pytest.mark.parametrize("provider", ["", "login.example.com"])
def test_pause_that_a_provider_asked_for_is_ended_by_no_answer_to_another(provider: str) -> None:
    remembered, again = after_an_outage(Clock(), KEY, provider=provider)
    remembered.failed(OTHER, 1, trouble(), NOW)
    remembered.succeeded(KEY)
    remembered.succeeded(THIRD)
    assert again == []


@pytest.mark.parametrize("revision", [0, 2**63, 10**40])
def test_a_revision_of_any_size_has_a_first_sighting(revision: int) -> None:
    """The number stands in an annotation, which anybody with rights on the Secret may write."""
    clock = Clock()
    remembers, seen = memory(clock), CredentialFacts(credential_id="one", revision=revision)
    assert remembers.first_seen(KEY, seen, NOW) == NOW
    clock.advance(timedelta(minutes=1))
    assert remembers.seen_before(KEY, seen, NOW) == NOW - timedelta(minutes=1)
    for other in (CredentialFacts(credential_id="one", revision=revision + 1), CredentialFacts("another", revision)):
        assert remembers.seen_before(KEY, other, NOW) is None
