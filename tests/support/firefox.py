"""Firefox as Debian has it, driven by Marionette, the protocol that is built into it: Playwright drives only one of its own."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from deploy.local.processes import free_ports

BINARY = shutil.which("firefox-esr")

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The name under which WebDriver hands out elements."""

_PATIENCE = 60.0
_PREFERENCES = {
    "app.update.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}
"""A browser that asks nobody for anything by itself."""


class FirefoxError(Exception):
    """Firefox could not do what it was told."""


class Firefox:
    """One window of a Firefox that runs."""

    def __init__(self, port: int) -> None:
        self._socket = _connected(port)
        self._number = 0
        self._answer()  # it says hello
        self._tell("WebDriver:NewSession", acceptInsecureCerts=True)

    @property
    def url(self) -> str:
        """What the address bar says."""
        return cast(str, self._tell("WebDriver:GetCurrentURL")["value"])

    def open(self, url: str) -> None:
        """Go to a URL and wait for its page."""
        self._tell("WebDriver:Navigate", url=url)

    def back(self) -> None:
        """Press the back button."""
        self._tell("WebDriver:Back")

    def forget_cookies(self) -> None:
        """Delete those of the host that is shown."""
        self._tell("WebDriver:DeleteAllCookies")

    def text(self, selector: str) -> str:
        """What an element says, once it is there."""
        return cast(str, self._tell("WebDriver:GetElementText", id=self._element(selector))["value"])

    def wait_for(self, selector: str) -> None:
        """Until an element is there."""
        self._element(selector)

    def wait_for_url(self, part: str) -> None:
        """Until it stands in the address bar."""
        give_up = time.monotonic() + _PATIENCE
        while part not in self.url:
            if time.monotonic() > give_up:
                raise FirefoxError(f"It is still at {self.url}.")
            time.sleep(0.1)

    def press(self, selector: str) -> None:
        """Click an element, once it is there."""
        self._tell("WebDriver:ElementClick", id=self._element(selector))

    def fill(self, selector: str, text: str) -> None:
        """Write into a field."""
        self._tell("WebDriver:ElementSendKeys", id=self._element(selector), text=text)

    def shoot(self, path: Path) -> None:
        """Keep a screenshot of the whole page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b64decode(self._tell("WebDriver:TakeScreenshot", full=True)["value"]))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _element(self, selector: str) -> str:
        give_up = time.monotonic() + _PATIENCE
        while True:
            try:
                found = self._tell("WebDriver:FindElement", using="css selector", value=selector)
                return cast(str, found["value"][_ELEMENT])
            except FirefoxError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)

    def _tell(self, command: str, **parameters: Any) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._answer()
        if error is not None:
            raise FirefoxError(f"{command}: {error['error']}: {error['message']}")
        return result

    def _answer(self) -> Any:
        size = b""
        while not size.endswith(b":"):
            size += self._received(1)
        return json.loads(self._received(int(size[:-1])))

    def _received(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            piece = self._socket.recv(size - len(received))
            if not piece:
                raise FirefoxError("Firefox has ended.")
            received += piece
        return received


@contextmanager
def firefox(*hosts: str) -> Iterator[Firefox]:
    """A headless Firefox with a profile of its own, for which the hosts are on this machine; ended when the block ends."""
    assert BINARY is not None
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        preferences = _PREFERENCES | {"marionette.port": port, "network.dns.localDomains": ",".join(hosts)}
        _write(Path(home) / "user.js", preferences)
        command: Sequence[str] = (BINARY, "--headless", "--marionette", "--no-remote", "--profile", home)
        with subprocess.Popen(  # noqa: S603 - what was found on PATH
            command, env={"HOME": home, "PATH": "/usr/bin:/bin"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                started = Firefox(port)
                yield started
                started.close()
            finally:
                process.terminate()


def _write(path: Path, preferences: dict[str, Any]) -> None:
    path.write_text(
        "".join(f"user_pref({json.dumps(name)}, {json.dumps(preferences[name])});\n" for name in preferences)
    )


def _connected(port: int) -> socket.socket:
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), _PATIENCE)
        except ConnectionError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
