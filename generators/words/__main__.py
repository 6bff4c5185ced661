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
    of_changes,
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
    "changes": of_changes,
    "templates": of_template,
    "texts": of_texts,
    "manifests": of_manifest,
    "notes": of_notes,
    "presets": of_presets,
    "commands": of_commands,
    "strings": of_python,
}


@dataclass(frozen=True, slots=True)
class Rejected:
    """Words that stay out, and what to write instead."""

    any_of: re.Pattern[str]
    instead: dict[str, str]

    @classmethod
    def of(cls, entries: list[dict[str, Any]]) -> "Rejected":
        """As they are written."""
        instead = {word.lower(): entry["instead"] for entry in entries for word in entry["words"]}
        # The longest first: of two that begin alike it is the one that was meant.
        any_of = "|".join(re.escape(word) for word in sorted(instead, key=len, reverse=True))
        return cls(re.compile(rf"(?<![\w-])(?:{any_of})(?![\w-])", re.IGNORECASE), instead)

    def found_in(self, sentence: str) -> Iterator[str]:
        """Which of them a sentence has."""
        for found in self.any_of.finditer(sentence):
            yield f'not "{found[0]}" but: {self.instead[found[0].lower()]}: {sentence}'


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds."""

    longest: int
    rejected: Rejected
    rejected_in: dict[str, Rejected]
    """What stays out of the texts in one language, beside that."""
    read: dict[str, tuple[str, ...]]
    exempt: frozenset[str]


def parse_rules(text: str) -> Rules:
    """The rules as written."""
    parsed: dict[str, Any] = tomllib.loads(text)
    return Rules(
        longest=parsed["sentence"]["longest"],
        rejected=Rejected.of(parsed["rejected"]),
        rejected_in={language: Rejected.of(entries) for language, entries in parsed["rejected_in"].items()},
        read={kind: tuple(patterns) for kind, patterns in parsed["read"].items()},
        exempt=frozenset(f"{folder}/{name}" for folder, names in parsed["exempt"].items() for name in names),
    )


def complaints(text: str, rules: Rules, language: str = "") -> Iterator[str]:
    """What is wrong with a text, and what to write."""
    rejected = [rules.rejected] + ([rules.rejected_in[language]] if language in rules.rejected_in else [])
    for sentence in sentences(text):
        count = words_in(sentence)
        if count > rules.longest:
            yield f"{count} words, at most {rules.longest}: {sentence}"
        for words in rejected:
            yield from words.found_in(sentence)


def findings(root: Path, rules: Rules) -> Iterator[str]:
    """What is wrong in the files that the rules name."""
    seen: set[Path] = set()
    for kind, patterns in rules.read.items():
        for path in (path for pattern in patterns for path in sorted(root.glob(pattern))):
            name = str(path.relative_to(root))
            if path in seen or name in rules.exempt:
                continue
            seen.add(path)
            language = path.stem if kind == "texts" else ""
            for line, text in _READERS[kind](path):
                yield from (f"{name}:{line}: {each}" for each in complaints(text, rules, language))


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
