"""Sign-in on a real API server: its RBAC decides, its Table is the list, its policies hold what is written of a session."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import CALLBACK_SERVER, SYSTEM_NAMESPACE, Process, Stack
from tests.support.api import SECRETS, Manifest, api_of
from tests.support.employee import Employee
from tests.support.refresh import leads_on_to
from tests.support.user import User

pytestmark = pytest.mark.cluster

CLIENT, SECRET = "sign-in", "sentinel-sign-in-secret-51c7"
GROUP = "rbac.authorization.k8s.io"
RIGHTS = "test-sign-in-rights"


@pytest.fixture(scope="module")
def with_sign_in(cluster: Cluster, folder: Path, provider: Provider, operator: Process) -> Iterator[Stack]:
    """A callback server of its own, at which people sign in, with the two rights that it has beside the usual ones."""
    stack = Stack(cluster, folder / "logs", free_ports(1)[0])
    secret_file = folder / "sign-in-secret"
    secret_file.write_text(SECRET)
    provider.register_client(CLIENT, SECRET, [f"{stack.external_url}/signed-in"])
    for manifest in rights():
        api_of(cluster.kubeconfig).create(manifest)
    process = stack.callback_server(
        "callback-server-with-sign-in",
        DATASOURCE_SIGN_IN_ISSUER=provider.issuer,
        DATASOURCE_SIGN_IN_CLIENT_ID=CLIENT,
        DATASOURCE_SIGN_IN_SECRET_FILE=str(secret_file),
        DATASOURCE_SIGN_IN_SCOPES="openid email",
        DATASOURCE_SIGN_IN_USERNAME_CLAIM="email",
    )
    process.start()
    yield stack
    process.stop()


def rights() -> list[Manifest]:
    rules = [
        {"apiGroups": ["datasource.dev"], "resources": ["datasources"], "verbs": ["list"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["localsubjectaccessreviews"], "verbs": ["create"]},
    ]
    authorizer = [
        {"apiGroups": ["datasource.dev"], "resources": ["datasources"], "verbs": ["get", "list", "authorize"]}
    ]
    account = {"kind": "ServiceAccount", "name": CALLBACK_SERVER, "namespace": SYSTEM_NAMESPACE}
    return [
        {"apiVersion": f"{GROUP}/v1", "kind": "ClusterRole", "metadata": {"name": RIGHTS}, "rules": rules},
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": RIGHTS},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": RIGHTS},
            "subjects": [account],
        },
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"{RIGHTS}-get"},
            "rules": authorizer,
        },
    ]


@pytest.fixture
def tenant(cluster: Cluster, namespace: str, provider: Provider, with_sign_in: Stack, operator: Process) -> User:
    """Who owns the namespace."""
    return User(cluster, namespace, provider, with_sign_in.external_url)


def bind(tenant: User, user: str, role: str) -> None:
    tenant.kubectl(
        "create", "rolebinding", f"{user.partition('@')[0]}-{role}", f"--clusterrole={role}", f"--user={user}"
    )


def test_people_see_and_do_what_the_cluster_allows_them_and_nothing_else(tenant: User) -> None:
    tenant.ready_to_authorize()
    page, listed = (f"{tenant.external_url}/datasources/{tenant.namespace}{below}" for below in ("/calendar", ""))
    bind(tenant, "ada@example.com", f"{RIGHTS}-get")
    bind(tenant, "demo@example.com", "datasource-viewer")
    with Employee("ada") as ada, Employee("demo") as viewer:
        own = ada.sign_in(ada.get(page))
        assert "signed in as <code>ada@example.com</code>" in own.text
        found = ada.get(listed).text
        assert f'href="/datasources/{tenant.namespace}/calendar">calendar</a>' in found
        assert "NOT AUTHORIZED" in found

        denied = ada.get(f"{tenant.external_url}/datasources/kube-system")
        assert denied.status_code == 403
        command = re.search(r"<pre>(kubectl create rolebinding [^<]*)</pre>", denied.text)
        assert command is not None
        assert "--user=ada@example.com --namespace=kube-system" in command[1]

        seen = viewer.sign_in(viewer.get(page)).text
        assert "signed in as <code>demo@example.com</code>" in seen
        assert '/calendar/authorize"' not in seen

        onward = leads_on_to(ada.submit(own, "Get new credential").text)
        assert onward is not None
        done = ada.come_back(ada.consent(onward))
        assert "The new credential was stored" in done.text
        tenant.wait_for_status("the credential is in use", lambda status: status.get("state") == "AUTHORIZED")

        # It is somebody's now: to replace or clear it takes more than authorize.
        assert "may not replace this one" in ada.get(page).text
        assert ada.get(f"{page}/clear").status_code == 403

        sessions = tenant.api.all_of(SECRETS, SYSTEM_NAMESPACE, fields="type=datasource.dev/session")
        assert len(sessions) == 2
        assert "You are signed out" in ada.submit(ada.get(page), "Sign out").text
        assert "Please sign in" in ada.get(page).text
