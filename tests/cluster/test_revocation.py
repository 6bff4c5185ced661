"""Revocation: what is cleared is dead at the provider, too, and what is deleted where that was asked for."""

import json
import threading
from base64 import b64decode
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from deploy.local.provider import LONGEST_HOLD, RevocationRequest
from deploy.local.stack import Process, Stack
from tests.support.api import EVENTS, NAMESPACES
from tests.support.person import STORED, Person
from tests.support.user import CLIENT_SECRET, User, eventually

pytestmark = pytest.mark.cluster

CREDENTIAL = "calendar-oauth2-credential"
FINALIZER = "datasource.dev/revoke"


def authorize(user: User, *, deletion_policy: str = "Delete", secret: str | None = CLIENT_SECRET, **oauth2: Any) -> str:
    """Get a credential that can be revoked; returns its refresh token."""
    callback = f"{user.external_url}/callback/{user.namespace}"
    user.provider.register_client(user.client_id, secret, [callback])
    parameters = user.oauth2(revocationURL=user.provider.revocation_url, **oauth2)
    if secret is None:
        parameters.pop("clientSecretRef")
    else:
        user.create_client_secret(secret)
    user.apply(user.datasource(parameters, deletionPolicy=deletion_policy))
    user.wait_for_reason("AuthorizationRequired")
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")
    if deletion_policy == "Revoke":
        eventually("the credential is held", lambda: finalizers(user) == [FINALIZER], user.credential)
    return refresh_token(user)


def finalizers(user: User) -> list[str]:
    credential = user.credential()
    found: list[str] = [] if credential is None else credential["metadata"].get("finalizers", [])
    return found


def data(user: User) -> dict[str, str]:
    credential = user.credential()
    assert credential is not None
    return {key: b64decode(value).decode() for key, value in credential.get("data", {}).items()}


def refresh_token(user: User) -> str:
    return data(user)["refresh_token"]


def revocations(user: User) -> list[RevocationRequest]:
    return [each for each in user.provider.revocation_requests() if each.client_id == user.client_id]


def was_revoked(user: User, token: str) -> bool:
    """The provider said that the token is dead, and it was asked by its kind."""
    digest = sha256(token.encode()).hexdigest()
    return any(
        each.token_sha256 == digest and each.status == 200 and each.token_type_hint == "refresh_token"
        for each in revocations(user)
    )


def eventually_revoked(user: User, token: str) -> None:
    eventually("the token is revoked", lambda: was_revoked(user, token), lambda: revocations(user))


def eventually_empty(user: User) -> None:
    """The tombstone holds nothing any more."""
    eventually("nothing is left of the token", lambda: user.tokens() == {}, user.credential)
    credential = user.credential()
    assert credential is not None
    assert "datasource.dev/revoke-until" not in credential["metadata"]["annotations"]


def eventually_gone(user: User) -> None:
    eventually("the credential is gone", lambda: user.credential() is None, user.credential)


def delete(user: User) -> None:
    user.kubectl("delete", "datasource", "calendar", "--wait=false")


def failures(user: User) -> list[dict[str, Any]]:
    return [each for each in user.all_of(EVENTS) if each["reason"] == "RevocationFailed"]


def test_clear_revokes_the_grant_and_leaves_nothing_of_it(user: User) -> None:
    token = authorize(user)

    user.clear("1")
    user.wait_for_reason("CredentialCleared")

    eventually_revoked(user, token)
    eventually_empty(user)
    assert user.secret("calendar-token") is None
    assert failures(user) == []


def test_clear_of_a_public_client_revokes_with_its_client_id_alone(user: User) -> None:
    token = authorize(user, secret=None)

    user.clear("1")

    eventually_revoked(user, token)
    eventually_empty(user)


def test_state_says_cleared_at_once_and_the_token_waits_while_the_provider_is_overloaded(user: User) -> None:
    token = authorize(user)
    user.provider.fault(at="revocation", client_id=user.client_id, status=503, times=2)

    user.clear("1")
    user.wait_for_reason("CredentialCleared")
    assert not was_revoked(user, token)
    assert user.secret("calendar-token") is None
    assert set(user.tokens()) <= {
        "refresh_token",
        "revocation_endpoint",
        "token_endpoint",
        "fingerprint",
        "client_id",
        "client_parameters",
    }

    eventually_revoked(user, token)
    eventually_empty(user)
    assert [each.status for each in revocations(user)] == [503, 503, 200]


def test_second_clear_does_not_end_the_revocation_under_way(user: User) -> None:
    token = authorize(user)
    user.provider.fault(at="revocation", client_id=user.client_id, status=503, times=2)

    user.clear("1")
    user.wait_for_handled("clearCredential", "1")
    user.clear("2")
    user.wait_for_handled("clearCredential", "2")

    eventually_revoked(user, token)
    eventually_empty(user)


def test_new_credential_ends_the_revocation_of_the_old_one(user: User) -> None:
    authorize(user)
    user.provider.fault(at="revocation", client_id=user.client_id, status=503, retry_after=60, times=1)
    user.clear("1")
    user.wait_for_reason("CredentialCleared")
    eventually("it was tried", lambda: len(revocations(user)) == 1)

    with Person() as person:
        page = person.authorize(user.link())
    assert STORED in page.text
    user.wait_for_reason("Authorized")

    credential = user.credential()
    assert credential is not None
    assert "datasource.dev/revoke-until" not in credential["metadata"]["annotations"]
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")
    assert user.reason() == "Authorized"


def test_refused_revocation_is_given_up_with_an_event(user: User) -> None:
    authorize(user)
    user.provider.fault(at="revocation", client_id=user.client_id, status=400, error="unsupported_token_type")

    user.clear("1")

    eventually_empty(user)
    eventually("it is told", lambda: len(failures(user)) == 1)
    (event,) = failures(user)
    assert event["type"] == "Warning"
    assert event["regarding"]["kind"] == "Datasource"
    assert "unsupported_token_type" in event["note"]


def test_revocation_is_given_up_in_time(user: User) -> None:
    authorize(user)
    user.provider.fault(at="revocation", client_id=user.client_id, status=503, times=100)
    user.clear("1")
    user.wait_for_reason("CredentialCleared")
    eventually("it was tried", lambda: len(revocations(user)) >= 1)

    user.kubectl("annotate", "--overwrite", "secret", CREDENTIAL, "datasource.dev/revoke-until=2026-01-01T00:00:00Z")

    eventually_empty(user)
    eventually("it is told", lambda: len(failures(user)) == 1)
    user.provider.forget_faults()


def test_clear_while_the_operator_is_killed_revokes_after_its_restart(
    user: User, stack: Stack, operator: Process
) -> None:
    token = authorize(user)
    operator.stop()
    user.provider.fault(at="revocation", client_id=user.client_id, hold=timedelta(seconds=5))
    killed = stack.operator("operator-killed-revoking")
    killed.start()
    try:
        user.clear("1")
        eventually("it is being revoked", lambda: len(revocations(user)) == 1)
    finally:
        killed.child.kill()
        operator.start()

    eventually_revoked(user, token)
    eventually_empty(user)


def test_clear_before_the_operator_is_restarted_revokes_after_its_start(user: User, operator: Process) -> None:
    """It leads at once, since nobody else holds the Lease, and may not have listed the Datasources by then."""
    token = authorize(user)
    user.provider.fault(at="revocation", client_id=user.client_id, status=503, times=2)
    user.clear("1")
    user.wait_for_reason("CredentialCleared")
    eventually("it was tried", lambda: len(revocations(user)) >= 1)

    operator.stop()
    operator.start()

    eventually_revoked(user, token)
    eventually_empty(user)
    assert failures(user) == []


def test_changed_parameters_never_send_the_new_client_secret_to_the_old_endpoint(user: User) -> None:
    authorize(user)
    user.create_client_secret("another-secret", name="another")
    elsewhere = {"clientID": "another-app", "clientSecretRef": {"name": "another", "key": "client-secret"}}
    user.apply(user.datasource(user.oauth2(revocationURL=user.provider.revocation_url, **elsewhere)))
    user.wait_for_reason("ParametersChanged")

    user.clear("1")

    eventually_empty(user)
    eventually("it is told", lambda: len(failures(user)) == 1)
    assert revocations(user) == []
    assert [each for each in user.provider.revocation_requests() if each.client_id == "another-app"] == []


def test_edited_revocation_url_does_not_redirect_a_token(user: User) -> None:
    token = authorize(user)
    user.apply(user.datasource(user.oauth2(revocationURL=f"{user.provider.issuer}/elsewhere")))
    eventually("it is seen", lambda: user.status()["observedGeneration"] == 2)

    user.clear("1")

    eventually_revoked(user, token)


def statuses(user: User) -> list[int | None]:
    """What the token endpoint answered, each, or is about to: a reply may be held back."""
    return [each.status for each in user.provider.token_requests()]


def test_reply_that_comes_after_a_clear_is_revoked(user: User) -> None:
    authorize(user)
    requests = len(user.provider.token_requests())
    user.provider.fault(client_id=user.client_id, hold_reply=LONGEST_HOLD)
    user.annotate("refresh", "1")
    eventually("it is being refreshed", lambda: statuses(user)[requests:] == [200])

    user.clear("1")
    user.wait_for_reason("CredentialCleared")
    user.provider.let_go()

    # One of them may be revoked twice: where the Secret changed meanwhile, the revoker begins again.
    eventually(
        "both are dead", lambda: len({each.token_sha256 for each in revocations(user) if each.status == 200}) == 2
    )
    eventually_empty(user)


def test_grant_of_an_authorization_that_a_clear_overtook_is_revoked(user: User) -> None:
    link = user.ready_to_authorize(revocationURL=user.provider.revocation_url)
    with Person() as person:
        callback = person.consent(person.begin(link))
        requests = len(user.provider.token_requests())
        user.provider.fault(client_id=user.client_id, hold_reply=LONGEST_HOLD)
        thread = threading.Thread(target=lambda: person.come_back(callback))
        thread.start()
        eventually("the code is being exchanged", lambda: statuses(user)[requests:] == [200])
        user.clear("1")
        user.wait_for_handled("clearCredential", "1")
        user.provider.let_go()
        thread.join()
        page = person.come_back(callback)

    assert "The credential was dropped" in page.text
    assert [each.status for each in revocations(user)] == [200]


def test_replaced_grant_is_not_revoked(user: User) -> None:
    authorize(user)
    user.annotate("new-credential", "1")
    user.wait_for_link()
    with Person() as person:
        person.authorize(user.link())
    eventually("the link is gone", lambda: "authorizationLink" not in user.status())

    assert revocations(user) == []


def test_deletion_does_not_revoke_where_nobody_asked_for_it(user: User) -> None:
    authorize(user)
    assert finalizers(user) == []

    delete(user)

    eventually_gone(user)
    assert revocations(user) == []


def test_deletion_revokes_where_asked_for(user: User) -> None:
    token = authorize(user, deletion_policy="Revoke")

    delete(user)

    eventually_gone(user)
    assert was_revoked(user, token)
    assert user.secret("calendar-token") is None


def test_deletion_revokes_though_the_client_secret_is_gone_already(user: User) -> None:
    token = authorize(user, deletion_policy="Revoke")
    user.kubectl("delete", "secret", "app")

    delete(user)

    eventually_gone(user)
    assert was_revoked(user, token)


def test_deletion_of_a_namespace_revokes_and_ends(user: User) -> None:
    token = authorize(user, deletion_policy="Revoke")

    user.cluster.kubectl("delete", "namespace", user.namespace, "--wait=false")

    eventually_revoked(user, token)
    user.api.wait("the namespace is gone", NAMESPACES, user.namespace, lambda seen: seen is None)
    # The fixture deletes it at the end.
    user.cluster.kubectl("create", "namespace", user.namespace)


def test_deletion_while_the_operator_is_down_revokes_when_it_is_back(user: User, operator: Process) -> None:
    token = authorize(user, deletion_policy="Revoke")
    operator.stop()
    try:
        delete(user)
        eventually(
            "the credential waits",
            lambda: "deletionTimestamp" in (user.credential() or {}).get("metadata", {}),
            user.credential,
        )
    finally:
        operator.start()

    eventually_gone(user)
    assert was_revoked(user, token)


def test_deletion_is_not_blocked_for_ever(user: User, stack: Stack, operator: Process) -> None:
    authorize(user, deletion_policy="Revoke")
    operator.stop()
    user.provider.fault(at="revocation", client_id=user.client_id, status=503, times=100)
    impatient = stack.operator("operator-impatient", DATASOURCE_REVOCATION_SECONDS="1")
    impatient.start()
    try:
        delete(user)
        eventually_gone(user)
    finally:
        impatient.stop()
        operator.start()
        user.provider.forget_faults()

    assert {each.status for each in revocations(user)} == {503}
    (event,) = failures(user)
    assert event["regarding"]["kind"] == "Secret"


def test_finalizer_comes_and_goes_with_the_policy_and_others_stay(user: User) -> None:
    authorize(user)
    parameters = user.oauth2(revocationURL=user.provider.revocation_url)
    others = ["example.com/backup"]
    user.kubectl("patch", "secret", CREDENTIAL, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": others}}))

    user.apply(user.datasource(parameters, deletionPolicy="Revoke"))
    eventually("it is held", lambda: finalizers(user) == [*others, FINALIZER], user.credential)
    assert data(user)["client_secret"] == CLIENT_SECRET

    user.apply(user.datasource(parameters, deletionPolicy="Delete"))
    eventually("it is released", lambda: finalizers(user) == others, user.credential)
    assert "client_secret" not in data(user)
    user.kubectl("patch", "secret", CREDENTIAL, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


def test_foreign_finalizer_is_left_alone_when_ours_is_done(user: User) -> None:
    token = authorize(user, deletion_policy="Revoke")
    both = {"metadata": {"finalizers": ["example.com/backup", FINALIZER]}}
    user.kubectl("patch", "secret", CREDENTIAL, "--type=merge", "-p", json.dumps(both))

    delete(user)

    eventually_revoked(user, token)
    eventually("only the other is left", lambda: finalizers(user) == ["example.com/backup"], user.credential)
    user.kubectl("patch", "secret", CREDENTIAL, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    eventually_gone(user)
    assert len(revocations(user)) == 1


def test_copy_of_the_client_secret_follows_its_rotation(user: User) -> None:
    authorize(user, deletion_policy="Revoke")
    callback = f"{user.external_url}/callback/{user.namespace}"
    user.provider.register_client(user.client_id, "rotated-secret", [callback])
    user.kubectl("patch", "secret", "app", "--type=merge", "-p", '{"stringData": {"client-secret": "rotated-secret"}}')

    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")

    assert data(user)["client_secret"] == "rotated-secret"
    token = refresh_token(user)
    delete(user)
    eventually_gone(user)
    assert was_revoked(user, token)


def test_replacement_of_the_same_name_waits_until_the_old_grant_is_revoked(user: User) -> None:
    token = authorize(user, deletion_policy="Revoke")

    delete(user)
    user.kubectl("wait", "--for=delete", "datasource/calendar", "--timeout=60s")
    user.apply(user.datasource(user.oauth2(revocationURL=user.provider.revocation_url), deletionPolicy="Revoke"))

    user.wait_for_reason("AuthorizationRequired")
    eventually_revoked(user, token)
    eventually_gone(user)
    with Person() as person:
        page = person.authorize(user.link())
    assert STORED in page.text
    user.wait_for_reason("Authorized")


def test_policy_that_cannot_be_kept_says_so(user: User) -> None:
    user.ready_to_authorize(issuer=None)
    user.apply(user.datasource(user.oauth2(issuer=None), deletionPolicy="Revoke"))
    user.wait_for_link()
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")

    assert "spec.oauth2.revocationURL" in user.ready()["message"]
    assert finalizers(user) == []
