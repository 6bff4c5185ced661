"""The hostile tenant's provider and name server, in a process of their own: `python -m tests.adversary.provider FILE`.

The first part of a path says what comes. FILE gets the port once it listens; `/heard` tells how often each was asked for.
"""

import asyncio
import json
import sys
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from tests.adversary.targets import HOSTILE, SILENT, Target
from tests.support.hostile_provider import (
    LOOPBACK,
    Behaviour,
    HostileProvider,
    ReceivedRequest,
    drips,
    gzip_bomb,
    replies,
    sends_headers_only,
    stays_silent,
    writes,
    writes_without_end,
)
from tests.support.name_server import NameServer

_CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_MIB = 2**20
_KEYS = 1024


def _token(length: int, seconds: int) -> bytes:
    reply = {"access_token": "a" * length, "token_type": "Bearer", "expires_in": seconds, "refresh_token": "r" * 64}
    return json.dumps(reply).encode()


def _in_one_byte_chunks(body: bytes) -> bytes:
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


def _numbers(size: int) -> bytes:
    row = b'{"access_token": [' + b"1," * (size // 2)
    return row[: size - 4] + b",1]}"


def _sized(body: bytes) -> bytes:
    return _JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body


_ANSWERS: dict[Target, Behaviour] = {
    Target.BOMBS: writes(_sized(_token(60_000, 5))),
    Target.BYTES: writes(_CHUNKED, _in_one_byte_chunks(_token(60_000, 60))),
    Target.EARLY: writes_without_end(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 64),
    Target.NUMBERS: writes(_sized(_numbers(_MIB))),
    Target.HEADERS: writes_without_end(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 512),
    Target.DEEP: writes(_sized(b'{"access_token":' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
    Target.GZIP: gzip_bomb(),
    Target.DRIPS: drips(_token(600, 60)),
    Target.HALVES: sends_headers_only(),
    Target.ISSUERS: stays_silent(),
    Target.HANGS: stays_silent(),
    Target.REVOCATIONS: stays_silent(),
    Target.ERRORS: replies(400, json.dumps({"error": "x" * 30_000, "error_description": "\u202e" * 10_000}).encode()),
}
"""Whatever is asked of them: metadata, keys, tokens, a revocation."""


def _base64url(document: object) -> str:
    return urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def _key_set() -> bytes:
    number = urlsafe_b64encode(b"\xff" * 512).decode().rstrip("=")
    keys = [{"kty": "RSA", "kid": f"key-{each}", "alg": "RS256", "n": number, "e": "AQAB"} for each in range(_KEYS)]
    return json.dumps({"keys": keys}).encode()


def _huge_keys(request: ReceivedRequest) -> Behaviour:
    """A provider with good metadata, a key set of its own size, and id_tokens that name a key of it."""
    issuer = f"http://{request.headers['host']}/{Target.KEYS}"
    if "/.well-known/" in request.target:
        metadata = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return writes(_sized(json.dumps(metadata).encode()))
    if request.target.endswith("/keys"):
        return writes(_sized(_key_set()))
    claims = {"iss": issuer, "sub": "me", "aud": "hostile", "exp": 2**32, "iat": 1}
    id_token = f"{_base64url({'alg': 'RS256', 'kid': 'key-512'})}.{_base64url(claims)}.{'A' * 342}"
    reply = {"access_token": "a", "token_type": "Bearer", "expires_in": 60, "id_token": id_token}
    return writes(_sized(json.dumps(reply).encode()))


async def _answer(heard: Counter[str], request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
    parts = request.target.split("/")
    target = next((each for each in Target if each in parts), None)
    if parts[1] == "heard":
        await writes(_sized(json.dumps(heard).encode()))(request, writer)
    elif target is not None:
        heard[target] += 1
        behaviour = _huge_keys(request) if target is Target.KEYS else _ANSWERS[target]
        await behaviour(request, writer)


class _Names(dict[str, Sequence[str]]):
    """Every name below the hostile domain leads to this very machine."""

    def __contains__(self, name: object) -> bool:
        return str(name).endswith(HOSTILE)

    def get(self, name: str, default: Any = None) -> Any:
        return [LOOPBACK] if name in self else default


async def serve(file: Path) -> None:
    """Serve until the process is ended."""
    heard: Counter[str] = Counter()
    async with (
        NameServer(_Names(), silent=SILENT, port=53) as names,
        HostileProvider(partial(_answer, heard)) as provider,
    ):
        await asyncio.to_thread(file.write_text, str(provider.port))
        while True:
            await asyncio.sleep(1)
            # What was sent to it is nobody's concern, and would be kept for the whole run.
            del provider.requests[:-1]
            heard[Target.SILENT] = sum(each.endswith(SILENT) for each in names.asked)


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
