"""Whose turn it is among namespaces, and what is kept for what is merely due."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.concurrency.fair_turns import URGENT_IN_A_ROW, FairTurns


def turns(in_all: int = 100, per_namespace: int = 100, reserved: int = 0) -> FairTurns[str]:
    return FairTurns(in_all, per_namespace, reserved)


def waits(line: FairTurns[str], *keys: str, is_urgent: bool = False) -> None:
    """Keys are written namespace/name."""
    for key in keys:
        line.submit(key, namespace=key.partition("/")[0], is_urgent=is_urgent)


def in_turn(line: FairTurns[str]) -> list[str]:
    """Who is taken, where each leaves before the next one comes."""
    taken = []
    while (key := line.take()) is not None:
        taken.append(key)
        line.leave(key)
    return taken


@pytest.mark.parametrize(
    ("urgent", "routine", "expected"),
    [
        ("", "a/1 a/2 a/3 b/1", "a/1 b/1 a/2 a/3"),
        ("a/1 a/2 b/1 c/1", "", "a/1 b/1 c/1 a/2"),
        ("a/1 b/1", "a/due", "a/1 b/1 a/due"),
        ("a/1 a/2 a/3 a/4 a/5", "b/due c/due", "a/1 a/2 a/3 b/due a/4 a/5 c/due"),
        ("a/1 a/2 a/3 a/4", "a/due a/due2", "a/1 a/2 a/3 a/due a/4 a/due2"),
    ],
)
def test_namespaces_go_round_and_each_fourth_turn_is_for_what_is_due(urgent: str, routine: str, expected: str) -> None:
    line = turns()
    waits(line, *routine.split())
    waits(line, *urgent.split(), is_urgent=True)
    assert in_turn(line) == expected.split()


def waiting(line: FairTurns[str], namespace: str) -> tuple[int, int]:
    return line.waiting_in(namespace, is_urgent=True), line.waiting_in(namespace, is_urgent=False)


def test_those_who_wait_are_counted_and_those_who_hold_a_place_are_not() -> None:
    line = turns()
    waits(line, "a/1", "a/2", "b/1")
    waits(line, "a/3", is_urgent=True)
    assert (len(line), *(waiting(line, each) for each in "abc")) == (4, (1, 2), (0, 1), (0, 0))
    assert line.take() == "a/3"
    line.forget("b/1")
    assert (len(line), *(waiting(line, each) for each in "ab")) == (2, (0, 2), (0, 0))


def test_no_bound_is_passed_and_the_last_places_are_for_newcomers() -> None:
    line = turns(in_all=5, per_namespace=3, reserved=1)
    waits(line, "a/1", "a/2", "a/3", "a/4", "b/1", "b/2", "c/1", "c/2")
    taken = [line.take() for _ in range(6)]
    assert taken == ["a/1", "b/1", "c/1", "a/2", None, None]
    waits(line, "d/1")
    assert line.take() == "d/1"
    waits(line, "e/1")
    assert line.take() is None, "there is no place at all"
    line.leave("a/1")
    assert line.take() == "e/1"


def test_namespace_whose_work_takes_too_long_has_half_as_many_places_and_then_one_more_for_each_that_goes_well() -> (
    None
):
    line = turns(in_all=20, per_namespace=9)
    waits(line, *(f"a/{number}" for number in range(20)), "b/1", "b/2")
    line.narrow("a")
    assert [line.take() for _ in range(7)] == ["a/0", "b/1", "a/1", "b/2", "a/2", "a/3", None]
    for _ in range(5):
        # At least one is left.
        line.narrow("a")
    for number in range(4):
        assert line.take() is None
        line.leave(f"a/{number}")
    assert [line.take(), line.take()] == ["a/4", None]
    line.widen("a")
    line.widen("b")
    assert [line.take(), line.take()] == ["a/5", None]
    for _ in range(20):
        line.widen("a")
    assert len(list(iter(line.take, None))) == 7


def test_namespace_has_few_places_at_first_and_again_after_it_had_no_work() -> None:
    line: FairTurns[str] = FairTurns(in_all=20, per_namespace=5, at_first=2)
    waits(line, *(f"a/{number}" for number in range(7)))
    assert [line.take(), line.take(), line.take()] == ["a/0", "a/1", None]
    line.widen("a")
    line.leave("a/0")
    assert [line.take(), line.take(), line.take()] == ["a/2", "a/3", None]
    for _ in range(9):
        line.widen("a")
    assert [line.take(), line.take(), line.take()] == ["a/4", "a/5", None]
    for number in range(1, 6):
        line.leave(f"a/{number}")
    # One waits still.
    assert line.take() == "a/6"
    line.leave("a/6")
    waits(line, "a/7", "a/8", "a/9")
    assert [line.take(), line.take(), line.take()] == ["a/7", "a/8", None]


def test_who_waits_keeps_its_turn_and_what_was_urgent_stays_so() -> None:
    line = turns()
    waits(line, "a/1", "a/2")
    waits(line, "a/1")
    waits(line, "a/2", is_urgent=True)
    waits(line, "a/2")
    assert in_turn(line) == ["a/2", "a/1"]


def test_who_is_forgotten_is_not_taken() -> None:
    line = turns()
    waits(line, "a/1", "a/2", "b/1")
    for key in ("a/1", "b/1", "nobody"):
        line.forget(key)
    assert in_turn(line) == ["a/2"]


def test_ten_thousand_namespaces_cost_a_turn_no_more_than_a_few() -> None:
    """Counted, not timed: how often anybody asks whether a namespace has room."""
    asked = Counter[str]()

    class Counted(FairTurns[str]):
        def _has_room(self, namespace: str) -> bool:
            asked[namespace] += 1
            return super()._has_room(namespace)

    line = Counted(32, 1, 8)
    waits(line, *(f"{number}/{each}" for number in range(10_000) for each in range(2)))
    for _ in range(31):
        assert line.take() is not None
    asked.clear()
    for _ in range(1000):
        key = line.take()
        assert key is not None
        line.leave(key)
    assert asked.total() <= 1000 * 33


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9), st.booleans()), max_size=60),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_all_who_wait_are_taken_once_and_nobody_waits_beside_a_free_place(
    wishes: list[tuple[str, int, bool]], in_all: int, per_namespace: int
) -> None:
    line = turns(in_all, per_namespace)
    for namespace, number, is_urgent in wishes:
        waits(line, f"{namespace}/{number}", is_urgent=is_urgent)
    wanted = {f"{namespace}/{number}" for namespace, number, _ in wishes}
    held: list[str] = []
    seen: list[str] = []
    while len(seen) < len(wanted):
        while (key := line.take()) is not None:
            held.append(key)
            seen.append(key)
        assert held, "nobody is taken, and somebody waits"
        assert len(held) <= in_all
        assert max(Counter(key[0] for key in held).values()) <= per_namespace
        line.leave(held.pop(0))
    assert sorted(seen) == sorted(wanted)


def test_urgent_keys_never_come_more_often_in_a_row_than_is_said() -> None:
    line = turns()
    waits(line, *(f"a/{number}" for number in range(30)), is_urgent=True)
    waits(line, *(f"b/{number}" for number in range(10)))
    kinds = "".join(key[0] for key in in_turn(line))
    assert kinds == ("a" * URGENT_IN_A_ROW + "b") * 10


def test_whoever_has_many_namespaces_that_hang_keeps_a_newcomer_waiting_for_one_turn_at_most() -> None:
    """As with revocation URLs that hang: 64 places, 8 for each namespace, the last 16 for namespaces that have none."""
    line = turns(in_all=64, per_namespace=8, reserved=16)
    for namespace in range(70):
        waits(line, *(f"hangs-{namespace}/{number}" for number in range(50)))
    held = []
    while (key := line.take()) is not None:
        held.append(key)
    assert len(held) == 64
    waits(line, "victim/one")
    line.leave(held[0])
    # Before it go only those that have no place either: six, and whose place it was.
    passed = []
    while (key := line.take()) != "victim/one":
        assert key is not None
        passed.append(key)
        line.leave(key)
    assert len(passed) == 7
