"""A small API server on loopback that answers as it is told to, and remembers what it was asked.

Replies are consumed one for each request; the last one is repeated. Without any it answers `{}`.
"""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from datasource.cluster.kube import Kube
from tests.support.hostile_provider import LOOPBACK, Certificate

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Received:
    """What a client asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def token(self) -> str | None:
        """The bearer token it logged in with."""
        header = self.headers.get("Authorization")
        return None if header is None else header.removeprefix("Bearer ")


class ApiServer:
    """Listens on a free port of 127.0.0.1 while it is entered."""

    def __init__(self, *replies: Reply, tls: Certificate | None = None) -> None:
        self._replies = replies or (json_reply({}),)
        self._tls = tls
        self._runner: web.AppRunner
        self._folder = tempfile.TemporaryDirectory()
        self.requests: list[Received] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._runner.addresses[0][:2]
        return f"{'http' if self._tls is None else 'https'}://{host}:{port}"

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig that leads to it and names a token file."""
        return Path(self._folder.name) / "kubeconfig"

    def write_token(self, token: str) -> None:
        """What kubelet does when it rotates a token."""
        (Path(self._folder.name) / "token").write_text(token)

    def kube(self) -> Kube:
        """A connection to it, not entered yet."""
        return Kube(str(self.kubeconfig), user_agent="tests")

    async def stop(self) -> None:
        """Refuse connections from now on."""
        await self._runner.cleanup()

    async def __aenter__(self) -> "ApiServer":
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        context = None if self._tls is None else self._tls.server_context()
        await web.TCPSite(self._runner, LOOPBACK, 0, ssl_context=context).start()
        self.write_token("token-1")
        self._write_kubeconfig()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self._folder.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        reply = self._replies[min(len(self.requests), len(self._replies) - 1)]
        self.requests.append(
            Received(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers=request.headers,
                body=json.loads(text) if text else None,
            )
        )
        return await reply(request)

    def _write_kubeconfig(self) -> None:
        folder = Path(self._folder.name)
        cluster: dict[str, Any] = {"server": self.url}
        if self._tls is not None:
            cluster["certificate-authority"] = str(self._tls.write_into(folder)[0])
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"tokenFile": str(folder / "token")}}],
        }
        self.kubeconfig.write_text(json.dumps(config))


# Replies.


def json_reply(body: object, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Reply:
    """Answers with JSON."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return answer


def raw_reply(body: bytes, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Reply:
    """Answers with bytes."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers=headers)

    return answer


def fails(status: int, reason: str, message: str = "no", *, headers: Mapping[str, str] | None = None) -> Reply:
    """Answers with a metav1.Status, as the API server does."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status,
    }
    return json_reply(body, status, headers=headers)


NO_STREAMS = fails(
    422, "Invalid", "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
)
"""How an API server without streaming lists answers to who asks for one."""


def only_in_pages(reply: Reply) -> Reply:
    """The same, but that it has no streaming lists."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (NO_STREAMS if "sendInitialEvents" in request.query else reply)(request)

    return answer


class Crowd:
    """Answers as another reply does, after a moment, and counts who waits."""

    def __init__(self, reply: Reply, *, seconds: float = 0.01) -> None:
        self._reply, self._seconds, self._waiting = reply, seconds, 0
        self.most = 0
        """How many ever waited at one time."""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self._waiting += 1
        self.most = max(self.most, self._waiting)
        await asyncio.sleep(self._seconds)
        self._waiting -= 1
        return await self._reply(request)


def cuts() -> Reply:
    """Reads the request and resets the connection."""

    async def answer(request: web.Request) -> web.StreamResponse:
        _abort(request)
        return web.Response()

    return answer


def stays_silent() -> Reply:
    """Never answers."""

    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    return answer


def streams(*parts: bytes | asyncio.Event, then_cut: bool = False) -> Reply:
    """Answers in chunks, as a watch does; an Event among them is waited for."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for part in parts:
            if isinstance(part, asyncio.Event):
                await part.wait()
            else:
                await response.write(part)
        if then_cut:
            _abort(request)
        return response

    return answer


def _abort(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
