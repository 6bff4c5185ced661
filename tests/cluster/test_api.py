"""What tests reach the API server with: the waits of tests/support/api.py end when they should, and tell why they gave up."""

import threading
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from deploy.local.cluster import Cluster
from tests.support.api import CONFIG_MAPS, SECRETS, api_of, message_of
from tests.support.patience import GaveUp

pytestmark = pytest.mark.cluster


def config_map(namespace: str, **data: str) -> dict[str, Any]:
    """One called `seen`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "seen", "namespace": namespace},
        "data": data,
    }


def test_wait_sees_an_object_come_change_and_go(cluster: Cluster, namespace: str) -> None:
    api = api_of(cluster.kubeconfig)
    found = []

    def follow() -> None:
        found.append(api.wait("it comes", CONFIG_MAPS, "seen", bool, namespace))
        found.append(api.wait("it changes", CONFIG_MAPS, "seen", lambda it: it and it["data"] == {"n": "2"}, namespace))
        found.append(api.wait("it goes", CONFIG_MAPS, "seen", lambda it: it is None, namespace))

    follower = threading.Thread(target=follow)
    follower.start()
    api.create(config_map(namespace, n="1"))
    api.patch(CONFIG_MAPS, "seen", {"data": {"n": "2"}}, namespace)
    while len(found) < 2:
        follower.join(0.05)
    api.delete(CONFIG_MAPS, "seen", namespace)
    follower.join(30)

    come, changed, gone = found
    assert come is not None
    assert changed is not None
    assert (come["metadata"]["uid"], changed["data"], gone) == (changed["metadata"]["uid"], {"n": "2"}, None)


def test_wait_that_gives_up_tells_what_was_there(cluster: Cluster, namespace: str) -> None:
    api = api_of(cluster.kubeconfig)
    api.apply(config_map(namespace, n="1"))
    with pytest.raises(GaveUp, match=r"it goes: not within 1 s\. There is: .*'n': '1'"):
        api.wait("it goes", CONFIG_MAPS, "seen", lambda it: it is None, namespace, seconds=1)


def test_refusal_carries_what_the_api_server_says(cluster: Cluster, namespace: str) -> None:
    api = api_of(cluster.kubeconfig)
    with pytest.raises(ApiException) as refused:
        api.get(SECRETS, "missing", namespace)
    assert (refused.value.status, message_of(refused.value)) == (404, 'secrets "missing" not found')
    assert api.find(SECRETS, "missing", namespace) is None
