"""Installed from dist/ alone: the image, the chart and the plugin of a release, on a real node, to a token."""

import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import tools
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.node.layout import PLANE
from deploy.local.node.nodes import Nodes
from deploy.local.node.product import DEPLOYMENTS, address_of_pages, wait_until_available
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import SYSTEM_NAMESPACE
from tests.node.ability import require_nodes
from tests.node.conftest import reached_from_pods
from tests.node.installed import container_of, keep_logs, pods, prepare
from tests.released.conftest import Release
from tests.support.helm import helm, in_order
from tests.support.released import REGISTRY_PATH, VERSION, run
from tests.support.user import User

pytestmark = pytest.mark.released

NAME = "datasource"


@pytest.fixture(scope="module")
def nodes(release: Release, folder: Path) -> Iterator[Nodes]:
    """A node that has the released image, and none of ours."""
    require_nodes()
    with Nodes(folder / "nodes", archives=[release.dist / f"datasource-operator-{VERSION}.oci.tar"]) as started:
        yield started


@pytest.fixture(scope="module")
def cluster(nodes: Nodes) -> Cluster:
    """What kubectl works with."""
    return nodes.cluster


@pytest.fixture(scope="module")
def product(release: Release, nodes: Nodes, provider: Provider, folder: Path) -> Iterator[str]:
    """The chart's package, with no value for the image; its external URL."""
    (port,) = free_ports(1)
    url = f"http://localhost:{port}"
    values = {
        "externalURL": url,
        "settings": {"allowInsecureHTTP": True, "egress": {"allow": [PLANE]}},
    }
    prepare(nodes.cluster)
    try:
        chart = release.dist / f"datasource-operator-{VERSION}.tgz"
        options = ("--namespace", SYSTEM_NAMESPACE, "--wait", "--timeout=5m")
        in_order(helm("install", NAME, str(chart), *options, values=values, kubeconfig=nodes.cluster.kubeconfig))
        wait_until_available(nodes.cluster)
        nodes.carried_in(port, address_of_pages(nodes.cluster), 80)
        nodes.carried_out(int(provider.issuer.rpartition(":")[2]))
        yield url
    finally:
        keep_logs(nodes.cluster, folder / "logs")


@pytest.fixture
def user(cluster: Cluster, namespace: str, provider: Provider, product: str) -> User:
    """Somebody with a namespace of their own."""
    return User(cluster, namespace, provider, product)


class Plugin:
    """The program out of its archive, in an environment that has kubectl, a browser and nothing of ours."""

    def __init__(self, dist: Path, folder: Path, kubeconfig: Path) -> None:
        (packed,) = dist.glob("kubectl-datasource-*.tar.gz")
        with tarfile.open(packed) as opened:
            opened.extractall(folder, filter="data")
        browser = folder / "browser"
        browser.write_text(
            f'#!/bin/sh\ncd {REPOSITORY} && exec {sys.executable} -m tests.support.consenting_chromium "$1"\n'
        )
        browser.chmod(0o755)
        path = os.pathsep.join([str(folder), str(tools.kubectl().parent), "/usr/bin", "/bin"])
        self._environ = {"PATH": path, "HOME": str(folder), "KUBECONFIG": str(kubeconfig), "BROWSER": f"{browser} %s"}

    def __call__(self, *arguments: str) -> str:
        """Run `kubectl datasource`, as kubectl finds it."""
        pairs = [f"{name}={value}" for name, value in self._environ.items()]
        return run("/usr/bin/env", "-i", *pairs, "kubectl", "datasource", *arguments)


@pytest.fixture
def plugin(release: Release, cluster: Cluster, tmp_path: Path) -> Plugin:
    """What a person has unpacked."""
    return Plugin(release.dist, tmp_path, cluster.kubeconfig)


def test_pods_run_the_released_image_and_the_test_of_the_chart_passes(product: str, cluster: Cluster) -> None:
    images = {container_of(pod)["image"] for each in DEPLOYMENTS for pod in pods(cluster, each)}
    assert images == {f"{REGISTRY_PATH}:{VERSION}"}
    in_order(helm("test", NAME, "--namespace", SYSTEM_NAMESPACE, kubeconfig=cluster.kubeconfig))


def test_person_authorizes_in_chromium_with_the_released_plugin(user: User, plugin: Plugin, provider: Provider) -> None:
    user.ready_to_authorize(**reached_from_pods(provider))

    plugin("authorize", "calendar", "-n", user.namespace)

    user.wait_for_reason("Authorized")
    assert "AUTHORIZED" in plugin("list", "-n", user.namespace)
    assert user.decoded("calendar-token", "access_token") in provider.secrets().access_tokens


def test_plugin_and_both_processes_are_of_the_released_version(product: str, plugin: Plugin) -> None:
    told = plugin("version")
    assert told.count(VERSION) >= 3, told
