"""What a provider says, fit to be shown: without anything that was sent to it, and without anything that looks like a token.

A provider may echo what it got, in whatever spelling its framework makes of it. So no list of spellings is looked for. The
text is read as a browser, a JSON parser and a base64 decoder would read it, one after another and several times, and each
character read knows where in the text it came from. What shows a secret in any of these readings is cut there.
"""

import html
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from datasource.outbound.printable import printable

CUT = "[…]"
"""What stands where something was cut."""

SHORTEST = 4
"""Characters; of a shorter secret, every word would show some."""

_LONGEST_TEXT = 1000
"""Characters that are looked at; far fewer are shown."""

_WINDOW = 12
"""So many characters of a longer secret in a row are enough to be cut: it may come back shortened, or in lines."""

_MOST_WINDOWS = 4096
"""Of one secret, about. Of a longer one every second window is looked for, or every third, and so on: a token of 64 KiB would
take 50 ms at each look, and what is missed of it is too short to be of use to anybody."""

_LAYERS = 4
_ORDERED = 2
_DEPTH = 2

_PERCENT = r"(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
_JSON = (
    r"(?P<pair>\\[uU][dD][89abAB][0-9A-Fa-f]{2}\\[uU][dD][c-fC-F][0-9A-Fa-f]{2})"
    r"|\\[uU](?P<unicode>[0-9A-Fa-f]{4})|\\[xX](?P<hex>[0-9A-Fa-f]{2})|\\(?P<plain>[^ux])"
)
"""In capitals, too: whoever writes all of a text in capitals writes its escapes so."""
_HTML = r"(?P<html>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?)"
_PLUS = r"(?P<plus>\+)"
_ALL = re.compile("|".join((_PERCENT, _JSON, _HTML)), re.DOTALL)
_EACH = tuple(re.compile(each, re.DOTALL) for each in (_PERCENT, f"{_PERCENT}|{_PLUS}", _JSON, _HTML))
"""Read one after another in any order, for what was spelled so may itself look like a spelling."""

_ESCAPES = frozenset("%\\&+")
"""What each of them begins with."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{5,}")
_HEX = re.compile(r"[0-9A-Fa-f]{8,}")
_RUN = re.compile(r"[A-Za-z0-9._~+/=-]{20,}")
_PIECE = re.compile(r"[A-Za-z0-9_~+-]{20,}")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_CHANGES = 6
"""Between small letters, capitals and digits: so many are in no word, and in nearly every token."""

_MOST_EFFORT = 30_000
"""Characters of all readings. What takes more is cut whole: whoever wrote it wanted it to take long."""

_PER_READING = 40
"""Characters that could have been read in the time that it takes to begin with a reading."""

Span = tuple[int, int]
_Read = list[tuple[str, Span]]
"""Each character with the part of the text that it was read from."""


class _TooMuch(Exception):
    """The text is read in too many ways."""


@dataclass(slots=True)
class _Effort:
    """How much may still be read. The event loop waits for it, and a stranger may have written the text."""

    left: int

    def spend(self, text: str) -> None:
        """Another reading.

        Raises:
            _TooMuch: it is one too many.
        """
        self.left -= len(text) + _PER_READING
        if self.left < 0:
            raise _TooMuch


def said(text: str, sent: Sequence[str] = ()) -> str:
    """What a provider said, for a status, an Event, a log or a page; `sent` is what was sent to it and must not be shown."""
    looked_at = text[:_LONGEST_TEXT]
    effort = _Effort(_MOST_EFFORT)
    try:
        spans = [*_found(looked_at, _searched(sent), 0, effort), *_tokens(looked_at, effort)]
    except _TooMuch:
        spans = [(0, len(looked_at))]
    if len(text) > _LONGEST_TEXT:
        spans.append((_last_words(looked_at, sent), len(looked_at)))
    return printable(_without(looked_at, spans))


def _last_words(text: str, sent: Sequence[str]) -> int:
    """Where the last word of a text begins, which may be the beginning of something; of a secret with spaces, so many more."""
    words = 1 + max((secret.count(" ") for secret in sent), default=0)
    before, *last = text.rstrip().rsplit(" ", words)
    return len(before) if len(last) == words else 0


@dataclass(frozen=True, slots=True)
class _Searched:
    """What is looked for, in small letters: the short ones whole, of the others their windows."""

    windows: frozenset[str]
    lengths: tuple[int, ...]
    """Of the windows, the shortest first."""
    margin: int
    """Characters around a window that may belong to the secret, too."""


def _searched(sent: Sequence[str]) -> _Searched:
    windows, margin = set[str](), 0
    for secret in sent:
        if len(secret) >= SHORTEST:
            step = 1 + len(secret) // _MOST_WINDOWS
            margin = max(margin, step - 1)
            last = max(1, len(secret) - _WINDOW + 1)
            windows |= {_folded(secret[at : at + _WINDOW]) for at in range(0, last, step)}
    return _Searched(frozenset(windows), tuple(sorted({len(each) for each in windows})), margin)


def _found(text: str, searched: _Searched, depth: int, effort: "_Effort") -> Iterator[Span]:
    """The parts of a text that show something, in whatever reading."""
    # No reading is longer than what is read: what is shorter than anything that is looked for shows none of it.
    if not searched.windows or len(text) < searched.lengths[0]:
        return
    for reading in _readings(text, effort):
        yield from _in_reading(reading, searched)
        if depth < _DEPTH:
            yield from _in_encoded(reading, searched, depth, effort, _AS_BASE64)
            yield from _in_encoded(reading, searched, depth, effort, _AS_HEX)


def _readings(text: str, effort: "_Effort") -> Iterator[_Read]:
    """What the text may be read as, each once, itself first."""
    plain = [(character, (at, at + 1)) for at, character in enumerate(text)]
    effort.spend(text)
    yield plain
    if _ESCAPES.isdisjoint(text):
        return
    seen = {text}
    layer = [plain]
    for _ in range(_ORDERED):
        layer = [each for before in layer for escape in _EACH for each in _new(before, escape, seen, effort)]
        yield from layer
    mixed = plain
    for _ in range(_LAYERS):
        yield from _new(mixed, _ALL, seen, effort)
        mixed = _decoded(mixed, _ALL)


def _new(before: _Read, escape: re.Pattern[str], seen: set[str], effort: "_Effort") -> Iterator[_Read]:
    """What one layer of escapes makes of a reading, if it makes another one."""
    reading = _decoded(before, escape)
    text = _text(reading)
    if text not in seen:
        effort.spend(text)
        seen.add(text)
        yield reading


def _decoded(reading: _Read, escape: re.Pattern[str]) -> _Read:
    """The same with one layer of escapes read."""
    text, decoded, at = _text(reading), list[tuple[str, Span]](), 0
    if escape.search(text) is None:
        return reading
    for match in escape.finditer(text):
        decoded += reading[at : match.start()]
        for characters, start, end in _unescaped(match):
            span = (reading[start][1][0], reading[end - 1][1][1])
            decoded += ((character, span) for character in characters)
        at = match.end()
    return decoded + reading[at:]


def _unescaped(match: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    """What an escape stands for, with the part of the text that it takes."""
    start, end = match.span()
    escape = match[0]
    match match.lastgroup:
        case "percent":
            for character in _from_percent(escape):
                width = 3 * character[1]
                yield character[0], start, start + width
                start += width
        case "pair":
            yield bytes.fromhex(escape[2:6] + escape[8:]).decode("utf-16-be"), start, end
        case "unicode" | "hex":
            yield chr(int(escape[2:], 16)), start, end
        case "plain":
            yield escape[1:], start, end
        case "plus":
            yield " ", start, end
        case _:
            yield html.unescape(escape), start, end


def _from_percent(escape: str) -> Iterator[tuple[str, int]]:
    """The characters of percent-encoded bytes, each with the number of its bytes; byte by byte where they are no UTF-8."""
    raw = bytes.fromhex(escape.replace("%", ""))
    try:
        return ((character, len(character.encode())) for character in raw.decode())
    except UnicodeDecodeError:
        return ((character, 1) for character in raw.decode("latin-1"))


def _in_reading(reading: _Read, searched: _Searched) -> Iterator[Span]:
    text, last = _folded(_text(reading)), len(reading) - 1
    for length in searched.lengths:
        for start in range(len(text) - length + 1):
            if text[start : start + length] in searched.windows:
                first, end = max(0, start - searched.margin), min(last, start + length - 1 + searched.margin)
                yield reading[first][1][0], reading[end][1][1]


def _in_encoded(
    reading: _Read, searched: _Searched, depth: int, effort: "_Effort", encoding: "_Encoding"
) -> Iterator[Span]:
    """Runs that show something once they are decoded, from whichever of their characters on."""
    for match in encoding.run.finditer(_text(reading)):
        for offset in range(encoding.width):
            inner = encoding.decode(match[0][offset:])
            texts = {inner.decode("latin-1"), inner.decode(errors="replace")}
            if any(True for text in texts for _ in _found(text, searched, depth + 1, effort)):
                yield reading[match.start()][1][0], reading[match.end() - 1][1][1]
                break


def _from_base64(run: str) -> bytes:
    # One character more than a multiple of four says nothing.
    whole = run[: len(run) - (len(run) % 4 == 1)].replace("-", "+").replace("_", "/")
    return b64decode(whole + "=" * (-len(whole) % 4))


def _from_hex(run: str) -> bytes:
    return bytes.fromhex(run[: len(run) // 2 * 2])


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How bytes may be written as text."""

    run: re.Pattern[str]
    decode: Callable[[str], bytes]
    width: int
    """Characters in which a byte begins."""


_AS_BASE64 = _Encoding(_BASE64, _from_base64, 4)
_AS_HEX = _Encoding(_HEX, _from_hex, 2)


def _tokens(text: str, effort: "_Effort") -> Iterator[Span]:
    """What looks like a token, whosever it is; identifiers that a provider's support asks for (UUIDs) stay."""
    for reading in _readings(text, effort):
        for run in _RUN.finditer(_text(reading)):
            if any(_looks_like_token(piece[0]) for piece in _PIECE.finditer(run[0])):
                yield reading[run.start()][1][0], reading[run.end() - 1][1][1]


def _looks_like_token(piece: str) -> bool:
    if _UUID.fullmatch(piece):
        return False
    kinds = [_kind(character) for character in piece]
    return sum(1 for one, other in pairwise(kinds) if one and other and one != other) >= _CHANGES


def _kind(character: str) -> str:
    if character.isdigit():
        return "digit"
    return ("small" if character.islower() else "capital") if character.isalpha() else ""


def _without(text: str, spans: Sequence[Span]) -> str:
    shown, at = "", 0
    for start, end in sorted(spans):
        if start >= at:
            shown += text[at:start] + (CUT if start > at or not shown else "")
        at = max(at, end)
    return shown + text[at:]


def _text(reading: _Read) -> str:
    return "".join(character for character, _ in reading)


def _folded(text: str) -> str:
    """In small letters, one for one."""
    if text.isascii():
        return text.lower()
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)
