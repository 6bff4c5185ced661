"""What the admission policies leave to whoever stole the token of one of our ServiceAccounts: tries that must be refused."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datasource.api.clock import rfc3339
from datasource.api.names import Annotation
from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.stack import CALLBACK_SERVER, OPERATOR
from tests.support.api import NAMESPACES, SECRETS, Api, api_of, refusal
from tests.support.over_bound import let_callback_server_patch_all_secrets
from tests.support.patience import eventually

pytestmark = pytest.mark.cluster

CREDENTIAL, TOKEN, FLOW = (
    "datasource.dev/oauth2-credential",
    "datasource.dev/oauth2-token",
    "datasource.dev/oauth2-flow",
)
PLACE = "stolen-accounts"
OWNER = {
    "apiVersion": "datasource.dev/v1alpha1",
    "kind": "Datasource",
    "name": "calendar",
    "uid": "6a1b1fbd-5b2c-4f6c-a4a5-2f4c5a3b7d10",
    "controller": True,
}
SOMEBODY = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "0b8ba1a7-8f0b-4a6a-8a7e-30f4b4c0a3ce"}

Manifest = dict[str, Any]


def secret(type_: str, role: str, usual_name: str, **metadata: Any) -> Manifest:
    """A Secret of ours as our processes write it, but for what `metadata` says."""
    own = {"datasource.dev/datasource": "calendar", "datasource.dev/role": role}
    whole = {"name": usual_name, "namespace": PLACE, "annotations": own, "ownerReferences": [OWNER]}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": type_,
        "metadata": merged(whole, metadata),
        "data": {"key": "eA=="},
    }


def merged(whole: Manifest, change: Manifest) -> Manifest:
    """A JSON merge patch, applied: null takes out."""
    result = copy.deepcopy(whole)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def credential(**metadata: Any) -> Manifest:
    return secret(CREDENTIAL, "credential", "calendar-oauth2-credential", **metadata)


def token(**metadata: Any) -> Manifest:
    return secret(TOKEN, "token", "calendar-token", **metadata)


def typed(type_: str = "kubernetes.io/basic-auth", **metadata: Any) -> Manifest:
    """A token Secret of another type, as spec.tokenSecret.type asks for it."""
    whole = secret(type_, "token", "registry", **{"labels": {"datasource.dev/role": "token"}} | metadata)
    return whole | {"data": {"password": "eA==", ".dockerconfigjson": "e30=", "ssh-privatekey": "eA=="}}


def flow(**metadata: Any) -> Manifest:
    system = {"namespace": SYSTEM_NAMESPACE, "ownerReferences": None}
    return secret(FLOW, "flow", "datasource-flow-0123456789abcdef-0", **system | metadata)


def link_keys(**metadata: Any) -> Manifest:
    system = {
        "namespace": SYSTEM_NAMESPACE,
        "ownerReferences": None,
        "annotations": {"datasource.dev/datasource": None},
    }
    return secret("datasource.dev/link-keys", "link-keys", "datasource-link-keys", **merged(system, metadata))


def event(**change: Any) -> Manifest:
    whole = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "calendar.0", "namespace": PLACE},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "datasource.dev/operator",
        "reportingInstance": "x",
        "type": "Normal",
        "reason": "Ready",
        "action": "Reconcile",
        "note": "x",
        "regarding": {**OWNER, "namespace": PLACE},
    }
    del whole["regarding"]["controller"]  # type: ignore[attr-defined]
    return merged(whole, change)


SERVICE_ACCOUNT_TOKEN = {
    "apiVersion": "v1",
    "kind": "Secret",
    "type": "kubernetes.io/service-account-token",
    "metadata": {
        "name": "x",
        "namespace": "kube-system",
        "annotations": {"kubernetes.io/service-account.name": "clusterrole-aggregation-controller"},
    },
}
OPAQUE = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine", "namespace": PLACE}}

STANDING = {
    "credential": credential(name="standing-oauth2-credential", annotations={"datasource.dev/datasource": "standing"}),
    "token": token(name="standing-token", labels={"theirs": "x"}, finalizers=["example.com/theirs"]),
    "opaque": merged(OPAQUE, {"metadata": {"name": "standing"}}),
    "disguised": merged(credential(name="disguised-oauth2-credential"), {"type": "Opaque"}),
    "flow": flow(name="datasource-flow-ffffffffffffffff-0"),
    "typed": typed(name="standing-typed"),
    "stripped": typed("Opaque", name="standing-stripped", labels=None),
    "labelled": merged(OPAQUE, {"metadata": {"name": "labelled", "labels": {"datasource.dev/role": "token"}}}),
}
"""What is there already, put there by others or by us."""


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    """A namespace with a few Secrets in it."""
    api = api_of(cluster.kubeconfig)
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}})
    let_callback_server_patch_all_secrets(cluster, PLACE)
    for each in items():
        api.create(each)
    yield PLACE
    api.delete(NAMESPACES, PLACE)
    api.delete(SECRETS, STANDING["flow"]["metadata"]["name"], SYSTEM_NAMESPACE)


def items() -> list[Manifest]:
    # Without owners, or the garbage collector would take them: nobody has those uids.
    items = [merged(each, {"metadata": {"ownerReferences": None}}) for each in STANDING.values()]
    for each in items:
        if each.get("type") == FLOW:
            # The running operator sweeps a record without an end at once.
            ends_at = rfc3339(datetime.now(UTC) + timedelta(hours=1))
            each["metadata"].setdefault("annotations", {})[Annotation.EXPIRES_AT] = ends_at
    return items


@pytest.fixture(scope="module")
def thieves(cluster: Cluster, place: str) -> dict[str, Api]:
    """The API with each of the two tokens, once the policies are in force."""
    found = {each: api_of(cluster.kubeconfig_for(SYSTEM_NAMESPACE, each)) for each in (OPERATOR, CALLBACK_SERVER)}
    eventually(
        "the policies are in force",
        lambda: all("may write only" in create(thief, OPAQUE) for thief in found.values()),
    )
    return found


def create(thief: Api, manifest: Manifest) -> str:
    """What is said against it; empty: it would be done. Nothing is stored."""
    return refusal(thief.create, manifest, dry_run=True)


def patch(thief: Api, standing: str, change: Manifest) -> str:
    metadata = STANDING[standing]["metadata"]
    return refusal(thief.patch, SECRETS, metadata["name"], change, metadata["namespace"], dry_run=True)


def delete(thief: Api, standing: str) -> str:
    metadata = STANDING[standing]["metadata"]
    return refusal(thief.delete, SECRETS, metadata["name"], metadata["namespace"], dry_run=True)


LABELLED = {"argocd.argoproj.io/secret-type": "cluster"}
FORGED = {"datasource.dev/role": "token"}
UNLISTED = "is not on the list: take it out of spec.credentialSecret.template"
COPIED = {"replicator.v1.mittwald.de/replicate-to": "kube-system"}
OWNERS = "as its owner"

CREATES: list[tuple[str, Manifest, str]] = [
    (OPERATOR, SERVICE_ACCOUNT_TOKEN, "is of type kubernetes.io/service-account-token"),
    (OPERATOR, OPAQUE, "is of type Opaque. The operator may write only"),
    (OPERATOR, flow(), "is of type datasource.dev/oauth2-flow"),
    (OPERATOR, flow(namespace=PLACE), "is of type datasource.dev/oauth2-flow"),
    (OPERATOR, merged(OPAQUE, {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}), "of type kub"),
    (OPERATOR, credential(name="other-oauth2-credential"), "does not say in its annotations"),
    (OPERATOR, credential(annotations={"datasource.dev/role": "token"}), "does not say in its annotations"),
    (OPERATOR, token(annotations={"datasource.dev/datasource": None}), "does not say in its annotations"),
    (OPERATOR, token(annotations={"datasource.dev/role": None}), "does not say in its annotations"),
    (OPERATOR, token(name="x-oauth2-credential"), "does not say in its annotations"),
    (OPERATOR, token(ownerReferences=None), OWNERS),
    (OPERATOR, token(ownerReferences=[OWNER, SOMEBODY]), OWNERS),
    (OPERATOR, token(ownerReferences=[{**OWNER, "name": "other"}]), OWNERS),
    (OPERATOR, credential(ownerReferences=[{**OWNER, "kind": "Pod", "apiVersion": "v1"}]), OWNERS),
    (OPERATOR, token(finalizers=["example.com/stay"]), "only the finalizer datasource.dev/revoke"),
    (OPERATOR, token(finalizers=["datasource.dev/revoke"]), "only the finalizer datasource.dev/revoke"),
    (OPERATOR, credential(finalizers=["example.com/stay"]), "only the finalizer datasource.dev/revoke"),
    (OPERATOR, typed(labels=None), "must label a token Secret"),
    (OPERATOR, typed(labels={"datasource.dev/role": "credential"}), "must label a token Secret"),
    (OPERATOR, typed(annotations={"datasource.dev/role": None}), "is of type kubernetes.io/basic-auth"),
    (OPERATOR, typed(annotations={"datasource.dev/datasource": None}), "does not say in its annotations"),
    (OPERATOR, typed(name="calendar-oauth2-credential"), "does not say in its annotations"),
    (OPERATOR, typed(ownerReferences=None), OWNERS),
    (OPERATOR, typed(finalizers=["datasource.dev/revoke"]), "only the finalizer datasource.dev/revoke"),
    (
        OPERATOR,
        merged(typed("kubernetes.io/tls"), {"data": {"tls.crt": "", "tls.key": ""}}),
        "of type kubernetes.io/tls",
    ),
    (OPERATOR, typed("bootstrap.kubernetes.io/token"), "is of type bootstrap.kubernetes.io/token"),
    (OPERATOR, typed("helm.sh/release.v1"), "is of type helm.sh/release.v1"),
    (OPERATOR, typed("x.k8s.io/y"), "is of type x.k8s.io/y"),
    (OPERATOR, typed("datasource.dev/oauth2-import"), "is of type datasource.dev/oauth2-import"),
    (OPERATOR, typed("without-a-domain"), "is of type without-a-domain"),
    (CALLBACK_SERVER, typed(), "the callback server may write only"),
    (OPERATOR, credential(labels=LABELLED), UNLISTED),
    (OPERATOR, credential(annotations=COPIED), UNLISTED),
    (OPERATOR, {**token(), "immutable": True}, "may not make a Secret immutable"),
    (OPERATOR, link_keys(name="others"), "must be in Secret datasource-link-keys"),
    (OPERATOR, link_keys(namespace=PLACE), "must be in Secret datasource-link-keys"),
    (OPERATOR, link_keys(labels=LABELLED), "may not change the labels"),
    (OPERATOR, link_keys(annotations=COPIED), "only the annotations datasource.dev/"),
    (OPERATOR, link_keys(ownerReferences=[OWNER]), OWNERS),
    (CALLBACK_SERVER, link_keys(), "the callback server may write only"),
    (OPERATOR, event(reportingController="kubelet"), "only Events of datasource.dev/operator"),
    (OPERATOR, event(regarding={"kind": "Pod", "apiVersion": "v1"}), "only Events of datasource.dev/operator"),
    (OPERATOR, event(metadata={"labels": LABELLED}), "have no labels"),
    (OPERATOR, event(metadata={"finalizers": ["example.com/stay"]}), "have no labels"),
    (CALLBACK_SERVER, SERVICE_ACCOUNT_TOKEN, "is of type kubernetes.io/service-account-token"),
    (CALLBACK_SERVER, credential(labels=LABELLED), UNLISTED),
    (OPERATOR, credential(labels=FORGED), UNLISTED),
    (CALLBACK_SERVER, credential(labels=FORGED), UNLISTED),
    (CALLBACK_SERVER, credential(annotations=COPIED), UNLISTED),
    (CALLBACK_SERVER, credential(finalizers=["datasource.dev/revoke"]), "may not add or remove finalizers"),
    (CALLBACK_SERVER, credential(ownerReferences=None), "owned by its Datasource"),
    (CALLBACK_SERVER, credential(ownerReferences=[SOMEBODY]), "owned by its Datasource"),
    (CALLBACK_SERVER, credential(ownerReferences=[OWNER, SOMEBODY]), "owned by its Datasource"),
    (CALLBACK_SERVER, credential(annotations={"datasource.dev/role": "token"}), "is not the credential of"),
    (CALLBACK_SERVER, {**credential(), "immutable": True}, "may not make a Secret immutable"),
    (CALLBACK_SERVER, flow(labels=LABELLED), "may not label a Secret"),
    (CALLBACK_SERVER, flow(annotations=COPIED), "may change only annotations"),
    (CALLBACK_SERVER, flow(finalizers=["example.com/stay"]), "may not add or remove finalizers"),
    (CALLBACK_SERVER, flow(ownerReferences=[OWNER]), "owned by its Datasource"),
]

PATCHES: list[tuple[str, str, Manifest, str]] = [
    (OPERATOR, "opaque", {"data": {"key": "eQ=="}}, "is of type Opaque"),
    (OPERATOR, "disguised", {"data": {"key": "eQ=="}}, "is of type Opaque"),
    (OPERATOR, "labelled", {"data": {"key": "eQ=="}}, "is of type Opaque"),
    (OPERATOR, "opaque", {"metadata": typed()["metadata"] | {"name": "standing"}}, "is of type Opaque"),
    (OPERATOR, "typed", {"metadata": {"labels": None}}, "must label a token Secret"),
    (OPERATOR, "credential", {"metadata": {"labels": LABELLED}}, UNLISTED),
    (OPERATOR, "credential", {"metadata": {"labels": FORGED}}, UNLISTED),
    (OPERATOR, "credential", {"metadata": {"annotations": COPIED}}, UNLISTED),
    (OPERATOR, "credential", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}}}, UNLISTED),
    (OPERATOR, "credential", {"metadata": {"ownerReferences": [SOMEBODY]}}, OWNERS),
    (OPERATOR, "token", {"metadata": {"ownerReferences": [OWNER, SOMEBODY]}}, OWNERS),
    (OPERATOR, "token", {"metadata": {"finalizers": None}}, "only the finalizer datasource.dev/revoke"),
    (OPERATOR, "token", {"metadata": {"annotations": {"datasource.dev/role": "x"}}}, "does not say in its annotations"),
    (OPERATOR, "token", {"immutable": True}, "may not make a Secret immutable"),
    (CALLBACK_SERVER, "credential", {"metadata": {"labels": LABELLED}}, "may not label a Secret"),
    (CALLBACK_SERVER, "credential", {"metadata": {"annotations": COPIED}}, "may change only annotations"),
    (CALLBACK_SERVER, "credential", {"metadata": {"finalizers": ["x.example.com/y"]}}, "may not add or remove"),
    (CALLBACK_SERVER, "credential", {"metadata": {"ownerReferences": [OWNER]}}, "owned by its Datasource"),
    (CALLBACK_SERVER, "credential", {"immutable": True}, "may not make a Secret immutable"),
    (CALLBACK_SERVER, "token", {"data": {"key": "eQ=="}}, "the callback server may write only"),
]


def test_stolen_account_creates_nothing_that_its_process_would_not(thieves: dict[str, Api]) -> None:
    for account, manifest, message in CREATES:
        said = create(thieves[account], manifest)
        assert message in said, (account, manifest, said)


def test_stolen_account_alters_nothing_that_its_process_would_not(thieves: dict[str, Api]) -> None:
    for account, standing, change, message in PATCHES:
        said = patch(thieves[account], standing, change)
        assert message in said, (account, standing, change, said)


def test_stolen_operator_account_deletes_no_secret_of_others(thieves: dict[str, Api]) -> None:
    operator = thieves[OPERATOR]
    assert "is of type Opaque" in delete(operator, "opaque")
    assert "is of type Opaque" in delete(operator, "disguised")
    assert "is of type Opaque" in delete(operator, "labelled")
    for ours in ("credential", "token", "flow", "typed", "stripped"):
        assert delete(operator, ours) == "", ours


def test_what_the_processes_write_themselves_is_let_through(thieves: dict[str, Api]) -> None:
    operator, callback_server = thieves[OPERATOR], thieves[CALLBACK_SERVER]
    templated = token(labels={"app.kubernetes.io/name": "reader"}, annotations={"example.com/owner": "sales"})
    types = (
        "Opaque",
        "kubernetes.io/basic-auth",
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/ssh-auth",
        "a.example/t",
    )
    for manifest in (
        credential(),
        credential(finalizers=["datasource.dev/revoke"]),
        templated,
        event(),
        *map(typed, types),
    ):
        assert create(operator, manifest) == "", manifest
    # The operator of these tests may have made them before: admission is asked first, and would say Forbidden.
    assert create(operator, link_keys()) in {"", 'secrets "datasource-link-keys" already exists'}
    listed = credential(
        labels={"app.kubernetes.io/name": "reader"}, annotations={"reloader.stakater.com/match": "true"}
    )
    for manifest in (credential(), listed, flow()):
        assert create(callback_server, manifest) == "", manifest
    relabelled: Manifest = {"metadata": {"labels": listed["metadata"]["labels"]}}
    assert patch(operator, "credential", relabelled) == ""
    assert "may not label a Secret" in patch(callback_server, "credential", relabelled)
    copied = {"kubectl.kubernetes.io/last-applied-configuration": None}
    adopted: Manifest = {"metadata": {"ownerReferences": [{**OWNER, "name": "standing"}], "annotations": copied}}
    held: Manifest = {"metadata": {"finalizers": ["datasource.dev/revoke"]}, "data": None}
    labelled: Manifest = {"metadata": {"labels": {"datasource.dev/role": "token"}}}
    assert patch(operator, "stripped", labelled) == ""
    for change in (adopted, held):
        assert patch(operator, "credential", change) == "", change
    stored: Manifest = {"data": {"key": "eQ=="}}
    for change in (stored, stored | {"metadata": {"annotations": copied}}):
        assert patch(callback_server, "credential", change) == "", change
