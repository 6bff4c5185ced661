"""A site of somebody else's, for browsers to visit."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """What a site answers. Header lines go out as they are, byte for byte."""

    body: str = ""
    status: int = 200
    headers: Sequence[bytes] = ()


@dataclass(frozen=True)
class Visit:
    """What a browser asks for: path and query, and its headers by their names in lower case."""

    target: str
    headers: Mapping[str, str]


@contextmanager
def site(answer: Callable[[Visit], Answer]) -> Iterator[int]:
    """Serve what `answer` says, on a free port of 127.0.0.1; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Not self.path, which has lost a second slash.
            target = self.requestline.split(" ")[1]
            said = answer(Visit(target, {name.lower(): value for name, value in self.headers.items()}))
            lines = (b"Content-Type: text/html; charset=utf-8", b"Connection: close", *said.headers)
            self.wfile.write(
                b"HTTP/1.1 %d Said\r\n" % said.status + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
            )
            self.wfile.write(said.body.encode())
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
