"""The component sign-in on a running cluster: its rights and roles as they are shipped, for as long as a test needs them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.demo_sign_in import kustomization
from deploy.local.stack import rendered

Key = tuple[str, str]

_ROLES = {"ClusterRole", "Role"}


@contextmanager
def with_component(cluster: Cluster, folder: Path) -> Iterator[None]:
    """Apply what the component changes of roles, and take it back: other tests have the same control plane."""
    without = _roles(REPOSITORY / "deploy" / "overlays" / "cluster-wide")
    signing_in = _roles(kustomization(folder / "component-sign-in"))
    changed = [key for key, role in signing_in.items() if role != without.get(key)]
    assert ("ClusterRole", "datasource-callback-server") in changed
    _apply(cluster, [signing_in[key] for key in changed])
    try:
        yield
    finally:
        _apply(cluster, [without[key] for key in changed])


def _roles(folder: Path) -> Mapping[Key, dict[str, Any]]:
    objects = [each for each in yaml.safe_load_all(rendered(folder)) if each["kind"] in _ROLES]
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


def _apply(cluster: Cluster, roles: list[dict[str, Any]]) -> None:
    # As `install` does: then what was applied before and is not any more goes.
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(roles))
