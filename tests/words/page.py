"""Writes every_text.md: `make docs`."""

from collections.abc import Iterator
from pathlib import Path

from tests.words import failures, states

PAGE = Path(__file__).with_name("every_text.md")

_HEAD = """# Every text of a state and of a failed authorization

Written by `make docs` from the product's own functions, and held by a test. Read it whole when you change a text.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "## States"
    for name, seen in states.SEEN.items():
        yield from ("", f"### {name}", "")
        yield from states.texts(seen)
    yield from ("", "## Failed authorizations, and other pages that refuse")
    for name, refused in failures.REFUSED.items():
        yield from ("", f"### {name}", "")
        yield from failures.texts(refused)


if __name__ == "__main__":
    PAGE.write_text(page())
