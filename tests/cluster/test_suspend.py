"""spec.suspend: refreshes and links stop, tokens stay, a clear acts all the same, and resuming goes on where it stopped."""

import json
from datetime import timedelta

import pytest

from datasource.api.states import PROVIDER_REACHABLE
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster


def suspend(user: User, value: bool | None = True) -> None:
    """Set spec.suspend and wait until the operator has seen it."""
    user.kubectl("patch", "datasource", "calendar", "--type=merge", "-p", json.dumps({"spec": {"suspend": value}}))
    seen(user)


def seen(user: User) -> None:
    generation = user.get()["metadata"]["generation"]
    eventually("the operator has looked", lambda: user.status().get("observedGeneration") == generation, user.status)


def authorize(user: User, **lifetime: timedelta) -> None:
    user.register_application(**lifetime)
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2()))
    user.wait_for_reason("AuthorizationRequired")
    with Person() as person:
        person.authorize(user.link())
    user.wait_for_reason("Authorized")


def token_requests(user: User) -> int:
    return sum(each.client_id == user.client_id for each in user.provider.token_requests())


def waiting(user: User) -> str:
    """A Datasource that waits for a person; returns its link."""
    return user.ready_to_authorize()


def test_suspended_datasource_keeps_state_and_tokens_and_sends_nothing(user: User) -> None:
    authorize(user)
    credential, token, requests = user.credential(), user.secret("calendar-token"), token_requests(user)

    suspend(user)
    user.annotate("refresh", "1")
    user.annotate("new-credential", "1")
    user.kubectl("patch", "datasource", "calendar", "--type=merge", "-p", '{"spec": {"refreshBefore": "59m"}}')
    seen(user)

    assert user.state() == "AUTHORIZED"
    assert user.ready()["status"] == "True"
    assert "spec.suspend is true" in user.ready()["message"]
    assert "authorizationLink" not in user.status()
    assert "handled" not in user.status()
    assert user.credential() == credential
    assert user.secret("calendar-token") == token
    assert token_requests(user) == requests

    suspend(user, None)
    user.wait_for_handled("refresh", "1")
    user.wait_for_link()
    assert token_requests(user) > requests


def test_token_that_runs_out_while_suspended_is_told_and_refreshed_when_resumed(user: User) -> None:
    authorize(user, access_token_lifetime=timedelta(seconds=20))
    suspend(user)
    requests = token_requests(user)

    user.wait_for_reason("RefreshFailing")

    assert user.state() == "AUTHORIZED"
    assert user.ready()["status"] == "False"
    assert {each["type"] for each in user.status()["conditions"]} - {PROVIDER_REACHABLE} == {"Ready"}
    assert user.secret("calendar-token") is not None
    assert token_requests(user) == requests
    suspend(user, False)
    user.wait_for_reason("Authorized")
    assert token_requests(user) > requests


def test_clear_acts_while_suspended_and_the_link_comes_when_resumed(user: User) -> None:
    authorize(user)
    suspend(user)

    user.clear("1")
    user.wait_for_reason("CredentialCleared")

    assert user.secret("calendar-token") is None
    assert user.status()["handled"]["clearCredential"] == "1"
    assert "authorizationLink" not in user.status()
    suspend(user, False)
    user.wait_for_link()


def test_link_opened_while_suspended_says_so_to_whoever_had_it_and_nothing_to_others(user: User) -> None:
    link = waiting(user)
    with Person() as person:
        page = person.get(link)
        suspend(user)
        assert "authorizationLink" not in user.status()

        opened = person.get(link)
        pressed = person.submit(page, "Get new credential")
        # The last 16 characters are a mark, which opens nothing: another secret makes it another link.
        made_up = person.get(link[:-20] + ("A" if link[-20] != "A" else "B") + link[-19:])

    for answer in (opened, pressed):
        assert answer.status_code == 409
        assert "The Datasource is suspended" in answer.text
    assert made_up.status_code == 404
    # The page repeats the namespace of the visitor's own URL, and tests give theirs names.
    assert "suspend" not in made_up.text.replace(user.namespace, "")


def test_flow_under_way_is_refused_before_its_code_is_spent(user: User) -> None:
    link = waiting(user)
    with Person() as person:
        callback = person.consent(person.begin(link))
        suspend(user)

        answer = person.come_back(callback)

        assert "The Datasource was suspended" in answer.text
        assert token_requests(user) == 0
        assert user.credential() is None
        suspend(user, False)
        user.wait_for_link()
        person.authorize(user.link())
    user.wait_for_reason("Authorized")
