"""Figures of several runs, and when they are as wanted."""

import json
from pathlib import Path

import pytest

from bench.figures import Figure, Report, Wanted, at_least, at_most, never_above, table


@pytest.mark.parametrize(
    ("wanted", "samples", "met"),
    [
        (at_least(0.7), (0.6, 0.7, 0.9), True),
        (at_least(0.7), (0.6, 0.69, 0.9), False),
        (at_most(6), (5, 6, 40), True),
        (at_most(6), (5, 6.1, 40), False),
        (never_above(4), (4, 4, 4), True),
        (never_above(4), (4, 4, 4.001), False),
    ],
    ids=str,
)
def test_median_is_judged_but_of_counts_the_worst_run(wanted: Wanted, samples: tuple[float, ...], met: bool) -> None:
    assert wanted.is_met(samples) is met


def test_what_is_only_told_is_neither_met_nor_missed() -> None:
    assert Figure("storm", "raw driver", "objects/s", (1.0,)).met is None


def test_report_has_median_and_extremes_of_each_figure(tmp_path: Path) -> None:
    report = Report(out=lambda _: None)
    for sample in (3.0, 1.0, 2.0):
        report.add("storm", "CPU an object", "ms", sample, at_most(6))
    report.write(tmp_path / "bench.json")
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["benches"] == [
        {
            "name": "storm",
            "figure": "CPU an object",
            "unit": "ms",
            "median": 2.0,
            "min": 1.0,
            "max": 3.0,
            "wanted": "at most 6",
            "met": True,
        }
    ]
    assert written["machine"]["cores"] > 0
    assert written["versions"]["kopf"]


def test_table_shouts_what_was_missed() -> None:
    (row,) = table([Figure("storm", "CPU an object", "ms", (7.0,), at_most(6))]).splitlines()[1:]
    assert row.endswith("NO")
