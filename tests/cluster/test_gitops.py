"""GitOps: what Flux and Argo CD make of Datasources that the operator produced, and manifests applied again and again."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import yaml

from datasource.api.states import Reason
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.provider import Provider
from deploy.local.stack import Process, Stack
from generators import argocd as argocd_files
from tests.cluster.test_states import CASES, authorized, edit
from tests.support import argocd
from tests.support.api import CLUSTER_ROLES, CONFIG_MAPS, api_of
from tests.support.kstatus import Computed, computed
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

GITOPS_PAGE = REPOSITORY / "docs" / "gitops.md"
LUA = argocd_files.CUSTOMIZATIONS / "datasource.dev" / "Datasource"
EXPRESSIONS = yaml.safe_load((REPOSITORY / "deploy" / "flux" / "health-check-exprs.yaml").read_text())


def short_lived(user: User, lifetime: timedelta) -> None:
    """Authorized with a token that runs out soon, and a refresh token."""
    user.register_application(access_token_lifetime=lifetime)
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("AuthorizationRequired")
    with Person() as person:
        person.authorize(user.link())


def unreadable(user: User) -> None:
    authorized(user)
    user.kubectl("annotate", "secret", "calendar-oauth2-credential", "--overwrite", "datasource.dev/revision=many")


def revoked(user: User) -> None:
    authorized(user)
    user.provider.revoke_grants(user.client_id)
    user.annotate("refresh", "1")


def interrupted(user: User) -> None:
    authorized(user)
    user.provider.fault(client_id=user.client_id, drop_after=True)
    user.annotate("refresh", "1")


def refresh_fails(user: User) -> None:
    short_lived(user, timedelta(seconds=10))
    user.provider.fault(client_id=user.client_id, status=503, times=1000)


def client_rejected(user: User) -> None:
    authorized(user)
    user.kubectl("delete", "secret", "app")
    user.create_client_secret("sentinel-wrong-client-secret")
    user.annotate("refresh", "1")


def suspended(user: User) -> None:
    edit(user, {"suspend": True})
    generation = user.get()["metadata"]["generation"]
    eventually("the operator has looked", lambda: user.status()["observedGeneration"] == generation, user.status)


def suspended_authorized(user: User) -> None:
    authorized(user)
    suspended(user)


def suspended_and_run_out(user: User) -> None:
    short_lived(user, timedelta(seconds=10))
    suspended(user)


def suspended_waiting(user: User) -> None:
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("AuthorizationRequired")
    suspended(user)


@dataclass(frozen=True)
class Way:
    """How a row of the table comes about."""

    reason: str
    enter: Callable[[User], None]
    note: str = ""

    @property
    def title(self) -> str:
        """How the table calls it."""
        return f"`{self.reason}`{self.note and ', '}{self.note}"


WAYS = [
    *{case.reason: Way(case.reason, case.enter) for case in CASES}.values(),
    Way("CredentialUnreadable", unreadable),
    Way("GrantRevoked", revoked),
    Way("RefreshInterrupted", interrupted),
    Way("RefreshFailing", refresh_fails),
    Way("ClientRejected", client_rejected),
    Way("Authorized", suspended_authorized, "suspended"),
    Way("RefreshFailing", suspended_and_run_out, "suspended"),
    Way("AuthorizationRequired", suspended_waiting, "suspended"),
]

SECRETS_FORBIDDEN = Way("SecretsForbidden", lambda user: edit(user, {"oauth2": {"clientID": "another"}}))
UNSEEN = "not looked at yet"


@pytest.fixture(scope="module")
def produced(
    cluster: Cluster, stack: Stack, provider: Provider, operator: Process, callback_server: Process
) -> Iterator[dict[str, dict[str, Any]]]:
    """A Datasource in every state and for every reason, as the API server returns it; by its title in the table."""
    found: dict[str, dict[str, Any]] = {}
    users: list[User] = []

    def new_user() -> User:
        name = f"gitops-{len(users)}"
        cluster.kubectl("create", "namespace", name)
        users.append(User(cluster, name, provider, stack.external_url))
        return users[-1]

    for way in WAYS:
        user = new_user()
        way.enter(user)
        user.wait_for_reason(way.reason)
        found[way.title] = user.get()
    user = new_user()
    suspended_waiting(user)
    edit(user, {"suspend": False})
    with secrets_forbidden(cluster):
        SECRETS_FORBIDDEN.enter(user)
        user.wait_for_reason("SecretsForbidden")
        found[SECRETS_FORBIDDEN.title] = user.get()
    # Nobody but the API server has had it in hand.
    found[UNSEEN] = user.api.create(user.datasource(name="unseen"), dry_run=True)
    yield found
    for each in users:
        cluster.kubectl("delete", "namespace", each.namespace, "--wait=false")


class secrets_forbidden:
    """The operator may not read Secrets."""

    def __init__(self, cluster: Cluster) -> None:
        self._api = api_of(cluster.kubeconfig)
        self._rules = self._api.get(CLUSTER_ROLES, "datasource-operator")["rules"]

    def __enter__(self) -> None:
        self._set(
            [{**rule, "verbs": ["list", "watch"]} if rule["resources"] == ["secrets"] else rule for rule in self._rules]
        )

    def __exit__(self, *_: object) -> None:
        self._set(self._rules)

    def _set(self, rules: list[dict[str, Any]]) -> None:
        self._api.patch(CLUSTER_ROLES, "datasource-operator", {"rules": rules})


@pytest.fixture(scope="module")
def flux(produced: Mapping[str, Mapping[str, Any]]) -> dict[str, Computed]:
    """What Flux's libraries say of each."""
    (expressions,) = EXPRESSIONS["healthCheckExprs"]
    return dict(zip(produced, computed(list(produced.values()), expressions), strict=True))


def health(obj: Mapping[str, Any]) -> tuple[str, str]:
    """Status and message that Argo CD shows."""
    returned = argocd.run((LUA / "health.lua").read_text(), obj)
    return returned["status"], returned["message"]


def ready(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((each for each in obj["status"].get("conditions", []) if each["type"] == "Ready"), {})


def test_every_reason_was_produced(produced: Mapping[str, Mapping[str, Any]]) -> None:
    assert {ready(obj)["reason"] for title, obj in produced.items() if title != UNSEEN} == set(Reason)


def test_table_in_the_docs_is_what_is_computed(
    produced: Mapping[str, Mapping[str, Any]], flux: Mapping[str, Computed]
) -> None:
    rows = sorted(
        (
            obj["status"].get("state", ""),
            title,
            flux[title].kstatus,
            flux[title].health_check,
            health(obj)[0],
        )
        for title, obj in produced.items()
    )
    written = re.search(r"<!-- table:.*?\|\n((?:\|.*\n)*)<!-- end of table -->", GITOPS_PAGE.read_text(), re.DOTALL)
    assert written is not None

    table = "|---|---|---|---|---|\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)

    assert written.group(1) == table, f"docs/gitops.md should have this table:\n{table}"


def test_flux_reads_conditions_as_kstatus_does(flux: Mapping[str, Computed]) -> None:
    assert {title: each.flux for title, each in flux.items()} == {title: each.kstatus for title, each in flux.items()}


def test_kstatus_follows_the_conditions(
    produced: Mapping[str, Mapping[str, Any]], flux: Mapping[str, Computed]
) -> None:
    for title, obj in produced.items():
        conditions = {each["type"]: each["status"] for each in obj["status"].get("conditions", [])}
        expected = "InProgress"
        if conditions.get("Stalled") == "True":
            expected = "Failed"
        elif conditions.get("Ready") == "True":
            expected = "Current"
        assert flux[title].kstatus == expected, title


def test_health_message_says_what_to_do_and_holds_no_link(produced: Mapping[str, Mapping[str, Any]]) -> None:
    for title, obj in produced.items():
        _, message = health(obj)
        assert ready(obj).get("message", "") in message, title
        assert "ticket=" not in message, title
        assert len(message) > 20, title


def test_health_of_what_changed_since_is_in_progress(produced: Mapping[str, dict[str, Any]]) -> None:
    obj = produced["`Authorized`"]
    changed = {**obj, "metadata": {**obj["metadata"], "generation": obj["metadata"]["generation"] + 1}}
    assert health(changed)[0] == "Progressing"
    assert health({**obj, "status": {}})[0] == "Progressing"
    assert health({key: value for key, value in obj.items() if key != "status"})[0] == "Progressing"


def offered(obj: Mapping[str, Any]) -> set[str]:
    actions = argocd.run((LUA / "actions" / "discovery.lua").read_text(), obj)
    assert {path.name for path in (LUA / "actions").iterdir() if path.is_dir()} == set(actions)
    return {name for name, action in actions.items() if not action.get("disabled", False)}


def test_actions_are_offered_where_they_would_act(produced: Mapping[str, Mapping[str, Any]]) -> None:
    for title, obj in produced.items():
        expected = {"clear-credential"}
        if obj["status"].get("state") == "AUTHORIZED" and not obj["spec"].get("suspend"):
            expected |= {"new-credential", "refresh"}
        assert offered(obj) == expected, title


def act(user: User, action: str) -> str:
    """Run an action and patch in what it changed, as Argo CD does; returns the value of the request."""
    before = user.get()
    acted = argocd.run((LUA / "actions" / action / "action.lua").read_text(), before)
    annotations = acted["metadata"].pop("annotations")
    before["metadata"].pop("annotations", None)
    assert acted == before
    patch = {"metadata": {"annotations": annotations}}
    user.kubectl("patch", "datasource", "calendar", "--type=merge", "-p", json.dumps(patch))
    value: str = annotations[f"datasource.dev/{action}"]
    return value


def test_actions_do_what_they_say(user: User) -> None:
    authorized(user)

    user.wait_for_handled("refresh", act(user, "refresh"))
    offered_for = act(user, "new-credential")
    user.wait_for_link()
    assert user.status()["handled"]["newCredential"] == offered_for
    value = act(user, "clear-credential")
    user.wait_for_reason("CredentialCleared")

    assert user.status()["handled"]["clearCredential"] == value
    assert user.secret("calendar-token") is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value)


def test_argocd_cm_holds_the_files() -> None:
    assert argocd_files.RESULT.read_text() == argocd_files.made()
    data = yaml.safe_load(argocd_files.RESULT.read_text())["data"]
    assert data["resource.customizations.health.datasource.dev_Datasource"] == (LUA / "health.lua").read_text()
    actions = yaml.safe_load(data["resource.customizations.actions.datasource.dev_Datasource"])
    assert actions["discovery.lua"] == (LUA / "actions" / "discovery.lua").read_text()
    assert {each["name"]: each["action.lua"] for each in actions["definitions"]} == {
        path.parent.name: path.read_text() for path in LUA.glob("actions/*/action.lua")
    }


def test_patch_of_the_docs_leaves_what_argocd_cm_had(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl(
        "-n", namespace, "create", "configmap", "argocd-cm", "--from-literal=url=https://argocd.example.com"
    )

    # As in docs/gitops.md, but for the namespace.
    patch = ["patch", "configmap", "argocd-cm", "--patch-file", str(argocd_files.RESULT)]
    cluster.kubectl("-n", namespace, *patch)

    data = api_of(cluster.kubeconfig).get(CONFIG_MAPS, "argocd-cm", namespace)["data"]
    assert data == {"url": "https://argocd.example.com"} | yaml.safe_load(argocd_files.RESULT.read_text())["data"]


MANAGERS = ("kustomize-controller", "argocd-controller")


def sync(user: User, manifest: Mapping[str, Any], manager: str = MANAGERS[0]) -> None:
    """Apply a manifest as a GitOps tool does."""
    arguments = ["apply", "--server-side", f"--field-manager={manager}", "-f", "-"]
    user.kubectl(*arguments, stdin=json.dumps(manifest))


def metadata(user: User) -> Mapping[str, Any]:
    printed = user.kubectl("get", "datasource", "calendar", "-o", "json", "--show-managed-fields")
    found: Mapping[str, Any] = json.loads(printed)["metadata"]
    return found


@pytest.mark.parametrize("manager", MANAGERS)
def test_same_manifest_applied_again_changes_nothing_in_any_state(user: User, manager: str) -> None:
    manifest = user.datasource(user.oauth2(), annotations={"datasource.dev/clear-credential": "from-git"})

    def unchanged(reason: str) -> None:
        user.wait_for_reason(reason)
        before = metadata(user)
        for _ in range(3):
            sync(user, manifest, manager)
        assert metadata(user) == before, reason

    user.register_application()
    sync(user, manifest, manager)
    unchanged("ClientSecretNotFound")
    user.create_client_secret()
    unchanged("AuthorizationRequired")
    with Person() as person:
        person.authorize(user.link())
    unchanged("Authorized")
    user.kubectl("delete", "secret", "calendar-oauth2-credential")
    unchanged("AuthorizationRequired")


def test_operator_owns_the_status_and_nothing_else(user: User) -> None:
    authorized(user)
    user.clear("1")
    user.wait_for_reason("CredentialCleared")

    owned = [each for each in metadata(user)["managedFields"] if "datasource" in each["manager"]]

    assert owned
    for entry in owned:
        assert entry["subresource"] == "status"
        assert set(entry["fieldsV1"]) == {"f:status"}


def test_requests_kept_in_git_act_once_whatever_git_does(user: User) -> None:
    user.register_application()
    user.create_client_secret()

    def commit(value: str | None) -> None:
        annotations = {} if value is None else {"datasource.dev/clear-credential": value}
        sync(user, user.datasource(user.oauth2(), annotations=annotations))

    def get_credential() -> str:
        user.wait_for_link()
        with Person() as person:
            person.authorize(user.link())
        user.wait_for_reason("Authorized")
        return user.credential_id()

    def looked() -> None:
        """Make the operator look once more; what it was going to do, it has done then."""
        again = user.get()["metadata"]["resourceVersion"]
        user.annotate("refresh", again)
        user.wait_for_handled("refresh", again)

    commit("monday")
    stored = get_credential()
    for value in ("monday", None, "monday", "monday"):
        commit(value)
        looked()
        assert user.credential_id() == stored, value
    commit("tuesday")
    user.wait_for_reason("CredentialCleared")
    stored = get_credential()
    for value in ("monday", "tuesday", None, "monday"):
        commit(value)
        looked()
        assert user.credential_id() == stored, value
    commit("wednesday")
    user.wait_for_reason("CredentialCleared")
