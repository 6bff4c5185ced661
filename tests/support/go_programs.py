"""Programs that the tests of GitOps run, each built once from its Go module, as deploy/local/build.py builds others.

`python -m tests.support.go_programs` builds all of them ahead of time.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from deploy.local import tools
from deploy.local.build import Binary, BuildFailed, GoModule
from deploy.local.cache import REPOSITORY, cache_folder
from deploy.local.processes import StackError
from deploy.local.progress import say

_SOURCES = REPOSITORY / "tests" / "gitops"

SOURCE_CONTROLLER = Binary("source-controller", "github.com/fluxcd/source-controller", 3)
KUSTOMIZE_CONTROLLER = Binary("kustomize-controller", "github.com/fluxcd/kustomize-controller", 2)
HELM_CONTROLLER = Binary("helm-controller", "github.com/fluxcd/helm-controller", 1)
REGISTRY = Binary("registry", "github.com/google/go-containerregistry/cmd/registry", 1)
SEALED_SECRETS_CONTROLLER = Binary("controller", "github.com/bitnami-labs/sealed-secrets/cmd/controller", 1)
KUBESEAL = Binary("kubeseal", "github.com/bitnami-labs/sealed-secrets/cmd/kubeseal", 1)
KSTATUS = Binary("kstatus", ".", 2)
ARGOCD = Binary("argocd", ".", 2)


Crds = tuple[str, ...]
"""Arguments of `crds`: a folder of tests/gitops/, a module, and which files of it."""

FLUX_CRDS: tuple[Crds, ...] = tuple(
    ("controllers", f"github.com/fluxcd/{name}", "config/crd/bases/*.yaml")
    for name in ("source-controller", "kustomize-controller", "helm-controller")
)
SEALED_SECRETS_CRDS: Crds = ("controllers", "github.com/bitnami-labs/sealed-secrets", "helm/sealed-secrets/crds/*.yaml")


def controllers() -> GoModule:
    """Flux's controllers, a registry to push charts to, and Sealed Secrets."""
    flux = (SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER, HELM_CONTROLLER)
    return _module("controllers", (*flux, REGISTRY, SEALED_SECRETS_CONTROLLER, KUBESEAL), "go.mod", "go.sum")


def kstatus() -> GoModule:
    """What Flux's libraries make of an object."""
    return _module("kstatus", (KSTATUS,), "go.mod", "go.sum", "main.go")


def argocd() -> GoModule:
    """What Argo CD's Lua machine makes of an object."""
    return _module("argocd", (ARGOCD,), "go.mod", "go.sum", "main.go")


def crds(pinned_in: str, module: str, *files: str) -> list[Path]:
    """Manifests of CustomResourceDefinitions out of the sources of a module.

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


def _module(name: str, binaries: tuple[Binary, ...], *kept_by: str) -> GoModule:
    """Programs of a folder of tests/gitops/; they are built again where one of these files says something else."""
    source = _SOURCES / name
    digest = hashlib.sha256(b"".join((source / file).read_bytes() for file in kept_by)).hexdigest()[:16]
    return GoModule(source, cache_folder() / name / digest, binaries, {})


def main() -> None:
    """Build what is missing."""
    try:
        for module in (controllers(), kstatus(), argocd()):
            say(f"      {module.built()}")
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
