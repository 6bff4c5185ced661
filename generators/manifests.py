"""Write the files that the chart reads, and install.yaml, from deploy/base: `make manifests`.

Helm reads nothing outside of a chart, so the chart carries copies. The rules stand in deploy/base and nowhere else.
"""

from collections.abc import Iterator
from pathlib import Path

from deploy.local.cache import REPOSITORY
from deploy.local.progress import say
from deploy.local.stack import rendered

DEPLOY = REPOSITORY / "deploy"
CHART = DEPLOY / "chart"
INSTALL_YAML = DEPLOY / "install.yaml"

HEAD = """\
# Generated from deploy/overlays/cluster-wide by `make manifests`. Serves every namespace.
# Before, set DATASOURCE_EXTERNAL_URL and the images below; then: kubectl apply --server-side -f install.yaml
"""


def chart_files() -> dict[Path, str]:
    """What stands in deploy/chart/files, by its path."""
    files = CHART / "files"
    return {files / folder / source.name: source.read_text() for folder, source in _sources()} | {
        files / "crd.yaml": (REPOSITORY / "crds" / "datasource.yaml").read_text()
    }


def _sources() -> Iterator[tuple[str, Path]]:
    base = DEPLOY / "base"
    found = {
        # For each namespace that is served, for the processes' own namespace, and for the cluster.
        "rights": (base / "rights").glob("*.yaml"),
        "system": base.glob("*-rights.yaml"),
        "cluster": (base / "cluster").glob("*.yaml"),
        "monitoring": (each for each in (DEPLOY / "monitoring").glob("*") if each.suffix in {".yaml", ".json"}),
    }
    for folder, sources in found.items():
        # Helm brings or finds the namespace itself.
        yield from ((folder, each) for each in sources if each.stem not in {"kustomization", "namespace"})


def install_yaml() -> str:
    """deploy/install.yaml."""
    return HEAD + rendered(DEPLOY / "overlays" / "cluster-wide")


def stale_chart_files() -> set[Path]:
    """Files of the chart that differ from their source, are missing, or whose source is gone."""
    wanted = chart_files()
    there = {path for path in (CHART / "files").rglob("*") if path.is_file()}
    return {path for path in there | set(wanted) if not path.exists() or path.read_text() != wanted.get(path)}


def main() -> None:
    """Write what is out of date."""
    wanted = chart_files()
    for path in sorted(stale_chart_files()):
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
        say(f"      {path.relative_to(REPOSITORY)}")
    INSTALL_YAML.write_text(install_yaml())


if __name__ == "__main__":
    main()
