"""Beginnings and ends: deletion, namespaces, restarts, restores, missed events."""

import json
import time

import pytest

from datasource.api.names import CALLBACK_RIGHTS
from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.controlplane import ControlPlane
from deploy.local.stack import OPERATOR, Process, Stack
from tests.support.api import DATASOURCES, EVENTS, NAMESPACES, SECRETS
from tests.support.audit import ApiRequest, requests_by, writes_by
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

SWEPT = ("datasource-flow-", "datasource-session-")
"""Names of what anybody who ran before may have left."""

OPERATOR_USER = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{OPERATOR}"


def authorize(user: User) -> None:
    link = user.ready_to_authorize()
    with Person() as person:
        person.authorize(link)
    user.wait_for_reason("Authorized")


def test_deleting_a_datasource_removes_its_secrets(user: User) -> None:
    authorize(user)
    assert user.get()["metadata"].get("finalizers") is None

    user.kubectl("delete", "datasource", "calendar")

    eventually("the credential is gone", lambda: user.credential() is None)
    eventually("the token Secret is gone", lambda: user.secret("calendar-token") is None)
    assert user.secret("app") is not None


def test_namespace_can_be_deleted_while_the_operator_is_down(user: User, operator: Process) -> None:
    authorize(user)
    operator.stop()
    try:
        user.cluster.kubectl("delete", "namespace", user.namespace, "--timeout=60s")
        assert user.api.find(NAMESPACES, user.namespace) is None
    finally:
        operator.start()
        user.cluster.kubectl("create", "namespace", user.namespace)


def test_datasource_of_the_same_name_inherits_nothing(user: User) -> None:
    authorize(user)
    old = user.credential_id()

    user.kubectl("delete", "datasource", "calendar")
    user.apply(user.datasource(user.oauth2()))

    user.wait_for_reason("AuthorizationRequired")
    eventually("the old credential is gone", lambda: user.credential_id() != old)
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")
    assert user.credential_id() != old


@pytest.mark.parametrize("fits", [True, False], ids=["fits the parameters", "of other parameters"])
def test_restored_credential_is_adopted_only_if_it_fits(user: User, operator: Process, fits: bool) -> None:
    authorize(user)
    backup = user.credential()
    assert backup is not None
    for field in ("ownerReferences", "uid", "resourceVersion", "creationTimestamp", "managedFields"):
        backup["metadata"].pop(field, None)
    user.kubectl("delete", "datasource", "calendar")
    eventually("the credential is gone", lambda: user.credential() is None)

    user.kubectl("create", "-f", "-", stdin=json.dumps(backup))
    user.apply(user.datasource(user.oauth2() if fits else user.oauth2(clientID="another")))

    if fits:
        user.wait_for_reason("Authorized")
        restored = user.credential()
        assert restored is not None
        assert restored["data"] == backup["data"]
        assert restored["metadata"]["ownerReferences"][0]["uid"] == user.get()["metadata"]["uid"]
        eventually("apps have a token", lambda: user.secret("calendar-token") is not None)
    else:
        user.wait_for_reason("ParametersChanged")
        left_alone = user.credential()
        assert left_alone is not None
        assert "ownerReferences" not in left_alone["metadata"]
        assert left_alone["data"] == backup["data"]


def test_deletion_that_the_operator_slept_through_is_no_trouble(user: User, operator: Process) -> None:
    authorize(user)
    operator.stop()
    try:
        user.kubectl("delete", "secret", "calendar-token", "calendar-oauth2-credential")
    finally:
        operator.start()

    user.wait_for_reason("AuthorizationRequired")
    assert user.secret("calendar-token") is None


def test_restart_over_settled_objects_writes_nothing(
    user: User, operator: Process, control_plane: ControlPlane, stack: Stack
) -> None:
    authorize(user)
    user.create_client_secret(name="shared")
    shared = {"name": "shared", "key": "client-secret"}
    many = [
        user.datasource(None, name="no-oauth2"),
        user.datasource(user.oauth2(clientSecretRef={"name": "absent"}), name="no-secret"),
        *[user.datasource(user.oauth2(clientSecretRef=shared), name=f"waiting-{number}") for number in range(198)],
    ]
    user.kubectl("create", "-f", "-", stdin="\n---\n".join(json.dumps(each) for each in many))

    def all_settled() -> bool:
        items = user.all_of(DATASOURCES)
        return len(items) == 201 and all(each["status"]["observedGeneration"] == 1 for each in items)

    eventually("all are settled", all_settled)
    user.wait_for_callback_rights("waiting-197")
    eventually_quiet(control_plane)
    before = versions(user)

    for restart in ("first", "second"):
        operator.stop()
        begun = control_plane.audit_log.stat().st_size
        operator.start()
        marker = f"marker-{restart}"
        # Seen after all the others: what the operator was going to do with them, it has begun by then.
        user.apply(user.datasource(None, name=marker))
        user.wait_for_reason("OAuth2Missing", marker)
        eventually_quiet(control_plane)
        written = without_the_lease(writes_by(OPERATOR_USER, control_plane.audit_log, since=begun))
        # The marker is one more Datasource that the callback server may read the Secrets of.
        rights = [each.resource for each in written if each.name == CALLBACK_RIGHTS]
        assert rights == ["roles", "rolebindings"]
        rest = [each for each in written if each.name != CALLBACK_RIGHTS]
        assert [each for each in rest if not each.name.startswith(marker)] == []
        assert sorted(each.resource for each in rest) == ["datasources/status", "events"]

    assert versions(user) == before


def versions(user: User) -> dict[str, str]:
    """resourceVersions of everything that the operator could have written, markers aside."""
    listed = [each for resource in (DATASOURCES, SECRETS, EVENTS) for each in user.all_of(resource)]
    names = {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in listed}
    return {name: version for name, version in names.items() if "/marker-" not in name}


def eventually_quiet(control_plane: ControlPlane) -> None:
    """Until the operator has asked nothing of the API server for two seconds, but about its Lease."""
    size = -1
    while size != (size := len(without_the_lease(requests_by(OPERATOR_USER, control_plane.audit_log)))):
        time.sleep(2)


def without_the_lease(requests: list[ApiRequest]) -> list[ApiRequest]:
    """An idle operator renews its Lease, sweeps flow records and sessions that others left, and nothing else."""
    return [each for each in requests if each.resource != "leases" and not each.name.startswith(SWEPT)]
