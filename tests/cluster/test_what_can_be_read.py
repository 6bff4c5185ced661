"""What the operator cannot read, it waits for: the CRD, or one namespace of those that it serves."""

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.error import HTTPError

import pytest
import yaml

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.stack import Process, Stack, install
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

ACCOUNT = "operator-of-listed"


def told(process: Process, path: str) -> str:
    """What a process says of itself."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{process.health_port}{path}", timeout=30) as response:
            return str(response.read().decode())
    except HTTPError as error:
        with error:
            return error.read().decode()
    except OSError:
        return "it does not listen yet"


def is_told(process: Process, path: str, text: str) -> None:
    """Wait until a process says something."""
    eventually(f"{path} says {text!r}", lambda: text in told(process, path), lambda: told(process, path))


@pytest.fixture
def without_crd(cluster: Cluster, operator: Process) -> Iterator[None]:
    """While the operator runs, the CRD is deleted."""
    cluster.kubectl("delete", "crd", "datasources.datasource.dev")
    try:
        yield
    finally:
        install(cluster)
        operator.wait_until_ready()


def test_operators_wait_for_the_crd_and_work_once_it_is_there(
    user: User, cluster: Cluster, stack: Stack, operator: Process, without_crd: None
) -> None:
    """One that runs while the CRD is replaced, and one that is started without it."""
    running = operator.child.pid
    late = stack.operator("started-without-crd")
    late.child.start()
    try:
        for process in (operator, late):
            is_told(process, "/readyz", "CustomResourceDefinition datasources.datasource.dev is missing")
            assert told(process, "/healthz") == "ok", "a restart would not help"

        install(cluster)

        for process in (operator, late):
            process.wait_until_ready()
        assert operator.child.pid == running, "it was not restarted"
        user.ready_to_authorize()
        for stopped, other in ((operator, late), (late, operator)):
            name = f"while-{'late' if other is late else 'early'}-leads"
            stopped.stop()
            user.apply(user.datasource(user.oauth2(), name))
            user.wait_for_link(name)
            stopped.start()
    finally:
        late.stop()


def test_sigterm_ends_an_operator_that_waits_for_the_crd(stack: Stack, without_crd: None) -> None:
    process = stack.operator("stopped-without-crd")
    process.child.start()
    is_told(process, "/readyz", "is missing")
    process.stop()
    assert process.child.exit_code == 0


@dataclass
class Listed:
    """An operator that serves two namespaces by RoleBindings, and who lives there."""

    process: Process
    leaves: User
    stays: User
    cluster: Cluster

    def bind(self, user: User) -> None:
        """The platform team gives the operator its rights in a namespace."""
        binding = role_binding(user.namespace, "ClusterRole", "datasource-operator")
        self.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(binding))

    def unbind(self, user: User) -> None:
        """A tenant takes them away."""
        user.kubectl("delete", "rolebinding", "datasource-operator")


def role_binding(namespace: str, kind: str, role: str) -> dict[str, object]:
    """What gives our account a role in a namespace."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role, "namespace": namespace},
        "roleRef": {"apiGroup": group, "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": SYSTEM_NAMESPACE}],
    }


@pytest.fixture
def listed(user: User, cluster: Cluster, stack: Stack, operator: Process) -> Iterator[Listed]:
    """The operator for all stands still meanwhile."""
    other = f"{user.namespace}-b"
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": SYSTEM_NAMESPACE},
    }
    bindings = [
        {
            **role_binding(SYSTEM_NAMESPACE, "Role", role),
            "metadata": {"name": f"{ACCOUNT}-{role}", "namespace": SYSTEM_NAMESPACE},
        }
        for role in ("datasource-operator-lease", "datasource-operator-flows")
    ]
    cluster.kubectl("create", "namespace", other)
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([account, *bindings]))
    process = replace(stack, operator_account=ACCOUNT).operator(
        "operator-of-listed", DATASOURCE_NAMESPACES=f"{user.namespace},{other}"
    )
    found = Listed(process, user, replace(user, namespace=other), cluster)
    operator.stop()
    try:
        for each in (found.leaves, found.stays):
            found.bind(each)
        process.start()
        yield found
    finally:
        process.stop()
        operator.start()
        cluster.kubectl("delete", "namespace", other, "--wait=false")


def test_one_namespace_that_cannot_be_read_stops_only_itself_and_is_taken_up_again(listed: Listed) -> None:
    unreadable = f'datasource_namespace_unreadable{{datasource_namespace="{listed.leaves.namespace}"}} 1.0'
    listed.unbind(listed.leaves)
    # Its watches are told nothing until they begin anew: so does a process that is started now.
    listed.process.stop()
    listed.process.start()
    is_told(listed.process, "/metrics", unreadable)
    running = listed.process.child.pid
    listed.stays.ready_to_authorize()
    listed.leaves.create_client_secret()
    listed.leaves.apply(listed.leaves.datasource(listed.leaves.oauth2()))

    listed.bind(listed.leaves)

    listed.leaves.wait_for_link()
    eventually("nobody is told any more", lambda: unreadable not in told(listed.process, "/metrics"))
    assert listed.process.child.pid == running


def test_where_rights_go_with_the_namespace_no_finalizer_holds_it(listed: Listed, callback_server: Process) -> None:
    """`deletionPolicy: Revoke`: the Role goes first, and nobody could take the finalizer off."""
    user = listed.stays
    user.register_application()
    user.create_client_secret()
    parameters = user.oauth2(revocationURL=user.provider.revocation_url)
    user.apply(user.datasource(parameters, deletionPolicy="Revoke"))
    user.wait_for_link()
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_message("the operator loses its rights when this namespace is deleted")
    credential = user.credential()
    assert credential is not None
    assert "finalizers" not in credential["metadata"]
