"""A site of somebody else's, for browsers to visit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.loopback import Loopback, QuietHandler


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

    class Handler(QuietHandler):
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

    with Loopback(Handler) as server:
        yield server.port
