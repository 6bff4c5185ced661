"""So much at once, then one after another; and no more keys are remembered than there is room for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.concurrency.token_bucket import LatestKeys, TokenBucket


def test_bucket_lets_a_burst_pass_and_then_one_after_another() -> None:
    bucket = TokenBucket(1000.0, per_second=2, burst=3)
    for _ in range(3):
        assert bucket.wait(1000.0) == 0
        bucket.take(1000.0)
    assert bucket.wait(1000.0) == pytest.approx(0.5)
    assert bucket.wait(1000.5) == 0
    bucket.take(1000.5)
    assert bucket.wait(1000.5) == pytest.approx(0.5)


def test_bucket_that_was_left_alone_is_full_and_no_fuller() -> None:
    bucket = TokenBucket(0.0, per_second=2, burst=3)
    for _ in range(3):
        assert bucket.wait(3600.0) == 0
        bucket.take(3600.0)
    assert bucket.wait(3600.0) > 0


def test_bucket_is_full_until_something_passes_and_again_once_all_came_back() -> None:
    bucket = TokenBucket(0.0, per_second=2, burst=3)
    assert bucket.is_full(0.0)
    bucket.take(0.0)
    bucket.take(0.0)
    assert not bucket.is_full(0.9)
    assert bucket.is_full(1.0)


def test_what_is_given_back_may_pass_again() -> None:
    bucket = TokenBucket(0.0, per_second=2, burst=1)
    bucket.take(0.0)
    bucket.give_back()
    assert bucket.wait(0.0) == 0


def test_tenths_of_seconds_add_up() -> None:
    """A tenth has no exact binary form: ten of them are less than one."""
    bucket = TokenBucket(0.0, per_second=1, burst=1)
    bucket.take(0.0)
    assert bucket.wait(sum([0.1] * 10)) == 0


@given(gaps=st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_bucket_never_lets_more_pass_than_burst_and_rate(gaps: list[float]) -> None:
    now = 1000.0
    bucket = TokenBucket(now, per_second=5, burst=4)
    passed = 0
    for gap in gaps:
        now += gap
        if bucket.wait(now) == 0:
            bucket.take(now)
            passed += 1
    assert passed <= 4 + 5 * sum(gaps) + 1e-6


def test_of_too_many_keys_the_one_that_was_not_asked_for_for_longest_is_forgotten() -> None:
    keys: LatestKeys[str, list[str]] = LatestKeys(2)
    for name in ("a", "b", "a", "c"):
        keys.of(name, list).append(name)
    assert len(keys) == 2
    assert keys.of("a", list) == ["a", "a"]
    assert keys.of("b", list) == []
