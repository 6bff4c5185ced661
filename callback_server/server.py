"""I/O: HTTP as strangers may speak it: short heads, no long silence, so many connections and no more, in turns."""

import asyncio
from collections import deque
from functools import partial
from typing import Any

import h11
import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from callback_server.framing import head_problem
from callback_server.turns import Turns

logger = structlog.get_logger(__name__)

LARGEST_HEAD = 32_768
"""Bytes of request line and headers. An authorization response may carry a code of several thousand."""

HEAD_TIMEOUT = 10.0
"""Seconds from the connection, or from the answer before, until a whole head is there."""

KEEP_ALIVE = 5
"""Seconds for which a connection stays open between two requests."""

CONNECTIONS = 1024
"""At one time. A connection costs about 100 KB at most, a head and what is buffered of a body; deploy/ gives 256 MiB. Whoever
comes when all are taken gets the place of the one who has asked for nothing for longest: strangers who hold them all by saying
nothing hold up nobody who says something. Whose request is under way keeps his place; where all have one, the newcomer goes."""

WRITE_TIMEOUT = 20.0
"""Seconds for which an answer waits for somebody who does not read it."""


class StrictConnection(h11.Connection):
    """h11's side of a connection, which mends no head: every one passes here, wherever uvicorn asks for the next event."""

    _has_news = False
    """Whether a line of a head may have ended since it was judged. To judge it at each byte that drips in costs too much."""

    def receive_data(self, data: bytes) -> None:
        """Called when bytes came."""
        self._has_news = self._has_news or b"\n" in data
        super().receive_data(data)

    def start_next_cycle(self) -> None:
        """Called when a request was answered; the next one may have come already."""
        super().start_next_cycle()
        self._has_news = True

    def next_event(self) -> Any:
        """The next event.

        Raises:
            h11.RemoteProtocolError: what came is no request; uvicorn answers 400 and closes.
        """
        if self.their_state is h11.IDLE and self._has_news:
            self._has_news = False
            received, _ = self.trailing_data
            problem = head_problem(received)
            if problem is not None:
                logger.info("a request was refused for its head", problem=problem)
                raise h11.RemoteProtocolError(problem)
        return super().next_event()


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with what it leaves open: an end to waiting for a head, to how many may wait, to odd heads."""

    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, turns: Turns, silent: dict["BoundedProtocol", None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = StrictConnection(h11.SERVER, LARGEST_HEAD)
        self._turns = turns
        self._silent = silent
        """Those of all connections that wait for a head, the longest wait first."""
        self._pieces: deque[bytes] = deque()
        """What came and waits for its turn."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the event loop."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            longest = next(iter(self._silent), self)
            longest.transport.abort()
            longest._head_came()
            if longest is self:
                return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._head_came()
        self._was_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Called by the event loop when too much waits to be read by the other side."""
        super().pause_writing()
        self._was_read()
        self._write_timer = self.loop.call_later(WRITE_TIMEOUT, self.transport.abort)

    def resume_writing(self) -> None:
        """Called by the event loop when that was read."""
        self._was_read()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        # Somebody who asks and has to wait is no idle connection.
        self._unset_keepalive_if_required()
        self._pieces.append(data)
        if not self._turns.take(self._take_piece):
            # What has not been read yet waits in the kernel.
            self.flow.pause_reading()

    def _take_piece(self) -> None:
        piece = self._pieces.popleft()
        if self.transport.is_closing():
            return
        if not self._pieces:
            self.flow.resume_reading()
        super().data_received(piece)

    def handle_events(self) -> None:
        """Called when bytes came."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._head_came()

    def on_response_complete(self) -> None:
        """Called when an answer was sent."""
        answered = self.cycle
        super().on_response_complete()
        # A request that was pipelined has begun by now, perhaps.
        if self.cycle is answered and not self.transport.is_closing():
            self._wait_for_head()

    def _wait_for_head(self) -> None:
        self._head_came()
        self._silent[self] = None
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self.transport.abort)

    def _was_read(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _head_came(self) -> None:
        self._silent.pop(self, None)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def server_of(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """A server of the app, not started yet."""
    turns = Turns(lambda begin: asyncio.get_running_loop().call_soon(begin))
    options: dict[str, Any] = {
        "http": partial(BoundedProtocol, turns=turns, silent={}),
        "ws": "none",
        "lifespan": "off",
        # The access log would carry codes and tickets.
        "access_log": False,
        "log_config": None,
        "server_header": False,
        # redirect_uri, links and limits come from the settings, never from a request's headers.
        "proxy_headers": False,
        "timeout_keep_alive": KEEP_ALIVE,
        # A reply that is not stored yet is worth more than a quick end.
        "timeout_graceful_shutdown": None,
    }
    return uvicorn.Server(uvicorn.Config(app, host=host, port=port, **options))
