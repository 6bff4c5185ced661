"""Code of others that the tests of GitOps use: programs, built once from Go modules by deploy/local/build.py, and CRDs.

`python -m tests.support.go_programs` builds all of it ahead of time.
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

KSTATUS = Binary("kstatus", ".", 2)
ARGOCD = Binary("argocd", ".", 4)


Crds = tuple[str, ...]
"""Arguments of `crds`: a folder of tests/gitops/, a module, and which files of it."""

FLUX_CRDS: tuple[Crds, ...] = tuple(
    ("crds", f"github.com/fluxcd/{name}", "config/crd/bases/*.yaml")
    for name in ("source-controller", "kustomize-controller", "helm-controller")
)
SEALED_SECRETS_CRDS: Crds = ("crds", "github.com/bitnami-labs/sealed-secrets", "helm/sealed-secrets/crds/*.yaml")


def kstatus() -> GoModule:
    """What Flux's libraries make of an object."""
    return _module("kstatus", KSTATUS)


def argocd() -> GoModule:
    """What Argo CD's Lua machine makes of an object."""
    return _module("argocd", ARGOCD)


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


def _module(name: str, binary: Binary) -> GoModule:
    """The program in a folder of tests/gitops/; it is built again where its sources say something else."""
    source = _SOURCES / name
    sources = b"".join((source / file).read_bytes() for file in ("go.mod", "go.sum", "main.go"))
    folder = cache_folder() / name / hashlib.sha256(sources).hexdigest()[:16]
    return GoModule(source, folder, (binary,), {})


def main() -> None:
    """Build what is missing."""
    try:
        for module in (kstatus(), argocd()):
            say(f"      {module.built()}")
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
