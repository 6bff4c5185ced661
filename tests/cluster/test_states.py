"""Every state and reason, into it and out of it, read as users read them."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from datasource.api.states import PROVIDER_REACHABLE
from deploy.local.cluster import Cluster
from deploy.local.processes import free_ports
from tests.support.api import CLUSTER_ROLES
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster


@dataclass(frozen=True)
class Case:
    """How a reason comes about, what a user then reads, and how it goes away."""

    state: str
    reason: str
    kstatus: str
    enter: Callable[[User], None]
    leave: Callable[[User], None]
    next_reason: str


def authorized(user: User, **oauth2: object) -> None:
    link = user.ready_to_authorize(**oauth2)
    with Person() as person:
        person.authorize(link)
    user.wait_for_reason("Authorized")


def in_turn(*actions: Callable[[User], object]) -> Callable[[User], None]:
    """One after the other."""

    def run(user: User) -> None:
        for action in actions:
            action(user)

    return run


def edit(user: User, patch: dict[str, object]) -> None:
    user.kubectl("patch", "datasource", "calendar", "--type=merge", "-p", json.dumps({"spec": patch}))


def taken_name(name: str) -> Callable[[User], None]:
    def enter(user: User) -> None:
        user.create_client_secret()
        user.kubectl("create", "secret", "generic", name, "--from-literal=keep=me")
        user.apply(user.datasource(user.oauth2()))

    return enter


def short_lived_without_refresh_token(user: User) -> None:
    """Authorized with a token that runs out in seconds, from a client that gets no refresh token."""
    user.register_application(access_token_lifetime=timedelta(seconds=3))
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2(scopes=["openid", "read"])))
    user.wait_for_reason("AuthorizationRequired")
    with Person() as person:
        person.authorize(user.link())


def again_without_expiry(user: User) -> None:
    user.register_application()
    with Person() as person:
        person.authorize(user.link())


CASES = [
    Case(
        "NOT CONFIGURED",
        "OAuth2Missing",
        "Stalled",
        enter=lambda user: user.apply(user.datasource()),
        leave=lambda user: user.apply(user.datasource(user.oauth2(clientSecretRef=None))),
        next_reason="AuthorizationRequired",
    ),
    Case(
        "NOT CONFIGURED",
        "ParametersIncomplete",
        "Stalled",
        enter=lambda user: user.apply(user.datasource(user.oauth2(clientID=None, clientSecretRef=None))),
        leave=lambda user: user.apply(user.datasource(user.oauth2(clientSecretRef=None))),
        next_reason="AuthorizationRequired",
    ),
    Case(
        "NOT CONFIGURED",
        "ClientSecretNotFound",
        "Reconciling",
        enter=lambda user: user.apply(user.datasource(user.oauth2())),
        leave=lambda user: user.create_client_secret(),
        next_reason="AuthorizationRequired",
    ),
    Case(
        "NOT AUTHORIZED",
        "AuthorizationRequired",
        "",
        enter=in_turn(User.create_client_secret, lambda user: user.apply(user.datasource(user.oauth2()))),
        leave=lambda user: user.apply(user.datasource(user.oauth2(tokenURL=None, issuer=None))),
        next_reason="ParametersIncomplete",
    ),
    Case(
        "AUTHORIZED",
        "Authorized",
        "",
        enter=authorized,
        leave=lambda user: user.clear("1"),
        next_reason="CredentialCleared",
    ),
    Case(
        "NOT AUTHORIZED",
        "CredentialCleared",
        "",
        enter=in_turn(authorized, lambda user: user.clear("1")),
        leave=again_without_expiry,
        next_reason="Authorized",
    ),
    Case(
        "NOT AUTHORIZED",
        "ParametersChanged",
        "",
        enter=in_turn(authorized, lambda user: edit(user, {"oauth2": {"clientID": "another"}})),
        leave=lambda user: edit(user, {"oauth2": {"clientID": user.client_id}}),
        next_reason="Authorized",
    ),
    Case(
        "NOT AUTHORIZED",
        "TokenExpired",
        "",
        enter=short_lived_without_refresh_token,
        leave=again_without_expiry,
        next_reason="Authorized",
    ),
    Case(
        "ERROR",
        "SecretConflict",
        "Stalled",
        enter=taken_name("calendar-token"),
        leave=lambda user: edit(user, {"tokenSecret": {"name": "another"}}),
        next_reason="AuthorizationRequired",
    ),
    Case(
        "ERROR",
        "SecretConflict",
        "Stalled",
        enter=taken_name("calendar-oauth2-credential"),
        leave=in_turn(lambda user: user.kubectl("delete", "secret", "calendar-oauth2-credential")),
        next_reason="AuthorizationRequired",
    ),
    Case(
        "ERROR",
        "InvalidConfiguration",
        "Stalled",
        enter=lambda user: user.apply(
            user.datasource(user.oauth2(clientSecretRef=None, tokenURL="http://example.com/t"))
        ),
        leave=lambda user: user.apply(user.datasource(user.oauth2(clientSecretRef=None))),
        next_reason="AuthorizationRequired",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.reason}-{number}" for number, case in enumerate(CASES)])
def test_state_and_reason_come_and_go(user: User, case: Case) -> None:
    case.enter(user)
    user.wait_for_reason(case.reason)

    columns = user.kubectl("get", "datasource", "calendar", "--no-headers", "-o", "wide")
    described = user.kubectl("describe", "datasource", "calendar")
    conditions = {each["type"] for each in user.status()["conditions"]} - {PROVIDER_REACHABLE}
    assert case.state in columns
    assert case.reason in columns
    assert f"Reason:                {case.reason}" in described
    assert conditions == {"Ready", case.kstatus} - {""}
    user.kubectl("wait", "--for=jsonpath={.status.state}=" + case.state, "datasource/calendar", "--timeout=60s")
    assert ("authorizationLink" in user.status()) is (case.state == "NOT AUTHORIZED")
    assert user.status()["redirectURI"] == f"{user.external_url}/callback/{user.namespace}"
    # An Event is written beside the status, not before it.
    eventually("an Event tells it", lambda: case.reason in {each["reason"] for each in user.events()}, user.events)

    case.leave(user)
    user.wait_for_reason(case.next_reason)


def test_unreadable_credential_is_an_error_and_loses_nothing(user: User) -> None:
    authorized(user)
    before = user.credential()
    assert before is not None

    user.kubectl("annotate", "secret", "calendar-oauth2-credential", "--overwrite", "datasource.dev/revision=many")
    user.wait_for_reason("CredentialUnreadable")

    assert user.state() == "ERROR"
    assert "datasource.dev/revision" in user.ready()["message"]
    assert user.secret("calendar-token") is not None
    revision = before["metadata"]["annotations"]["datasource.dev/revision"]
    user.kubectl(
        "annotate", "secret", "calendar-oauth2-credential", "--overwrite", f"datasource.dev/revision={revision}"
    )
    user.wait_for_reason("Authorized")
    after = user.credential()
    assert after is not None
    assert after["data"] == before["data"]


def test_forbidden_secrets_are_an_error_that_heals(user: User, cluster: Cluster) -> None:
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("AuthorizationRequired")
    role = user.api.get(CLUSTER_ROLES, "datasource-operator")
    rules = [
        {**rule, "verbs": ["list", "watch"]} if rule["resources"] == ["secrets"] else rule for rule in role["rules"]
    ]
    try:
        cluster.kubectl(
            "patch", "clusterrole", "datasource-operator", "--type=merge", "-p", json.dumps({"rules": rules})
        )
        edit(user, {"oauth2": {"clientID": "another"}})
        user.wait_for_reason("SecretsForbidden")
        assert user.state() == "ERROR"
        assert user.namespace in user.ready()["message"]
    finally:
        cluster.kubectl(
            "patch", "clusterrole", "datasource-operator", "--type=merge", "-p", json.dumps({"rules": role["rules"]})
        )
    edit(user, {"oauth2": {"clientID": user.client_id}})
    user.wait_for_reason("AuthorizationRequired")


def test_missing_key_in_the_client_secret_names_secret_and_key(user: User) -> None:
    user.kubectl("create", "secret", "generic", "app", "--from-literal=other=1")
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("ClientSecretNotFound")

    message = user.ready()["message"]
    assert "names key client-secret, which is missing or empty in Secret app" in message
    assert "clientSecretRef.key" in message

    value = base64.b64encode(b"here").decode()
    user.kubectl("patch", "secret", "app", "--type=merge", "-p", json.dumps({"data": {"client-secret": value}}))
    user.wait_for_reason("AuthorizationRequired")


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("kubernetes.io/tls", {"tls.crt": "", "tls.key": "", "client-secret": "eA=="}),
        ("datasource.dev/oauth2-token", {"client-secret": "eA=="}),
        ("helm.sh/release.v1", {"client-secret": "eA=="}),
    ],
)
def test_secret_of_a_system_or_of_ours_is_no_client_secret(user: User, type_: str, data: dict[str, str]) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"}, "type": type_, "data": data}
    user.apply(secret)
    user.apply(user.datasource(user.oauth2()))

    user.wait_for_reason("InvalidConfiguration")

    assert "spec.oauth2.clientSecretRef" in user.ready()["message"]
    assert type_ in user.ready()["message"]


def test_client_secret_bound_to_hosts_goes_nowhere_else(user: User) -> None:
    user.create_client_secret()
    user.kubectl("annotate", "secret", "app", "datasource.dev/allowed-hosts=login.example.com")
    user.apply(user.datasource(user.oauth2()))

    user.wait_for_reason("InvalidConfiguration")

    assert "spec.oauth2.tokenURL" in user.ready()["message"]
    user.kubectl("annotate", "--overwrite", "secret", "app", "datasource.dev/allowed-hosts=login.example.com,127.0.0.1")
    user.wait_for_reason("AuthorizationRequired")


def test_wiped_status_comes_back_with_its_reason(user: User) -> None:
    authorized(user)
    user.clear("1")
    user.wait_for_reason("CredentialCleared")
    link = user.link()

    user.kubectl("patch", "datasource", "calendar", "--subresource=status", "--type=merge", "-p", '{"status": null}')

    user.wait_for_reason("CredentialCleared")
    assert user.state() == "NOT AUTHORIZED"
    assert user.link() != link


def test_state_can_be_selected(user: User) -> None:
    user.apply(user.datasource())
    user.wait_for_reason("OAuth2Missing")

    selected = user.kubectl("get", "dsrc", "--field-selector", "status.state=NOT CONFIGURED", "-o", "name")
    others = user.kubectl("get", "dsrc", "--field-selector", "status.state=AUTHORIZED", "-o", "name")

    assert selected.split() == ["datasource.datasource.dev/calendar"]
    assert others.strip() == ""


def test_events_are_not_repeated(user: User) -> None:
    user.apply(user.datasource())
    user.wait_for_reason("OAuth2Missing")
    for round_ in range(3):
        user.apply(user.datasource(user.oauth2(clientSecretRef=None)))
        user.wait_for_reason("AuthorizationRequired")
        user.apply(user.datasource(url=f"https://api.example.com/{round_}"))
        user.wait_for_reason("OAuth2Missing")

    eventually(
        "each Event stands once, counted",
        lambda: (
            sorted((each["reason"], each.get("series", {}).get("count", 1)) for each in user.events())
            == [("AuthorizationRequired", 3), ("OAuth2Missing", 4)]
        ),
        user.events,
    )


def test_provider_that_refuses_connections_is_told_and_changes_nothing(user: User) -> None:
    def reachable() -> dict[str, str]:
        conditions = user.status().get("conditions", [])
        return next((each for each in conditions if each["type"] == PROVIDER_REACHABLE), {})

    link = user.ready_to_authorize(tokenURL=f"http://127.0.0.1:{free_ports(1)[0]}/token")
    eventually("it is told", lambda: reachable().get("status") == "False", user.status)
    assert reachable()["reason"] == "NotConnected"
    assert "it refuses the connection" in user.kubectl("describe", "datasource", "calendar")
    assert user.status()["authorizationLink"] == link
    assert user.status()["state"] == "NOT AUTHORIZED"

    user.apply(user.datasource(user.oauth2()))
    eventually("it is told no more", lambda: reachable().get("status") != "False", user.status)
