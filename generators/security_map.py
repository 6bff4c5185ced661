"""Write docs/security-tests.md and a table of SECURITY.md: which test holds which requirement, threat and advisory.

`make docs` writes them from tests/security.toml; tests/unit/generators/test_security_map.py compares.
"""

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.cache import REPOSITORY

SOURCE = REPOSITORY / "tests" / "security.toml"
PAGE = REPOSITORY / "docs" / "security-tests.md"
POLICY = REPOSITORY / "SECURITY.md"

BEGIN = "<!-- threats: written by `make docs` from tests/security.toml -->"
END = "<!-- end of threats -->"

KINDS = ("requirement", "threat", "advisory")

_HEAD = """# What is tested for security

Written by `make docs` from [tests/security.toml](../tests/security.toml). Tests fail if this page is out of
date, and if a row has no test or names one that does not exist.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that must hold. Rows of advisories and requirements have no `held_by`."""

    kind: str
    id: str
    says: str
    held_by: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """How `[waiting]` names it."""
        return f"{self.kind} {self.id}"


@dataclass(frozen=True, slots=True)
class SecurityMap:
    """All rows, and what some of them still wait for."""

    rows: tuple[Row, ...]
    waiting: dict[str, str]

    def of(self, kind: str) -> tuple[Row, ...]:
        """The rows of one kind."""
        return tuple(row for row in self.rows if row.kind == kind)


def read(source: Path = SOURCE) -> SecurityMap:
    """Read the file.

    Raises:
        KeyError, tomllib.TOMLDecodeError: the file is malformed.
    """
    parsed: dict[str, Any] = tomllib.loads(source.read_text())
    rows = [
        Row(kind, each["id"], each.get("says") or each["threat"], each.get("held_by", ""), tuple(each["tests"]))
        for kind in KINDS
        for each in parsed[kind]
    ]
    return SecurityMap(tuple(rows), parsed.get("waiting", {}))


def collected() -> frozenset[str]:
    """All tests, as `path::name`, found without running or importing any."""
    return frozenset(
        f"{path.relative_to(REPOSITORY)}::{name}"
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        for name in _test_names(path)
    )


def _test_names(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name


def page(security: SecurityMap) -> str:
    """docs/security-tests.md."""
    advisories = ((row.id, row.says, _links(row)) for row in security.of("advisory"))
    return "\n".join(
        [
            _HEAD,
            "## Requirements\n",
            *_table(
                ("", "what must hold", "tests"), (_requirement(row, security) for row in security.of("requirement"))
            ),
            "\n## Threats\n",
            *_table(
                ("threat", "held by", "tests"), ((row.says, row.held_by, _links(row)) for row in security.of("threat"))
            ),
            "\n## Advisories about other software, replayed\n",
            *_table(("", "what went wrong there", "tests"), advisories),
            "",
        ]
    )


def policy(security: SecurityMap, text: str) -> str:
    """SECURITY.md with its table of threats written anew.

    Raises:
        ValueError: the marks of the table are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"SECURITY.md has no {BEGIN} ... {END}")
    rows = ((row.says, row.held_by, f"`{row.tests[0].partition('::')[2]}`") for row in security.of("threat"))
    table = "\n".join(_table(("threat", "what holds it", "a test that shows it"), rows))
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _requirement(row: Row, security: SecurityMap) -> tuple[str, str, str]:
    waits_for = security.waiting.get(row.name)
    return row.id, row.says, _links(row) + (f"<br>(waits for: {waits_for})" if waits_for else "")


def _links(row: Row) -> str:
    return "<br>".join(f"[{name}](../{path})" for path, _, name in (test.partition("::") for test in row.tests)) or "-"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def main() -> None:
    """Write both pages."""
    security = read()
    PAGE.write_text(page(security))
    POLICY.write_text(policy(security, POLICY.read_text()))
    sys.stdout.write(f"{PAGE.relative_to(REPOSITORY)} and {POLICY.relative_to(REPOSITORY)} are written\n")


if __name__ == "__main__":
    main()
