"""The moving picture of a terminal: all that was said, in its order, and light, dark and still where that is wanted."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from generators.recording import COLUMNS, LASTS, RESULT, SESSION, Typed, drawn, session
from kubectl_datasource.cli import cli

SVG = "{http://www.w3.org/2000/svg}"
KEPT = session(SESSION.read_text())


def texts(picture: str) -> list[str]:
    root = ElementTree.fromstring(picture)  # noqa: S314 - our own picture
    return ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]


def moments(picture: str) -> list[float]:
    """For each line the per cent of the time until which it is hidden."""
    found = re.findall(r"@keyframes l\d+ \{ (?:0%, ([\d.]+)%|0% \{[^}]*\} ([\d.]+)%)", picture)
    return [float(at or typed) for at, typed in found]


def test_what_is_in_the_docs_is_drawn_from_the_session() -> None:
    assert RESULT.read_text() == drawn(KEPT)


def test_all_that_was_said_is_in_it_in_its_order() -> None:
    picture = drawn([Typed("kubectl a", ("one", "", "two"), 0.1), Typed("kubectl b <c> & d", (), 60)])
    assert texts(picture) == ["$ kubectl a", "one", "two", "$ kubectl b <c> & d"]
    assert all(before <= after for before, after in pairwise(moments(picture)))


def test_line_that_is_too_long_is_broken_as_a_terminal_does() -> None:
    assert texts(drawn([Typed("x", ("y" * (COLUMNS + 5),), 0)]))[1:] == ["y" * COLUMNS, "y" * 5]


@pytest.mark.parametrize("seconds", [0, 1, 3600])
def test_it_takes_20_seconds_however_long_the_commands_took(seconds: float) -> None:
    picture = drawn([Typed("kubectl a", ("b",), seconds)] * 5)
    assert set(re.findall(r"([\d.]+)s infinite", picture)) == {f"{LASTS:g}"}
    assert max(moments(picture)) < 95


def test_it_is_dark_where_that_is_wanted_and_still_where_that_is() -> None:
    picture = RESULT.read_text()
    assert "prefers-color-scheme: dark" in picture
    assert "prefers-reduced-motion: reduce" in picture
    # Hidden by the animation alone: without one, everything is there.
    assert "opacity: 0" not in re.sub(r"@keyframes \w+ \{.*", "", picture)


def test_it_runs_nothing_fetches_nothing_and_is_small() -> None:
    picture = RESULT.read_text()
    assert not re.search(r"<script|<image|href|url\(|@import|foreignObject", picture)
    assert len(picture) < 20_000


def test_session_says_what_the_product_is_for_and_no_secret() -> None:
    said = "\n".join(line for each in KEPT for line in each.output)
    assert said.index("NOT AUTHORIZED") < said.index("is AUTHORIZED as") < said.index("was refreshed")
    assert re.findall(r"ticket=(\S*)", said) == ["..."]
    assert all(each.command.startswith("kubectl ") for each in KEPT)


def test_commands_of_the_plugin_are_those_that_it_has() -> None:
    words = [each.command.split() for each in KEPT]
    assert {each[2] for each in words if each[1] == "datasource"} <= set(cli.commands)
