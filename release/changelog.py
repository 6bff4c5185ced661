"""What CHANGELOG.md says of a version."""

import re
from dataclasses import dataclass

from release.refusal import Refused

_KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@dataclass(frozen=True)
class Change:
    """One line of it, as Artifact Hub lists changes."""

    kind: str
    description: str


def section(version: str, changelog: str) -> str:
    """What stands under the heading of a version.

    Raises:
        Refused: there is no such heading, it has no date, or nothing stands under it.
    """
    heading = rf"^## \[{re.escape(version)}\](?P<rest>.*)\n(?P<text>(?:(?!## ).*\n?)*)"
    found = re.search(heading, changelog, flags=re.MULTILINE)
    if found is None:
        raise Refused(
            f"CHANGELOG.md has no section for {version}: write what came with it below ## [{version}] - DATE."
        )
    if not re.fullmatch(r" - \d{4}-\d{2}-\d{2}", found["rest"]):
        raise Refused(f"CHANGELOG.md: the heading ## [{version}]{found['rest']} must end with its date: - YYYY-MM-DD.")
    text = found["text"].strip()
    if not text:
        raise Refused(f"CHANGELOG.md says nothing below ## [{version}].")
    return text


def changes(text: str) -> list[Change]:
    """The list items below *Added*, *Changed* and so on, each in one line."""
    found: list[Change] = []
    kind = ""
    for block in re.split(r"\n(?=### |- )|\n\n", text):
        if block.startswith("### "):
            title = block.removeprefix("### ").strip()
            kind = title.lower() if title in _KINDS else ""
        elif block.startswith("- ") and kind:
            found.append(Change(kind, " ".join(block.removeprefix("- ").split())))
    return found
