"""What real kills show, and when it is as wanted."""

import random

import msgspec
import pytest

from tests.faults.kill_figures import ELSEWHERE, Stage, Trial, missed, must_survive, quantiles, rows, survived, table
from tests.faults.kill_run import Bounds, spread

GOOD = Trial("operator", "strict", "after rename 1", "after 1 s", Stage.WRITTEN_DOWN, lost=False, interrupted=False)


def trial(**changes: object) -> Trial:
    return msgspec.structs.replace(GOOD, **changes)


def test_nothing_is_missed_where_all_that_was_written_down_survived() -> None:
    assert missed([GOOD, trial(stage=Stage.UNDER_WAY, lost=True, interrupted=True)]) == []


@pytest.mark.parametrize("what", ["lost", "interrupted"])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"stage": Stage.STORED},
        {"stage": Stage.STORED, "restart": ELSEWHERE},
        {"stage": Stage.UNDER_WAY, "provider": "lenient"},
        {"stage": Stage.WRITTEN_DOWN, "provider": "lenient", "restart": ELSEWHERE},
    ],
)
def test_what_must_survive_and_does_not_is_told(change: dict[str, object], what: str) -> None:
    (sentence,) = missed([GOOD, trial(**change, **{what: True})])
    assert what in sentence


@pytest.mark.parametrize(
    "change",
    [
        {"stage": Stage.UNDER_WAY},
        {"restart": ELSEWHERE},
        {"process": "callback server", "provider": "lenient", "stage": Stage.UNDER_WAY},
        {"process": "callback server", "provider": "lenient", "restart": ELSEWHERE},
    ],
)
def test_what_nobody_can_save_is_counted_apart(change: dict[str, object]) -> None:
    found = trial(**change, lost=True)
    assert not must_survive(found)
    assert survived([GOOD, found])[0] == 1


def test_run_that_hit_nothing_shows_nothing() -> None:
    assert len(missed([])) == 1
    (sentence,) = missed([GOOD, trial(process="callback server", stage=Stage.STORED)])
    assert sentence.startswith("callback server: ")


def test_rows_add_up_by_kind_with_what_they_show() -> None:
    made = [GOOD] * 99 + [trial(lost=True), trial(stage=Stage.STORED)]
    written_down, stored = sorted(rows(made), key=lambda row: -row.trials)
    assert (written_down.trials, written_down.lost, stored.trials) == (100, 1, 1)
    assert 0.04 < written_down.lost_at_most < 0.05
    assert len(table(rows(made)).splitlines()) == 3
    kept, at_most = survived([GOOD] * 300)
    assert (kept, round(at_most, 3)) == (300, 0.01)


def test_window_is_told_by_its_quantiles() -> None:
    assert quantiles([]) == {}
    assert quantiles([float(each) for each in range(100, 0, -1)]) == {"median": 51, "p90": 91, "p99": 100, "max": 100}


@pytest.mark.parametrize(("calls", "number"), [(100, 20), (7, 20), (1, 1)])
def test_system_calls_are_spread_over_all_of_them(calls: int, number: int) -> None:
    found = spread(calls, number, random.Random(1))  # noqa: S311
    assert len(found) == number
    assert all(1 <= each <= calls for each in found)
    assert found == sorted(found)


def test_bounds_are_read_from_the_environment() -> None:
    assert Bounds.of({}) == Bounds(rounds=1, seed=1)
    assert Bounds.of({"KILLS_ROUNDS": "3", "FAULTS_SEED": "7"}) == Bounds(rounds=3, seed=7)
