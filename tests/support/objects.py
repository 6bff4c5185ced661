"""Objects of any kind on an API server that knows them: CRDs installed, and objects checked to the letter."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from deploy.local.cluster import Cluster
from tests.support.api import Manifest


def install_crds(cluster: Cluster, files: Iterable[Path]) -> None:
    """Apply manifests of CRDs, as they are, and wait until they can be used.

    Raises:
        StackError: with what kubectl said.
    """
    cluster.kubectl("apply", "--server-side", *(f"--filename={path}" for path in files))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")


def refusal(cluster: Cluster, manifest: Manifest, namespace: str) -> str:
    """What the API server says against an object, unknown fields included; empty: it takes it."""
    arguments = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    where = () if "namespace" in manifest["metadata"] else ("-n", namespace)
    return cluster.kubectl(*arguments, *where, stdin=yaml.safe_dump(manifest), check=False).stderr
