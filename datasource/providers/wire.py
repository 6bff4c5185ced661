"""I/O: what goes over a connection, counted where it is read, so that no reply costs more than it may.

httpcore parses replies in Python (h11). A stranger decides what there is to parse: chunks of one byte, informational responses
without end, thousands of headers or trailers. Whatever it is, it is parsed in small pieces, between two of which other work has
its turn, and it ends at a bound.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

from datasource.oauth2.errors import ReplyTooLarge
from datasource.outbound.reach import Stage
from datasource.providers.reply_head import Heads

PIECE = 4096
"""Bytes that are parsed at once; the worst that was tried (chunks of one byte) takes 10 to 25 ms for them."""

LARGEST_HEAD = 32 * 1024
"""Bytes of which no part of a body comes: the head with all informational responses before it, trailers, chunk extensions."""

MOST_LINES = 2048
"""Of the same. A line of a head costs as much as a kilobyte of a body."""

MOST_PIECES = 4096
"""How often may be read, and of how many chunks a body may consist."""

_ROUND_A_BODY = 64 * 1024
"""Beside a body of the largest size and its head; and a body may be twice its size for what chunks add to it."""


class TLSFailed(httpcore.ConnectError):
    """The other side was connected to, and no TLS came of it."""

    stage = Stage.TLS


class TLSNotInTime(httpcore.ConnectTimeout):
    """The same, for it said nothing in time."""

    stage = Stage.TLS


class Wire:
    """Counts what one connection carries, from one request to the next."""

    def __init__(self) -> None:
        self.begin(largest_body=0, on_write=lambda: None)

    def begin(self, *, largest_body: int, on_write: Callable[[], None]) -> None:
        """A request is about to be sent; `on_write` is called before any byte of it may be."""
        self.write = on_write
        self.heads = Heads()
        self._largest_body = largest_body
        self._bytes = self._reads = self._parts = self._of_the_body = 0
        self._without_a_part = self._lines = 0

    def read(self, piece: bytes) -> None:
        """Bytes came.

        Raises:
            ReplyTooLarge: they are too many, or came in too many pieces.
        """
        # Looked at before this piece is counted: what came with the end of a head may be a body.
        if self._without_a_part > LARGEST_HEAD or self._lines > MOST_LINES:
            raise ReplyTooLarge("The headers of the reply, or the parts around its body, are too large.")
        self._reads += 1
        self._bytes += len(piece)
        self._without_a_part += len(piece)
        self._lines += piece.count(b"\n")
        if self._bytes > 2 * self._largest_body + _ROUND_A_BODY or self._reads > MOST_PIECES:
            raise ReplyTooLarge("The reply comes in too many pieces.")

    def parsed(self, size: int) -> None:
        """A part of the body was read.

        Raises:
            ReplyTooLarge: it is too much, or one part too many.
        """
        self._parts += 1
        self._without_a_part = self._lines = 0
        self._of_the_body += size
        if self._of_the_body > self._largest_body:
            raise ReplyTooLarge(f"The reply is larger than {self._largest_body // 1024} KiB.")
        if self._parts > MOST_PIECES:
            raise ReplyTooLarge("The reply comes in too many pieces.")


class WiredBackend(httpcore.AsyncNetworkBackend):
    """Makes connections as another one does, and counts what goes over them."""

    def __init__(self, network: httpcore.AsyncNetworkBackend, wire: Wire) -> None:
        self._network = network
        self._wire = wire

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return _WiredStream(stream, self._wire)


class _WiredStream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, wire: Wire) -> None:
        self._stream = stream
        self._wire = wire

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            piece = await self._stream.read(min(max_bytes, PIECE), timeout)
            self._wire.read(piece)
            if len(piece) == PIECE:
                # More is here already, perhaps, and TLS hands it out without waiting.
                await asyncio.sleep(0)
            parsed = self._wire.heads.feed(piece)
            # Nothing at all would be the end of the connection.
            if parsed or not piece:
                return parsed

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer:
            self._wire.write()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            secured = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            await self._stream.aclose()
            raise (TLSFailed if isinstance(error, httpcore.ConnectError) else TLSNotInTime)(str(error)) from error
        except BaseException:
            # httpcore leaves the connection open where a handshake is cancelled.
            await self._stream.aclose()
            raise
        # Behind the answer of a proxy another one begins.
        self._wire.heads = Heads()
        return _WiredStream(secured, self._wire)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
