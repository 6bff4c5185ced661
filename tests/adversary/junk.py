"""Requests of strangers, each at a door of its own: `python -m tests.adversary.junk JSON` (tests.support.junk_load)."""

import random
import string
import sys
from urllib.parse import urlsplit

import msgspec
import uvloop

from tests.support.junk_load import Load, run

_URL_SAFE = string.ascii_letters + string.digits + "-_"
_NAME = b"__Host-datasource-browser"
_COOKIES = (
    _NAME + b"=" + b"A" * 43,
    b"\xa0" + _NAME + b"=" + b"A" * 43,
    b"\x85" + _NAME + b"=" + b"A" * 43 + b"; " + _NAME + b"=" + b"B" * 43,
    b"__host-DATASOURCE-browser=" + b"A" * 43,
    b"\xef\xbd\x9f" * 4_000,
    b"a=" + b"\xcc\x81" * 8_000,
    b";" * 8_000,
    b"%5f" * 5_000 + b"=1",
    b"x=\\137\\137" * 2_000,
    b'"' + _NAME + b'"="' + b"A" * 43 + b'"',
)
"""Ours in spellings of others, and what is slow for whoever folds or splits it carelessly."""


def junk(load: Load, chance: random.Random) -> bytes:
    """Well-formed and made up, in the form of v0.1.0 or with a mark, at a Datasource that exists or at none."""
    letters = "".join(chance.choices(_URL_SAFE, k=64))
    name = chance.choice((load.name, f"datasource-{chance.randrange(50):05d}", letters[:20].lower().strip("-_") or "x"))
    namespace = chance.choice((load.namespace, load.namespace, f"n{chance.getrandbits(32):x}"))
    ticket = letters[: chance.choice((48, 64))]
    key = f"{chance.getrandbits(64):016x}-{chance.randrange(10)}.{letters[: chance.choice((43, 59))]}"
    dialog = f"/authorize/{namespace}/{name}"
    target, body = chance.choice(
        (
            (f"{dialog}?ticket={ticket}", b""),
            (f"{dialog}?ticket={ticket}", b""),
            (dialog, f"ticket={ticket}&token={letters[:43]}".encode()),
            (f"/callback/{namespace}?code={letters}&state={key}", b""),
            (f"/callback/{namespace}?error=access_denied&error_description={letters * 50}&state={key}", b""),
            (f"/done/{key}", b""),
            (f"/done/{key}", b""),
        )
    )
    head = f"{'POST' if body else 'GET'} {target} HTTP/1.1\r\nHost: {urlsplit(load.url).netloc}\r\n".encode()
    head += b"Content-Type: application/x-www-form-urlencoded\r\nCookie: " + chance.choice(_COOKIES)
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


if __name__ == "__main__":
    outcome = uvloop.run(run(msgspec.json.decode(sys.argv[1], type=Load), junk))
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
