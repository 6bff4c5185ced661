"""Read what people read, and say which sentences are too long and which words are rejected: `make lint`."""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.cache import REPOSITORY
from generators.words.sentences import paragraphs, sentences, words_in
from generators.words.strings import (
    Found,
    of_commands,
    of_manifest,
    of_notes,
    of_presets,
    of_python,
    of_template,
    of_texts,
)

RULES = Path(__file__).with_name("rules.toml")

_READERS: dict[str, Callable[[Path], Found]] = {
    "pages": lambda path: paragraphs(path.read_text()),
    "templates": of_template,
    "texts": of_texts,
    "manifests": of_manifest,
    "notes": of_notes,
    "presets": of_presets,
    "commands": of_commands,
    "strings": of_python,
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds."""

    longest: int
    rejected: re.Pattern[str]
    instead: dict[str, str]
    read: dict[str, tuple[str, ...]]
    exempt: frozenset[str]


def parse_rules(text: str) -> Rules:
    """The rules as written."""
    parsed: dict[str, Any] = tomllib.loads(text)
    instead = {word.lower(): entry["instead"] for entry in parsed["rejected"] for word in entry["words"]}
    # The longest first: of two that begin alike it is the one that was meant.
    any_of = "|".join(re.escape(word) for word in sorted(instead, key=len, reverse=True))
    return Rules(
        longest=parsed["sentence"]["longest"],
        rejected=re.compile(rf"(?<![\w-])(?:{any_of})(?![\w-])", re.IGNORECASE),
        instead=instead,
        read={kind: tuple(patterns) for kind, patterns in parsed["read"].items()},
        exempt=frozenset(f"{folder}/{name}" for folder, names in parsed["exempt"].items() for name in names),
    )


def complaints(text: str, rules: Rules) -> Iterator[str]:
    """What is wrong with a text, and what to write."""
    for sentence in sentences(text):
        count = words_in(sentence)
        if count > rules.longest:
            yield f"{count} words, at most {rules.longest}: {sentence}"
        for found in rules.rejected.finditer(sentence):
            yield f'not "{found[0]}" but: {rules.instead[found[0].lower()]}: {sentence}'


def findings(root: Path, rules: Rules) -> Iterator[str]:
    """What is wrong in the files that the rules name."""
    seen: set[Path] = set()
    for kind, patterns in rules.read.items():
        for path in (path for pattern in patterns for path in sorted(root.glob(pattern))):
            name = str(path.relative_to(root))
            if path in seen or name in rules.exempt:
                continue
            seen.add(path)
            for line, text in _READERS[kind](path):
                yield from (f"{name}:{line}: {each}" for each in complaints(text, rules))


def main() -> int:
    """1 where something is wrong."""
    found = list(findings(REPOSITORY, parse_rules(RULES.read_text())))
    for each in found:
        print(each)
    if found:
        print(f"{len(found)} in all. docs/glossary.md has the rule and the words.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
