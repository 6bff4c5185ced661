"""What is said of a version, and that nothing is released that nobody wrote about."""

import re

import pytest

from deploy.local.cache import REPOSITORY
from release.changelog import Change, changes, section
from release.refusal import Refused

TEXT = """# Changelog

## [Unreleased]

### Added

- Later.

## [0.2.0] - 2026-11-27

### Upgrade notes

- Not a change.

### Added

- One that goes
  over two lines.
- Two.

### Fixed

- Three.

## [0.1.0] - 2026-06-01

- Old.
"""


def test_section_ends_where_the_next_begins() -> None:
    text = section("0.2.0", TEXT)
    assert text.startswith("### Upgrade notes")
    assert text.endswith("- Three.")


@pytest.mark.parametrize(
    ("version", "text", "said"),
    [
        ("0.3.0", TEXT, "has no section for 0.3.0"),
        ("0.2", TEXT, "has no section"),
        ("0x2.0", TEXT.replace("0.2.0", "0y2.0"), "has no section"),
        ("0.2.0", "## [0.2.0]\n\n- A.\n", "must end with its date"),
        ("0.2.0", "## [0.2.0] - soon\n\n- A.\n", "must end with its date"),
        ("0.2.0", "## [0.2.0] - 2026-11-27\n\n## [0.1.0] - 2026-06-01\n- A.\n", "says nothing"),
        ("0.2.0", "## [0.2.0] - 2026-11-27", "has no section"),
    ],
)
def test_version_without_a_word_is_refused(version: str, text: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        section(version, text)
    assert said in str(refused.value)


def test_changes_are_those_that_artifact_hub_knows() -> None:
    assert changes(section("0.2.0", TEXT)) == [
        Change("added", "One that goes over two lines."),
        Change("added", "Two."),
        Change("fixed", "Three."),
    ]


def test_what_comes_next_is_written_above_what_is_released() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[(.+?)\]", text, flags=re.MULTILINE)[0] == "Unreleased"
    assert "### Upgrade notes" in section("0.2.0", text)
    assert {each.kind for each in changes(section("0.2.0", text))} >= {"added"}


def test_last_section_of_a_file_ends_with_it() -> None:
    assert section("0.1.0", TEXT.rstrip()) == "- Old."
