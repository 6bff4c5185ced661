"""Cookies of ours, read from the bytes that came: the one that binds a flow to a browser, and those of people who sign in.

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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from string import hexdigits

COOKIE = "__Host-datasource-browser"
"""One for the browser, shared by its tabs. `__Host-`: only we can set it, over https (loopback counts), for all our paths."""

_VALUE = re.compile(rb"[A-Za-z0-9_-]{43}")
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
_OCTAL_BYTES = {b"%03o" % byte: bytes([byte]) for byte in range(256)}
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_PERCENT_BYTES = {(high + low).encode(): bytes.fromhex(high + low) for high in hexdigits for low in hexdigits}


class LookAlike(Exception):
    """The browser sent our name twice, or in another spelling: somebody else set that cookie."""


def new_cookie(token_bytes: Callable[[int], bytes]) -> str:
    """256 random bits."""
    return urlsafe_b64encode(token_bytes(32)).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class OurCookie:
    """One cookie of ours: its name begins with `__Host-`, and its values are of one form."""

    name: str
    form: re.Pattern[bytes]
    lasts: timedelta | None = None
    """None: as long as the browser runs."""
    _letters: bytes = field(init=False, repr=False, compare=False)
    """What is left of the name: what is looked for in each request."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_letters", re.sub(r"[^a-z0-9]+", "", self.name.casefold()).encode())

    def value_in(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Its value, if the browser sent one that we could have made.

        Args:
            headers: names in lower case and values, as ASGI has them. There may be several Cookie lines (RFC 9113 section
                8.2.3).

        Raises:
            LookAlike: what came could be taken for two cookies of ours, or for one that is none.
        """
        letters = self._letters
        # What stands in no line stands in none of its pairs, either: no reading goes beyond a semicolon.
        lines = [value for name, value in headers if name == b"cookie" and _is_like(letters, value)]
        ours = [pair for line in lines for each in line.split(b";") if _is_like(letters, pair := each.strip(b" \t"))]
        if not ours:
            return None
        name, _, value = ours[0].partition(b"=")
        if len(ours) > 1 or name != self.name.encode():
            raise LookAlike
        return value.decode() if self.form.fullmatch(value) else None

    def header(self, value: str) -> str:
        """The Set-Cookie header. Lax: the way back from the provider is a cross-site navigation, and must carry it."""
        lasts = "" if self.lasts is None else f"; Max-Age={int(self.lasts.total_seconds())}"
        return f"{self.name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{lasts}"

    @property
    def removal(self) -> str:
        """The Set-Cookie header that has the browser forget it."""
        return f"{self.name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"


BROWSER = OurCookie(COOKIE, _VALUE)


def set_cookie_header(value: str) -> str:
    """The Set-Cookie header for it."""
    return BROWSER.header(value)


def cookie_hash(cookie: str) -> str:
    """How a flow record remembers the browser: SHA-256, hex."""
    return hashlib.sha256(cookie.encode()).hexdigest()


def is_same_browser(cookie: str | None, recorded_hash: str) -> bool:
    """Whether the browser is the one that began; compared in constant time."""
    return cookie is not None and hmac.compare_digest(cookie_hash(cookie), recorded_hash)


def _folded_character(character: str) -> str:
    """Letters and digits alone: what is left whatever a parser strips, quotes, replaces or calls equal."""
    return re.sub(r"[^a-z0-9]+", "", unicodedata.normalize("NFKD", character).casefold())


_BLOCKS = (
    # ASCII, Latin letters of all kinds, the alphabets of phoneticians, letter-like signs, letters in circles;
    (0x0, 0x24FF),
    # more Latin, squared letters, those of linguists, ligatures, full width;
    (0x2C60, 0x2C7F),
    (0x3200, 0x33FF),
    (0xA700, 0xABFF),
    (0xFB00, 0xFB06),
    (0xFF00, 0xFF5A),
    # superscripts, outlines, mathematics, flags, segments of displays.
    (0x10780, 0x107BF),
    (0x1CC00, 0x1CCFF),
    (0x1D400, 0x1D7FF),
    (0x1F100, 0x1F1FF),
    (0x1FBF0, 0x1FBF9),
)
"""From, to: what may fold to a letter or a digit of ASCII. A test goes through the rest of Unicode."""

# Tables, for a header of a stranger has thousands of characters, and the next request has others.
_FOLDED = {code: _folded_character(chr(code)) for first, last in _BLOCKS for code in range(first, last + 1)}
_OUT_OF_BLOCKS = re.compile(f"[^{''.join(f'{re.escape(chr(first))}-{chr(last)}' for first, last in _BLOCKS)}]+")
_LATIN_1 = bytes(ord((_FOLDED[byte] or "-")[0]) for byte in range(256))
"""One byte for each. What folds to two has a digit, and our name has none; but for the sharp s."""
_LATIN_1_NOTHING = bytes(byte for byte in range(256) if not _FOLDED[byte])


def _is_like(name: bytes, octets: bytes) -> bool:
    """Whether a name of ours stands anywhere in it for anybody; in a value, too, where some look for cookies after a comma.

    `name` is what is left of it.
    """
    # No reading of it has more letters than bytes.
    return len(octets) >= len(name) and any(name in letters for letters in _readings(octets))


def _readings(octets: bytes) -> Iterator[bytes]:
    """What is left of it as the parsers of this world may decode it; most often they read one text."""
    yield from _letters(octets)
    if b"%" in octets or b"\\" in octets:
        yield from _letters(_decoded(octets))


def _letters(octets: bytes) -> Iterator[bytes]:
    """Letters and digits, as Latin-1 and as UTF-8."""
    yield octets.replace(b"\xdf", b"ss").translate(_LATIN_1, _LATIN_1_NOTHING)
    if not octets.isascii():
        yield _OUT_OF_BLOCKS.sub("", octets.decode("utf-8", "ignore")).translate(_FOLDED).encode()


def _decoded(octets: bytes) -> bytes:
    """As http.cookies unquotes, and then as URLs are decoded, twice: there are proxies that do it before us."""
    for escape, meant in ((_OCTAL, _OCTAL_BYTES), (_PERCENT, _PERCENT_BYTES), (_PERCENT, _PERCENT_BYTES)):
        pieces = escape.split(octets)
        # What stands between two escapes, what the next one says, and so on.
        pieces[1::2] = map(meant.__getitem__, pieces[1::2])
        octets = b"".join(pieces)
    return octets
