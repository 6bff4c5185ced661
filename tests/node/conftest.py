"""Two real nodes for all tests here, and the product in pods on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from deploy.local.node.layout import PLANE
from deploy.local.node.nodes import Nodes
from deploy.local.node.product import address_of_pages, apply_install_yaml, wait_until_answered, wait_until_available
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from tests.node.ability import require_nodes
from tests.node.installed import keep_logs, prepare
from tests.support.user import User

PROVIDER_SERVICE = "identity-provider.default.svc"
"""A host that the operator may reach, as docs/admin.md has it."""


@pytest.fixture(scope="session")
def nodes(folder: Path) -> Iterator[Nodes]:
    """Two nodes and their control plane."""
    require_nodes()
    with Nodes(folder / "nodes", count=2) as started:
        yield started


@pytest.fixture(scope="session")
def cluster(nodes: Nodes) -> Cluster:
    """What kubectl works with."""
    return nodes.cluster


@pytest.fixture(scope="session")
def product(nodes: Nodes, cluster: Cluster, provider: Provider, folder: Path) -> Iterator[str]:
    """Installed from install.yaml, available, and reached by people and by the pods; its external URL."""
    (port,) = free_ports(1)
    prepare(cluster)
    try:
        apply_install_yaml(cluster, f"http://localhost:{port}", PROVIDER_SERVICE)
        wait_until_available(cluster)
        nodes.carried_in(port, address_of_pages(cluster), 80)
        nodes.carried_out(int(provider.issuer.rpartition(":")[2]))
        wait_until_answered(f"http://localhost:{port}")
        yield f"http://localhost:{port}"
    finally:
        keep_logs(cluster, folder / "logs")


@pytest.fixture
def user(cluster: Cluster, namespace: str, provider: Provider, product: str) -> User:
    """Somebody who works with kubectl in a namespace of their own, while everything runs in pods."""
    return User(cluster, namespace, provider, product)


def reached_from_pods(provider: Provider) -> dict[str, str | None]:
    """Parameters of the provider where pods see it; browsers see it on loopback, and nobody knows it by one name."""
    return {"issuer": None, "tokenURL": provider.token_url.replace("127.0.0.1", PLANE)}
