"""Code of others that the tests of GitOps use: programs, built once from Go modules by deploy/local/build.py, and manifests.

`python -m tests.support.go_programs` builds all of it ahead of time.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from deploy.local import tools
from deploy.local.build import Binary, BuildFailed, GoModule, versions_in
from deploy.local.cache import REPOSITORY, cache_folder
from deploy.local.processes import StackError
from deploy.local.progress import say

_SOURCES = REPOSITORY / "tests" / "gitops"

KSTATUS = Binary("kstatus", ".", 2)
ARGOCD = Binary("argocd", ".", 4)
ARGOCD_REPOSITORY = Binary("argocd-repository", "./repository", 1)
SOURCE_CONTROLLER = Binary("source-controller", "github.com/fluxcd/source-controller", 10)
KUSTOMIZE_CONTROLLER = Binary("kustomize-controller", "github.com/fluxcd/kustomize-controller", 4)
HELM_CONTROLLER = Binary("helm-controller", "github.com/fluxcd/helm-controller", 4)
NOTIFICATION_CONTROLLER = Binary("notification-controller", "github.com/fluxcd/notification-controller", 2)
DEPLOYERS = (SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER, HELM_CONTROLLER)
FLUX = (*DEPLOYERS, NOTIFICATION_CONTROLLER)
REGISTRY = Binary("registry", "github.com/google/go-containerregistry/cmd/registry", 1)


Crds = tuple[str, ...]
"""Arguments of `crds`: a folder of tests/gitops/, a module, and which files of it."""

FLUX_CRDS: tuple[Crds, ...] = tuple((f"flux/{each.name}", each.package, "config/crd/bases/*.yaml") for each in FLUX)
FLUX_RIGHTS: Crds = (
    "crds",
    "github.com/fluxcd/flux2/v2",
    *(f"manifests/rbac/{name}.yaml" for name in ("controller", "reconciler")),
)
EXTERNAL_SECRETS_CRDS: Crds = (
    "crds",
    "github.com/external-secrets/external-secrets",
    "config/crds/bases/external-secrets.io_externalsecrets.yaml",
)
SEALED_SECRETS_CRDS: Crds = ("crds", "github.com/bitnami-labs/sealed-secrets", "helm/sealed-secrets/crds/*.yaml")


def kstatus() -> GoModule:
    """What Flux's libraries make of an object."""
    return _module("kstatus", KSTATUS)


def argocd() -> GoModule:
    """What Argo CD's Lua machine makes of an object, and what its server makes of a repository's Secret."""
    return _module("argocd", ARGOCD, ARGOCD_REPOSITORY)


def flux() -> tuple[GoModule, ...]:
    """Flux's controllers, each with the versions of its own go.mod."""
    return tuple(_released(f"flux/{each.name}", each, each.package) for each in FLUX)


def registry() -> GoModule:
    """An OCI registry that keeps everything in memory."""
    return _released("registry", REGISTRY, "github.com/google/go-containerregistry")


def crds(pinned_in: str, module: str, *files: str) -> list[Path]:
    """Manifests, of CustomResourceDefinitions above all, out of the sources of a module.

    Args:
        pinned_in: a folder of tests/gitops/, whose go.mod has the version and whose go.sum the digest.
        module: the module's path.
        files: which files of it, as patterns.

    Raises:
        BuildFailed: with what go said.
    """
    done = subprocess.run(  # noqa: S603
        [tools.go(), "mod", "download", "-json", module],
        cwd=_SOURCES / pinned_in,
        env={**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildFailed(f"{module} could not be fetched:\n{done.stderr or done.stdout}")
    folder = Path(json.loads(done.stdout)["Dir"])
    found = [path for pattern in files for path in sorted(folder.glob(pattern))]
    assert len(found) >= len(files), f"{module} has only {found}"
    return found


def _module(name: str, *binaries: Binary) -> GoModule:
    """The programs in a folder of tests/gitops/; they are built again where their sources say something else."""
    source = _SOURCES / name
    files = [source / "go.mod", source / "go.sum", *(source / each.package / "main.go" for each in binaries)]
    sources = b"".join(file.read_bytes() for file in files)
    folder = cache_folder() / name / hashlib.sha256(sources).hexdigest()[:16]
    return GoModule(source, folder, binaries, {})


def _released(source: str, binary: Binary, module: str) -> GoModule:
    """Somebody's program as it was released; built again where the module's version is another one."""
    folder = _SOURCES / source
    version = versions_in((folder / "go.mod").read_text())[module]
    return GoModule(folder, cache_folder() / binary.name / f"v{version}", (binary,), {})


def main() -> None:
    """Build what is missing."""
    try:
        for module in (kstatus(), argocd(), registry(), *flux()):
            say(f"      {module.built()}")
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
