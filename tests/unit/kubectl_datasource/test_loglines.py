"""Which lines are about a Datasource, and how they read."""

import json

import pytest

from kubectl_datasource.loglines import about, readable


@pytest.mark.parametrize(
    ("line", "is_it"),
    [
        ('{"datasource": "shop/calendar", "event": "x"}', True),
        ("stored shop/calendar, at last", True),
        ('{"datasource": "shop/calendar-2"}', False),
        ('{"datasource": "my-shop/calendar"}', False),
        ('{"datasource": "shop/calendar2"}', False),
        ('{"datasource": "shopXcalendar"}', False),
        ("", False),
    ],
)
def test_lines_about_others_are_left_out(line: str, is_it: bool) -> None:
    assert about("shop", "calendar")(line) is is_it


def test_a_line_of_json_reads_as_a_sentence() -> None:
    told = {"datasource": "shop/calendar", "event": "stored", "level": "info", "timestamp": "12:00", "revision": 3}
    line = f"[pod/datasource-operator-1/operator] {json.dumps(told)}\n"
    assert readable(line) == "12:00 datasource-operator-1 info stored revision=3"


@pytest.mark.parametrize("line", ["no JSON \x1b[31m", "[1]", '"text"'])
def test_any_other_line_is_shown_as_it_is_but_moves_no_terminal(line: str) -> None:
    assert readable(line) == line.replace("\x1b", "\\x1b")
