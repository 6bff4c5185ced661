"""An API gateway before a provider, at an origin of its own: it publishes the provider's metadata with its own token endpoint,
and asks for a key."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.support.loopback import Loopback, QuietHandler

HEADER = "X-Api-Key"


@dataclass
class Gateway:
    """What it is told, and what it was asked."""

    issuer: str
    """Of the provider behind it."""
    key: str = field(repr=False)
    port: int = 0
    keys: list[str | None] = field(default_factory=list)
    """What came with each token request."""

    @property
    def discovery_url(self) -> str:
        """Where its metadata stands."""
        return f"http://127.0.0.1:{self.port}/common/metadata"

    def metadata(self) -> bytes:
        """The provider's, with the token endpoint at the gateway."""
        document = httpx.get(f"{self.issuer}/.well-known/openid-configuration").json()
        return json.dumps(document | {"token_endpoint": f"http://127.0.0.1:{self.port}/token"}).encode()

    def forwarded(self, body: bytes, authorization: str | None, content_type: str) -> tuple[int, bytes]:
        """What the provider answers to a token request."""
        headers = {"Content-Type": content_type} | ({"Authorization": authorization} if authorization else {})
        answer = httpx.post(f"{self.issuer}/token", content=body, headers=headers)
        return answer.status_code, answer.content


@contextmanager
def gateway(issuer: str, key: str) -> Iterator[Gateway]:
    """One on a free port of 127.0.0.1."""
    made = Gateway(issuer, key)

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self._answer(200, made.metadata())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.keys.append(self.headers[HEADER])
            if self.headers[HEADER] != made.key:
                self._answer(401, b'{"message": "No API key found in request"}')
                return
            self._answer(*made.forwarded(body, self.headers["Authorization"], self.headers["Content-Type"]))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with Loopback(Handler) as server:
        made.port = server.port
        yield made
