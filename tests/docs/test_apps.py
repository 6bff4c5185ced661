"""The example apps read the token that is mounted now, also after kubelet has swapped the files."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local import tools
from deploy.local.cache import REPOSITORY
from tests.support.mounted import Mount
from tests.support.user import eventually

APPS = REPOSITORY / "examples" / "apps"


class Api:
    """A service that remembers who called; on loopback while it is entered."""

    def __init__(self) -> None:
        self.authorizations: list[str | None] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.authorizations.append(self.headers["Authorization"])
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"events\n")

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/events"

    def __enter__(self) -> "Api":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def go_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go app, built."""
    program = tmp_path_factory.mktemp("go") / "reader"
    command = [str(tools.go()), "build", "-o", str(program), str(APPS / "reader.go")]
    subprocess.run(command, check=True, env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"})
    return program


@pytest.fixture(params=["python", "go", "shell"])
def command(request: pytest.FixtureRequest) -> list[str]:
    """How each app is started."""
    match request.param:
        case "python":
            return [sys.executable, str(APPS / "reader.py")]
        case "go":
            return [str(request.getfixturevalue("go_reader"))]
        case _:
            return ["sh", str(APPS / "reader.sh")]


@pytest.fixture
def api() -> Iterator[Api]:
    """What the apps call."""
    with Api() as started:
        yield started


def test_app_uses_the_token_that_is_mounted_now(command: list[str], api: Api, tmp_path: Path) -> None:
    mount = Mount(tmp_path)
    mount.show({"access_token": "token-1"})
    environ = {**os.environ, "TOKEN_FILE": str(mount.folder / "access_token"), "API_URL": api.url, "INTERVAL": "0.1"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as app:
        try:
            eventually("the app calls", lambda: "Bearer token-1" in api.authorizations)
            mount.show({"access_token": "token-2"})
            eventually("it notices the new token", lambda: "Bearer token-2" in api.authorizations)
        finally:
            app.terminate()

    assert set(api.authorizations) == {"Bearer token-1", "Bearer token-2"}
