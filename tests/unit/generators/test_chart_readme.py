"""The page of the chart says what values.yaml says."""

import pytest

from generators.chart_readme import PAGE, comments, leaves, page


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `make docs` and commit what it writes"


def test_every_value_is_described() -> None:
    assert [line for line in page().splitlines() if line.endswith("|  |")] == []


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ({"a": {"b": 1}}, ["a.b"]),
        ({"a": {}}, ["a"]),
        ({"a": {"grafana_dashboard": "1"}}, ["a"]),
        ({"a": [{"b": 1}]}, ["a"]),
    ],
)
def test_each_value_that_stands_for_itself_is_a_row(values: dict[str, object], paths: list[str]) -> None:
    assert [path for path, _ in leaves(values)] == paths


def test_comment_belongs_to_the_key_below_it() -> None:
    text = "# One\n# and more.\na:\n  # Two.\n  b: 1\n  c: 2\n\n# Lost.\n\nd: 3\n"
    assert dict(comments(text)) == {"a": "One and more.", "a.b": "Two.", "a.c": "", "d": ""}
