"""A provider imitation in a process of its own: `python -m bench.imitation PORT LATENCY [LIFETIME]`.

It does what a token endpoint must (RFC 6749 sections 4.1.3 and 6), with refresh tokens that rotate and are good once, and
nothing that would make it the limit. LATENCY is in seconds, and so is LIFETIME, for which access tokens live. `/issued` tells
when each access token was issued.
"""

import asyncio
import sys
import time
from urllib.parse import parse_qs

import msgspec
import uvloop
from aiohttp import web

LIFETIME = 3600
"""Seconds that the access tokens live where nothing else is said."""


def refresh_token(family: str, number: int) -> str:
    """The `number`-th refresh token of a family; about as long as real ones."""
    return f"{family}.{number}.{'r' * 64}"


class TokenEndpoint:
    """Remembers for each family which refresh token is good."""

    def __init__(self, latency: float, lifetime: int) -> None:
        self._latency = latency
        self._lifetime = lifetime
        self._numbers: dict[str, int] = {}
        self._issued: dict[str, dict[int, float]] = {}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """A token response, after the latency."""
        if request.path == "/issued":
            return web.Response(body=msgspec.json.encode(self._issued), content_type="application/json")
        if request.path != "/token":
            return web.Response(text="ok")
        form = {key: values[0] for key, values in parse_qs((await request.read()).decode()).items()}
        answered = self._answered(form)
        if self._latency:
            await asyncio.sleep(self._latency)
        return answered

    def _answered(self, form: dict[str, str]) -> web.Response:
        if form.get("grant_type") == "authorization_code":
            return self._tokens(form.get("code", ""), 0)
        family, number, _ = form.get("refresh_token", ".0.").split(".")
        # A family that we hear of for the first time was stored by the bench.
        if self._numbers.get(family, int(number)) != int(number):
            return web.json_response({"error": "invalid_grant"}, status=400)
        return self._tokens(family, int(number) + 1)

    def _tokens(self, family: str, number: int) -> web.Response:
        self._numbers[family] = number
        self._issued.setdefault(family, {})[number] = time.time()
        tokens = {
            "access_token": f"{family}.{number}.{'a' * 400}",
            "token_type": "Bearer",
            "expires_in": self._lifetime,
            "refresh_token": refresh_token(family, number),
            "scope": "read offline_access",
        }
        headers = {"Cache-Control": "no-store"}
        return web.Response(body=msgspec.json.encode(tokens), headers=headers, content_type="application/json")


async def serve(port: int, latency: float, lifetime: int = LIFETIME) -> None:
    """Serve on 127.0.0.1 until the process is ended."""
    runner = web.ServerRunner(web.Server(TokenEndpoint(latency, lifetime).answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2]), *map(int, sys.argv[3:])))
