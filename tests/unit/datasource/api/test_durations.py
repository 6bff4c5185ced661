"""Durations: what Go writes, and nothing else."""

from datetime import timedelta

import pytest

from datasource.api.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(minutes=90)),
        ("0.5h", timedelta(minutes=30)),
        ("1h1h", timedelta(hours=2)),
        ("0s", timedelta(0)),
    ],
)
def test_duration_is_read_as_go_writes_it(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize(
    "text", [None, "", "90", "1d", "-1h", "1h ", "1 h", ".5h", "1.h", "1H", "1ms", "9999999999s", "\u0661s"]
)
def test_whatever_else_is_none(text: str | None) -> None:
    assert parse_duration(text) is None
