"""Refresh: apps always have a live token, no refresh token is spent twice, no grant is lost."""

import itertools
import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from datasource.api.states import PROVIDER_REACHABLE
from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.build import KUBE_APISERVER
from deploy.local.controlplane import ControlPlane
from deploy.local.provider import LONGEST_HOLD, TokenRequest
from deploy.local.stack import OPERATOR, Process, Stack
from tests.support.audit import writes_by
from tests.support.person import Person
from tests.support.user import CLIENT_SECRET, User, eventually

pytestmark = pytest.mark.cluster

CREDENTIAL = "calendar-oauth2-credential"


def authorize(user: User, lifetime: timedelta = timedelta(hours=1)) -> None:
    user.register_application(access_token_lifetime=lifetime)
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("AuthorizationRequired")
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")


def refreshes(user: User) -> list[TokenRequest]:
    """Requests with a refresh token that this user's application made."""
    made = user.provider.token_requests()
    return [each for each in made if each.client_id == user.client_id and each.grant_type == "refresh_token"]


def revision(user: User) -> int:
    credential = user.credential()
    return 0 if credential is None else int(credential["metadata"]["annotations"].get("datasource.dev/revision", 0))


def annotation(user: User, name: str) -> str | None:
    credential = user.credential()
    assert credential is not None
    value: str | None = credential["metadata"]["annotations"].get(f"datasource.dev/{name}")
    return value


def refresh(user: User, value: str) -> None:
    """Ask for a refresh."""
    user.annotate("refresh", value)


def refreshed(user: User, value: str) -> None:
    """Ask for a refresh and wait until it was done."""
    before = revision(user)
    refresh(user, value)
    user.wait_for_handled("refresh", value)
    assert revision(user) == before + 1


def each_was_spent_once(user: User) -> None:
    """No refresh token was sent twice."""
    spent = [each.refresh_token_sha256 for each in refreshes(user)]
    assert len(spent) == len(set(spent))


def test_short_lived_token_is_refreshed_before_it_runs_out(user: User) -> None:
    authorize(user, timedelta(seconds=20))
    first = user.secret("calendar-token")

    # A third may be under way already, and has no answer then.
    eventually("it was refreshed twice", lambda: len([each for each in refreshes(user) if each.status]) >= 2)

    second = user.secret("calendar-token")
    assert first is not None
    assert second is not None
    assert first["data"]["access_token"] != second["data"]["access_token"]
    assert user.ready()["status"] == "True"
    assert {each.status for each in refreshes(user)} <= {200, None}
    each_was_spent_once(user)


def test_refresh_on_request_acts_once_per_value(user: User) -> None:
    authorize(user)

    refreshed(user, "1")
    refreshed(user, "2")
    refresh(user, "1")
    user.apply(user.datasource(user.oauth2(), refreshBefore="5m"))
    eventually("the operator has looked", lambda: user.status()["observedGeneration"] == 2)

    assert len(refreshes(user)) == 2
    each_was_spent_once(user)
    assert annotation(user, "intent") is None


def test_refresh_costs_four_writes(user: User, control_plane: ControlPlane) -> None:
    authorize(user)
    begun = control_plane.audit_log.stat().st_size

    refreshed(user, "1")

    operator = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{OPERATOR}"

    def ours() -> list[tuple[str, str]]:
        written = writes_by(operator, control_plane.audit_log, since=begun)
        return [(each.verb, each.resource) for each in written if each.namespace == user.namespace]

    # A write stands in the log a moment after it can be seen.
    eventually("the last one is in the log", lambda: len(ours()) >= 4, ours)
    # The intent, the store, the token Secret, the status.
    assert ours() == [("patch", "secrets")] * 3 + [("patch", "datasources/status")]


def test_refresh_without_a_refresh_token_is_handled_and_does_nothing(user: User) -> None:
    user.register_application()
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2(scopes=["openid", "read"])))
    user.wait_for_reason("AuthorizationRequired")
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")

    refresh(user, "1")
    user.wait_for_handled("refresh", "1")

    assert refreshes(user) == []
    assert user.state() == "AUTHORIZED"


def test_revoked_grant_needs_a_person_and_the_dead_token_is_never_sent_again(user: User, operator: Process) -> None:
    authorize(user)
    user.provider.revoke_grants(user.client_id)

    refresh(user, "1")
    user.wait_for_reason("GrantRevoked")

    assert user.state() == "NOT AUTHORIZED"
    assert user.status()["handled"]["refresh"] == "1"
    assert user.secret("calendar-token") is not None  # the access token has not run out
    user.kubectl("patch", "datasource", "calendar", "--subresource=status", "--type=merge", "-p", '{"status": null}')
    user.wait_for_reason("GrantRevoked")
    operator.stop()
    operator.start()
    refresh(user, "2")
    user.wait_for_handled("refresh", "2")
    assert len(refreshes(user)) == 1
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")
    refreshed(user, "3")


def test_token_secret_goes_when_the_revoked_access_token_runs_out(user: User) -> None:
    authorize(user, timedelta(seconds=20))
    user.provider.revoke_grants(user.client_id)

    user.wait_for_reason("GrantRevoked")

    eventually("the token Secret is gone", lambda: user.secret("calendar-token") is None)


def test_rejected_client_is_an_error_and_heals_when_the_secret_is_corrected(user: User) -> None:
    authorize(user)
    user.kubectl("delete", "secret", "app")
    user.create_client_secret("sentinel-wrong-client-secret")

    refresh(user, "1")
    user.wait_for_reason("ClientRejected")

    assert user.state() == "ERROR"
    assert "spec.oauth2.clientID" in user.ready()["message"]
    assert user.secret("calendar-token") is not None
    user.kubectl("delete", "secret", "app")
    user.create_client_secret()
    user.wait_for_reason("Authorized")
    user.wait_for_handled("refresh", "1")


def test_missing_client_secret_does_not_touch_the_credential(user: User) -> None:
    authorize(user)
    user.kubectl("delete", "secret", "app")

    refresh(user, "1")
    user.apply(user.datasource(user.oauth2(), refreshBefore="5m"))
    eventually("the operator has looked", lambda: user.status()["observedGeneration"] == 2)

    assert user.state() == "AUTHORIZED"
    assert refreshes(user) == []
    user.create_client_secret()
    user.wait_for_handled("refresh", "1")


@pytest.mark.parametrize("status", [503, 429])
def test_throttled_refresh_is_tried_again_with_the_same_token(user: User, status: int) -> None:
    authorize(user)
    user.provider.fault(client_id=user.client_id, status=status, retry_after=3, times=2)

    refreshed(user, "1")

    made = refreshes(user)
    assert [each.status for each in made] == [status, status, 200]
    assert len({each.refresh_token_sha256 for each in made}) == 1
    for earlier, later in itertools.pairwise(made):
        assert later.at - earlier.at >= timedelta(seconds=3)  # Retry-After, as asked for


def test_failing_refresh_is_told_once_the_token_is_dead(user: User) -> None:
    authorize(user, timedelta(seconds=15))
    user.provider.fault(client_id=user.client_id, status=503, times=1000)

    user.wait_for_reason("RefreshFailing")

    assert user.state() == "AUTHORIZED"
    assert user.ready()["status"] == "False"
    assert {each["type"] for each in user.status()["conditions"]} - {PROVIDER_REACHABLE} == {"Ready", "Reconciling"}
    user.provider.forget_faults()
    user.wait_for_reason("Authorized")
    assert user.ready()["status"] == "True"


@pytest.mark.parametrize(
    ("fault", "status"), [({"status": 502}, 502), ({"drop_before": True}, None)], ids=["502", "cut"]
)
def test_connection_cut_before_the_provider_acted_loses_nothing(
    user: User, fault: dict[str, Any], status: int | None
) -> None:
    authorize(user)
    user.provider.fault(client_id=user.client_id, **fault)

    refreshed(user, "1")

    made = refreshes(user)
    assert [each.status for each in made] == [status, 200]
    # The outcome of the first was unknown, so the same token was sent once more.
    assert len({each.refresh_token_sha256 for each in made}) == 1
    assert user.state() == "AUTHORIZED"


def test_connection_cut_after_the_provider_rotated_is_told_as_interrupted(user: User) -> None:
    authorize(user)
    user.provider.fault(client_id=user.client_id, drop_after=True)

    refresh(user, "1")
    user.wait_for_reason("RefreshInterrupted")

    made = refreshes(user)
    assert len(made) == 3  # the second only because the outcome of the first is unknown, the third for the last time
    assert user.state() == "NOT AUTHORIZED"
    assert user.status()["handled"]["refresh"] == "1"
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")


def while_a_reply_is_held(user: User, action: Callable[[], object], *, hold: timedelta = LONGEST_HOLD) -> None:
    """Ask for a refresh, and do something while the provider, having rotated, holds its reply back; it comes then at once."""
    before = len(refreshes(user))
    user.provider.fault(client_id=user.client_id, hold_reply=hold)
    refresh(user, f"held-{before}")
    eventually("the provider has rotated", lambda: [each.status for each in refreshes(user)[before:]] == [200])
    action()
    user.provider.let_go()


def test_reply_that_comes_late_is_read_and_nothing_is_sent_twice(user: User) -> None:
    """A provider that is silent for longer than a token request may take elsewhere: if nobody read it, the grant would end."""
    authorize(user)

    while_a_reply_is_held(user, lambda: time.sleep(25), hold=timedelta(seconds=40))
    user.wait_for_handled("refresh", "held-0")

    assert [each.status for each in refreshes(user)] == [200]
    refreshed(user, "again")


def test_label_added_while_a_reply_is_under_way_loses_nothing(user: User) -> None:
    authorize(user)

    while_a_reply_is_held(user, lambda: user.kubectl("label", "secret", CREDENTIAL, "backup=yes"))
    user.wait_for_handled("refresh", "held-0")

    refreshed(user, "again")
    assert len(refreshes(user)) == 2
    credential = user.credential()
    assert credential is not None
    assert credential["metadata"]["labels"]["backup"] == "yes"


def test_clear_while_a_reply_is_under_way_wins(user: User) -> None:
    authorize(user)

    def clear() -> None:
        user.clear("1")
        user.wait_for_reason("CredentialCleared")

    while_a_reply_is_held(user, clear)
    user.create_client_secret(name="marker")
    eventually("the reply came", lambda: refreshes(user)[0].status == 200)

    # One token may wait a moment for its revocation.
    eventually("no token is left", lambda: user.tokens() == {}, user.credential)
    assert user.state() == "NOT AUTHORIZED"


def test_secret_deleted_while_a_reply_is_under_way_is_not_made_anew(user: User) -> None:
    authorize(user)

    def delete() -> None:
        user.kubectl("delete", "secret", CREDENTIAL)
        user.wait_for_reason("AuthorizationRequired")

    while_a_reply_is_held(user, delete)
    eventually("the reply came", lambda: refreshes(user)[0].status == 200)

    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")
    refreshed(user, "again")


def test_new_credential_stored_while_a_reply_is_under_way_wins(user: User) -> None:
    authorize(user)
    user.annotate("new-credential", "1")
    user.wait_for_link()
    with Person() as person:
        callback = person.consent(person.begin(user.link()))
        while_a_reply_is_held(user, lambda: person.come_back(callback))
    newer = user.credential_id()
    eventually("the reply came", lambda: refreshes(user)[0].status == 200)
    # The refresh was asked for while the person consented, so it is still to be done.
    user.wait_for_handled("refresh", "held-0")

    refreshed(user, "again")

    assert user.credential_id() == newer
    assert user.state() == "AUTHORIZED"


def test_datasource_made_anew_while_a_reply_is_under_way_gets_nothing_of_it(user: User) -> None:
    authorize(user)

    def make_anew() -> None:
        user.kubectl("delete", "datasource", "calendar")
        user.apply(user.datasource(user.oauth2()))
        user.wait_for_reason("AuthorizationRequired")

    while_a_reply_is_held(user, make_anew)
    eventually("the reply came", lambda: refreshes(user)[0].status == 200)
    eventually("the old credential is gone", lambda: user.credential() is None)


def test_immutable_credential_is_an_error_before_anything_is_sent(user: User) -> None:
    authorize(user)
    user.kubectl("patch", "secret", CREDENTIAL, "--type=merge", "-p", '{"immutable": true}')

    refresh(user, "1")
    user.wait_for_reason("SecretConflict")

    assert CREDENTIAL in user.ready()["message"]
    assert refreshes(user) == []
    assert annotation(user, "intent") is None


def test_changed_token_url_gets_no_refresh_token(user: User) -> None:
    authorize(user)

    user.apply(user.datasource(user.oauth2(tokenURL=f"{user.provider.issuer}/elsewhere")))
    user.wait_for_reason("ParametersChanged")
    refresh(user, "1")
    user.apply(user.datasource(user.oauth2(tokenURL=f"{user.provider.issuer}/elsewhere"), refreshBefore="5m"))
    eventually("the operator has looked", lambda: user.status()["observedGeneration"] == 3)

    assert refreshes(user) == []
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("Authorized")
    user.wait_for_handled("refresh", "1")


def test_sigterm_waits_for_a_reply_under_way(user: User, operator: Process) -> None:
    authorize(user)

    # Longer than kopf waits for tasks before it cancels them.
    while_a_reply_is_held(user, operator.stop, hold=timedelta(seconds=10))
    stored = revision(user)
    operator.start()
    user.wait_for_handled("refresh", "held-0")

    assert stored == 2
    assert len(refreshes(user)) == 1


def test_api_server_frozen_while_a_reply_is_under_way_costs_nothing_and_nobody_takes_over(
    user: User, operator: Process, stack: Stack, control_plane: ControlPlane
) -> None:
    authorize(user)
    second = stack.operator("operator-second")
    second.start()
    api_server = control_plane.component(KUBE_APISERVER.name)
    # Longer than the Lease lasts, longer than a stranger's intent is respected: frozen time must not count.
    thawed = threading.Timer(45.0, api_server.thaw)

    def freeze() -> None:
        api_server.freeze()
        thawed.start()
        thawed.join()

    try:
        while_a_reply_is_held(user, freeze, hold=timedelta(seconds=3))
        user.wait_for_handled("refresh", "held-0")
    finally:
        second.stop()

    assert revision(user) == 2
    assert len(refreshes(user)) == 1


def test_killed_between_request_and_store_is_told_as_interrupted_by_the_next_process(
    user: User, operator: Process, stack: Stack
) -> None:
    authorize(user)
    operator.stop()
    first = stack.operator("operator-killed", DATASOURCE_POD_UID="pod-1")
    first.start()
    try:
        while_a_reply_is_held(user, first.child.kill)
    finally:
        first.child.kill()
    again = stack.operator("operator-restarted", DATASOURCE_POD_UID="pod-1")
    again.start()
    try:
        # The same pod: its predecessor is surely dead, nothing has to be waited for.
        user.wait_for_reason("RefreshInterrupted")
    finally:
        again.stop()
        operator.start()
    assert len(refreshes(user)) == 3


def test_intent_of_another_pod_is_left_alone_until_it_was_seen_unchanged_for_long(
    user: User, operator: Process
) -> None:
    authorize(user)
    stranger = {"id": "x", "process": "other", "pod": "other", "at": "2026-01-01T00:00:00Z"}
    user.kubectl("annotate", "secret", CREDENTIAL, f"datasource.dev/intent={json.dumps(stranger)}")

    refresh(user, "1")
    eventually("it waits", lambda: "waits for another process" in operator.child.log.read_text())
    assert refreshes(user) == []
    # It is taken over after 35 seconds: longer than this test's patience for one wait.
    for _ in range(2):
        try:
            eventually("this process takes over", lambda: len(refreshes(user)) == 1)
        except AssertionError:
            continue
        break

    user.wait_for_handled("refresh", "1")
    assert [each.status for each in refreshes(user)] == [200]
    assert CLIENT_SECRET not in operator.child.log.read_text()
