"""What the callback server reads under the rights that the operator gives it: what Datasources name, and no more."""

import base64
import json
import subprocess
from typing import Any

import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.stack import CALLBACK_SERVER, OPERATOR, Process
from tests.support.patience import eventually
from tests.support.person import Person
from tests.support.user import User

pytestmark = pytest.mark.cluster

RIGHTS = "datasource-callback-rights"
FOREIGN_VALUE = "correct-horse-battery-staple"
"""In no log and no answer: long, and no label value in base64."""

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def thief(cluster: Cluster) -> Cluster:
    """kubectl with the callback server's token."""
    return Cluster(cluster.kubeconfig_for(SYSTEM_NAMESPACE, CALLBACK_SERVER), cluster.folder)


@pytest.fixture
def foreign(user: User) -> str:
    """A Secret in the user's namespace that no Datasource names."""
    user.kubectl("create", "secret", "generic", "foreign", f"--from-literal=password={FOREIGN_VALUE}")
    return "foreign"


def names_in(user: User) -> set[tuple[str, str, str]]:
    """(resource, verb, name) of what the operator gave in the user's namespace."""
    roles = json.loads(user.kubectl("get", "roles", "-l", "datasource.dev/rights-of=callback-server", "-o", "json"))
    return {
        (resource, verb, name)
        for role in roles["items"]
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule["resourceNames"]
    }


def expected(*names: str, secret: str = "app") -> set[tuple[str, str, str]]:
    credentials = {("secrets", verb, f"{name}-oauth2-credential") for name in names for verb in ("get", "patch")}
    return credentials | {("secrets", "get", secret)}


def patch(thief: Cluster, namespace: str, kind: str, change: Any, *options: str) -> Done:
    """A PATCH that does not read first, as kubectl patch would."""
    path = f"/api/v1/namespaces/{namespace}/secrets/foreign"
    return raw(thief, "PATCH", path, change, f"application/{kind}", *options)


def raw(thief: Cluster, method: str, path: str, body: Any, content_type: str, query: str = "") -> Done:
    """One request with the thief's token."""
    view = json.loads(thief.kubectl("config", "view", "--raw", "-o", "json").stdout)
    server, user = view["clusters"][0]["cluster"], view["users"][0]["user"]
    with open(user["tokenFile"]) as token:
        command = ["curl", "--silent", "--insecure", "-X", method, "-H", f"Authorization: Bearer {token.read()}"]
    command += ["-H", f"Content-Type: {content_type}", "--data", json.dumps(body), f"{server['server']}{path}{query}"]
    return subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own words


def test_stolen_account_reads_no_secret_that_no_datasource_names(user: User, thief: Cluster, foreign: str) -> None:
    user.ready_to_authorize()
    eventually("the rights are there", lambda: names_in(user) == expected("calendar"), lambda: str(names_in(user)))

    def reads(name: str) -> bool:
        return thief.kubectl("get", "secret", name, "-n", user.namespace, check=False).returncode == 0

    # The RoleBinding comes after the Role, and the API server takes both up a moment later.
    eventually("it reads what is named", lambda: reads("app"))
    said = thief.kubectl("get", "secret", foreign, "-n", user.namespace, check=False).stderr
    assert 'cannot get resource "secrets"' in said
    said = thief.kubectl("get", "configmap", "kube-root-ca.crt", "-n", user.namespace, check=False).stderr
    assert 'cannot get resource "configmaps"' in said


ENCODED = base64.b64encode(FOREIGN_VALUE.encode()).decode()
# A label must be short and plain: what the API server says of one that is not tells the value.
COPY = [
    {"op": "add", "path": "/metadata/labels", "value": {}},
    {"op": "copy", "from": "/data/password", "path": "/metadata/labels/x"},
]
# Whether a guess is right shows in which error comes.
GUESS = [{"op": "test", "path": "/data/password", "value": ENCODED}]
APPLIED = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "foreign"}}

PATCHES: list[tuple[str, Any, str]] = [
    ("merge-patch+json", {}, ""),
    ("merge-patch+json", {}, "?dryRun=All"),
    ("strategic-merge-patch+json", {"metadata": {"annotations": {}}}, "?dryRun=All"),
    ("json-patch+json", [], ""),
    ("json-patch+json", COPY, "?dryRun=All"),
    ("json-patch+json", GUESS, ""),
    ("apply-patch+yaml", APPLIED, "?fieldManager=x&force=true&dryRun=All"),
]


def test_no_patch_tells_what_stands_in_a_secret_of_others(
    user: User, cluster: Cluster, thief: Cluster, foreign: str
) -> None:
    def answers() -> list[str]:
        return [patch(thief, user.namespace, *each).stdout for each in PATCHES]

    for answer in answers():
        assert FOREIGN_VALUE not in answer
        assert ENCODED not in answer
        assert "cannot patch resource" in answer, answer

    # Why no policy is enough: with a right to patch that has no names, admission comes too late.
    user.kubectl("create", "role", "patch-all", "--verb=patch", "--resource=secrets")
    account = f"--serviceaccount={SYSTEM_NAMESPACE}:{CALLBACK_SERVER}"
    user.kubectl("create", "rolebinding", "patch-all", "--role=patch-all", account)
    eventually("it may patch", lambda: "cannot patch resource" not in answers()[0])
    assert all(ENCODED not in answer for answer in answers()[:4])
    assert ENCODED in answers()[4]


def test_rights_come_with_a_datasource_follow_it_and_go_with_the_last(user: User, cluster: Cluster) -> None:
    def given(names: set[tuple[str, str, str]]) -> None:
        eventually(f"{names} are given", lambda: names_in(user) == names, lambda: str(names_in(user)))

    user.ready_to_authorize()
    given(expected("calendar"))
    user.create_client_secret(name="other")
    moved = user.oauth2(clientSecretRef={"name": "other"})
    user.apply(user.datasource(moved))
    given(expected("calendar", secret="other"))
    user.apply(user.datasource(moved, "orders"))
    given(expected("calendar", "orders", secret="other"))
    user.kubectl("delete", "datasource", "calendar")
    given(expected("orders", secret="other"))
    user.kubectl("delete", "datasource", "orders")
    given(set())
    eventually(
        "no RoleBinding is left", lambda: json.loads(user.kubectl("get", "rolebindings", "-o", "json"))["items"] == []
    )


def test_who_comes_before_the_right_is_told_so_loses_nothing_and_what_somebody_edited_is_put_right(
    user: User, operator: Process
) -> None:
    """As in an upgrade: the narrow rights of the callback server are there before the operator that gives it more."""
    link = user.ready_to_authorize()
    eventually("the rights are there", lambda: names_in(user) == expected("calendar"))
    with Person() as person:
        way_back = person.consent(person.begin(link))
        operator.stop()
        try:
            user.kubectl("delete", "rolebinding", RIGHTS)
            all_of_them = [{"op": "remove", "path": "/rules/0/resourceNames"}]
            user.kubectl("patch", "role", RIGHTS, "--type=json", "-p", json.dumps(all_of_them))
            page = person.get(link)
            assert page.status_code == 503
            assert "may not read Secret calendar-oauth2-credential" in page.text
            assert "your link stays valid" in page.text
            assert "no code was used" in person.get(way_back).text
        finally:
            operator.start()
        eventually(
            "the RoleBinding is there again", lambda: RIGHTS in user.kubectl("get", "rolebindings", "-o", "name")
        )
        eventually("the Role is as it was", lambda: names_in(user) == expected("calendar"), lambda: str(names_in(user)))
        person.come_back(way_back)
    user.wait_for_reason("Authorized")


@pytest.fixture
def stolen_operator(cluster: Cluster) -> Cluster:
    """kubectl with the operator's token."""
    return Cluster(cluster.kubeconfig_for(SYSTEM_NAMESPACE, OPERATOR), cluster.folder)


def role(*rules: dict[str, Any], name: str = RIGHTS, **metadata: Any) -> dict[str, Any]:
    whole = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name, **metadata}}
    return {**whole, "rules": list(rules)}


def rule(verbs: str = "get", resource: str = "secrets", names: str = "app", **more: Any) -> dict[str, Any]:
    whole = {"apiGroups": [""], "resources": [resource], "verbs": verbs.split(",")}
    return {**whole, **({"resourceNames": names.split(",")} if names else {}), **more}


def binding(name: str = RIGHTS, ref: str = RIGHTS, kind: str = "Role", **subject: str) -> dict[str, Any]:
    ours = {"kind": "ServiceAccount", "name": CALLBACK_SERVER, "namespace": SYSTEM_NAMESPACE}
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": kind, "name": ref},
        "subjects": [{**ours, **subject}],
    }


REFUSED = [
    (role(rule(), name="others"), "may write only Roles datasource-callback-rights"),
    (role(rule(), name=f"{RIGHTS}-8"), "may write only Roles datasource-callback-rights"),
    (role(rule(), name=f"{RIGHTS}-1-1"), "may write only Roles datasource-callback-rights"),
    (role(), "by name"),
    (role(rule(names="")), "by name"),
    (role(rule(), rule(names="")), "by name"),
    (role(rule(apiGroups=["datasource.dev"], resource="datasources")), "by name"),
    (role(rule("list")), "only the rights to get"),
    (role(rule("get,list")), "only the rights to get"),
    (role(rule("delete")), "only the rights to get"),
    (role(rule("patch", names="a-oauth2-credential")), "only the rights to get"),
    (role(rule("get,patch")), "only the rights to get"),
    (role(rule("get,patch", names="a-oauth2-credential,app")), "only the rights to get"),
    (role(rule(resources=["secrets", "configmaps"])), "only the rights to get"),
    (role(rule(), finalizers=["example.com/stay"]), "may not change finalizers"),
    (role(rule(), annotations={"x": "y"}), "may not change finalizers"),
    (role(rule(), labels={"rbac.authorization.k8s.io/aggregate-to-edit": "true"}), "only its own labels"),
    (binding(name="others"), "may write only RoleBindings datasource-callback-rights"),
    (binding(ref="others"), "only the Role of the RoleBinding's own name"),
    (binding(kind="ClusterRole", ref=CALLBACK_SERVER), "only the Role of the RoleBinding's own name"),
    (binding(name=f"{RIGHTS}-1"), "only the Role of the RoleBinding's own name"),
    (binding(name=CALLBACK_SERVER), "may write only RoleBindings"),
    ({**binding(), "subjects": []}, "only to the ServiceAccount datasource-callback-server"),
    (binding(namespace="default"), "only to the ServiceAccount datasource-callback-server"),
    ({**binding(), "subjects": binding()["subjects"] * 2}, "only to the ServiceAccount datasource-callback-server"),
    (binding(name=RIGHTS) | {"subjects": [{"kind": "User", "name": CALLBACK_SERVER}]}, "only to the ServiceAccount"),
]


def test_stolen_operator_account_gives_rights_to_nobody_else_and_no_others(
    stolen_operator: Cluster, cluster: Cluster, namespace: str
) -> None:
    def create(manifest: dict[str, Any]) -> Done:
        options = ("create", "-n", namespace, "--dry-run=server", "-f", "-")
        return stolen_operator.kubectl(*options, stdin=json.dumps(manifest), check=False)

    # RBAC asks what a RoleBinding gives before admission is asked.
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(role(rule(), name="others")))
    for name in (RIGHTS, f"{RIGHTS}-1"):
        cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(role(rule(), name=name)))
    eventually("the policies are in force", lambda: "may write only" in create(role(rule(), name="x")).stderr)
    wrong = []
    for number, (manifest, message) in enumerate(REFUSED):
        tried = manifest
        if manifest["kind"] == "Role" and manifest["metadata"]["name"] == RIGHTS:
            # Under a name that is free: that it exists is said before it is judged.
            tried = {**manifest, "metadata": {**manifest["metadata"], "name": f"{RIGHTS}-2"}}
        done = create(tried)
        if done.returncode == 0 or message not in done.stderr:
            wrong.append((number, manifest, done.stderr))
    assert wrong == []
    for right in (role(rule(), rule("get,patch", names="a-oauth2-credential"), name=f"{RIGHTS}-2"), binding()):
        assert create(right).returncode == 0, create(right).stderr
    others = stolen_operator.kubectl("delete", "role", "others", "-n", namespace, "--dry-run=server", check=False)
    assert "cannot delete resource" in others.stderr


def test_stolen_operator_account_cannot_give_what_it_has_not_itself(
    stolen_operator: Cluster, namespace: str, operator: Process
) -> None:
    more = role(rule(resource="pods"), name=f"{RIGHTS}-3")
    done = stolen_operator.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(more), check=False)
    assert "attempting to grant RBAC permissions not currently held" in done.stderr, done.stderr
