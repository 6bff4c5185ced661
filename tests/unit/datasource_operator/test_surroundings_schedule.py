"""A look is due once, at its time, and for whoever it was asked for."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from datasource_operator.cache import Key
from datasource_operator.surroundings_schedule import SurroundingsSchedule
from tests.unit.datasource_operator.stand_ins import Clock

ONE, OTHER = Key("shop", "calendar"), Key("bank", "calendar")
MINUTE = timedelta(minutes=1)


def test_look_is_taken_once() -> None:
    schedule = SurroundingsSchedule(Clock())
    assert not schedule.take(ONE)
    schedule.look(ONE)
    assert schedule.take(ONE)
    assert not schedule.take(ONE)


def test_look_is_not_taken_before_its_time() -> None:
    clock = Clock()
    schedule = SurroundingsSchedule(clock)
    schedule.look(ONE, after=MINUTE)
    clock.advance(MINUTE - timedelta(milliseconds=1))
    assert not schedule.take(ONE)
    clock.advance(timedelta(milliseconds=1))
    assert schedule.take(ONE)


def test_earlier_look_stays_due() -> None:
    clock = Clock()
    schedule = SurroundingsSchedule(clock)
    schedule.look(ONE)
    schedule.look(ONE, after=MINUTE)
    assert schedule.take(ONE)
    schedule.look(ONE, after=MINUTE)
    schedule.look(ONE)
    assert schedule.take(ONE)
    clock.advance(MINUTE)
    assert not schedule.take(ONE), "the later one was brought forward, it is no second one"


def test_look_of_another_namespace_is_another_look() -> None:
    schedule = SurroundingsSchedule(Clock())
    schedule.look(ONE)
    assert not schedule.take(OTHER)
    schedule.forget(OTHER)
    assert schedule.take(ONE)


def test_nothing_is_due_for_what_is_gone() -> None:
    schedule = SurroundingsSchedule(Clock())
    schedule.look(ONE)
    schedule.forget(ONE)
    schedule.forget(ONE)
    assert not schedule.take(ONE)


@given(st.lists(st.tuples(st.sampled_from([ONE, OTHER]), st.sampled_from(["look", "later", "take", "forget", "wait"]))))
def test_any_sequence_is_what_a_plain_table_says(steps: list[tuple[Key, str]]) -> None:
    clock = Clock()
    schedule, due = SurroundingsSchedule(clock), dict[Key, float]()
    for key, step in steps:
        match step:
            case "look" | "later":
                after = MINUTE if step == "later" else timedelta(0)
                schedule.look(key, after=after)
                due[key] = min(clock.now + after.total_seconds(), due.get(key, float("inf")))
            case "take":
                is_due = key in due and due[key] <= clock.now
                assert schedule.take(key) is is_due
                if is_due:
                    del due[key]
            case "forget":
                schedule.forget(key)
                due.pop(key, None)
            case "wait":
                clock.advance(MINUTE / 2)
