"""JSON from a stranger: objects only, bounded in depth, and no number that could overflow."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import whitespace
from typing import Any

DEEPEST_JSON = 32

MOST_ELEMENTS = 10_000
"""Commas and brackets, those in texts included. A megabyte of numbers takes half a second, in which nobody else has a turn."""

_AROUND = "\ufeff" + whitespace
_BRACKETS = re.compile(r"[\[\]{}]")
_TEXTS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BEFORE_JSON = re.compile(r"(?:\)\]\}'?,?|while ?\(1\);|for ?\(;;\);)\s*")
"""What some servers put before JSON, so that no page can run it as a script."""


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as written; not a text, or `"error": 0` would be an error."""

    text: str


def json_object(text: str) -> dict[str, Any] | None:
    """Parse a JSON object, numbers as `Number`; None where the text is none, or has more than MOST_ELEMENTS, or nests
    deeper than DEEPEST_JSON."""
    found = _object_in(text)
    return None if found is None or found[1] != len(text) else found[0]


def leading_json_object(text: str) -> dict[str, Any] | None:
    """The same, whatever stands behind it: a warning, a script of a proxy, the end of a chunk. It may be written as a text."""
    guard = _BEFORE_JSON.match(text)
    found = _object_in(_written_once(text if guard is None else text[guard.end() :]))
    return None if found is None else found[0]


def _written_once(text: str) -> str:
    """The text in a text: some gateways write the JSON that they pass on as JSON once more."""
    try:
        return _DECODER.raw_decode(text)[0] if text.startswith('"{') else text
    except ValueError:
        return text


def _object_in(text: str) -> tuple[dict[str, Any], int] | None:
    """An object and where it ends."""
    if not text.startswith("{") or _elements(text) > MOST_ELEMENTS or _depth(text) > DEEPEST_JSON:
        return None
    try:
        parsed, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return (parsed, end) if isinstance(parsed, dict) else None


def members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Members of which one may stand twice: the last one counts, but one that says nothing takes nothing back."""
    found = dict(pairs)
    if len(found) != len(pairs):
        found |= {name: value for name, value in pairs if value is not None and value != ""}
    return found


# Numbers stay text: nothing can overflow, and what is wrong with one costs that member only. Control characters in texts cost
# nothing.
_DECODER = json.JSONDecoder(
    parse_int=Number, parse_float=Number, parse_constant=Number, object_pairs_hook=members, strict=False
)


def text_of(body: bytes) -> str:
    """The text of a body, without white space and byte order marks around it: each file of a PHP server may begin with one.

    What cannot be decoded is replaced: a name in Latin-1 is not worth the tokens beside it, which are ASCII.
    """
    encoding = json.detect_encoding(body[:4])
    return body.decode(encoding, errors="replace").strip().strip(_AROUND)


def _elements(text: str) -> int:
    return sum(map(text.count, ",[]{}"))


def _depth(text: str) -> int:
    """How deep the brackets nest, at most; those in texts do not count where that matters."""
    opening = text.count("[") + text.count("{")
    if opening <= DEEPEST_JSON:
        # To find the texts among a megabyte of escapes takes 50 ms.
        return opening
    depth = deepest = 0
    for character in _BRACKETS.findall(_TEXTS.sub("", text)):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest
