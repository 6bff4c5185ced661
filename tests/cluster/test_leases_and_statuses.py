"""Who writes Leases and statuses: RBAC says who at all; the policies hold our accounts, and everybody's links."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.stack import CALLBACK_SERVER, OPERATOR
from tests.support.patience import eventually

pytestmark = pytest.mark.cluster

Done = subprocess.CompletedProcess[str]
URL = "https://connect.example.com"
POLICY = "status-writes.datasource.dev"


@pytest.fixture(scope="module")
def thieves(cluster: Cluster) -> dict[str, Cluster]:
    """kubectl with each of the two tokens."""
    return {
        each: Cluster(cluster.kubeconfig_for(SYSTEM_NAMESPACE, each), cluster.folder)
        for each in (OPERATOR, CALLBACK_SERVER)
    }


@pytest.fixture
def over_bound(cluster: Cluster, namespace: str) -> Iterator[None]:
    """As if somebody had given both accounts all rights: what the policies alone hold."""
    name = f"over-bound-{namespace}"
    accounts = [f"--serviceaccount={SYSTEM_NAMESPACE}:{each}" for each in (OPERATOR, CALLBACK_SERVER)]
    cluster.kubectl("create", "clusterrolebinding", name, "--clusterrole=cluster-admin", *accounts)
    yield
    cluster.kubectl("delete", "clusterrolebinding", name)


def lease(name: str, namespace: str, **metadata: Any) -> dict[str, Any]:
    whole = {"name": name, "namespace": namespace, **metadata}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": whole, "spec": {"holderIdentity": "x"}}


def create(thief: Cluster, manifest: dict[str, Any]) -> Done:
    return thief.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest), check=False)


def test_rights_reach_one_lease_and_no_status_of_ours_for_the_callback_server(thieves: dict[str, Cluster]) -> None:
    def can(account: str, verb: str, what: str, *options: str) -> str:
        return thieves[account].kubectl("auth", "can-i", verb, what, *options, check=False).stdout.strip()

    system = ("-n", SYSTEM_NAMESPACE)
    for verb in ("get", "create", "patch", "update", "delete"):
        assert can(CALLBACK_SERVER, verb, f"lease/{OPERATOR}", *system) == "no", verb
    for verb in ("patch", "update"):
        assert can(CALLBACK_SERVER, verb, "datasources", "--subresource=status", "-n", "default") == "no", verb
    assert can(OPERATOR, "patch", f"lease/{OPERATOR}", *system) == "yes"
    for verb in ("get", "patch"):
        assert can(OPERATOR, verb, "lease/kube-controller-manager", "-n", "kube-system") == "no"
        assert can(OPERATOR, verb, "lease/others", *system) == "no"
    assert can(OPERATOR, "delete", f"lease/{OPERATOR}", *system) == "no"


def test_policy_holds_our_accounts_to_the_one_lease_whatever_their_rights(
    thieves: dict[str, Cluster], cluster: Cluster, namespace: str, over_bound: None
) -> None:
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(lease("others", namespace)))
    operator, callback_server = thieves[OPERATOR], thieves[CALLBACK_SERVER]
    eventually(
        "it has all rights, and the policy is in force",
        lambda: "may write no Lease" in create(callback_server, lease("x", namespace)).stderr,
    )
    assert "may write no Lease" in create(callback_server, lease(OPERATOR, SYSTEM_NAMESPACE)).stderr
    for name, place in (("x", SYSTEM_NAMESPACE), (OPERATOR, namespace), ("kube-scheduler", "kube-system")):
        said = create(operator, lease(name, place)).stderr
        assert f"only the Lease datasource-operator in namespace {SYSTEM_NAMESPACE}" in said, (name, place, said)
    patch = ("patch", "lease", "others", "-n", namespace, "--dry-run=server", "--type=merge", "-p")
    assert "may write only the Lease" in operator.kubectl(*patch, '{"spec":{}}', check=False).stderr
    assert "may write no Lease" in callback_server.kubectl(*patch, '{"spec":{}}', check=False).stderr
    delete = ("delete", "lease", "others", "-n", namespace, "--dry-run=server")
    assert "may not delete it" in operator.kubectl(*delete, check=False).stderr
    # The operator of other tests may have made it: admission is asked first, and would say Forbidden.
    for more in ({"labels": {"x": "y"}}, {"finalizers": ["example.com/stay"]}, {"annotations": {"x": "y"}}):
        assert "may not change labels" in create(operator, lease(OPERATOR, SYSTEM_NAMESPACE, **more)).stderr
    own = create(operator, lease(OPERATOR, SYSTEM_NAMESPACE))
    assert own.returncode == 0 or "AlreadyExists" in own.stderr, own.stderr


@pytest.fixture
def written(cluster: Cluster, namespace: str) -> str:
    """A Datasource that our operator may look at meanwhile."""
    whole = {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {"name": "calendar", "namespace": namespace},
        "spec": {"url": "https://api.example.com", "suspend": True},
    }
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(whole))
    return "calendar"


@pytest.fixture
def external_url(cluster: Cluster) -> Iterator[str]:
    """As the overlays fill it in from DATASOURCE_EXTERNAL_URL."""

    def fill_in(url: str) -> None:
        variables = cluster.get("validatingadmissionpolicy", POLICY)["spec"]["variables"]
        number = next(number for number, each in enumerate(variables) if each["name"] == "externalURL")
        change = [{"op": "replace", "path": f"/spec/variables/{number}/expression", "value": f"'{url}'.trim()"}]
        cluster.kubectl("patch", "validatingadmissionpolicy", POLICY, "--type=json", "-p", json.dumps(change))

    fill_in(URL)
    yield URL
    fill_in("")


def patch_status(whoever: Cluster, namespace: str, **status: Any) -> Done:
    patch = ("patch", "datasource", "calendar", "-n", namespace, "--subresource=status", "--type=merge")
    return whoever.kubectl(*patch, "--dry-run=server", "-p", json.dumps({"status": status}), check=False)


def test_nobody_writes_a_status_that_leads_people_to_another_host(
    thieves: dict[str, Cluster], cluster: Cluster, namespace: str, written: str, external_url: str, over_bound: None
) -> None:
    """The operator's account, stolen, and whoever else has the right."""
    # kubectl reads a status before it patches it, which the operator may not: hence all rights.
    elsewhere = "https://connect.example.com.evil.example/authorize/x/y?ticket=1"
    eventually(
        "the policy is in force",
        lambda: "must lead to" in patch_status(cluster, namespace, authorizationLink=elsewhere).stderr,
    )
    thief = thieves[OPERATOR]
    for link in (
        elsewhere,
        "http://connect.example.com/authorize/x/y?ticket=1",
        "https://connect.example.com:8443/authorize/x/y?ticket=1",
        "https://connect.example.com@evil.example/authorize/x/y?ticket=1",
        "https:evil.example",
        "//connect.example.com/x",
        "javascript:alert(1)",
        "text",
    ):
        for whoever in (thief, cluster):
            said = patch_status(whoever, namespace, authorizationLink=link).stderr
            assert "must lead to https://connect.example.com" in said, (link, said)
        assert "must lead to" in patch_status(thief, namespace, redirectURI=link).stderr, link
    for status in (
        {"authorizationLink": f"{URL}/authorize/{namespace}/calendar?ticket=1", "redirectURI": f"{URL}/callback/x"},
        {"authorizationLink": f"{URL}/below/authorize/{namespace}/calendar?ticket=1"},
        {"authorizationLink": None, "state": "ERROR"},
    ):
        assert patch_status(thief, namespace, **status).returncode == 0, patch_status(thief, namespace, **status).stderr


def test_link_of_before_a_change_of_the_external_url_stays_until_it_is_written_anew(
    cluster: Cluster, namespace: str, written: str
) -> None:
    before = "https://before.example.com/authorize/x/y?ticket=1"
    kept = ("patch", "datasource", "calendar", "-n", namespace, "--subresource=status", "--type=merge", "-p")
    eventually(
        "without an external URL the policy says nothing of links",
        lambda: (
            cluster.kubectl(*kept, json.dumps({"status": {"authorizationLink": before}}), check=False).returncode == 0
        ),
    )


def test_status_writes_of_the_callback_server_are_refused_whatever_its_rights_and_reach_no_metadata(
    thieves: dict[str, Cluster], cluster: Cluster, namespace: str, written: str, over_bound: None
) -> None:
    said = ""

    def is_refused() -> bool:
        nonlocal said
        said = patch_status(thieves[CALLBACK_SERVER], namespace, state="AUTHORIZED").stderr
        return "may write no status" in said

    eventually("it has all rights, and the policy is in force", is_refused, lambda: said)
    # The operator writes the status, and through it neither labels nor the spec.
    change = {"metadata": {"labels": {"x": "y"}, "finalizers": ["example.com/stay"]}, "spec": {"url": "https://x.org"}}
    patch = ("patch", "datasource", "calendar", "-n", namespace, "--subresource=status", "--type=merge", "-p")
    thieves[OPERATOR].kubectl(*patch, json.dumps(change))
    found = cluster.get("datasource", "calendar", "-n", namespace)
    assert "labels" not in found["metadata"]
    assert "finalizers" not in found["metadata"]
    assert found["spec"]["url"] == "https://api.example.com"


def test_no_role_that_we_give_to_people_writes_a_status(cluster: Cluster) -> None:
    for role in ("datasource-editor", "datasource-viewer"):
        resources = {each for rule in cluster.get("clusterrole", role)["rules"] for each in rule["resources"]}
        assert resources == {"datasources"}, role
