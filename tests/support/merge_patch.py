"""JSON merge patch (RFC 7386), as the API server applies it."""

from collections.abc import Mapping
from typing import Any


def merge_patched(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """What a merge patch makes of an object (RFC 7386 section 2); neither is changed."""
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            before = result.get(key)
            result[key] = merge_patched(before if isinstance(before, Mapping) else {}, value)
        else:
            result[key] = value
    return result
