"""JSON from a stranger: objects only, bounded in depth, and no number that could overflow."""

import json
import re
from dataclasses import dataclass
from typing import Any

DEEPEST_JSON = 32

MOST_ELEMENTS = 10_000
"""Commas and brackets, those in texts included. A megabyte of numbers takes half a second, in which nobody else has a turn."""

_BRACKETS = re.compile(r"[\[\]{}]")


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number as written; not a text, or `"error": 0` would be an error."""

    text: str


def json_object(text: str) -> dict[str, Any] | None:
    """Parse a JSON object, numbers as `Number`; None where the text is none, or has more than MOST_ELEMENTS, or nests
    deeper than DEEPEST_JSON."""
    if not text.startswith("{") or _elements(text) > MOST_ELEMENTS or _depth(text) > DEEPEST_JSON:
        return None
    try:
        # Numbers stay text: nothing can overflow, and what is wrong with one costs that member only.
        parsed = json.loads(text, parse_int=Number, parse_float=Number, parse_constant=Number)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def utf8(body: bytes) -> str | None:
    """The text of a body without white space and byte order mark around it; None where it is not UTF-8."""
    try:
        return body.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return None


def _elements(text: str) -> int:
    return sum(map(text.count, ",[]{}"))


def _depth(text: str) -> int:
    """How deep the brackets nest, at most; those in strings count too, which errs on the safe side."""
    depth = deepest = 0
    for character in _BRACKETS.findall(text):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest
