"""examples/notifications/relay.py as a process of this machine."""

import base64
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local.cache import REPOSITORY
from deploy.local.processes import free_ports
from tests.support.user import eventually

KEY = f"whsec_{base64.b64encode(b'k' * 32).decode()}"
"""What it verifies signatures with."""


@contextmanager
def relay(chat_url: str) -> Iterator[str]:
    """Its URL, while it runs; what it verified goes to `chat_url`."""
    (port,) = free_ports(1)
    environ = {**os.environ, "KEY": KEY, "CHAT_URL": chat_url, "LISTEN_PORT": str(port)}
    program = REPOSITORY / "examples" / "notifications" / "relay.py"
    process = subprocess.Popen([sys.executable, program], env=environ, stderr=subprocess.DEVNULL)  # noqa: S603
    url = f"http://127.0.0.1:{port}/"
    try:
        eventually("the relay listens", lambda: send(url, b"", {}) == 401)
        yield url
    finally:
        process.kill()
        process.wait()


def send(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer; 0: nobody answers."""
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - on loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - on loopback
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code
    except OSError:
        return 0
