"""A small forward proxy on loopback: CONNECT for https (RFC 9110 section 9.3.6), absolute URLs for http.

Whatever host it is asked for, it connects to the one that it was given: names need not exist for a test to reach them.
"""

import asyncio
from base64 import b64encode
from collections.abc import Coroutine
from contextlib import suppress
from urllib.parse import urlsplit

from tests.support.hostile_provider import LOOPBACK


class ConnectProxy:
    """Listens on a free port of 127.0.0.1 while it is entered; `asked` is every target it was asked for."""

    def __init__(self, upstream_port: int, *, login: str | None = None, refuses: bool = False) -> None:
        self._upstream_port = upstream_port
        self._login = login
        self._refuses = refuses
        self.asked: list[str] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    @property
    def url(self) -> str:
        """What HTTPS_PROXY would say."""
        port: int = self._server.sockets[0].getsockname()[1]
        return f"http://{self._login + '@' if self._login else ''}{LOOPBACK}:{port}"

    async def __aenter__(self) -> "ConnectProxy":
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._forward(reader, writer)
        finally:
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        self.asked.append(target)
        if self._refuses or not self._may_use(head):
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        upstream_reader, upstream = await asyncio.open_connection(LOOPBACK, self._upstream_port)
        try:
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                lines = head.replace(target.encode(), urlsplit(target).path.encode(), 1).split(b"\r\n")
                # What is for the proxy ends there (RFC 9110 section 11.7.1).
                kept = [line for line in lines if not line.lower().startswith(b"proxy-")]
                upstream.write(b"\r\n".join(kept))
            await _first_ended(_pump(reader, upstream), _pump(upstream_reader, writer))
        finally:
            upstream.close()

    def _may_use(self, head: bytes) -> bool:
        if self._login is None:
            return True
        expected = b"proxy-authorization: basic " + b64encode(self._login.encode()).lower()
        return expected in head.lower()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while received := await reader.read(65_536):
        writer.write(received)
        await writer.drain()


async def _first_ended(*pumps: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
