"""Every way of installing ends with both Deployments available, in a namespace that refuses what is not restricted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploy.local.cluster import Cluster
from deploy.local.node.nodes import Nodes
from deploy.local.node.product import DEPLOYMENTS, wait_until_available
from deploy.local.stack import SYSTEM_NAMESPACE
from tests.node.ability import require_nodes
from tests.node.installed import WAYS, container_of, pods, prepare, uninstall
from tests.support.helm import of_kind, rendered

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("anew")]

URL = "http://localhost:8080"


@pytest.fixture(scope="module")
def bare(folder: Path) -> Iterator[Cluster]:
    """A cluster of one node, with nothing of ours."""
    require_nodes()
    with Nodes(folder / "bare") as started:
        yield started.cluster


@pytest.mark.parametrize("way", WAYS)
def test_both_deployments_become_available_under_restricted_pod_security(bare: Cluster, way: str) -> None:
    prepare(bare)
    try:
        warnings = WAYS[way](bare, URL)
        wait_until_available(bare)
        assert warnings == ""
        found = [pod for name in DEPLOYMENTS for pod in pods(bare, name)]
        assert len(found) == 4
        assert [container_of(pod)["restartCount"] for pod in found] == [0] * 4
        enforced = bare.get("namespace", SYSTEM_NAMESPACE)["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        assert enforced == "restricted"
    finally:
        uninstall(bare)


def test_network_policy_of_the_chart_is_taken_by_the_api_server_though_nothing_here_enforces_it(bare: Cluster) -> None:
    """The plugins of these nodes enforce no NetworkPolicy: that pods are kept apart by it is not tested."""
    prepare(bare)
    policies = of_kind(rendered({"networkPolicy": {"enabled": True}}), "NetworkPolicy")
    assert policies
    done = bare.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(policies))
    assert done.stdout.count("serverside-applied") == len(policies)
