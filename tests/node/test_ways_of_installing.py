"""Every way of installing ends with both Deployments available, in a namespace that refuses what is not restricted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.image.build import NAME
from deploy.local.node.layout import PLANE
from deploy.local.node.nodes import Nodes
from deploy.local.node.product import DEPLOYMENTS, address_of_pages, wait_until_available
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from tests.node.ability import require_nodes
from tests.node.installed import WAYS, container_of, pods, prepare, uninstall
from tests.support.helm import of_kind, rendered
from tests.support.newcomer import Newcomer, manifest
from tests.support.user import eventually

pytestmark = [pytest.mark.node, pytest.mark.anew]

URL = "http://localhost:8080"


@pytest.fixture(scope="module")
def one_node(folder: Path) -> Iterator[Nodes]:
    """A node and its control plane."""
    require_nodes()
    with Nodes(folder / "bare") as started:
        yield started


@pytest.fixture(scope="module")
def bare(one_node: Nodes) -> Cluster:
    """A cluster of one node, with nothing of ours."""
    return one_node.cluster


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


def test_readme_leads_from_nothing_to_an_app_that_reads_its_token(
    one_node: Nodes, provider: Provider, tmp_path: Path
) -> None:
    """What README has is typed as it is there, but for what a node without registry, names and TLS cannot have."""
    cluster, (port,) = one_node.cluster, free_ports(1)
    url, client_id, client_secret = f"http://localhost:{port}", "newcomer", "typed at the prompt"
    provider.register_client(client_id, client_secret, [f"{url}/callback/default"])
    newcomer = Newcomer.at(cluster, tmp_path / "checkout")
    try:
        # The node has the image, and no registry to pull it from; the provider is on the nodes' own network, without TLS.
        here = f"--set settings.allowInsecureHTTP=true --set 'settings.egress.allow={{{PLANE}}}'"
        newcomer.installs(url, "--set image.registry=", here)
        wait_until_available(cluster)
        one_node.carried_in(port, address_of_pages(cluster), 80)
        one_node.carried_out(int(provider.issuer.rpartition(":")[2]))
        token_url = provider.token_url.replace("127.0.0.1", PLANE)
        newcomer.saves_the_datasource(client_id, {"authorizeURL": f"{provider.issuer}/auth", "tokenURL": token_url})
        newcomer.authorizes(client_secret)

        pod = manifest("Use it")
        pod["spec"]["containers"][0] |= {"image": NAME, "imagePullPolicy": "Never"}
        cluster.kubectl("apply", "-n", "default", "-f", "-", stdin=yaml.safe_dump(pod))
        cluster.kubectl("wait", "pod/reader", "-n", "default", "--for=condition=Ready", "--timeout=180s")

        def said() -> str:
            return cluster.kubectl("logs", "reader", "-n", "default").stdout.strip()

        eventually("the app has read its token", lambda: said() in provider.secrets().access_tokens)
    finally:
        cluster.kubectl("delete", "pod", "reader", "-n", "default", "--ignore-not-found", "--grace-period=1")
        cluster.kubectl("delete", "secret", "calendar-app", "-n", "default", "--ignore-not-found")
        cluster.kubectl(
            "delete", "dsrc", "calendar", "-n", "default", "--ignore-not-found", "--timeout=60s", check=False
        )
        uninstall(cluster)
