"""Content codings of replies (RFC 9110 section 8.4.1): read although none was asked for, within a bound on what comes out.

Some servers and the caches before them compress whatever a request says. Behind that may stand a new refresh token, so what
can be read is read.
"""

import zlib
from collections.abc import Callable

from datasource.outbound.provider_request import UnusableReply

_GZIP = b"\x1f\x8b\x08"
_MOST_CODINGS = 2
_PIECE = 1024
"""Bytes that are read at once; of a piece that is damaged, one by one."""
_GZIP_OR_ZLIB, _RAW = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS


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
    codings = [name for name in (each.strip().lower() for each in coding.split(",")) if name not in {"", "identity"}]
    if not codings and body.startswith(_GZIP):
        codings = ["gzip"]
    if len(codings) > _MOST_CODINGS:
        raise UnusableReply("The reply is compressed again and again.")
    for name in reversed(codings):
        if name not in _DECODERS:
            raise UnusableReply("The reply is compressed in a way that was not asked for and is not read.")
        body = _DECODERS[name](body, largest)
    return body


def _gunzipped(body: bytes, largest: int) -> bytes:
    # What is no gzip is named wrongly.
    return _inflated(body, largest, _GZIP_OR_ZLIB) if body.startswith(_GZIP) else body


def _inflated_in_either_way(body: bytes, largest: int) -> bytes:
    """The zlib format, as the RFC says, or without its frame, as some servers do (RFC 9110 section 8.4.1.2)."""
    if body.isascii():
        return body
    with_frame = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
    return _inflated(body, largest, _GZIP_OR_ZLIB if with_frame else _RAW)


def _inflated(body: bytes, largest: int, window: int) -> bytes:
    """As much as can be read: what was damaged or cut off on the way may have all that matters before the damage."""
    inflate, text = zlib.decompressobj(window), bytearray()
    for start in range(0, len(body), _PIECE):
        piece, before = body[start : start + _PIECE], inflate.copy()
        try:
            text += inflate.decompress(piece, largest + 1 - len(text))
        except zlib.error:
            text += before_the_damage(before, piece, largest + 1 - len(text))
            break
        if len(text) > largest:
            break
    if len(text) > largest:
        raise TooLarge(bytes(text[:largest]))
    return bytes(text)


def before_the_damage(inflate: "zlib._Decompress", piece: bytes, most: int) -> bytes:
    """One byte after another, up to the one that cannot be read."""
    text = bytearray()
    for at in range(len(piece)):
        try:
            text += inflate.decompress(piece[at : at + 1], most)
        except zlib.error:
            break
    return bytes(text)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzipped,
    "x-gzip": _gunzipped,
    "deflate": _inflated_in_either_way,
}
