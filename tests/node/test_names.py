"""Processes in pods look names up as pods do: through the cluster's DNS, with the search list that kubelet writes."""

import json

import pytest

from deploy.local.cluster import Cluster
from deploy.local.node.layout import PLANE
from deploy.local.node.product import Manifest
from deploy.local.provider import Provider
from tests.node.conftest import PROVIDER_SERVICE
from tests.support.person import Person
from tests.support.user import User

pytestmark = pytest.mark.node


def headless_service(host: str, port: int) -> list[Manifest]:
    """A Service without an address of its own, and where it leads: to the nodes' address, where the provider is."""
    name, namespace, _ = host.split(".")
    ports = [{"name": "http", "port": port, "protocol": "TCP"}]
    service: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": "None", "ports": ports},
    }
    endpoints: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [PLANE], "conditions": {"ready": True}}],
    }
    return [service, endpoints]


def test_provider_that_is_a_service_is_found_by_its_name(user: User, provider: Provider, cluster: Cluster) -> None:
    """Such a name is whole only with the last entry of the search list."""
    port = int(provider.issuer.rpartition(":")[2])
    for manifest in headless_service(PROVIDER_SERVICE, port):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    link = user.ready_to_authorize(issuer=None, tokenURL=f"http://{PROVIDER_SERVICE}:{port}/token")
    with Person() as person:
        done = person.authorize(link)
    assert done.status_code == 200, done.text
    user.wait_for_reason("Authorized")
    # The callback server looked it up before, the operator does now.
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")
    assert user.reason() == "Authorized"
