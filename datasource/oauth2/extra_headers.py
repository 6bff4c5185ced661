"""Headers beside our own that an API gateway before a provider asks for: which they may be, and what a value may hold. Pure."""

import re
from dataclasses import dataclass, field

LONGEST_VALUE = 4096
"""Characters of one value, wherever it comes from."""

MOST_HEADERS = 8

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_OURS = re.compile(
    "authorization|host|cookie2?|set-cookie2?|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect"
    "|http2-settings|accept-encoding|range|if-.*|proxy-.*|dpop",
    re.IGNORECASE,
)
"""Headers that say how a request is framed or who asks: another value would break it, or be a second way to authenticate."""


@dataclass(frozen=True, slots=True)
class ExtraHeader:
    """A header of requests to a provider."""

    name: str
    value: str = field(repr=False)
    is_secret: bool = True
    """Whether nobody may be shown the value."""


def name_problem(name: str) -> str | None:
    """Why a header cannot have that name; None where it can."""
    if not _NAME.fullmatch(name):
        return "is no name of a header: use up to 64 letters, digits, - and _"
    return "is set by the request itself, or says how it is framed" if _OURS.fullmatch(name) else None


def value_problem(value: str) -> str | None:
    """Why a header cannot have that value, without a word of it; None where it can (RFC 9110 section 5.5)."""
    if len(value) > LONGEST_VALUE:
        return f"has more than {LONGEST_VALUE} characters"
    if not _VALUE.fullmatch(value):
        return "is empty, begins or ends with a space, or has line breaks, control characters or letters beyond ASCII"
    return None
