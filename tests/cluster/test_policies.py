"""The admission policies of deploy/: what they refuse, with which words, and that they refuse nobody else."""

import base64
import json
import subprocess
from typing import Any

import pytest
import yaml

from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.stack import CALLBACK_SERVER, SYSTEM_NAMESPACE
from tests.support.user import eventually

pytestmark = pytest.mark.cluster

POLICY = "callback-server-writes.datasource.dev"


@pytest.fixture
def callback_server_user(cluster: Cluster) -> Cluster:
    """kubectl with the callback server's token, as whoever stole it would use it."""
    return Cluster(cluster.kubeconfig_for(SYSTEM_NAMESPACE, CALLBACK_SERVER), cluster.folder)


def secret(name: str, type_: str, namespace: str, owner: str | None = None) -> dict[str, Any]:
    roles = {CREDENTIAL: "credential", TOKEN: "token", FLOW: "flow"}
    annotations = {} if owner is None else {"datasource.dev/datasource": owner, "datasource.dev/role": roles[type_]}
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "annotations": annotations}
    if type_ == CREDENTIAL and owner is not None:
        kind = {"apiVersion": "datasource.dev/v1alpha1", "kind": "Datasource"}
        metadata["ownerReferences"] = [{**kind, "name": owner, "uid": "6a1b1fbd-5b2c-4f6c-a4a5-2f4c5a3b7d10"}]
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_, "data": {"key": "eA=="}}


def create(cluster: Cluster, manifest: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest), check=False)


CREDENTIAL, TOKEN, FLOW = (
    "datasource.dev/oauth2-credential",
    "datasource.dev/oauth2-token",
    "datasource.dev/oauth2-flow",
)


@pytest.mark.parametrize(
    ("name", "type_", "place", "owner"),
    [
        ("calendar-oauth2-credential", CREDENTIAL, "own", "calendar"),
        ("datasource-flow-0123456789abcdef-0", FLOW, SYSTEM_NAMESPACE, "apps/calendar"),
    ],
)
def test_callback_server_may_write_our_types(
    callback_server_user: Cluster, namespace: str, name: str, type_: str, place: str, owner: str
) -> None:
    done = create(callback_server_user, secret(name, type_, namespace if place == "own" else place, owner))

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "type_", "owner", "message"),
    [
        ("mine", "Opaque", None, "is of type Opaque: the callback server may write only"),
        ("calendar-token", TOKEN, "calendar", "is of type datasource.dev/oauth2-token"),
        ("release", "helm.sh/release.v1", None, "is of type helm.sh/release.v1"),
        (
            "calendar-oauth2-credential",
            CREDENTIAL,
            "other",
            "is not the credential of the Datasource in its annotation",
        ),
        ("calendar-oauth2-credential", CREDENTIAL, None, "is not the credential of the Datasource in its annotation"),
        ("datasource-flow-0123456789abcdef-0", FLOW, "x", "cannot be a flow record"),
    ],
)
def test_callback_server_may_write_nothing_else(
    callback_server_user: Cluster, namespace: str, name: str, type_: str, owner: str | None, message: str
) -> None:
    done = create(callback_server_user, secret(name, type_, namespace, owner))

    assert done.returncode != 0
    assert message in done.stderr


def test_callback_server_may_not_alter_a_secret_of_somebody_else(
    cluster: Cluster, callback_server_user: Cluster, namespace: str
) -> None:
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(secret("theirs", "Opaque", namespace)))

    change = json.dumps({"data": {"key": base64.b64encode(b"stolen").decode()}})
    done = callback_server_user.kubectl("patch", "secret", "theirs", "-n", namespace, "-p", change, check=False)

    assert done.returncode != 0
    assert "the callback server may write only" in done.stderr


def test_callback_server_may_not_make_a_secret_of_somebody_else_its_own(
    cluster: Cluster, callback_server_user: Cluster, namespace: str
) -> None:
    """The type of a Secret cannot change, so it must not be given the annotations of a credential either."""
    name = "calendar-oauth2-credential"
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(secret(name, "Opaque", namespace)))

    change = json.dumps({"metadata": {"annotations": {"datasource.dev/datasource": "calendar"}}})
    done = callback_server_user.kubectl("patch", "secret", name, "-n", namespace, "-p", change, check=False)

    assert done.returncode != 0
    assert "is of type Opaque" in done.stderr


@pytest.mark.parametrize("verb", ["update", "delete", "deletecollection", "list", "watch"])
@pytest.mark.parametrize("resource", ["secrets", "configmaps", "datasources.datasource.dev"])
def test_callback_server_has_no_other_verb_on_anything(
    callback_server_user: Cluster, namespace: str, verb: str, resource: str
) -> None:
    said = callback_server_user.kubectl("auth", "can-i", verb, resource, "-n", namespace, check=False)
    assert said.stdout.strip() == "no"


def test_callback_server_may_write_credentials_only_where_datasources_are_served(
    cluster: Cluster, callback_server_user: Cluster, namespace: str
) -> None:
    """The overlay for a list of namespaces fills the list into the policy; the one for all of them is put back after it."""

    def apply_policy_of(overlay: str) -> None:
        rendered = cluster.kubectl("kustomize", str(REPOSITORY / "deploy" / "overlays" / overlay)).stdout
        (policy,) = (
            each
            for each in yaml.safe_load_all(rendered)
            if each["metadata"]["name"] == POLICY and each["kind"] == "ValidatingAdmissionPolicy"
        )
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(policy))

    credential = secret("calendar-oauth2-credential", CREDENTIAL, namespace, "calendar")
    apply_policy_of("namespaces")
    try:
        eventually(
            "the list is in force",
            lambda: "this namespace is not served" in create(callback_server_user, credential).stderr,
        )
        flow = secret("datasource-flow-0123456789abcdef-0", FLOW, SYSTEM_NAMESPACE, f"{namespace}/calendar")
        assert create(callback_server_user, flow).returncode == 0
    finally:
        apply_policy_of("cluster-wide")
    eventually("all are served again", lambda: create(callback_server_user, credential).returncode == 0)


def test_everybody_else_writes_secrets_as_before(cluster: Cluster, namespace: str) -> None:
    done = create(cluster, secret("mine", "Opaque", namespace))

    assert done.returncode == 0, done.stderr


@pytest.fixture
def editor(cluster: Cluster, namespace: str) -> Cluster:
    """Somebody who may edit Datasources, and may read the Secret `readable` only."""
    cluster.kubectl("create", "serviceaccount", "editor", "-n", namespace)
    cluster.kubectl("create", "role", "edit", "--verb=*", "--resource=datasources.datasource.dev", "-n", namespace)
    read = ("--verb=get", "--resource=secrets", "--resource-name=readable")
    cluster.kubectl("create", "role", "read", *read, "-n", namespace)
    for role in ("edit", "read"):
        subject = f"--serviceaccount={namespace}:editor"
        cluster.kubectl("create", "rolebinding", role, f"--role={role}", subject, "-n", namespace)
    return Cluster(cluster.kubeconfig_for(namespace, "editor"), cluster.folder)


def datasource(namespace: str, **oauth2: Any) -> dict[str, Any]:
    return {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {"name": "calendar", "namespace": namespace},
        "spec": {"url": "https://api.example.com", "oauth2": oauth2},
    }


def test_who_names_a_client_secret_must_be_allowed_to_read_it(editor: Cluster, namespace: str) -> None:
    refused = create(editor, datasource(namespace, clientSecretRef={"name": "hidden"}))
    allowed = create(editor, datasource(namespace, clientSecretRef={"name": "readable"}))
    public = create(editor, datasource(namespace, clientID="public"))
    key = create(editor, datasource(namespace, privateKeyRef={"name": "hidden"}))
    readable_key = create(editor, datasource(namespace, privateKeyRef={"name": "readable"}))

    assert refused.returncode != 0
    assert "spec.oauth2.clientSecretRef names Secret hidden" in refused.stderr
    assert "ask for that right" in refused.stderr
    assert key.returncode != 0
    assert "spec.oauth2.privateKeyRef names Secret hidden" in key.stderr
    assert readable_key.returncode == 0, readable_key.stderr
    assert allowed.returncode == 0, allowed.stderr
    assert public.returncode == 0, public.stderr


def test_who_redirects_a_client_secret_must_be_allowed_to_read_it(
    cluster: Cluster, editor: Cluster, namespace: str
) -> None:
    whole = datasource(namespace, clientSecretRef={"name": "hidden"}, tokenURL="https://login.example.com/token")
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(whole))

    def patched(oauth2: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        change = json.dumps({"spec": {"oauth2": oauth2}})
        return editor.kubectl(
            "patch", "datasource", "calendar", "-n", namespace, "--type=merge", "-p", change, check=False
        )

    assert "spec.oauth2.clientSecretRef" in patched({"tokenURL": "https://evil.example.com/token"}).stderr
    assert "spec.oauth2.clientSecretRef" in patched({"issuer": "https://evil.example.com"}).stderr
    for field in ("refreshURL", "pushedAuthorizationURL", "revocationURL"):
        assert "spec.oauth2.clientSecretRef" in patched({field: "https://evil.example.com/"}).stderr
    assert "spec.oauth2.clientSecretRef" in patched({"provider": "google"}).stderr
    assert "spec.oauth2.clientSecretRef" in patched({"caBundleRef": {"name": "mine"}}).stderr
    assert "spec.oauth2.clientSecretRef" in patched({"clientSecretRef": {"name": "other"}}).stderr
    assert patched({"scopes": ["read"]}).returncode == 0
    assert patched({"clientSecretRef": None}).returncode == 0


def test_policies_pass_the_type_check(cluster: Cluster) -> None:
    policies = cluster.get("validatingadmissionpolicies")["items"]

    assert {each["metadata"]["name"] for each in policies} == {
        "callback-server-writes.datasource.dev",
        "client-secret-reference.datasource.dev",
        "operator-events.datasource.dev",
        "operator-writes.datasource.dev",
    }
    for policy in policies:
        name = policy["metadata"]["name"]
        generation = policy["metadata"]["generation"]
        observed = f"--for=jsonpath={{.status.observedGeneration}}={generation}"
        cluster.kubectl("wait", f"validatingadmissionpolicy/{name}", observed)
        checked = cluster.get("validatingadmissionpolicy", name)["status"]
        assert checked.get("typeChecking", {}).get("expressionWarnings", []) == []
