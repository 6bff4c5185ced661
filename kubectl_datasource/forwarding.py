"""I/O: where the external URL is on loopback, `authorize` forwards its port to the callback server by the user's own kubectl.

So a cluster without any Ingress needs nothing more, and no provider or browser learns of it.
"""

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from kubectl_datasource.child import started
from kubectl_datasource.kubectl import Kubectl

SERVICE = "service/datasource-callback-server"
_HTTP = 80
_LOOK = 0.5
_HOSTS = {"localhost", "127.0.0.1", "::1"}


def loopback_port(link: str) -> int | None:
    """The port of a link that leads to this very machine; None for any other."""
    try:
        split = urlsplit(link)
        port = split.port or _HTTP
    except ValueError:
        return None
    return port if split.scheme == "http" and split.hostname in _HOSTS else None


@contextmanager
def forwarded(kubectl: Kubectl, link: str, system_namespace: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Have the port of a link on loopback lead to the callback server, unless something answers there already."""
    port = loopback_port(link)
    if port is None or _answers(port):
        yield
        return
    words = ["port-forward", f"--namespace={system_namespace}", SERVICE, f"{port}:{_HTTP}", *kubectl.flags]
    with started(["kubectl", *words], stderr=subprocess.STDOUT) as process:
        try:
            said = "" if process.stdout is None else process.stdout.readline().strip()
            if said.startswith("Forwarding from"):
                tell(f"Port {port} of this machine leads to the callback server for as long as this waits.")
            else:
                tell(f"The link leads to this machine, and its port could not be forwarded: {said or 'kubectl ended'}.")
            yield
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), _LOOK):
            return True
    except OSError:
        return False
