"""A guard before a server on loopback: who may not pass gets a 401, and all others can read what the server has."""

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import httpx

from tests.support.git_site import Takes

_HEADERS = ("Content-Type", "Content-Length", "Docker-Content-Digest")


class Guard:
    """Stands before one server while it is entered."""

    def __init__(self, upstream: str, takes: Takes) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(upstream, takes))
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(upstream: str, takes: Takes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Passes on what only reads."""

        def do_GET(self) -> None:
            """The content."""
            if not takes(self.headers["Authorization"]):
                self.send_response(HTTPStatus.UNAUTHORIZED)
                self.send_header("WWW-Authenticate", 'Basic realm="registry"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            asked = {"Accept": self.headers.get("Accept", "*/*")}
            answer = httpx.request(self.command, f"{upstream}{self.path}", headers=asked, trust_env=False)
            self.send_response(answer.status_code)
            for name in _HEADERS:
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(answer.content)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    return Handler
