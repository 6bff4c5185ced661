"""Content codings of replies (RFC 9110 section 8.4.1): read although none was asked for, within a bound on what comes out.

Some servers and the caches before them compress whatever a request says. Behind that may stand a new refresh token, so what
can be read is read.
"""

import re
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE

from datasource.outbound.provider_request import UnusableReply

_GZIP = b"\x1f\x8b\x08"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
"""How nearly everything in the zlib format begins."""
_READ = frozenset({"gzip", "x-gzip", "deflate"})
_MOST_CODINGS = 2
_MOST_MEMBERS = 100
"""Of one gzip, which may be several behind one another (RFC 1952 section 2.2); each costs as much as a long text."""

_PIECE = 1024
"""Bytes that are read at once; of a piece that is damaged, one by one."""
_GZIP_OR_ZLIB, _RAW = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS

_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]*")
"""Without a control character, of which anything compressed has some."""

_FIRST_OF_A_TEXT = (b"{", b"[", b'"', b"<")
"""Nothing compressed with deflate that says something in JSON begins with one of them."""


class TooLarge(Exception):
    """More comes out than is read; `read` is its beginning."""

    def __init__(self, read: bytes) -> None:
        super().__init__("too large")
        self.read = read


def decoded(body: bytes, coding: str, *, largest: int) -> bytes:
    """What a body says, whatever it is coded with.

    Args:
        body: as it came; it may be cut off.
        coding: the Content-Encoding. A wrong one is no reason to refuse a body that can be read without it.
        largest: bytes that may come out.

    Raises:
        UnusableReply: it is coded in a way that is not read.
        TooLarge: more than that comes out.
    """
    names = [name for name in (each.strip().lower() for each in coding.split(",")) if name not in {"", "identity"}]
    if not body.isascii() and len(names) > _MOST_CODINGS:
        raise UnusableReply("The reply is compressed again and again.")
    # Once more than is said: what was compressed twice may say so once, or not at all.
    for name in [*reversed(names), ""][:_MOST_CODINGS]:
        body = _without_coding(body, name, largest)
    return body


def _without_coding(body: bytes, name: str, largest: int) -> bytes:
    """By what the body is; what it is said to be counts only where that says nothing.

    Servers name what is no coding (utf-8, none), another one, or one that a cache before them has undone.
    """
    if body.isascii():
        return body
    if body.startswith(_GZIP):
        return _inflated(body, largest, _GZIP_OR_ZLIB)
    if body.startswith(_ZLIB) or (name == "deflate" and _has_zlib_frame(body)):
        return _inflated(body, largest, _GZIP_OR_ZLIB) or body
    is_text = body.startswith((BOM_UTF16_BE, BOM_UTF16_LE)) or _TEXT.fullmatch(body) is not None
    if name == "deflate" and not (is_text and body.lstrip().startswith(_FIRST_OF_A_TEXT)):
        # The zlib format, as the RFC says, or without its frame, as some servers do (RFC 9110 section 8.4.1.2).
        return _inflated(body, largest, _RAW) or body
    if name and name not in _READ and not is_text:
        raise UnusableReply("The reply is compressed in a way that was not asked for and is not read.")
    return body


def _has_zlib_frame(body: bytes) -> bool:
    return body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0


def _inflated(body: bytes, largest: int, window: int) -> bytes:
    """As much as can be read: what was damaged or cut off on the way may have all that matters before the damage."""
    text = bytearray()
    for _ in range(_MOST_MEMBERS):
        body = _inflate_one(body, text, largest, window)
        if not body.startswith(_GZIP):
            break
    return bytes(text)


def _inflate_one(body: bytes, text: bytearray, largest: int, window: int) -> bytes:
    """Add what one compressed text says to what was read; returns what stands behind it.

    Raises:
        TooLarge: more than `largest` comes out.
    """
    inflate = zlib.decompressobj(window)
    for start in range(0, len(body), _PIECE):
        piece, before = body[start : start + _PIECE], inflate.copy()
        try:
            text += inflate.decompress(piece, largest + 1 - len(text))
        except zlib.error:
            text += before_the_damage(before, piece, largest + 1 - len(text))
            break
        if len(text) > largest or inflate.eof:
            break
    if len(text) > largest:
        raise TooLarge(bytes(text[:largest]))
    return inflate.unused_data + body[start + _PIECE :] if inflate.eof else b""


def before_the_damage(inflate: "zlib._Decompress", piece: bytes, most: int) -> bytes:
    """One byte after another, up to the one that cannot be read."""
    text = bytearray()
    for at in range(len(piece)):
        try:
            text += inflate.decompress(piece[at : at + 1], most)
        except zlib.error:
            break
    return bytes(text)
