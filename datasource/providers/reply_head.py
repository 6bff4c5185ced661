"""The head of a reply, mended where a strict parser would refuse it. Pure.

h11 refuses a whole reply for one line that is no header, and with it the tokens behind it: the code is spent by then, the
refresh token before them used up. Browsers and curl read such replies. So what cannot be a header is left out before h11
sees it. A length that says nothing is none: the body ends with the connection. Such a connection is used for nothing else.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"[ \t]*(HTTP/[0-9]\.[0-9])[ \t]+([0-9]{3})([ \t].*)?", re.DOTALL)
_STRICT_STATUS_LINE = re.compile(rb"HTTP/[0-9]\.[0-9] [0-9]{3}( [^\x00\x0b\x0c\r]*)?")
_STRICT_FIELD = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+:[^\x00\x0b\x0c\r]*")
_NAME = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_IN_NO_LINE = re.compile(rb"[\x00\x0b\x0c\r]")
_LENGTH = re.compile(rb"\+?([0-9]{1,18})")
_CHUNKED, _TRANSFER_ENCODING, _CONTENT_LENGTH = b"chunked", b"transfer-encoding", b"content-length"

_Field = tuple[bytes, bytes]
"""Its name in lower case, and its value."""


class Heads:
    """What comes of a reply, from its first byte on: its heads whole and mended, then everything as it comes."""

    def __init__(self) -> None:
        self._waiting = b""
        self._is_over = False

    def feed(self, piece: bytes) -> bytes:
        """What a parser may have now; nothing where more of a head is to come. An empty piece is the end of the connection."""
        if self._is_over:
            return piece
        self._waiting += piece
        return b"".join(self._ready(piece)) if b"\n" in piece or not piece else b""

    def _ready(self, piece: bytes) -> Iterator[bytes]:
        # Some servers end what they sent before with an empty line too much.
        while (end := _END.search(waiting := self._waiting.lstrip(b"\r\n"))) is not None and not self._is_over:
            head, self._waiting = waiting[: end.end()], waiting[end.end() :]
            status = _STATUS_LINE.match(head)
            # Informational ones come before the one that matters (RFC 9110 section 15.2); 101 is the end of HTTP.
            self._is_over = status is None or not status[2].startswith(b"1") or status[2] == b"101"
            yield mended_head(head)
        if self._is_over or not piece:
            self._is_over = True
            yield self._waiting
            self._waiting = b""


def mended_head(head: bytes) -> bytes:
    """A head that h11 takes, if there is one in it; the very bytes where it takes them as they are."""
    first, *lines = (line.removesuffix(b"\r") for line in head.removesuffix(b"\n").split(b"\n"))
    status = _STATUS_LINE.fullmatch(first)
    if status is None:
        return head
    lines = _unfolded(line for line in lines if line)
    fields = [field for field in map(_field, lines) if field is not None]
    framing = _framing(fields)
    is_strict = _STRICT_STATUS_LINE.fullmatch(first) is not None and all(map(_STRICT_FIELD.fullmatch, lines))
    around = [field for field in fields if field[0] in (_TRANSFER_ENCODING, _CONTENT_LENGTH)]
    if is_strict and framing == around:
        return head
    others = [field for field in fields if field not in around]
    start = b"%s %s%s" % (status[1], status[2], _IN_NO_LINE.sub(b" ", status[3] or b""))
    made = (b"%s: %s" % field for field in (*others, *framing, (b"connection", b"close")))
    return b"\r\n".join([start, *made, b"", b""])


def _unfolded(lines: Iterable[bytes]) -> list[bytes]:
    """A line that begins with white space goes on with the one before (RFC 9112 section 5.2)."""
    whole: list[bytes] = []
    for line in lines:
        if line[:1] in b" \t" and whole:
            whole[-1] += b" " + line.strip(b" \t")
        else:
            whole.append(line)
    return whole


def _field(line: bytes) -> _Field | None:
    name, colon, value = line.partition(b":")
    name = name.strip(b" \t")
    if not colon or _NAME.fullmatch(name) is None:
        return None
    return name.lower(), _IN_NO_LINE.sub(b" ", value).strip(b" \t")


def _framing(fields: Sequence[_Field]) -> list[_Field]:
    """Where the body ends, in one field; none: with the connection (RFC 9112 section 6.3)."""
    codings = _listed(fields, _TRANSFER_ENCODING)
    if codings[-1:] == [_CHUNKED]:
        return [(_TRANSFER_ENCODING, _CHUNKED)]
    lengths = {found and found[1] for found in map(_LENGTH.fullmatch, _listed(fields, _CONTENT_LENGTH))}
    length = lengths.pop() if len(lengths) == 1 else None
    return [] if length is None else [(_CONTENT_LENGTH, length)]


def _listed(fields: Sequence[_Field], wanted: bytes) -> list[bytes]:
    return [each.strip(b" \t").lower() for name, value in fields if name == wanted for each in value.split(b",")]
