"""The example apps read the token that is mounted now, also after kubelet has swapped the files."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local import tools
from deploy.local.cache import REPOSITORY
from tests.support.loopback import Loopback, QuietHandler
from tests.support.mounted import Mount
from tests.support.user import eventually

APPS = REPOSITORY / "examples" / "apps"


class Api(Loopback):
    """A service that remembers who called; on loopback while it is entered."""

    def __init__(self, port: int = 0) -> None:
        self.authorizations: list[str | None] = []
        self.refused: set[str] = set()
        """What is answered 401."""
        self.on_refusal: Callable[[], None] = lambda: None
        api = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                sent = self.headers["Authorization"]
                api.authorizations.append(sent)
                is_refused = sent in api.refused
                if is_refused:
                    api.on_refusal()
                self.send_response(401 if is_refused else 200)
                self.end_headers()
                self.wfile.write(b"expired\n" if is_refused else b"events\n")

        super().__init__(Handler, port)
        self.url = f"{self.origin}/events"


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


@contextmanager
def running(command: list[str], mount: Mount, url: str, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The app at work; what it prints as data goes into a file."""
    environ = {**os.environ, "TOKEN_FILE": str(mount.folder / "access_token"), "API_URL": url, "INTERVAL": "0.1"}
    with (
        out.open("wb") as stdout,
        subprocess.Popen(command, env=environ, stdout=stdout, stderr=subprocess.DEVNULL) as app,
    ):
        try:
            yield app
        finally:
            app.terminate()


def test_app_that_starts_before_consent_waits_and_never_sends_an_empty_token(
    command: list[str], api: Api, tmp_path: Path
) -> None:
    """The instance: reader.sh sent `Authorization: Bearer ` with nothing, and the others died."""
    mount = Mount(tmp_path)
    with running(command, mount, api.url, tmp_path / "out") as app:
        mount.show({"access_token": ""})
        mount.show({"access_token": "token-1"})
        eventually("the app calls once there is a token", lambda: "Bearer token-1" in api.authorizations)
        assert app.poll() is None
    assert set(api.authorizations) == {"Bearer token-1"}


def test_app_that_is_refused_tries_at_once_with_a_newer_token_and_takes_no_error_for_data(
    command: list[str], api: Api, tmp_path: Path
) -> None:
    """The instance: two apps printed the text of the 401 as if it were data, and one died."""
    mount = Mount(tmp_path)
    mount.show({"access_token": "token-1"})
    api.refused = {"Bearer token-1"}
    with running(command, mount, api.url, tmp_path / "out") as app:
        eventually("it is refused", lambda: "Bearer token-1" in api.authorizations)
        mount.show({"access_token": "token-2"})
        eventually("it goes on with the next one", lambda: "Bearer token-2" in api.authorizations)
        eventually("it has its data", lambda: "events" in (tmp_path / "out").read_text())
        assert app.poll() is None
    assert "expired" not in (tmp_path / "out").read_text()


def test_token_that_is_replaced_during_a_request_is_used_for_one_more_try(
    command: list[str], api: Api, tmp_path: Path
) -> None:
    mount = Mount(tmp_path)
    mount.show({"access_token": "token-1"})
    api.refused = {"Bearer token-1"}
    api.on_refusal = lambda: mount.show({"access_token": "token-2"}) if len(api.authorizations) == 1 else None
    with running(command, mount, api.url, tmp_path / "out"):
        eventually("it tries again", lambda: len(api.authorizations) > 1)
    assert api.authorizations[:2] == ["Bearer token-1", "Bearer token-2"]


def test_app_survives_an_outage(command: list[str], tmp_path: Path) -> None:
    mount = Mount(tmp_path)
    mount.show({"access_token": "token-1"})
    with Api() as before:
        port = before.port
        with running(command, mount, before.url, tmp_path / "out") as app:
            eventually("the app calls", lambda: before.authorizations != [])
            before.__exit__()
            eventually("it lives on", lambda: app.poll() is None)
            with Api(port) as after:
                eventually("it calls again", lambda: after.authorizations != [])
            assert app.poll() is None
