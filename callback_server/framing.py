"""The head of a request as RFC 9112 writes it, and nothing that two readers could take for two things. Pure.

A proxy before us and the parser behind us must see the same requests. Some heads can be read in two ways: a length beside a
transfer coding, a line that goes on in the next one, a line that ends by LF alone. Then one reader takes for a body what the
other takes for the next request. So an attacker could send a request in the name of the person who uses the connection next.
Lenient parsers repair such heads. We refuse them before the parser sees them. Chunks are refused as a whole: their ends,
extensions and trailers leave the most room. RFC 9112 section 6.1 lets a server ask for a length, and browsers send one.
"""

import re

MOST_FIELDS = 100
"""Header lines of one request. Browsers send about twenty, proxies add a few."""

_END = re.compile(rb"\n\r?\n")
# RFC 9112 section 3; the target is a path (section 3.2.1): we are no proxy, and nobody asks about us as a whole.
_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} /[\x21-\x22\x24-\x7e]* HTTP/1\.[01]")
# Other control characters in a value may stand (RFC 9110 section 5.5): a page says it to whoever has a planted cookie with one.
_FIELD_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ONCE = frozenset({b"content-length", b"host"})


def head_problem(received: bytes) -> str | None:
    """What stands against a head, or against what of one has come; None where nothing does yet.

    Args:
        received: from the first byte of the request. What stands behind its head is not looked at.
    """
    end = _END.search(received)
    head = received if end is None else received[: end.end()]
    lines = head.count(b"\r\n")
    # A CR at the very end may be half of a line's end.
    if head.count(b"\n") != lines or head.count(b"\r") - head.endswith(b"\r") != lines:
        return "a line does not end by CR and LF"
    # Before the end, too: whoever sends lines without end is not read again at each.
    if lines > MOST_FIELDS + 2:
        return f"there are more than {MOST_FIELDS} header lines"
    if end is None:
        return None
    request, *fields = head[:-4].split(b"\r\n")
    if _REQUEST_LINE.fullmatch(request) is None:
        return "the request line is not a method, a path and HTTP/1.1"
    return _fields_problem(fields)


def _fields_problem(fields: list[bytes]) -> str | None:
    seen: set[bytes] = set()
    for field in fields:
        # A line that begins with white space (obs-fold) is no field, either, nor one with a space before the colon.
        spelled, colon, value = field.partition(b":")
        if not colon or _FIELD_NAME.fullmatch(spelled) is None or b"\x00" in value:
            return "a header line cannot be read"
        name = spelled.lower()
        if name == b"transfer-encoding":
            return "the body comes in chunks, without a length"
        if name == b"content-length" and _LENGTH.fullmatch(value.strip(b" \t")) is None:
            return "content-length is no number"
        if name in _ONCE and name in seen:
            return f"{name.decode()} is there twice"
        seen.add(name)
    return None
