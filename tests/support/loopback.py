"""Small HTTP servers on loopback: one begins to answer when it is entered, and is gone when it is left."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

_LOOKS_FOR_ITS_END_EVERY = 0.05
"""Seconds."""


class QuietHandler(BaseHTTPRequestHandler):
    """Prints no line for a request."""

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


class Loopback:
    """An HTTP server on 127.0.0.1. The port is taken at once, and requests are answered while it is entered."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOKS_FOR_ITS_END_EVERY,), daemon=True
        )
        self.port = int(self._server.server_port)
        self.origin = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it. To end it twice does no harm."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
