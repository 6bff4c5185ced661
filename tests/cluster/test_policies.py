"""The admission policies of deploy/: what they refuse, with which words, and that they refuse nobody else."""

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import yaml

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.stack import CALLBACK_SERVER, OPERATOR
from tests.support.api import CONFIG_MAPS, DATASOURCES, POLICIES, SECRETS, Api, Manifest, api_of, refusal
from tests.support.over_bound import let_callback_server_patch_all_secrets
from tests.support.patience import eventually

pytestmark = pytest.mark.cluster

POLICY = "callback-server-writes.datasource.dev"


@pytest.fixture
def admin(cluster: Cluster) -> Api:
    """The API for whom no policy is meant."""
    return api_of(cluster.kubeconfig)


@pytest.fixture
def callback_server_user(cluster: Cluster, namespace: str) -> Api:
    """The API with the callback server's token, as whoever stole it would use it; policies alone are tried."""
    let_callback_server_patch_all_secrets(cluster, namespace)
    return api_of(cluster.kubeconfig_for(SYSTEM_NAMESPACE, CALLBACK_SERVER))


def secret(name: str, type_: str, namespace: str, owner: str | None = None) -> dict[str, Any]:
    roles = {CREDENTIAL: "credential", TOKEN: "token", FLOW: "flow"}
    annotations = {} if owner is None else {"datasource.dev/datasource": owner, "datasource.dev/role": roles[type_]}
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "annotations": annotations}
    if type_ == CREDENTIAL and owner is not None:
        kind = {"apiVersion": "datasource.dev/v1alpha1", "kind": "Datasource"}
        metadata["ownerReferences"] = [{**kind, "name": owner, "uid": "6a1b1fbd-5b2c-4f6c-a4a5-2f4c5a3b7d10"}]
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_, "data": {"key": "eA=="}}


def create(who: Api, manifest: Manifest) -> str:
    """What is said against it; empty: it would be done. Nothing is stored."""
    return refusal(who.create, manifest, dry_run=True)


CREDENTIAL, TOKEN, FLOW, IMPORT, SESSION = (
    "datasource.dev/oauth2-credential",
    "datasource.dev/oauth2-token",
    "datasource.dev/oauth2-flow",
    "datasource.dev/oauth2-import",
    "datasource.dev/session",
)


def header_from(*secrets: str) -> list[dict[str, Any]]:
    """Headers with values from Secrets."""
    return [{"name": f"X-{name}", "secretRef": {"name": name, "key": "key"}} for name in secrets]


@pytest.mark.parametrize(
    ("name", "type_", "place", "owner"),
    [
        ("calendar-oauth2-credential", CREDENTIAL, "own", "calendar"),
        ("datasource-flow-0123456789abcdef-0", FLOW, SYSTEM_NAMESPACE, "apps/calendar"),
        ("datasource-session-0123456789abcdef-0", SESSION, SYSTEM_NAMESPACE, None),
    ],
)
def test_callback_server_may_write_our_types(
    callback_server_user: Api, namespace: str, name: str, type_: str, place: str, owner: str | None
) -> None:
    assert create(callback_server_user, secret(name, type_, namespace if place == "own" else place, owner)) == ""


@pytest.mark.parametrize(
    ("annotations", "is_allowed"),
    [
        ({"outcome": "not-stored", "outcome-message": "x" * 1024, "ended-at": "2026-07-01T12:00:00Z"}, True),
        ({"outcome-message": "x" * 1025}, False),
        ({"outcome": "stored"}, False),
        ({"authorized-as": "ada@example.com"}, False),
    ],
)
def test_flow_record_tells_how_it_ended_and_nothing_else(
    callback_server_user: Api, annotations: dict[str, str], is_allowed: bool
) -> None:
    record = secret("datasource-flow-0123456789abcdef-0", FLOW, SYSTEM_NAMESPACE, "apps/calendar")
    told = {f"datasource.dev/{key}": value for key, value in annotations.items()}
    record["metadata"]["annotations"] = record["metadata"]["annotations"] | told
    said = create(callback_server_user, record)
    assert (said == "") if is_allowed else "A flow record may say in its annotations" in said


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
        ("datasource-session-0123456789abcdef-0", SESSION, None, "Sessions must be named"),
    ],
)
def test_callback_server_may_write_nothing_else(
    callback_server_user: Api, namespace: str, name: str, type_: str, owner: str | None, message: str
) -> None:
    assert message in create(callback_server_user, secret(name, type_, namespace, owner))


def test_callback_server_may_not_alter_a_secret_of_somebody_else(
    admin: Api, callback_server_user: Api, namespace: str
) -> None:
    admin.create(secret("theirs", "Opaque", namespace))

    change = {"data": {"key": base64.b64encode(b"stolen").decode()}}
    said = refusal(callback_server_user.patch, SECRETS, "theirs", change, namespace)

    assert "the callback server may write only" in said


def test_callback_server_may_not_make_a_secret_of_somebody_else_its_own(
    admin: Api, callback_server_user: Api, namespace: str
) -> None:
    """The type of a Secret cannot change, so it must not be given the annotations of a credential either."""
    name = "calendar-oauth2-credential"
    admin.create(secret(name, "Opaque", namespace))

    change = {"metadata": {"annotations": {"datasource.dev/datasource": "calendar"}}}

    assert "is of type Opaque" in refusal(callback_server_user.patch, SECRETS, name, change, namespace)


@pytest.mark.parametrize("verb", ["update", "delete", "deletecollection", "list", "watch"])
@pytest.mark.parametrize("resource", ["secrets", "configmaps", "datasources.datasource.dev"])
def test_callback_server_has_no_other_verb_on_anything(
    callback_server_user: Api, namespace: str, verb: str, resource: str
) -> None:
    assert not callback_server_user.may(verb, resource, namespace)


def test_callback_server_may_write_credentials_only_where_datasources_are_served(
    cluster: Cluster, admin: Api, callback_server_user: Api, namespace: str
) -> None:
    """The overlay for a list of namespaces fills the list into the policy; the one for all of them is put back after it."""

    def apply_policy_of(overlay: str) -> None:
        rendered = cluster.kubectl("kustomize", str(REPOSITORY / "deploy" / "overlays" / overlay)).stdout
        (policy,) = (
            each
            for each in yaml.safe_load_all(rendered)
            if each["metadata"]["name"] == POLICY and each["kind"] == "ValidatingAdmissionPolicy"
        )
        admin.apply(policy, manager="kubectl")

    credential = secret("calendar-oauth2-credential", CREDENTIAL, namespace, "calendar")
    apply_policy_of("namespaces")
    try:
        eventually(
            "the list is in force",
            lambda: "this namespace is not served" in create(callback_server_user, credential),
        )
        flow = secret("datasource-flow-0123456789abcdef-0", FLOW, SYSTEM_NAMESPACE, f"{namespace}/calendar")
        assert create(callback_server_user, flow) == ""
    finally:
        apply_policy_of("cluster-wide")
    eventually("all are served again", lambda: create(callback_server_user, credential) == "")


def test_everybody_else_writes_secrets_as_before(admin: Api, namespace: str) -> None:
    assert create(admin, secret("mine", "Opaque", namespace)) == ""


@pytest.fixture
def editor(cluster: Cluster, namespace: str) -> Api:
    """Somebody who may edit Datasources, and may read the Secret `readable` only."""
    cluster.kubectl("create", "serviceaccount", "editor", "-n", namespace)
    cluster.kubectl("create", "role", "edit", "--verb=*", "--resource=datasources.datasource.dev", "-n", namespace)
    read = ("--verb=get", "--resource=secrets", "--resource-name=readable")
    cluster.kubectl("create", "role", "read", *read, "-n", namespace)
    for role in ("edit", "read"):
        subject = f"--serviceaccount={namespace}:editor"
        cluster.kubectl("create", "rolebinding", role, f"--role={role}", subject, "-n", namespace)
    return api_of(cluster.kubeconfig_for(namespace, "editor"))


def datasource(namespace: str, **oauth2: Any) -> dict[str, Any]:
    return {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {"name": "calendar", "namespace": namespace},
        "spec": {"url": "https://api.example.com", "oauth2": oauth2},
    }


def test_who_names_a_client_secret_must_be_allowed_to_read_it(editor: Api, namespace: str) -> None:
    refused = create(editor, datasource(namespace, clientSecretRef={"name": "hidden"}))
    allowed = create(editor, datasource(namespace, clientSecretRef={"name": "readable"}))
    public = create(editor, datasource(namespace, clientID="public"))
    key = create(editor, datasource(namespace, privateKeyRef={"name": "hidden"}))
    readable_key = create(editor, datasource(namespace, privateKeyRef={"name": "readable"}))

    header = create(editor, datasource(namespace, tokenHeaders=header_from("readable", "hidden")))
    readable_header = create(editor, datasource(namespace, tokenHeaders=header_from("readable")))

    assert "spec.oauth2.tokenHeaders names Secrets readable, hidden" in header
    assert readable_header == ""
    assert "spec.oauth2.clientSecretRef names Secret hidden" in refused
    assert "Ask for that right" in refused
    assert "spec.oauth2.privateKeyRef names Secret hidden" in key
    assert (readable_key, allowed, public) == ("", "", "")


def test_who_redirects_the_value_of_a_header_must_be_allowed_to_read_it(
    admin: Api, editor: Api, namespace: str
) -> None:
    admin.create(datasource(namespace, clientID="public", tokenHeaders=header_from("hidden")))

    def patched(oauth2: dict[str, Any]) -> str:
        return refusal(editor.patch, DATASOURCES, "calendar", {"spec": {"oauth2": oauth2}}, namespace)

    assert "names Secrets hidden" in patched({"tokenURL": "https://evil.example.com/token"})
    choice = {"parameter": "dc", "value": "eu", "url": "https://evil.example.com/token"}
    assert "names Secrets hidden" in patched({"tokenURLs": [choice]})
    assert "names Secrets hidden" in patched({"tokenHeaders": [*header_from("hidden"), {"name": "a", "value": "b"}]})
    assert patched({"scopes": ["read"]}) == ""
    assert patched({"tokenHeaders": [{"name": "User-Agent", "value": "mine"}]}) == ""


def test_who_redirects_a_client_secret_must_be_allowed_to_read_it(admin: Api, editor: Api, namespace: str) -> None:
    whole = datasource(namespace, clientSecretRef={"name": "hidden"}, tokenURL="https://login.example.com/token")
    admin.create(whole)

    def patched(oauth2: dict[str, Any]) -> str:
        return refusal(editor.patch, DATASOURCES, "calendar", {"spec": {"oauth2": oauth2}}, namespace)

    assert "spec.oauth2.clientSecretRef" in patched({"tokenURL": "https://evil.example.com/token"})
    assert "spec.oauth2.clientSecretRef" in patched({"issuer": "https://evil.example.com"})
    metadata = {"issuer": "https://login.example.com", "discoveryURL": "https://evil.example.com/meta"}
    assert "spec.oauth2.clientSecretRef" in patched(metadata)
    for field in ("refreshURL", "pushedAuthorizationURL", "revocationURL"):
        assert "spec.oauth2.clientSecretRef" in patched({field: "https://evil.example.com/"})
    assert "spec.oauth2.clientSecretRef" in patched({"provider": "google"})
    assert "spec.oauth2.clientSecretRef" in patched({"caBundleRef": {"name": "mine"}})
    assert "spec.oauth2.clientSecretRef" in patched({"clientSecretRef": {"name": "other"}})
    assert patched({"scopes": ["read"]}) == ""
    assert patched({"clientSecretRef": None}) == ""


def test_no_way_of_writing_a_datasource_gets_around_the_policies(admin: Api, editor: Api, namespace: str) -> None:
    """Whole, by server-side apply, as a JSON patch, under a generated name, by the status."""
    evil = "https://evil.example.com/token"
    secret_ref = {"clientSecretRef": {"name": "hidden"}}
    admin.create(datasource(namespace, **secret_ref, tokenURL="https://login.example.com/token"))
    unnamed = datasource(namespace, **secret_ref)
    unnamed["metadata"] = {"namespace": namespace, "generateName": "calendar-"}
    to_evil = {"op": "replace", "path": "/spec/oauth2/tokenURL", "value": evil}
    moved = {"op": "add", "path": "/spec/tokenSecret", "value": {"name": "readable"}}
    moved_from = {"op": "move", "from": "/spec/oauth2/tokenURL", "path": "/spec/oauth2/refreshURL"}

    def json_patched(change: dict[str, Any]) -> str:
        return refusal(editor.json_patch, DATASOURCES, "calendar", [change], namespace)

    def replaced() -> str:
        whole = admin.get(DATASOURCES, "calendar", namespace)
        whole["spec"]["oauth2"]["tokenURL"] = evil
        said = refusal(editor.replace, whole)
        # An operator of another test may write a status in between.
        return replaced() if "has been modified" in said else said

    for said in (
        replaced(),
        refusal(editor.apply, datasource(namespace, **secret_ref, tokenURL=evil)),
        create(editor, unnamed),
        json_patched(to_evil),
        json_patched(moved_from),
    ):
        assert "names Secret hidden" in said
    assert "may not get Secret calendar-token" in json_patched(moved)
    admin.patch(DATASOURCES, "calendar", {"spec": {"oauth2": {"tokenURL": evil}}}, namespace, subresource="status")
    assert admin.get(DATASOURCES, "calendar", namespace)["spec"]["oauth2"]["tokenURL"] != evil


def standing(admin: Api, namespace: str, **spec: Any) -> Callable[[Api, dict[str, Any]], str]:
    """A Datasource that is there; yields how somebody changes its spec, and what the API server says to that if it refuses."""
    whole = datasource(namespace, clientID="public")
    whole["spec"] |= spec
    admin.create(whole)

    def change(who: Api, changed: dict[str, Any]) -> str:
        return refusal(who.patch, DATASOURCES, "calendar", {"spec": changed}, namespace, dry_run=True)

    return change


def test_who_moves_a_token_must_be_allowed_to_read_it(admin: Api, editor: Api, namespace: str) -> None:
    change = standing(admin, namespace)

    for moved in (
        {"tokenSecret": {"name": "readable"}},
        {"tokenSecret": {"name": "hidden"}},
        {"url": "https://evil.example.com"},
        {"tokenSecret": {"template": {"data": {"url": "https://evil.example.com"}}}},
        {"probe": {"path": "/me"}},
    ):
        said = change(editor, moved)
        assert "may not get Secret calendar-token" in said, moved
        assert "Ask for that right" in said
        assert change(admin, moved) == ""
    for harmless in (
        {"suspend": True},
        {"oauth2": {"scopes": ["read"]}},
        {"tokenSecret": {"name": "calendar-token"}},
        {"tokenSecret": {"template": {"labels": {"app.kubernetes.io/name": "reader"}}}},
    ):
        assert change(editor, harmless) == "", harmless


def test_who_has_a_token_sent_by_a_probe_must_be_allowed_to_read_it(admin: Api, editor: Api, namespace: str) -> None:
    whole = datasource(namespace, clientID="public")
    whole["spec"]["probe"] = {"path": "/me"}
    assert "may not get Secret calendar-token" in create(editor, whole)
    admin.create(whole)
    patch = partial(refusal, editor.patch, DATASOURCES, "calendar", namespace=namespace, dry_run=True)
    assert "may not get Secret calendar-token" in patch({"spec": {"probe": {"path": "/other"}}})
    assert patch({"spec": {"probe": None}}) == ""
    assert patch({"spec": {"suspend": True}}) == ""


@pytest.mark.parametrize(
    "trust",
    [{"caBundleRef": {"name": "mine"}}, {"caBundle": "-----BEGIN CERTIFICATE-----\n"}],
    ids=["in a ConfigMap", "in the spec"],
)
def test_who_says_by_whom_a_public_clients_provider_is_known_must_be_allowed_to_read_its_refresh_token(
    admin: Api, editor: Api, namespace: str, trust: dict[str, Any]
) -> None:
    change = standing(admin, namespace)

    said = change(editor, {"oauth2": trust})
    assert "may not get Secret calendar-oauth2-credential" in said
    assert "which server may receive the refresh token" in said
    assert change(admin, {"oauth2": trust}) == ""
    # A new one has no refresh token yet.
    whole = datasource(namespace, clientID="public", **trust)
    whole["metadata"]["name"] = "new"
    assert create(editor, whole) == ""


def test_who_names_a_token_secret_must_be_allowed_to_read_it(editor: Api, namespace: str) -> None:
    def named(name: str) -> dict[str, Any]:
        whole = datasource(namespace, clientID="public")
        whole["spec"]["tokenSecret"] = {"name": name}
        return whole

    assert "may not get Secret calendar-token" in create(editor, named("readable"))
    assert "may not get Secret" in create(editor, named("hidden"))
    assert create(editor, named("calendar-token")) == ""
    typed = named("calendar-token")
    typed["spec"]["tokenSecret"]["type"] = "Opaque"
    assert "may not get Secret calendar-token" in create(editor, typed)


def test_who_may_read_a_token_moves_it_where_they_may_read_it(admin: Api, editor: Api, namespace: str) -> None:
    change = standing(admin, namespace, tokenSecret={"name": "readable"})

    assert change(editor, {"url": "https://other.example.com"}) == ""
    assert "may not get Secret hidden" in change(editor, {"tokenSecret": {"name": "hidden"}})
    assert "may not get Secret calendar-token" in change(editor, {"tokenSecret": None})


OBEYED = [
    ("labels", "argocd.argoproj.io/secret-type", "cluster"),
    ("annotations", "replicator.v1.mittwald.de/replicate-to", ".*"),
    ("annotations", "reflector.v1.k8s.emberstack.com/reflection-allowed", "true"),
    ("labels", "app.kubernetes.io/managed-by", "Helm"),
    ("labels", "app.kubernetes.io", "x"),
    ("labels", "app", "x"),
]


def test_labels_and_annotations_that_other_controllers_obey_are_refused_unless_they_are_listed(
    admin: Api, namespace: str
) -> None:
    change = standing(admin, namespace, tokenSecret={"template": {"labels": {"app.kubernetes.io/name": "reader"}}})

    for place, key, value in OBEYED:
        template = {"template": {place: {key: value}}}
        said = change(admin, {"tokenSecret": template})
        assert f"has a label or annotation {key}, which is not on the list" in said, key
        whole = datasource(namespace, clientID="public")
        whole["spec"]["tokenSecret"] = template
        assert "datasource-template-keys in namespace datasource-system" in create(admin, whole), key
        said = change(admin, {"credentialSecret": template})
        assert f"spec.credentialSecret.template has a label or annotation {key}, which is not on the list" in said, key
    listed = {"reloader.stakater.com/match": "true"}
    assert change(admin, {"tokenSecret": {"template": {"annotations": listed}}}) == ""
    assert change(admin, {"credentialSecret": {"template": {"annotations": listed}}}) == ""


def test_template_of_before_goes_on_and_the_platform_team_lists_more(admin: Api, namespace: str) -> None:
    def list_keys(*keys: str) -> None:
        admin.patch(CONFIG_MAPS, "datasource-template-keys", {"data": {"keys": "\n".join(keys)}}, SYSTEM_NAMESPACE)

    shipped = admin.get(CONFIG_MAPS, "datasource-template-keys", SYSTEM_NAMESPACE)["data"]["keys"].split()
    whole = datasource(namespace, clientID="public")
    whole["spec"]["tokenSecret"] = {"template": {"labels": {"theirs.example.com/tier": "one"}}}
    list_keys(*shipped, "  theirs.example.com/tier  ")
    try:
        eventually("the longer list is in force", lambda: create(admin, whole) == "")
        change = standing(admin, namespace, tokenSecret=whole["spec"]["tokenSecret"])
        assert change(admin, {"tokenSecret": {"template": {"labels": {"theirs.example.com/tier": "two"}}}}) == ""
    finally:
        list_keys(*shipped)
    eventually("the shorter one is", lambda: create(admin, whole) != "")

    assert change(admin, {"suspend": True}) == ""
    assert change(admin, {"tokenSecret": {"template": {"data": {"a": "b"}}}}) == ""
    assert change(admin, {"tokenSecret": {"template": {"labels": {"theirs.example.com/tier": None}}}}) == ""
    two = {"tokenSecret": {"template": {"labels": {"theirs.example.com/tier": "two"}}}}
    assert "theirs.example.com/tier, which is not on the list" in change(admin, two)


def test_who_writes_a_secret_of_our_types_must_be_allowed_to_read_it(
    cluster: Cluster, admin: Api, namespace: str
) -> None:
    """Tokens and the client secret are sent to the endpoints in a credential: `create secrets` alone writes none."""
    cluster.kubectl("create", "serviceaccount", "writer", "-n", namespace)
    cluster.kubectl("create", "role", "write", "--verb=create,patch", "--resource=secrets", "-n", namespace)
    read = ("--verb=get", "--resource=secrets", "--resource-name=readable-oauth2-credential")
    cluster.kubectl("create", "role", "read", *read, "-n", namespace)
    for role in ("write", "read"):
        subject = f"--serviceaccount={namespace}:writer"
        cluster.kubectl("create", "rolebinding", role, f"--role={role}", subject, "-n", namespace)
    writer = api_of(cluster.kubeconfig_for(namespace, "writer"))
    there = secret("calendar-oauth2-credential", CREDENTIAL, namespace, "calendar")
    there["metadata"]["ownerReferences"] = []
    admin.create(there)

    for name, type_ in (("x-oauth2-credential", CREDENTIAL), ("x-token", TOKEN), ("datasource-flow-0-0", FLOW)):
        said = create(writer, secret(name, type_, namespace, "x"))
        assert f"may not get Secrets of that name in namespace {namespace}" in said, said
    there["data"] = {"token_endpoint": "eA=="}
    said = refusal(writer.apply, there)
    assert "may not get Secrets of that name" in said, said
    readable = secret("readable-oauth2-credential", CREDENTIAL, namespace, "readable")
    for allowed in (readable, secret("mine", "Opaque", namespace)):
        assert create(writer, allowed) == ""


def test_import_is_called_after_a_datasource_that_its_writer_may_patch_and_the_operator_may_only_delete_it(
    cluster: Cluster, admin: Api, namespace: str
) -> None:
    """What stands in it decides whose grant apps use: rights on Secrets alone are not enough."""
    cluster.kubectl("create", "serviceaccount", "importer", "-n", namespace)
    cluster.kubectl("create", "role", "secrets", "--verb=create,get", "--resource=secrets", "-n", namespace)
    patches = ("--verb=patch", "--resource=datasources.datasource.dev", "--resource-name=calendar")
    cluster.kubectl("create", "role", "datasources", *patches, "-n", namespace)
    for role in ("secrets", "datasources"):
        subject = f"--serviceaccount={namespace}:importer"
        cluster.kubectl("create", "rolebinding", role, f"--role={role}", subject, "-n", namespace)
    importer = api_of(cluster.kubeconfig_for(namespace, "importer"))
    operator = api_of(cluster.kubeconfig_for(SYSTEM_NAMESPACE, OPERATOR))

    def said_of(name: str) -> str:
        return create(importer, secret(name, IMPORT, namespace))

    # Rights and policies are in force a moment after they were written.
    refused = "brings a refresh token for Datasource diary"
    eventually("the policy is in force", lambda: refused in said_of("diary-oauth2-import"))
    assert "may not patch that Datasource" in said_of("diary-oauth2-import")
    eventually("so are the rights", lambda: said_of("calendar-oauth2-import") == "")
    for name in ("calendar", "-oauth2-import"[1:]):
        assert "its name must be that of its Datasource" in said_of(name)

    admin.create(secret("calendar-oauth2-import", IMPORT, namespace))
    change = {"data": {"refresh_token": "eA=="}}
    patched = refusal(operator.patch, SECRETS, "calendar-oauth2-import", change, namespace, dry_run=True)
    assert "is forbidden: ValidatingAdmissionPolicy" in patched
    assert refusal(operator.delete, SECRETS, "calendar-oauth2-import", namespace, dry_run=True) == ""


def test_no_way_of_writing_a_credential_gets_around_the_policies(cluster: Cluster, admin: Api, namespace: str) -> None:
    """Whole, by any kind of patch, under a generated name, with stringData; what it is owned by and what it waits for."""
    cluster.kubectl("create", "serviceaccount", "writer", "-n", namespace)
    cluster.kubectl("create", "role", "write", "--verb=create,update,patch", "--resource=secrets", "-n", namespace)
    subject = f"--serviceaccount={namespace}:writer"
    cluster.kubectl("create", "rolebinding", "write", "--role=write", subject, "-n", namespace)
    writer = api_of(cluster.kubeconfig_for(namespace, "writer"))
    there = secret("calendar-oauth2-credential", CREDENTIAL, namespace, "calendar")
    there["metadata"]["ownerReferences"] = []
    stored = admin.create(there)
    unnamed = secret("", CREDENTIAL, namespace, "x")
    unnamed["metadata"] = {"namespace": namespace, "generateName": "x-"}
    as_text = secret("x-oauth2-credential", CREDENTIAL, namespace, "x") | {"data": {}, "stringData": {"key": "x"}}

    def patched(**metadata: Any) -> str:
        return refusal(writer.patch, SECRETS, there["metadata"]["name"], {"metadata": metadata}, namespace)

    def json_patched(change: dict[str, Any]) -> str:
        return refusal(writer.json_patch, SECRETS, there["metadata"]["name"], [change], namespace)

    for said in (
        create(writer, unnamed),
        create(writer, as_text),
        refusal(writer.replace, stored | {"stringData": {"token_endpoint": "https://evil.example.com"}}),
        json_patched({"op": "add", "path": "/immutable", "value": True}),
        json_patched({"op": "replace", "path": "/data/key", "value": "eQ=="}),
        patched(finalizers=["evil.example.com/never"]),
        patched(ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "x"}]),
        patched(annotations={"datasource.dev/datasource": "other"}),
        patched(labels={"datasource.dev/role": "token"}),
    ):
        assert "may not get Secrets of that name" in said, said
    assert admin.get(SECRETS, there["metadata"]["name"], namespace)["data"] == there["data"]


def test_policies_pass_the_type_check(admin: Api) -> None:
    policies = admin.all_of(POLICIES)

    assert {each["metadata"]["name"] for each in policies} == {
        "callback-role-bindings.datasource.dev",
        "callback-roles.datasource.dev",
        "callback-server-writes.datasource.dev",
        "client-secret-reference.datasource.dev",
        "lease-writes.datasource.dev",
        "operator-events.datasource.dev",
        "operator-writes.datasource.dev",
        "secret-writes.datasource.dev",
        "status-writes.datasource.dev",
        "template-keys.datasource.dev",
        "credential-labels.datasource.dev",
        "token-secret.datasource.dev",
    }
    for policy in policies:
        generation = policy["metadata"]["generation"]
        checked = admin.wait(
            "its types were checked", POLICIES, policy["metadata"]["name"], partial(_is_observed, generation)
        )
        assert checked is not None
        assert checked["status"].get("typeChecking", {}).get("expressionWarnings", []) == []


def _is_observed(generation: int, policy: Manifest | None) -> bool:
    return policy is not None and policy.get("status", {}).get("observedGeneration") == generation
