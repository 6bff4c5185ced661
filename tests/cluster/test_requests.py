"""Requests by annotation: each value acts once; nothing is cleared by surprise, and a new value always clears."""

import pytest

from deploy.local.stack import Process
from tests.support.person import STORED, Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster


@pytest.fixture
def authorized(user: User) -> User:
    """A user whose Datasource is AUTHORIZED."""
    get_credential(user, user.ready_to_authorize())
    return user


def get_credential(user: User, link: str) -> None:
    before = user.credential_id()
    with Person() as person:
        page = person.authorize(link)
    assert STORED in page.text
    eventually("a new credential is stored", lambda: user.credential_id() != before)
    user.wait_for_reason("Authorized")


def settle(user: User) -> None:
    """Make the operator look once more, and wait until it did: what it was going to do, it has done then."""
    user.kubectl("patch", "datasource", "calendar", "--type=merge", "-p", '{"spec": {"refreshBefore": "31s"}}')
    generation = user.get()["metadata"]["generation"]
    eventually("the operator has looked", lambda: user.status()["observedGeneration"] == generation, user.status)


def test_clear_deletes_every_token_and_keeps_the_parameters(authorized: User) -> None:
    user = authorized
    spec = user.get()["spec"]

    user.clear("1")
    user.wait_for_reason("CredentialCleared")

    # One token may wait a moment for its revocation.
    eventually("no token is left", lambda: user.tokens() == {}, user.credential)
    assert user.secret("calendar-token") is None
    assert user.get()["spec"] == spec
    assert user.status()["handled"]["clearCredential"] == "1"
    assert "expiresAt" not in user.status()
    get_credential(user, user.link())


def test_same_value_clears_once(authorized: User) -> None:
    user = authorized
    user.clear("1")
    user.wait_for_reason("CredentialCleared")
    get_credential(user, user.link())
    stored = user.credential_id()

    settle(user)

    assert user.state() == "AUTHORIZED"
    assert user.credential_id() == stored


@pytest.mark.parametrize("then", [[None], [None, "1"], ["1"]], ids=["removed", "re-added by GitOps", "kept"])
def test_value_that_was_handled_clears_nothing_again(authorized: User, then: list[str | None]) -> None:
    user = authorized
    user.clear("1")
    user.wait_for_reason("CredentialCleared")
    get_credential(user, user.link())
    stored = user.credential_id()

    for value in then:
        user.annotate("clear-credential", value)
        settle(user)

    assert user.credential_id() == stored


def test_value_reverted_to_an_older_one_clears_nothing_and_a_new_one_clears(authorized: User) -> None:
    user = authorized
    for value in ("1", "2"):
        user.clear(value)
        user.wait_for_reason("CredentialCleared")
        get_credential(user, user.link())
    stored = user.credential_id()

    user.clear("1")
    settle(user)
    assert user.credential_id() == stored

    user.clear("3")
    user.wait_for_reason("CredentialCleared")


def test_value_present_before_the_first_credential_does_not_clear_it(user: User) -> None:
    user.register_application()
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2(), annotations={"datasource.dev/clear-credential": "from-git"}))
    user.wait_for_reason("AuthorizationRequired")

    get_credential(user, user.link())
    settle(user)

    assert user.state() == "AUTHORIZED"
    assert user.status()["handled"]["clearCredential"] == "from-git"


def test_status_wiped_does_not_bring_a_request_back(authorized: User) -> None:
    user = authorized
    user.clear("1")
    user.wait_for_reason("CredentialCleared")
    get_credential(user, user.link())
    stored = user.credential_id()

    user.kubectl("patch", "datasource", "calendar", "--subresource=status", "--type=merge", "-p", '{"status": null}')
    user.wait_for_reason("Authorized")

    assert user.credential_id() == stored
    assert user.status()["handled"]["clearCredential"] == "1"


def test_clear_while_the_operator_is_down_is_done_when_it_is_back(authorized: User, operator: Process) -> None:
    user = authorized
    operator.stop()
    try:
        user.clear("1")
    finally:
        operator.start()

    user.wait_for_reason("CredentialCleared")


def test_new_credential_offers_a_link_and_keeps_the_old_one_until_then(authorized: User) -> None:
    user = authorized
    old = user.credential_id()
    token = user.secret("calendar-token")
    assert "authorizationLink" not in user.status()

    user.annotate("new-credential", "1")
    user.wait_for_link()

    assert user.state() == "AUTHORIZED"
    assert user.credential_id() == old
    assert user.secret("calendar-token") == token
    get_credential(user, user.link())
    eventually("the link is gone", lambda: "authorizationLink" not in user.status(), user.status)
    assert user.status()["handled"]["newCredential"] == "1"


def test_change_of_scopes_offers_a_link_and_keeps_the_state(authorized: User) -> None:
    user = authorized

    user.apply(user.datasource(user.oauth2(scopes=["openid", "offline_access", "read"])))
    user.wait_for_link()

    assert user.state() == "AUTHORIZED"
    assert "spec.oauth2.scopes" in user.ready()["message"]
    get_credential(user, user.link())
    eventually("the link is gone", lambda: "authorizationLink" not in user.status(), user.status)


def test_changed_parameters_keep_the_refresh_token_and_reverting_restores(authorized: User) -> None:
    user = authorized
    before = user.credential()
    requests = len(user.provider.token_requests())

    user.apply(user.datasource(user.oauth2(tokenURL=f"{user.provider.issuer}/elsewhere")))
    user.wait_for_reason("ParametersChanged")
    eventually("the token Secret is gone", lambda: user.secret("calendar-token") is None)
    assert user.credential() == before

    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("Authorized")
    eventually("the token Secret is back", lambda: user.secret("calendar-token") is not None)
    assert user.credential() == before
    assert len(user.provider.token_requests()) == requests
