"""Sign-in on a real API server: its RBAC decides, its Table is the list, its policies hold what a stolen token can write."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from secrets import token_bytes

import msgspec
import pytest

from callback_server.signed_in.sessions import SESSION
from datasource.api.names import LINK_KEYS_SECRET, session_secret_name, uid_digest
from datasource.api.objects import Secret
from datasource.oauth2.kubernetes_user import User as KubernetesUser
from datasource.process.clock import utc_now
from datasource.process.installation import SYSTEM_NAMESPACE
from datasource.records.flow import key_hash
from datasource.records.link_keys import read_link_keys
from datasource.records.session import (
    Session,
    digest_of_settings,
    ended_patch,
    new_session_key,
    session_manifest,
)
from deploy.local.cluster import Cluster
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import CALLBACK_SERVER, OPERATOR, Process, Stack
from tests.support.api import DATASOURCES, SECRETS, Api, Manifest, api_of, refusal
from tests.support.employee import Employee
from tests.support.patience import eventually
from tests.support.person import STORED
from tests.support.refresh import leads_on_to
from tests.support.sign_in import with_component
from tests.support.user import User

pytestmark = pytest.mark.cluster

CLIENT, SECRET = "sign-in", "sentinel-sign-in-secret-51c7"
GROUP = "rbac.authorization.k8s.io"
AUTHORIZER = "test-sign-in-authorizer"


@pytest.fixture(scope="module")
def with_sign_in(cluster: Cluster, folder: Path, provider: Provider, operator: Process) -> Iterator[Stack]:
    """A callback server of its own, at which people sign in, with the rights of the component."""
    stack = Stack(cluster, folder / "logs", free_ports(1)[0])
    secret_file = folder / "sign-in-secret"
    secret_file.write_text(SECRET)
    provider.register_client(CLIENT, SECRET, [f"{stack.external_url}/signed-in"])
    api_of(cluster.kubeconfig).create(authorizer())
    process = stack.callback_server(
        "callback-server-with-sign-in",
        DATASOURCE_SIGN_IN_ISSUER=provider.issuer,
        DATASOURCE_SIGN_IN_CLIENT_ID=CLIENT,
        DATASOURCE_SIGN_IN_SECRET_FILE=str(secret_file),
        DATASOURCE_SIGN_IN_SCOPES="openid email",
        DATASOURCE_SIGN_IN_USERNAME_CLAIM="email",
    )
    with with_component(cluster, folder):
        process.start()
        yield stack
        process.stop()


def authorizer() -> Manifest:
    """Of somebody who may list, too, and not patch."""
    rule = {"apiGroups": ["datasource.dev"], "resources": ["datasources"], "verbs": ["get", "list", "authorize"]}
    return {"apiVersion": f"{GROUP}/v1", "kind": "ClusterRole", "metadata": {"name": AUTHORIZER}, "rules": [rule]}


@pytest.fixture
def tenant(cluster: Cluster, namespace: str, provider: Provider, with_sign_in: Stack, operator: Process) -> User:
    """Who owns the namespace."""
    return User(cluster, namespace, provider, with_sign_in.external_url)


def bind(tenant: User, user: str, role: str) -> None:
    tenant.kubectl(
        "create", "rolebinding", f"{user.partition('@')[0]}-{role}", f"--clusterrole={role}", f"--user={user}"
    )
    # A page keeps an answer for ten seconds.
    eventually(
        "the right is there",
        lambda: tenant.api.may("get", "datasources.datasource.dev", tenant.namespace, user=user),
    )


def test_people_see_and_do_what_the_cluster_allows_them_and_nothing_else(tenant: User) -> None:
    tenant.ready_to_authorize()
    page, listed = (f"{tenant.external_url}/datasources/{tenant.namespace}{below}" for below in ("/calendar", ""))
    bind(tenant, "ada@example.com", AUTHORIZER)
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
        assert STORED in done.text
        tenant.wait_for_status("the credential is in use", lambda status: status.get("state") == "AUTHORIZED")

        # It is somebody's now: to replace or clear it takes more than authorize.
        assert "may not replace this one" in ada.get(page).text
        assert ada.get(f"{page}/clear").status_code == 403

        sessions = tenant.api.all_of(SECRETS, SYSTEM_NAMESPACE, fields="type=datasource.dev/session")
        assert len(sessions) == 2
        assert "You are signed out" in ada.get(ada.submit(ada.get(page), "Sign out").headers["location"]).text
        assert "Please sign in" in ada.get(page).text


def test_who_may_list_all_namespaces_has_one_list_by_state_and_nobody_else_has(
    tenant: User, cluster: Cluster, with_sign_in: Stack
) -> None:
    tenant.ready_to_authorize()
    bind(tenant, "demo@example.com", "datasource-viewer")
    here = f'href="/datasources/{tenant.namespace}/calendar">calendar</a>'
    everywhere = f"{tenant.external_url}/datasources"
    with Employee("demo") as viewer:
        denied = viewer.sign_in(viewer.get(everywhere))
        assert denied.status_code == 403
        assert tenant.namespace not in denied.text
        command = re.search(r"<pre>kubectl (create clusterrolebinding [^<]*)</pre>", denied.text)
        assert command is not None
    words = command[1].replace("demo@example.com", "ada@example.com").split()
    cluster.kubectl(*words)
    try:
        eventually(
            "the right is there",
            lambda: tenant.api.may("list", "datasources.datasource.dev", user="ada@example.com"),
        )
        with Employee("ada") as ada:
            listed = ada.sign_in(ada.get(everywhere)).text
            assert here in listed
            assert f">{tenant.namespace}</td>" in listed
            assert here in ada.get(f"{everywhere}?state=NOT+AUTHORIZED").text
            assert here not in ada.get(f"{everywhere}?state=ERROR").text
            one = f"{everywhere}/{tenant.namespace}"
            assert here in ada.get(f"{one}?state=NOT+AUTHORIZED").text
            assert "No Datasource is in state AUTHORIZED." in ada.get(f"{one}?state=AUTHORIZED").text
    finally:
        cluster.kubectl("delete", "clusterrolebinding", words[2])


def test_no_answer_of_the_cluster_tells_whether_there_is_such_a_namespace_or_datasource(tenant: User) -> None:
    tenant.ready_to_authorize()
    absent = tenant.namespace[:-1] + ("x" if tenant.namespace[-1] != "x" else "y")
    with Employee("ada") as ada:
        ada.sign_in(ada.get(tenant.external_url))
        answers = []
        for namespace, name in ((tenant.namespace, "calendar"), (tenant.namespace, "calendas"), (absent, "calendar")):
            page = ada.get(f"{tenant.external_url}/datasources/{namespace}/{name}")
            text = re.sub("<code>[0-9a-f]{10}</code>", "", page.text).replace(absent, tenant.namespace)
            answers.append((page.status_code, page.headers["content-length"], text))
    assert answers[0][0] == 403
    assert answers[0] == answers[1] == answers[2]


# What a stolen token is good for.


@pytest.fixture
def thief(cluster: Cluster, with_sign_in: Stack) -> Api:
    """The API with the callback server's token."""
    return api_of(cluster.kubeconfig_for(SYSTEM_NAMESPACE, CALLBACK_SERVER))


def test_stolen_token_lists_datasources_and_changes_none(tenant: User, thief: Api) -> None:
    tenant.ready_to_authorize()
    there, space = tenant.get(), tenant.namespace
    assert there["metadata"]["uid"] in {each["metadata"]["uid"] for each in thief.all_of(DATASOURCES)}
    changed: Manifest = {"metadata": {"annotations": {"datasource.dev/clear-credential": "1"}}}
    refused = {
        "patch": refusal(thief.patch, DATASOURCES, "calendar", changed, space),
        "create": refusal(
            thief.create, {key: there[key] for key in ("apiVersion", "kind", "spec")} | named("x", space)
        ),
        "update": refusal(thief.replace, there),
        "delete": refusal(thief.delete, DATASOURCES, "calendar", space),
        "deletecollection": refusal(thief.delete_all, DATASOURCES, space),
    }
    for verb, said in refused.items():
        assert f'cannot {verb} resource "datasources"' in said, (verb, said)
    assert tenant.get()["metadata"]["generation"] == there["metadata"]["generation"]


def named(name: str, namespace: str) -> Manifest:
    return {"metadata": {"name": name, "namespace": namespace}}


def test_stolen_token_asks_what_anybody_may_and_gets_no_right_by_it(tenant: User, thief: Api, cluster: Cluster) -> None:
    bind(tenant, "ada@example.com", "datasource-editor")
    here = {"namespace": tenant.namespace, "verb": "patch", "group": "datasource.dev", "resource": "datasources"}
    local = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "LocalSubjectAccessReview",
        "metadata": {"namespace": tenant.namespace},
        "spec": {"user": "ada@example.com", "resourceAttributes": here},
    }
    assert thief.create(local)["status"]["allowed"]
    # A question that names no namespace takes another right.
    assert "cannot create resource" in refusal(thief.may, "get", "nodes", user="ada@example.com")
    # To ask who somebody is, or to be somebody, takes other rights.
    stolen = Cluster(cluster.kubeconfig_for(SYSTEM_NAMESPACE, CALLBACK_SERVER), cluster.folder)
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "x"}}
    done = stolen.kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(token), check=False)
    assert 'cannot create resource "tokenreviews"' in done.stderr
    done = stolen.kubectl("get", "secrets", "-n", tenant.namespace, "--as=ada@example.com", check=False)
    assert "cannot impersonate" in done.stderr
    for arguments in (("get", "secrets", "-n", tenant.namespace), ("get", "secrets", "-n", SYSTEM_NAMESPACE)):
        assert 'cannot list resource "secrets"' in stolen.kubectl(*arguments, check=False).stderr


def digest(provider: Provider) -> str:
    """How people sign in at the callback server of these tests; it is no secret."""
    return digest_of_settings(provider.issuer, CLIENT, "email", "", "", "")


def forged(
    thief: Api, user: KubernetesUser, provider: Provider, slot: int = 0, *, begins_in: timedelta = timedelta(0)
) -> str:
    """A session that the thief writes, and the cookie that leads to it."""
    keys = read_link_keys(msgspec.convert(thief.get(SECRETS, LINK_KEYS_SECRET, SYSTEM_NAMESPACE), Secret))
    newest = keys.newest()
    assert newest is not None
    key = new_session_key(user, slot, token_bytes, newest)
    session = Session(key_hash(key), user, digest(provider), utc_now() + begins_in)
    thief.create(session_manifest(session, key, system_namespace=SYSTEM_NAMESPACE))
    return key.text


def test_stolen_token_passes_for_any_person_at_the_pages_and_for_none_of_the_cluster_s_own(
    tenant: User, thief: Api, provider: Provider
) -> None:
    tenant.ready_to_authorize()
    page = f"{tenant.external_url}/datasources/{tenant.namespace}/calendar"
    bind(tenant, "grace@example.com", "datasource-editor")
    with Employee("demo") as pretender:
        for user in (KubernetesUser("system:admin"), KubernetesUser("eve@example.com", ("system:masters",))):
            pretender.cookies = {SESSION.name: forged(thief, user, provider)}
            assert "Please sign in" in pretender.get(page).text

        # Nor does one last for longer than an hour.
        grace = KubernetesUser("grace@example.com")
        later = forged(thief, grace, provider, slot=1, begins_in=timedelta(days=365))
        pretender.cookies = {SESSION.name: later}
        assert "Please sign in" in pretender.get(page).text

        pretender.cookies = {SESSION.name: forged(thief, KubernetesUser("mallory@example.com"), provider)}
        assert pretender.get(page).status_code == 403

        # What grace may do, in grace's name, who never signed in; the provider's account is the thief's.
        pretender.cookies = {SESSION.name: forged(thief, grace, provider)}
        onward = leads_on_to(pretender.submit(pretender.get(page), "Get new credential").text)
        assert onward is not None
        assert STORED in pretender.come_back(pretender.consent(onward)).text
        tenant.wait_for_status("the credential is in use", lambda status: status.get("state") == "AUTHORIZED")
        told = tenant.status()["history"]
        assert [each["by"] for each in told] == ["grace@example.com"]
        # No page shows a token, and the Secret for apps is not to be read.
        token = tenant.decoded("calendar-token", "access_token")
        assert token is not None
        assert token not in pretender.get(page).text
    assert 'cannot get resource "secrets"' in refusal(thief.get, SECRETS, "calendar-token", tenant.namespace)


def test_operator_deletes_a_session_that_is_over_and_changes_none(
    tenant: User, thief: Api, cluster: Cluster, provider: Provider
) -> None:
    """Each that is over would stay for good, and a hundred thousand of them are the API server's memory."""
    forged(thief, KubernetesUser("mia@example.com"), provider, slot=3)
    name = session_secret_name(uid_digest("mia@example.com"), 3)
    operator = api_of(cluster.kubeconfig_for(SYSTEM_NAMESPACE, OPERATOR))
    change = {"metadata": {"annotations": {"datasource.dev/expires-at": "2100-01-01T00:00:00Z"}}}
    assert "of type datasource.dev/session" in refusal(operator.patch, SECRETS, name, change, SYSTEM_NAMESPACE)
    assert refusal(operator.delete, SECRETS, name, SYSTEM_NAMESPACE) == ""


def test_stolen_token_writes_sessions_in_their_place_and_as_they_are_and_deletes_none(
    tenant: User, thief: Api, provider: Provider
) -> None:
    forged(thief, KubernetesUser("lea@example.com"), provider, slot=7)
    name = session_secret_name(uid_digest("lea@example.com"), 7)
    there = thief.get(SECRETS, name, SYSTEM_NAMESPACE)
    elsewhere = {key: there[key] for key in ("apiVersion", "kind", "type", "data")}
    # The right to create Secrets is of every namespace; the policies are not. Each of those that refuse may be the one told.
    said = refusal(thief.create, elsewhere | named(name, tenant.namespace), dry_run=True)
    assert "Sessions must be named" in said or "so you must be allowed to read a Secret to write it" in said
    for changed, said in (
        ({"labels": {"argocd.argoproj.io/secret-type": "cluster"}}, "may not label a Secret"),
        ({"finalizers": ["example.com/stay"]}, "may not add or remove finalizers"),
        ({"annotations": {"replicator.v1.mittwald.de/replicate-to": "*"}}, "may change only annotations"),
        ({"annotations": {"datasource.dev/page-request": "{}"}}, "Sessions must be named"),
    ):
        assert said in refusal(thief.patch, SECRETS, name, {"metadata": changed}, SYSTEM_NAMESPACE), changed
    assert "may not make a Secret immutable" in refusal(
        thief.patch, SECRETS, name, {"immutable": True}, SYSTEM_NAMESPACE
    )
    assert 'cannot delete resource "secrets"' in refusal(thief.delete, SECRETS, name, SYSTEM_NAMESPACE)
    # As with a sign-out: the person signs in again.
    thief.patch(SECRETS, name, ended_patch(there["metadata"]["resourceVersion"], utc_now()), SYSTEM_NAMESPACE)


def test_stolen_token_reads_the_client_secret_of_sign_in_where_it_stands_beside_the_records(
    thief: Api, tenant: User
) -> None:
    """Why docs tell to keep nothing else there: rights cannot tell it from a flow record."""
    name = f"sign-in-{tenant.namespace}"
    beside = {"apiVersion": "v1", "kind": "Secret", "stringData": {"client-secret": "s"}}
    tenant.api.create(beside | named(name, SYSTEM_NAMESPACE))
    try:
        assert thief.get(SECRETS, name, SYSTEM_NAMESPACE)["data"]
        said = refusal(thief.patch, SECRETS, name, {"stringData": {"client-secret": "x"}}, SYSTEM_NAMESPACE)
        assert "may write only" in said
    finally:
        tenant.api.delete(SECRETS, name, SYSTEM_NAMESPACE)
