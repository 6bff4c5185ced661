"""Build programs from their Go modules, once, into a cache folder named after their versions.

Each folder with a go.mod beside this file is a module whose `tool` lines are the programs to build.
`python -m deploy.local.build` builds all of them ahead of time.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.local import tools
from deploy.local.cache import BUILD, cache_folder, locked
from deploy.local.processes import TAIL_LINES, StackError, tether
from deploy.local.progress import Say, Ticker, say

_LOGS = BUILD / "logs"
_SETTINGS = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}


@dataclass(frozen=True)
class Binary:
    """A program; `minutes` is what building it takes on two cores, measured."""

    name: str
    package: str
    minutes: int


ETCD = Binary("etcd", "go.etcd.io/etcd/server/v3", 1)
KUBE_APISERVER = Binary("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", 5)
KUBE_CONTROLLER_MANAGER = Binary("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", 2)
KUBELET = Binary("kubelet", "k8s.io/kubernetes/cmd/kubelet", 2)
KUBE_SCHEDULER = Binary("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", 1)
KUBE_PROXY = Binary("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy", 1)
HELM = Binary("helm", "helm.sh/helm/v3/cmd/helm", 3)
CONTAINERD = Binary("containerd", "github.com/containerd/containerd/v2/cmd/containerd", 2)
CONTAINERD_SHIM = Binary(
    "containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", 1
)
CTR = Binary("ctr", "github.com/containerd/containerd/v2/cmd/ctr", 1)
PAUSE = Binary("pause", ".", 1)
COREDNS = Binary("coredns", ".", 2)
KREW_VALIDATOR = Binary("validate-krew-manifest", "sigs.k8s.io/krew/cmd/validate-krew-manifest", 1)
KREW = Binary("krew", "sigs.k8s.io/krew/cmd/krew", 1)
ACTIONLINT = Binary("actionlint", "github.com/rhysd/actionlint/cmd/actionlint", 1)
COSIGN = Binary("cosign", "github.com/sigstore/cosign/v3/cmd/cosign", 4)


class BuildFailed(StackError):
    """A binary could not be built; the text ends with the last lines of the log."""


@dataclass(frozen=True)
class GoModule:
    """Programs that are built together.

    `source` has the go.mod that pins them, `folder` is where they are kept. The linker writes `variables` into them;
    without these they would report a version of years ago, or none.
    """

    source: Path
    folder: Path
    binaries: tuple[Binary, ...]
    variables: Mapping[str, str]
    tags: tuple[str, ...] = ()
    """Build constraints that hold: what is left out."""

    def missing(self) -> list[Binary]:
        """What `built` would have to build."""
        return [binary for binary in self.binaries if not (self.folder / binary.name).exists()]

    def built(self, out: Say = say) -> Path:
        """The folder that holds every binary; builds what is missing.

        Raises:
            BuildFailed: with the end of the compiler's output.
        """
        if self.missing():
            with locked(self.folder, out):
                for binary in self.missing():
                    _build(binary, self, out)
        return self.folder


def versions_in(go_mod: str) -> dict[str, str]:
    """The versions of go.mod's `require` lines by module, without the leading v.

    >>> versions_in("require (\\n\\tk8s.io/api v0.37.0 // indirect\\n)")
    {'k8s.io/api': '0.37.0'}
    """
    return dict(re.findall(r"^\t(\S+) v(\d+\.\d+\.\d+) // indirect$", go_mod, flags=re.MULTILINE))


def control_plane() -> GoModule:
    """etcd, kube-apiserver and kube-controller-manager, as this checkout pins them."""
    source, versions = _pinned("controlplane")
    kubernetes, etcd = versions["k8s.io/kubernetes"], versions["go.etcd.io/etcd/server/v3"]
    major, minor, _ = kubernetes.split(".")
    variables = {
        "gitVersion": f"v{kubernetes}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "unknown",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    return GoModule(
        source=source,
        folder=cache_folder() / "controlplane" / f"k8s-v{kubernetes}-etcd-v{etcd}",
        binaries=(ETCD, KUBE_APISERVER, KUBE_CONTROLLER_MANAGER),
        variables={f"k8s.io/component-base/version.{key}": value for key, value in variables.items()},
    )


def node_agents() -> GoModule:
    """kubelet, kube-scheduler and kube-proxy, of the control plane's version, beside its binaries."""
    return replace(control_plane(), binaries=(KUBELET, KUBE_SCHEDULER, KUBE_PROXY))


def container_runtime() -> GoModule:
    """containerd, the shim that starts runc, and ctr."""
    source, versions = _pinned("containerd")
    version = versions["github.com/containerd/containerd/v2"]
    return GoModule(
        source=source,
        folder=cache_folder() / "containerd" / f"v{version}",
        binaries=(CONTAINERD, CONTAINERD_SHIM, CTR),
        variables={"github.com/containerd/containerd/v2/version.Version": f"v{version}"},
        # Snapshotters that are not used.
        tags=("no_btrfs", "no_devmapper", "no_zfs", "no_aufs"),
    )


def pause() -> GoModule:
    """What keeps the namespaces of a pod; kept by what its source says."""
    return _of_our_own(PAUSE, Path(__file__).with_name("node") / "pause")


def coredns() -> GoModule:
    """The DNS of a cluster with nodes."""
    return _of_our_own(COREDNS, Path(__file__).with_name("coredns"))


def _of_our_own(binary: Binary, source: Path) -> GoModule:
    said = (source / "go.mod").read_bytes() + (source / "main.go").read_bytes()
    key = hashlib.sha256(said).hexdigest()[:16]
    return GoModule(source=source, folder=cache_folder() / binary.name / key, binaries=(binary,), variables={})


def helm_module() -> GoModule:
    """Helm, as this checkout pins it."""
    source, versions = _pinned("helm")
    helm, client_go = versions["helm.sh/helm/v3"], versions["k8s.io/client-go"]
    # client-go 0.37 is Kubernetes 1.37. Where nobody tells it, Helm assumes 1.20 (see its Makefile).
    kubernetes = {"k8sVersionMajor": "1", "k8sVersionMinor": client_go.split(".")[1]}
    packages = ("helm.sh/helm/v3/pkg/lint/rules", "helm.sh/helm/v3/pkg/chartutil")
    return GoModule(
        source=source,
        folder=cache_folder() / "helm" / f"v{helm}",
        binaries=(HELM,),
        variables={
            "helm.sh/helm/v3/internal/version.version": f"v{helm}",
            **{f"{package}.{name}": value for package in packages for name, value in kubernetes.items()},
        },
    )


def krew_module() -> GoModule:
    """krew's own check of manifests, as this checkout pins it."""
    source, versions = _pinned("krew")
    return GoModule(source, cache_folder() / "krew" / f"v{versions['sigs.k8s.io/krew']}", (KREW_VALIDATOR,), {})


def actionlint_module() -> GoModule:
    """actionlint, as this checkout pins it."""
    source, versions = _pinned("actionlint")
    folder = cache_folder() / "actionlint" / f"v{versions['github.com/rhysd/actionlint']}"
    return GoModule(source, folder, (ACTIONLINT,), {})


def cosign_module() -> GoModule:
    """cosign, as this checkout pins it; nothing but the test of a whole release wants it."""
    source, versions = _pinned("cosign")
    version = versions["github.com/sigstore/cosign/v3"]
    variables = {"sigs.k8s.io/release-utils/version.gitVersion": f"v{version}"}
    return GoModule(source, cache_folder() / "cosign" / f"v{version}", (COSIGN,), variables)


def _pinned(name: str) -> tuple[Path, dict[str, str]]:
    source = Path(__file__).with_name(name)
    return source, versions_in((source / "go.mod").read_text())


def control_plane_binaries(out: Say = say) -> Path:
    """The folder that holds every binary of the control plane; builds what is missing.

    Raises:
        BuildFailed: with the end of the compiler's output.
    """
    return control_plane().built(out)


def helm(out: Say = say) -> Path:
    """Helm; built where it is missing.

    Raises:
        BuildFailed: with the end of the compiler's output.
    """
    return helm_module().built(out) / HELM.name


def krew_validator(out: Say = say) -> Path:
    """What the krew index checks manifests with; built where it is missing.

    Raises:
        BuildFailed: with the end of the compiler's output.
    """
    return krew_module().built(out) / KREW_VALIDATOR.name


def krew(out: Say = say) -> Path:
    """krew; built where it is missing. Nothing but the test of a whole release wants it.

    Raises:
        BuildFailed: with the end of the compiler's output.
    """
    return replace(krew_module(), binaries=(KREW,)).built(out) / KREW.name


def actionlint(out: Say = say) -> Path:
    """actionlint; built where it is missing.

    Raises:
        BuildFailed: with the end of the compiler's output.
    """
    return actionlint_module().built(out) / ACTIONLINT.name


def cosign(out: Say = say) -> Path:
    """cosign; built where it is missing.

    Raises:
        BuildFailed: with the end of the compiler's output.
    """
    return cosign_module().built(out) / COSIGN.name


def _build(binary: Binary, module: GoModule, out: Say) -> None:
    out(f"      building {binary.name}, about {binary.minutes} minute{'s'[: binary.minutes > 1]} on two cores, once")
    ticker = Ticker(out)
    temporary = module.folder / f".{binary.name}.part"
    scratch = _scratch(module.folder)
    arguments = ["build", "-v", "-trimpath", "-ldflags", _linker_flags(module.variables), "-o", str(temporary)]
    if module.tags:
        arguments += ["-tags", ",".join(module.tags)]
    log = _LOGS / f"build-{binary.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            # go starts compilers: all of them end with us, so that nobody writes here once the lock is free.
            [*tether("all"), tools.go(), *arguments, binary.package],
            cwd=module.source,
            env={**os.environ, **_SETTINGS, "GOTMPDIR": str(scratch)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _follow(process, log, ticker)
    if process.returncode != 0:
        raise BuildFailed(f"{binary.name} could not be built. The last lines of {log}:\n{_tail(log)}")
    # Renamed whole: an interrupted build leaves no half binary behind.
    temporary.rename(module.folder / binary.name)
    shutil.rmtree(scratch, ignore_errors=True)
    out(f"      {binary.name} is built ({ticker.elapsed})")


def _scratch(folder: Path) -> Path:
    """Where go writes on its way; a build that was killed has left it full."""
    scratch = folder / ".go-build"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return scratch


def _follow(process: subprocess.Popen[bytes], log: Path, ticker: Ticker) -> None:
    try:
        while process.poll() is None:
            try:
                process.wait(1.0)
            except subprocess.TimeoutExpired:
                ticker.tick(lambda: _state(log))
    finally:
        if process.poll() is None:  # Ctrl-C, from which go is apart
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


def _linker_flags(variables: Mapping[str, str]) -> str:
    return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in variables.items())])


def main() -> None:
    """Build what is missing."""
    try:
        say(f"      {control_plane_binaries()}")
        say(f"      {helm()}")
        say(f"      {krew_validator()}")
        say(f"      {actionlint()}")
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
