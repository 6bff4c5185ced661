"""The cookie that binds a flow to a browser, read from the bytes that came.

A browser sends us what any host of our domain set, too; the prefix of our cookie's name keeps that name for us alone. A name
that only a parser behind the browser takes for ours gets around it: for whoever strips what Latin-1 calls white space, the byte
A0 before the name is enough. So we strip SP and HTAB and compare bytes; and where anything else came that anybody could take
for our cookie, we take none.
"""

import hashlib
import hmac
import re
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from urllib.parse import unquote_to_bytes

COOKIE = "__Host-datasource-browser"
"""One for the browser, shared by its tabs. `__Host-`: only we can set it, over https (loopback counts), for all our paths."""

_VALUE = re.compile(rb"[A-Za-z0-9_-]{43}")
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
_NOT_FOLDED = re.compile(r"[^a-z0-9]+")


class LookAlike(Exception):
    """The browser sent our name twice, or in another spelling: somebody else set that cookie."""


def new_cookie(token_bytes: Callable[[int], bytes]) -> str:
    """256 random bits."""
    return urlsafe_b64encode(token_bytes(32)).decode().rstrip("=")


def cookie_in(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Our cookie, if the browser sent one that we could have made.

    Args:
        headers: names in lower case and values, as ASGI has them. There may be several Cookie lines (RFC 9113 section 8.2.3).

    Raises:
        LookAlike: what came could be taken for two cookies of ours, or for one that is none.
    """
    lines = (value for name, value in headers if name == b"cookie")
    ours = [pair for line in lines for each in line.split(b";") if _is_like_ours(pair := each.strip(b" \t"))]
    if not ours:
        return None
    name, _, value = ours[0].partition(b"=")
    if len(ours) > 1 or name != COOKIE.encode():
        raise LookAlike
    return value.decode() if _VALUE.fullmatch(value) else None


def set_cookie_header(value: str) -> str:
    """The Set-Cookie header. Lax: the way back from the provider is a cross-site navigation, and must carry it."""
    return f"{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax"


def cookie_hash(cookie: str) -> str:
    """How a flow record remembers the browser: SHA-256, hex."""
    return hashlib.sha256(cookie.encode()).hexdigest()


def is_same_browser(cookie: str | None, recorded_hash: str) -> bool:
    """Whether the browser is the one that began; compared in constant time."""
    return cookie is not None and hmac.compare_digest(cookie_hash(cookie), recorded_hash)


def _folded(text: str) -> str:
    """Letters and digits alone: what is left whatever a parser strips, quotes, replaces or calls equal.

    Each character by itself, and each once: to put long runs of combining marks in order takes seconds.
    """
    return text.translate({ord(each): _folded_character(each) for each in set(text)})


def _folded_character(character: str) -> str:
    return _NOT_FOLDED.sub("", unicodedata.normalize("NFKD", character).casefold())


_FOLDED = _folded(COOKIE)


def _is_like_ours(pair: bytes) -> bool:
    """Whether our name stands anywhere in it for anybody; also in a value, where some look for more cookies after a comma."""
    # No reading of it has more letters than bytes.
    return len(pair) >= len(_FOLDED) and any(_FOLDED in _folded(reading) for reading in _readings(pair))


def _readings(pair: bytes) -> set[str]:
    """The bytes as the parsers of this world may decode them; most often they are one text."""
    decoded = unquote_to_bytes(unquote_to_bytes(_OCTAL.sub(lambda found: bytes([int(found.group(1), 8)]), pair)))
    return {text for octets in (pair, decoded) for text in (octets.decode("latin-1"), octets.decode("utf-8", "ignore"))}
