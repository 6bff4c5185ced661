"""Pauses between tries."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.concurrency.backoff import Backoff, Jitter, full_jitter, half_jitter, no_jitter

SECOND = timedelta(seconds=1)


def pauses(jitter: Jitter, *, count: int = 8, growth: float = 2.0) -> list[float]:
    backoff = Backoff(SECOND, timedelta(minutes=1), jitter, growth)
    return [backoff.pause(failures).total_seconds() for failures in range(count)]


def test_pauses_double_up_to_the_longest() -> None:
    assert pauses(no_jitter) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_pauses_may_grow_more_slowly() -> None:
    assert pauses(no_jitter, count=4, growth=1.5) == [1, 1.5, 2.25, 3.375]


@pytest.mark.parametrize(
    ("jitter", "first"),
    [
        (half_jitter(lambda: 0.0), 0.5),
        (half_jitter(lambda: 0.5), 0.75),
        (half_jitter(lambda: 1.0), 1),
        (full_jitter(lambda: 0.0), 0),
        (full_jitter(lambda: 0.5), 0.5),
        (full_jitter(lambda: 1.0), 1),
    ],
)
def test_jitter_takes_a_part_of_each_pause_away(jitter: Jitter, first: float) -> None:
    assert pauses(jitter, count=3) == [first, 2 * first, 4 * first]


def test_jitter_is_drawn_anew_for_each_pause() -> None:
    drawn = iter([0.0, 1.0, 0.5])
    assert pauses(full_jitter(lambda: next(drawn)), count=3) == [0, 2, 2]


@given(
    first=st.timedeltas(timedelta(0), timedelta(days=1)),
    longest=st.timedeltas(timedelta(0), timedelta(days=365)),
    growth=st.floats(1.0, 100.0),
    share=st.floats(0.0, 1.0),
    failures=st.integers(0, 10**9),
)
def test_no_pause_is_longer_than_the_longest_however_often_it_failed(
    first: timedelta, longest: timedelta, growth: float, share: float, failures: int
) -> None:
    backoff = Backoff(first, longest, half_jitter(lambda: share), growth)
    assert timedelta(0) <= backoff.pause(failures) <= longest
    assert Backoff(first, longest, no_jitter, growth).pause(failures + 1) >= backoff.pause(failures)
