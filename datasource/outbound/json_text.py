"""JSON that somebody else may have written. Pure."""

from typing import TypeVar

import msgspec

T = TypeVar("T")

DEEPEST = 12_000
"""Levels. The API server reads ten thousand and lets a tenant store them; by default Python gives up after a thousand."""


def read_json(text: str | bytes, type_: type[T]) -> T:
    """Decode a text.

    Raises:
        msgspec.DecodeError: it is no JSON, is of another shape, or nests too deep; a ValueError.
    """
    try:
        return msgspec.json.decode(text, type=type_)
    except RecursionError:
        raise msgspec.DecodeError("it nests too deep") from None
