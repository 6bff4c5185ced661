"""How large a room of the house may be: beyond that nobody reads it whole before changing it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("datasource", "operator/datasource_operator", "callback_server", "kubectl_datasource", "generators")

LINES_OF_A_FILE = 350
LINES_OF_A_CLASS = 250


def files() -> list[Path]:
    """Every module of the product; data stands in files of other kinds."""
    return sorted(path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py"))


def too_large(name: str, source: str) -> Iterator[str]:
    """What of a module is over a bound."""
    lines = len(source.splitlines())
    if lines > LINES_OF_A_FILE:
        yield f"{name} has {lines} lines, {LINES_OF_A_FILE} are allowed: split it"
    # A file that is shorter than a class may be has none that is too long.
    for node in ast.walk(ast.parse(source)) if lines > LINES_OF_A_CLASS else ():
        if isinstance(node, ast.ClassDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LINES_OF_A_CLASS:
                yield f"{name}: class {node.name} has {length} lines, {LINES_OF_A_CLASS} are allowed: split it"


def test_no_module_and_no_class_is_too_large_to_read() -> None:
    assert [text for path in files() for text in too_large(str(path.relative_to(REPOSITORY)), path.read_text())] == []


def test_every_room_is_looked_at() -> None:
    assert {room for room in ROOMS if not any(path.is_relative_to(REPOSITORY / room) for path in files())} == set()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1\n" * 350, []),
        ("x = 1\n" * 351, ["a.py has 351 lines, 350 are allowed: split it"]),
        ("class A:\n" + "    x = 1\n" * 249, []),
        ("class A:\n" + "    x = 1\n" * 250, ["a.py: class A has 251 lines, 250 are allowed: split it"]),
        (
            "def f():\n    class B:\n" + "        x = 1\n" * 250,
            ["a.py: class B has 251 lines, 250 are allowed: split it"],
        ),
    ],
    ids=["a full file", "a line more", "a full class", "a line more of a class", "a class within a function"],
)
def test_one_line_over_a_bound_is_told(source: str, told: list[str]) -> None:
    assert list(too_large("a.py", source)) == told
