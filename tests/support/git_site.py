"""A Git repository that is served over HTTP on loopback, by git's own http-backend."""

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import yaml

from tests.support.api import Manifest
from tests.support.loopback import Loopback, QuietHandler

BRANCH = "main"

_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "platform"), ("EMAIL", "platform@example.com"))
}


Takes = Callable[[str | None], bool]
"""Whether a request may pass, by its Authorization header."""


class GitSite(Loopback):
    """One repository, with a working tree that commits are made in. Use it as a context manager.

    `path` is the repository's in the URL. Who is refused by `takes` gets a 401.
    """

    def __init__(self, folder: Path, path: str = "cluster.git", takes: Takes = lambda _: True) -> None:
        self._repositories, self._tree = folder / "served", folder / "tree"
        self._bare = self._repositories / path
        super().__init__(self._handler(takes))
        self.url = f"{self.origin}/{path}"

    def __enter__(self) -> Self:
        self._git("init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(self._bare))
        self._git("init", "--quiet", f"--initial-branch={BRANCH}", str(self._tree))
        return super().__enter__()

    def write(self, files: Mapping[str, Iterable[Manifest]]) -> None:
        """Objects by file, to be in the next commit."""
        for name, objects in files.items():
            path = self._tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump_all(objects))

    def read(self, name: str) -> list[Manifest]:
        """The objects of a file."""
        return list(yaml.safe_load_all((self._tree / name).read_text()))

    def remove(self, name: str) -> None:
        """Not in the next commit any more."""
        (self._tree / name).unlink()

    def commit(self) -> str:
        """Commit what was written and removed, and push it; returns the commit."""
        tree = ("-C", str(self._tree))
        self._git(*tree, "add", "--all")
        self._git(*tree, "commit", "--quiet", "--message=A change")
        self._git(*tree, "push", "--quiet", str(self._bare), BRANCH)
        return self._git(*tree, "rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], env=_environ(_IDENTITY), capture_output=True, text=True, check=False)  # noqa: S603, S607
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _handler(self, takes: Takes) -> type[QuietHandler]:
        root = self._repositories

        class Handler(QuietHandler):
            """A CGI host (RFC 3875) that knows one program."""

            def do_GET(self) -> None:
                """The references."""
                self._answer(b"")

            def do_POST(self) -> None:
                """The objects."""
                self._answer(self.rfile.read(int(self.headers["Content-Length"])))

            def _answer(self, body: bytes) -> None:
                if not takes(self.headers["Authorization"]):
                    self.send_response(HTTPStatus.UNAUTHORIZED)
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                url = urlsplit(self.path)
                meta = {
                    "GIT_PROJECT_ROOT": str(root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": url.path,
                    "QUERY_STRING": url.query,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                }
                done = subprocess.run(
                    ["git", "http-backend"],  # noqa: S607
                    env=_environ(meta),
                    input=body,
                    stdout=subprocess.PIPE,
                    check=False,
                )
                head, _, content = done.stdout.partition(b"\r\n\r\n")
                headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
                self.send_response(int(headers.pop("Status", "200").split()[0]))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        return Handler


def _environ(variables: Mapping[str, str]) -> dict[str, str]:
    """What git is started with: nothing of the user's own settings."""
    return {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, **variables}
