"""Objects of any kind on an API server that knows them: CRDs installed, and objects checked to the letter."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from deploy.local.cluster import Cluster
from tests.support.api import CRDS, Manifest, api_of
from tests.support.patience import eventually


def install_crds(cluster: Cluster, files: Iterable[Path]) -> None:
    """Apply manifests of CRDs, as they are, and wait until they can be used.

    Raises:
        StackError: with what kubectl said.
        GaveUp: one of them cannot be used.
    """
    cluster.kubectl("apply", "--server-side", *(f"--filename={path}" for path in files))
    # `kubectl wait` fails on a CRD that is so new that its conditions are null.
    api = api_of(cluster.kubeconfig)
    eventually("all CRDs are established", lambda: all(map(_is_established, api.all_of(CRDS))), seconds=60)


def refusal(cluster: Cluster, manifest: Manifest, namespace: str) -> str:
    """What the API server says against an object, unknown fields included; empty: it takes it."""
    arguments = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    where = () if "namespace" in manifest["metadata"] else ("-n", namespace)
    return cluster.kubectl(*arguments, *where, stdin=yaml.safe_dump(manifest), check=False).stderr


def _is_established(crd: Manifest) -> bool:
    conditions = crd.get("status", {}).get("conditions") or ()
    return any((each["type"], each["status"]) == ("Established", "True") for each in conditions)
