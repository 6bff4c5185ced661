"""The commands that README and docs/ tell people to type, found in code blocks, code spans and tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.cache import REPOSITORY

TOOLS = (
    *(
        "(read",
        "base64",
        "cosign",
        "export",
        "git",
        "helm",
        "kubectl",
        "kubeseal",
        "make",
        "openssl",
        "pip",
        "podman",
        "promtool",
    ),
    *("python", ".venv/bin/python", ".venv/bin/pytest", "sed", "sha256sum", "source", "ssh", "uv"),
)
"""What a command begins with."""

_FENCE = re.compile(r"^```([a-z]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_OF_SHELLS = {"", "sh", "shell", "bash", "console"}
_BLOCK = re.compile(r"^(?: {4,}|\t)(\S.*)$", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Command:
    """One command and the page that it stands on."""

    page: str
    line: str

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"


def pages() -> list[Path]:
    """What people read."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def commands(page: Path) -> list[Command]:
    """The commands of a page, in order, each once."""
    found = (line for line in _lines(page.read_text()) if _is_command(line))
    return [Command(page.name, line) for line in dict.fromkeys(found)]


def _lines(text: str) -> Iterator[str]:
    """Lines of code, those that end in a backslash joined with the next."""
    text = text.replace("\\\n", " ")
    blocks = [match[2] for match in _FENCE.finditer(text) if match[1] in _OF_SHELLS]
    rest = _FENCE.sub("", text)
    for block in blocks:
        yield from (line.strip().removeprefix("$ ") for line in block.splitlines())
    yield from (match[1].strip().removeprefix("$ ") for match in _BLOCK.finditer(rest))
    # In a table a pipe is escaped.
    yield from (match[1].strip().replace("\\|", "|") for match in _SPAN.finditer(_BLOCK.sub("", rest)))


def lines_of_shells(text: str) -> Iterator[str]:
    """Lines of fenced blocks for a shell. An indented block may be YAML."""
    text = text.replace("\\\n", " ")
    for match in _FENCE.finditer(text):
        if match[1] in _OF_SHELLS:
            yield from (line.strip().removeprefix("$ ") for line in match[2].splitlines() if line.strip())


def _is_command(line: str) -> bool:
    word, _, arguments = line.partition(" ")
    # `kubectl get` in a sentence names a command; with a dash, an object or a file behind it, it is one.
    return word in TOOLS and len(arguments.split()) > 1
