"""Durations: what Go writes, and nothing else."""

import re
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("0.5h", timedelta(minutes=30)),
        ("1h1h", timedelta(hours=2)),
        ("0s", timedelta(0)),
        # What the CRD takes: its pattern, and 32 characters.
        ("0000000020m", timedelta(minutes=20)),
        ("1.50000000000h", timedelta(minutes=90)),
        ("0.33333333333h", timedelta(minutes=20)),
        ("0.3333333333333333333333333333h", timedelta(minutes=20)),
        ("00000000000000000000000000000.5s", timedelta(milliseconds=500)),
        ("1.0000005s0.0000005s", timedelta(seconds=1, microseconds=1)),
        ("0." + "0" * 29 + "1s", timedelta(0)),
        ("2562047h", timedelta(hours=2562047)),
        ("2562047h47m16.854775s", timedelta(hours=2562047, minutes=47, seconds=16, microseconds=854775)),
    ],
)
def test_duration_is_read_as_go_writes_it(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", [None, "", "90", "1d", "-1h", "1h ", "1 h", ".5h", "1.h", "1H", "1ms", "\u0661s"])
def test_whatever_else_is_none(text: str | None) -> None:
    assert parse_duration(text) is None


LONGEST = timedelta(hours=2562047, minutes=47, seconds=16, microseconds=854776)

LONG = {
    "one microsecond more than Go can hold": "2562047h47m16.854776s",
    "what the CRD's pattern takes": "9" * 31 + "h",
    "many parts": "999999999h" * 300,
    "more digits than Python reads as an int": "9" * 100_000 + "h",
}


@pytest.mark.parametrize("case", LONG)
def test_what_is_too_long_for_go_is_the_longest_that_it_can_hold(case: str) -> None:
    assert parse_duration(LONG[case]) == LONGEST


def test_many_digits_that_say_little_are_read() -> None:
    assert parse_duration("0" * 100_000 + "1." + "0" * 100_000 + "m") == timedelta(minutes=1)


@given(st.from_regex(r"([0-9]{1,30}(\.[0-9]{1,28})?[smh]){1,4}", fullmatch=True).filter(lambda text: len(text) <= 32))
def test_all_that_the_crd_takes_is_read_to_the_nearest_microsecond(text: str) -> None:
    units = {"s": 1, "m": 60, "h": 3600}
    seconds = sum(Fraction(number) * units[unit] for number, unit in re.findall(r"([0-9.]+)([smh])", text))
    read = parse_duration(text)
    if seconds > Fraction(2**63 - 1, 10**9):
        assert read == LONGEST
    else:
        assert read is not None
        assert abs(Fraction(read // timedelta(microseconds=1), 10**6) - seconds) <= Fraction(1, 2 * 10**6)
