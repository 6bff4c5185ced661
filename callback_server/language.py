"""The texts of the pages, each in every language; and which language a browser asks for.

A `Text` is its English words, so that logs, statuses and Events read it as any other string. It remembers where it comes from,
so that a page can show it in the language of its reader.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, Final

from markupsafe import Markup, escape

_FOLDER = Path(__file__).with_name("languages")
ENGLISH: Final = "en"
LANGUAGES: Final = ("en", "de", "fr")
"""The first is what a browser gets that asks for none of them."""

_LONGEST_HEADER = 512
_MOST_RANGES = 16
_RANGE = re.compile(
    r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9]{1,8})*\s*(?:;\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)

Texts = Mapping[str, str]
"""What is said in one language, by key."""


class Words(str):
    """What others say, or what only administrators read: the API server's, the provider's and the technical words. Always shown
    as they are, and marked as English on a page of another language."""

    __slots__ = ()


class Ability(str):
    """What a scope lets an app do, in English, as presets have it; languages translate it by its words."""

    __slots__ = ()


class Text(str):
    """A text of ours with its values filled in; as a string it is English."""

    key: str
    values: Mapping[str, str]

    def __new__(cls, key: str, values: Mapping[str, str]) -> "Text":
        made = super().__new__(cls, texts_in(ENGLISH)[key].format(**values))
        made.key, made.values = key, values
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return (Text, (self.key, dict(self.values)))


def text(key: str, **values: str) -> Text:
    """The text of that key."""
    return Text(key, values)


@cache
def texts_in(language: str) -> Texts:
    """The texts of a language as they are delivered."""
    return dict(_flat(tomllib.loads((_FOLDER / f"{language}.toml").read_text(encoding="utf-8"))))


def placeholders(template: str) -> frozenset[str]:
    """The names of the values that a text has a place for.

    Raises:
        ValueError: it is no template: a brace stands alone, or a place does more than name a value.
    """
    found = set()
    for _, name, spec, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise ValueError(f"{{{name}}} is no placeholder: write the name of a value in braces")
        found.add(name)
    return frozenset(found)


def shown(value: object, language: str, texts: Texts) -> Markup:
    """Anything that a page shows, escaped, in its language."""
    match value:
        case Text():
            filled = {name: shown(each, language, texts) for name, each in value.values.items()}
            return Markup(escape(texts[value.key]).format(**filled))  # noqa: S704 - the template is escaped, and so is each value
        case Ability():
            return (
                escape(value)
                if language == ENGLISH
                else shown(texts.get(f"scopes.{value}", Words(value)), language, texts)
            )
        case Words() if language != ENGLISH and value:
            return Markup('<span lang="en">{}</span>').format(isolated(value))
        case Markup():
            # A template put it together of what was shown already.
            return value
        case _:
            return isolated(str(value))


_TURNS = frozenset({"R", "AL", "AN", "LRE", "LRO", "LRI", "RLE", "RLO", "RLI", "FSI", "PDF", "PDI"})
"""Kinds of characters that run from right to left, or that say where others run (Unicode, annex 9)."""


def isolated(value: str) -> Markup:
    """What others wrote, escaped. Where it may run from right to left, it cannot turn around the words of ours beside it."""
    turns = any(unicodedata.bidirectional(character) in _TURNS for character in value)
    return Markup("<bdi>{}</bdi>").format(value) if turns else escape(value)


def recorded(value: str) -> Any:
    """A text as a flow record keeps it: JSON."""
    match value:
        case Text():
            return {"key": value.key, "values": {name: recorded(each) for name, each in value.values.items()}}
        case Words():
            return {"words": str(value)}
        case _:
            return str(value)


def read_back(record: Any, otherwise: str) -> str:
    """A text from a flow record; as it is in English where another version wrote what this one does not know."""
    found = _read_back(record, depth=0)
    return Words(otherwise) if found is None else found


_DEEPEST = 4


def _read_back(record: Any, depth: int) -> str | None:
    match record:
        case str():
            return record
        case {"words": str(words)}:
            return Words(words)
        case {"key": str(key), "values": {**values}} if depth < _DEEPEST and key in texts_in(ENGLISH):
            read = {str(name): _read_back(each, depth + 1) for name, each in values.items()}
            known = {name: each for name, each in read.items() if each is not None}
            return Text(key, known) if known.keys() == placeholders(texts_in(ENGLISH)[key]) else None
        case _:
            return None


def language_for(accept_language: str | None) -> str:
    """The language that a browser prefers of those there are (RFC 9110 section 12.5.4); English where it asks for none.

    What is longer than a browser sends, or no such header, counts as nothing.
    """
    if not accept_language or len(accept_language) > _LONGEST_HEADER:
        return ENGLISH
    ranges = accept_language.split(",")
    if len(ranges) > _MOST_RANGES:
        return ENGLISH
    best: dict[str, float] = {}
    for each in ranges:
        found = _RANGE.fullmatch(each)
        if found is None:
            continue
        name, quality = found[1].lower(), float(found[2] or 1)
        # Of de and de-AT the better one counts.
        best[name] = max(best.get(name, 0.0), quality)
    rest = best.get("*", 0.0)
    wanted = {language: best.get(language, rest) for language in LANGUAGES}
    # Of equals the first in the header wins, which dicts keep: browsers send what is preferred first.
    order = [*best, *LANGUAGES]
    chosen = max(LANGUAGES, key=lambda language: (wanted[language], -order.index(language)))
    return chosen if wanted[chosen] > 0 else ENGLISH


def _flat(parsed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for section, entries in parsed.items():
        for name, value in entries.items():
            yield f"{section}.{name}", value
