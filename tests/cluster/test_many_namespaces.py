"""A list of many namespaces: each has its watches, and they leave room for the work."""

from collections.abc import Iterator

import pytest
import yaml

from deploy.local.cluster import Cluster
from deploy.local.stack import Process, Stack
from tests.support.person import Person
from tests.support.user import User

pytestmark = pytest.mark.cluster

OTHERS = tuple(f"served-{number:03}" for number in range(199))


@pytest.fixture
def served(user: User, cluster: Cluster, stack: Stack, operator: Process) -> Iterator[Process]:
    """An operator for 200 namespaces, instead of the one for all."""
    manifests = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in OTHERS]
    cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(manifests))
    operator.stop()
    process = stack.operator("operator-of-200", DATASOURCE_NAMESPACES=",".join((user.namespace, *OTHERS)))
    try:
        process.start()
        yield process
        process.stop()
    finally:
        operator.start()
        cluster.kubectl("delete", "namespace", "--wait=false", *OTHERS)


def test_operator_of_200_namespaces_authorizes_and_refreshes(user: User, served: Process) -> None:
    link = user.ready_to_authorize()
    with Person() as person:
        person.authorize(link)
    user.wait_for_reason("Authorized")

    user.annotate("refresh", "1")

    user.wait_for_handled("refresh", "1")
