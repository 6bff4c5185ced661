"""What a soak measures, and when it is as wanted."""

from math import comb

import msgspec
import pytest

from tests.soak.figures import Figures, missed, table, upper_bound

GOOD = Figures(refreshes=30_000, valid_share=0.99999, grants_lost=0, grants_interrupted=0)


def test_nothing_is_missed_where_all_is_as_wanted() -> None:
    assert missed(GOOD) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"valid_share": 0.99989}, "valid_share"),
        ({"grants_lost": 1}, "grants_lost"),
        ({"grants_interrupted": 1}, "grants_interrupted"),
        ({"refreshes": 0}, "refreshes"),
    ],
)
def test_each_figure_can_be_missed(change: dict[str, float], name: str) -> None:
    (sentence,) = missed(msgspec.structs.replace(GOOD, **change))
    assert sentence.startswith(f"{name} is ")


def test_what_a_kill_cut_off_is_told_apart_and_counts_as_lost() -> None:
    found = msgspec.structs.replace(GOOD, refreshes_cut_off=9, grants_cut_off=2)
    assert missed(found) == []
    assert found.lost_at_most() == upper_bound(2, 30_000) > GOOD.lost_at_most()


@pytest.mark.parametrize(("count", "trials"), [(0, 100), (0, 30_000), (1, 100), (5, 50), (49, 50)])
def test_with_a_share_at_the_bound_so_few_happen_in_one_run_of_twenty(count: int, trials: int) -> None:
    share = upper_bound(count, trials)
    at_most = sum(comb(trials, each) * share**each * (1 - share) ** (trials - each) for each in range(count + 1))
    assert at_most == pytest.approx(0.05)


def test_the_bound_of_none_is_the_rule_of_three() -> None:
    assert upper_bound(0, 30_000) == pytest.approx(3 / 30_000, rel=0.01)


def test_nothing_is_known_where_nothing_was_tried() -> None:
    assert upper_bound(0, 0) == 1.0


def test_the_table_has_each_figure_and_each_disturbance() -> None:
    text = table(GOOD, {"leader killed (SIGKILL)": 7})
    assert all(name in text for name in (*GOOD.__struct_fields__, "leader killed (SIGKILL)"))
