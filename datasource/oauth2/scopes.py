"""Scopes that were asked for against those that were granted (RFC 6749 section 3.3). Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

_SELDOM_SAID_AGAIN = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})
"""Of OpenID Connect. Many services grant them and leave them out of `scope`, or call them by another name there."""

_ALL_CONSENTED = ".default"
"""Behind the resource at Microsoft: whatever was consented to, which is granted under other names."""

_BETWEEN = re.compile(r"[,;|+]")

MOST_NAMED = 10


def scopes_not_granted(
    requested: Sequence[str], granted: Sequence[str], included: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> tuple[str, ...]:
    """What was asked for and is not among what was granted; of many the first ten, and how many more.

    The long form of a scope counts as the short one (https://graph.microsoft.com/User.Read and User.Read), in whatever letters.

    Args:
        requested: what was asked for.
        granted: what the service says.
        included: by scopes of the service, those that it grants with them and does not name beside them. A star is any end.
    """
    if not granted or set(requested) <= set(granted):
        return ()
    # Some services write commas between those that they granted, whatever stood between those that were asked for.
    parts = {part for scope in granted for part in (scope, *_BETWEEN.split(scope))}
    known = {name for part in _with_included(parts, included) for name in _names(part)}
    missing = [scope for scope in requested if not _is_seldom_said_again(scope) and not _names(scope) & known]
    more = len(missing) - MOST_NAMED
    return (*missing[:MOST_NAMED], *([f"and {more} more"] if more > 0 else []))


def _with_included(scopes: set[str], included: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Scopes, with what they include, and what that does."""
    seen: set[str] = set()
    left = list(scopes)
    while left:
        scope = left.pop()
        if scope not in seen:
            seen.add(scope)
            left += _included_in(scope, included)
            yield scope


def _included_in(scope: str, included: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What a scope includes; `write_*` includes `read_*` where it says so, with the same end."""
    for name, within in included.items():
        if name == scope:
            yield from within
        elif name.endswith("*") and scope.startswith(name[:-1]):
            yield from (each.replace("*", scope[len(name) - 1 :]) for each in within)


def _is_seldom_said_again(scope: str) -> bool:
    return scope in _SELDOM_SAID_AGAIN or scope.lower().rpartition("/")[2] == _ALL_CONSENTED


def _names(scope: str) -> frozenset[str]:
    small = scope.lower().rstrip("/")
    return frozenset({small, small.rpartition("/")[2]}) if "://" in small else frozenset({small})
