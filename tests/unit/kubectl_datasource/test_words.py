from datetime import timedelta

import pytest

from kubectl_datasource.words import Cell, aligned, duration, printable, relative
from tests.unit.kubectl_datasource.builders import NOW


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=0.4), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(seconds=120), "2m"),
        (timedelta(minutes=9, seconds=5), "9m5s"),
        (timedelta(minutes=10, seconds=5), "10m"),
        (timedelta(minutes=179), "179m"),
        (timedelta(hours=3, minutes=20), "3h20m"),
        (timedelta(hours=47), "47h"),
        (timedelta(days=2, hours=3), "2d3h"),
        (timedelta(days=90, hours=3), "90d"),
    ],
)
def test_duration_is_in_its_largest_units(span: timedelta, text: str) -> None:
    assert duration(span) == text


def test_relative_time_says_whether_it_is_past() -> None:
    assert relative(NOW + timedelta(minutes=42), NOW) == "in 42m"
    assert relative(NOW - timedelta(hours=3), NOW) == "3h ago"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, even with ümläuts and 日本", "plain, even with ümläuts and 日本"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("two\nlines", r"two\nlines"),
        ("C1 \x9b31m", r"C1 \x9b31m"),
        ("reversed \u202egpj.exe", r"reversed \u202egpj.exe"),
    ],
)
def test_text_of_others_cannot_drive_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_columns_are_as_wide_as_their_widest_cell_and_the_last_is_not_padded() -> None:
    lines = aligned(
        ["name", "state"], [[Cell("a"), Cell("AUTHORIZED", "green")], [Cell("longer"), Cell("ERROR", "red")]]
    )

    assert ["".join(cell.text for cell in line) for line in lines] == [
        "NAME     STATE",
        "a        AUTHORIZED",
        "longer   ERROR",
    ]
    assert lines[1][1].style == "green"
