"""Build the binaries of the control plane from their Go modules, once, into a cache folder named after their versions.

`python -m deploy.local.build` builds them ahead of time.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local import tools
from deploy.local.cache import BUILD, cache_folder, locked
from deploy.local.processes import TAIL_LINES, StackError
from deploy.local.progress import Say, Ticker, say

_MODULE = Path(__file__).with_name("controlplane")
_LOGS = BUILD / "logs"


@dataclass(frozen=True)
class Binary:
    """A program of the control plane; `minutes` is what building it takes on two cores, measured."""

    name: str
    package: str
    minutes: int


ETCD = Binary("etcd", "go.etcd.io/etcd/server/v3", 1)
KUBE_APISERVER = Binary("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", 5)
KUBE_CONTROLLER_MANAGER = Binary("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", 2)
BINARIES = (ETCD, KUBE_APISERVER, KUBE_CONTROLLER_MANAGER)


class BuildFailed(StackError):
    """A binary could not be built; the text ends with the last lines of the log."""


@dataclass(frozen=True)
class Versions:
    """Without the leading v."""

    kubernetes: str
    etcd: str

    @property
    def folder(self) -> Path:
        """Where the binaries of these versions are kept."""
        return cache_folder() / "controlplane" / f"k8s-v{self.kubernetes}-etcd-v{self.etcd}"


def versions_in(go_mod: str) -> Versions:
    """Read the versions from the `require` lines of go.mod."""
    found = dict(re.findall(r"^\t(\S+) v(\d+\.\d+\.\d+) // indirect$", go_mod, flags=re.MULTILINE))
    return Versions(kubernetes=found["k8s.io/kubernetes"], etcd=found["go.etcd.io/etcd/server/v3"])


def versions() -> Versions:
    """The versions that this checkout builds."""
    return versions_in((_MODULE / "go.mod").read_text())


def missing_binaries() -> list[Binary]:
    """What `control_plane_binaries` would have to build."""
    return [binary for binary in BINARIES if not (versions().folder / binary.name).exists()]


def control_plane_binaries(out: Say = say) -> Path:
    """The folder that holds every binary of the control plane; builds what is missing.

    Raises:
        BuildFailed: with the end of the compiler's output.
    """
    folder = versions().folder
    if missing_binaries():
        with locked(folder, out):
            for binary in missing_binaries():
                _build(binary, folder, out)
    return folder


def _build(binary: Binary, folder: Path, out: Say) -> None:
    out(f"      building {binary.name}, about {binary.minutes} minute{'s'[: binary.minutes > 1]} on two cores, once")
    ticker = Ticker(out)
    temporary = folder / f".{binary.name}.part"
    arguments = ["build", "-v", "-trimpath", "-ldflags", _linker_flags(versions()), "-o", str(temporary)]
    log = _LOGS / f"build-{binary.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [tools.go(), *arguments, binary.package],
            cwd=_MODULE,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    _follow(process, log, ticker)
    if process.returncode != 0:
        raise BuildFailed(f"{binary.name} could not be built. The last lines of {log}:\n{_tail(log)}")
    # Renamed whole: an interrupted build leaves no half binary behind.
    temporary.rename(folder / binary.name)
    out(f"      {binary.name} is built ({ticker.elapsed})")


def _follow(process: subprocess.Popen[bytes], log: Path, ticker: Ticker) -> None:
    try:
        while process.poll() is None:
            try:
                process.wait(1.0)
            except subprocess.TimeoutExpired:
                ticker.tick(lambda: _state(log))
    finally:
        if process.poll() is None:  # Ctrl-C: go ends with us
            process.terminate()
            process.wait()


def _state(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    downloads = sum(line.startswith("go: downloading") for line in lines)
    compiled = len(lines) - downloads
    if not lines:
        return "reading the module graph"
    return f"{compiled} packages compiled" if compiled else f"{downloads} modules downloaded"


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])


def _linker_flags(built: Versions) -> str:
    major, minor, _ = built.kubernetes.split(".")
    variables = {
        "gitVersion": f"v{built.kubernetes}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "unknown",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    return " ".join(
        ["-s", "-w", *(f"-X k8s.io/component-base/version.{key}={value}" for key, value in variables.items())]
    )


def main() -> None:
    """Build what is missing."""
    try:
        say(f"      {control_plane_binaries()}")
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
