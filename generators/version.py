"""Write the version of pyproject.toml wherever else it stands: `make manifests`, before what is made of these files."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from deploy.local.cache import REPOSITORY
from deploy.local.progress import say

PLACES: dict[str, str] = {
    "packages/kubectl-datasource/pyproject.toml": r'^version = "(.+)"$',
    "deploy/chart/Chart.yaml": r"^(?:version|appVersion): (.+)$",
    "deploy/base/operator.yaml": r"image: datasource-operator:(\S+)$",
    "deploy/base/callback-server.yaml": r"image: datasource-operator:(\S+)$",
    "deploy/local/image/build.py": r'^NAME = "datasource-operator:(.+)"$',
    "deploy/overlays/cluster-wide/kustomization.yaml": r"newTag: (\S+)$",
    "deploy/overlays/namespaces/namespaced/kustomization.yaml": r"newTag: (\S+)$",
    "deploy/overlays/one-namespace/namespaced/kustomization.yaml": r"newTag: (\S+)$",
    "examples/gitops/argocd/operator.yaml": r"^    targetRevision: (\S+)$",
    "examples/gitops/flux/operator/release.yaml": r"^    tag: (\S+)$",
}
"""Where, and what stands around it."""


INSTALL_YAML = {"deploy/install.yaml": PLACES["deploy/base/operator.yaml"]}
"""What `make manifests` makes of them."""


def version(checkout: Path = REPOSITORY) -> str:
    """What pyproject.toml says."""
    return str(tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def written(text: str, pattern: str, wanted: str) -> str:
    """A file's text with that version in it."""

    def put(found: re.Match[str]) -> str:
        start, end = found.span(1)
        return found.string[found.start() : start] + wanted + found.string[end : found.end()]

    return re.sub(pattern, put, text, flags=re.MULTILINE)


def stale(checkout: Path = REPOSITORY, places: Mapping[str, str] = PLACES) -> dict[Path, str]:
    """Files that name another version, and what should stand in them."""
    found = {}
    for name, pattern in places.items():
        path = checkout / name
        text = path.read_text("utf-8")
        wanted = written(text, pattern, version(checkout))
        if wanted != text:
            found[path] = wanted
    return found


def main() -> None:
    """Write it."""
    for path, text in stale().items():
        path.write_text(text)
        say(f"      {path.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
