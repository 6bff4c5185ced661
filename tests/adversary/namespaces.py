"""A machine of its own (`unshare --mount --net`): nothing gets out of it, and its only name server is the hostile tenant's."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.hostile_provider import LOOPBACK

_INSIDE = "ADVERSARY_IS_INSIDE"
_UNSHARE = ["unshare", "--mount", "--net", "--propagation", "private"]
_WAYS = (_UNSHARE, [*_UNSHARE, "--user", "--map-root-user"])


def way_in() -> Sequence[str] | None:
    """How this machine gives namespaces to us; None: it gives none."""
    return next((way for way in _WAYS if _ran([*way, "true"])), None)


def enter(module: str) -> None:
    """Run the module anew in namespaces of its own, in place of this process; returns where that has happened already."""
    if os.environ.get(_INSIDE):
        _settle_in()
        return
    way = way_in()
    if way is None:
        sys.exit("Network namespaces are needed (unshare --net): run it as root, or allow user namespaces.")
    os.environ[_INSIDE] = "1"
    os.execvp(way[0], [*way, sys.executable, "-m", module])  # noqa: S606


def _settle_in() -> None:
    _ip("link", "set", "lo", "up")
    # The API server wants an address beside those of loopback, and a default route to find it by. It leads nowhere.
    _ip("address", "add", "192.0.2.1/32", "dev", "lo")
    _ip("route", "add", "default", "dev", "lo", "src", "192.0.2.1")
    resolv_conf = Path(tempfile.mkdtemp()) / "resolv.conf"
    resolv_conf.write_text(f"nameserver {LOOPBACK}\n")
    subprocess.run(["mount", "--bind", resolv_conf, "/etc/resolv.conf"], check=True)  # noqa: S603, S607


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)  # noqa: S603, S607


def _ran(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
