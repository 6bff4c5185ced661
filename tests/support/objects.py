"""Objects of any kind on an API server that knows them: CRDs installed, and objects checked to the letter."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from deploy.local.cluster import Cluster
from deploy.local.crds import wait_until_established
from tests.support.api import CRDS, Manifest


def install_crds(cluster: Cluster, files: Iterable[Path]) -> None:
    """Apply manifests of CRDs, as they are, and wait until they can be used.

    Raises:
        StackError: with what kubectl said, or one of them cannot be used.
    """
    files = list(files)
    cluster.kubectl("apply", "--server-side", *(f"--filename={path}" for path in files))
    wait_until_established(cluster, *_names_of(files))


def refusal(cluster: Cluster, manifest: Manifest, namespace: str) -> str:
    """What the API server says against an object, unknown fields included; empty: it takes it."""
    arguments = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    where = () if "namespace" in manifest["metadata"] else ("-n", namespace)
    return cluster.kubectl(*arguments, *where, stdin=yaml.safe_dump(manifest), check=False).stderr


def _names_of(files: Iterable[Path]) -> Iterator[str]:
    """Of the CRDs among what the files hold."""
    for path in files:
        for each in yaml.safe_load_all(path.read_text()):
            if each and each["kind"] == CRDS.kind:
                yield each["metadata"]["name"]
