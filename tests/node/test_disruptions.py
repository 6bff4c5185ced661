"""What platform teams do to pods costs nobody anything: rollouts, drains, and agents of a node that are started again."""

import collections
import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.node.nodes import Nodes
from deploy.local.node.product import DEPLOYMENTS, wait_until_available
from deploy.local.provider import Provider
from tests.node.conftest import reached_from_pods
from tests.node.installed import container_of, pods
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.node


class Visitors:
    """Requests to the callback server, each on a connection of its own, from begin to end."""

    def __init__(self, url: str) -> None:
        self._at = urlsplit(url)
        self._goes_on = True
        self._thread = threading.Thread(target=self._visit)
        self.answered: collections.Counter[int] = collections.Counter()
        self.failed: list[str] = []

    def __enter__(self) -> "Visitors":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._goes_on = False
        self._thread.join()

    def _visit(self) -> None:
        while self._goes_on:
            connection = http.client.HTTPConnection(self._at.hostname or "", self._at.port, timeout=30)
            try:
                connection.request("GET", "/done")
                self.answered[connection.getresponse().status] += 1
            except OSError as error:
                self.failed.append(repr(error))
            finally:
                connection.close()
            time.sleep(0.02)


def test_rollout_loses_no_page_no_refresh_and_no_callback(user: User, provider: Provider, cluster: Cluster) -> None:
    with Person() as person, Person() as other:
        person.authorize(user.ready_to_authorize(**reached_from_pods(provider)))
        user.wait_for_reason("Authorized")
        before = user.credential_id()
        user.apply(user.datasource(user.oauth2(**reached_from_pods(provider)), name="second"))
        user.wait_for_reason("AuthorizationRequired", "second")
        user.wait_for_callback_rights("second")
        # Begun at the pods that are about to go, finished at those that come.
        under_way = other.begin(user.link("second"))

        with Visitors(user.external_url) as visitors:
            for each in DEPLOYMENTS:
                cluster.kubectl("rollout", "restart", f"deployment/{each}", "-n", SYSTEM_NAMESPACE)
            for number in range(3):
                user.annotate("refresh", f"during-{number}")
                user.wait_for_handled("refresh", f"during-{number}")
            wait_until_available(cluster)
        # A code lives for a minute, less than a rollout may take: it is asked for now.
        done = other.come_back(other.consent(under_way))

    assert visitors.failed == []
    assert visitors.answered
    assert done.status_code == 200, done.text
    user.wait_for_reason("Authorized", "second")
    assert user.reason() == "Authorized"
    assert user.credential_id() == before
    ours = [each for each in provider.token_requests() if each.client_id == user.client_id]
    assert [each.error for each in ours if each.error] == []


@contextmanager
def drained(cluster: Cluster, node: str) -> Iterator[str]:
    """A node that is drained, as docs/admin.md does it; it takes pods again at the end. What kubectl said."""
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s")
    try:
        done = cluster.kubectl("drain", node, *options)
        yield done.stdout + done.stderr
    finally:
        cluster.kubectl("uncordon", node)


def test_nodes_are_drained_one_after_the_other_and_every_page_is_answered(product: str, cluster: Cluster) -> None:
    with Visitors(product) as visitors:
        with drained(cluster, "node-1"):
            assert _nodes_in_use(cluster) == {"node-2"}
            wait_until_available(cluster)
        # Both replicas of each are on the one that goes now: the budget lets them go one by one.
        with drained(cluster, "node-2"):
            assert _nodes_in_use(cluster) == {"node-1"}
            wait_until_available(cluster)
    assert visitors.failed == []
    assert visitors.answered


def test_budget_keeps_one_pod_of_each_where_there_is_nowhere_to_go(product: str, cluster: Cluster) -> None:
    cluster.kubectl("cordon", "node-1", "node-2")
    try:
        options = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=30s")
        done = cluster.kubectl("drain", "node-1", "node-2", *options, check=False)
        assert done.returncode != 0
        assert "disruption budget" in done.stderr
        for each in DEPLOYMENTS:
            assert [pod for pod in pods(cluster, each) if pod["status"]["phase"] == "Running"], each
    finally:
        cluster.kubectl("uncordon", "node-1", "node-2")
    wait_until_available(cluster)


@pytest.mark.parametrize("agent", ["kubelet", "containerd", "kube-proxy"])
def test_pods_live_on_while_an_agent_of_their_node_is_started_again(
    product: str, nodes: Nodes, cluster: Cluster, agent: str
) -> None:
    def containers() -> dict[str, str]:
        everybody = [pod for each in DEPLOYMENTS for pod in pods(cluster, each)]
        return {pod["metadata"]["name"]: str(container_of(pod)["containerID"]) for pod in everybody}

    before = containers()
    with Visitors(product) as visitors:
        nodes.run("pkill", "-KILL", "-x", agent)
        eventually(f"{agent} runs again", lambda: nodes.run("pgrep", "-x", agent, check=False).returncode == 0)
        cluster.kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=120s")
        # A pod that is asked for now is started.
        wait_until_available(cluster)
    assert containers() == before
    assert visitors.failed == []


def _nodes_in_use(cluster: Cluster) -> set[str]:
    return {pod["spec"]["nodeName"] for each in DEPLOYMENTS for pod in pods(cluster, each)}
