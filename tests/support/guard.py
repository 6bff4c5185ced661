"""A guard before a server on loopback: who may not pass gets a 401, and all others can read what the server has."""

from http import HTTPStatus

import httpx

from tests.support.git_site import Takes
from tests.support.loopback import Loopback, QuietHandler

_HEADERS = ("Content-Type", "Content-Length", "Docker-Content-Digest")


class Guard(Loopback):
    """Stands before one server while it is entered."""

    def __init__(self, upstream: str, takes: Takes) -> None:
        super().__init__(_handler(upstream, takes))


def _handler(upstream: str, takes: Takes) -> type[QuietHandler]:
    class Handler(QuietHandler):
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

    return Handler
