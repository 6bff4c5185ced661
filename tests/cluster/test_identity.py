"""Who authorized: shown, checked before anything is stored, and the same at each refresh."""

import threading
from datetime import timedelta
from typing import Any

import pytest

from deploy.local.provider import RevocationRequest
from tests.support.person import STORED, Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

ADA = {"login": "ada", "password": "ada"}


def ready(user: User, **oauth2: Any) -> str:
    """Everything is prepared, and the grant can be revoked; returns the link."""
    return user.ready_to_authorize(revocationURL=user.provider.revocation_url, **oauth2)


def authorize(user: User, link: str, **person: str) -> str:
    """Get a credential; returns the done page."""
    with Person(**person) as somebody:
        return somebody.authorize(link).text


def expect(user: User, **claims: str) -> None:
    """Edit expectedIdentity; without claims nobody in particular is expected."""
    changes = {"expectedIdentity": claims} if claims else {}
    user.apply(user.datasource(user.oauth2(revocationURL=user.provider.revocation_url, **changes)))
    generation = user.get()["metadata"]["generation"]
    eventually("it is seen", lambda: user.status()["observedGeneration"] == generation, user.status)


def revocations(user: User) -> list[RevocationRequest]:
    return [each for each in user.provider.revocation_requests() if each.client_id == user.client_id]


def token_in_use(user: User) -> str:
    secret = user.secret("calendar-token")
    assert secret is not None
    return str(secret["data"]["access_token"])


def identity_was_refused(user: User, **claims: Any) -> str:
    """Somebody is expected, and the provider's id_token carries other claims; nothing is stored."""
    link = ready(user, expectedIdentity={"email": "demo@example.com"})
    user.provider.fault(client_id=user.client_id, claims=claims)
    page = authorize(user, link)
    assert user.credential() is None
    return page


def test_status_shows_who_authorized(user: User) -> None:
    authorize(user, ready(user), **ADA)
    user.wait_for_reason("Authorized")

    assert user.status()["authorizedAs"] == "ada@example.com"


def test_the_one_expected_gets_in(user: User) -> None:
    page = authorize(user, ready(user, expectedIdentity={"email": "ada@example.com", "sub": "ada"}), **ADA)

    assert STORED in page
    user.wait_for_reason("Authorized")


def test_anybody_else_is_refused_before_anything_is_stored_and_the_grant_is_revoked(user: User) -> None:
    page = authorize(user, ready(user, expectedIdentity={"email": "ada@example.com"}))

    assert "Another account is expected" in page
    assert "ada@example.com" in page
    assert "demo" not in page
    assert user.credential() is None
    assert user.secret("calendar-token") is None
    assert [each.status for each in revocations(user)] == [200]
    assert user.state() == "NOT AUTHORIZED"


def test_email_that_is_not_verified_lets_nobody_in(user: User) -> None:
    link = ready(user, expectedIdentity={"email": "ada@example.com"})
    user.provider.fault(client_id=user.client_id, claims={"email_verified": False})

    page = authorize(user, link, **ADA)

    assert "Another account is expected" in page
    assert user.credential() is None


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"nonce": "another"}, id="another nonce"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"aud": "another-app"}, id="another audience"),
        pytest.param({"azp": "another-app"}, id="another authorized party"),
        pytest.param({"iss": "https://evil.example.com"}, id="another issuer"),
        pytest.param({"exp": 1}, id="expired"),
        pytest.param({"iat": 9999999999}, id="issued in the future"),
        pytest.param({"sub": None}, id="nobody"),
    ],
)
def test_id_token_that_is_not_for_us_stores_nothing_where_somebody_is_expected(
    user: User, claims: dict[str, Any]
) -> None:
    assert "cannot be used" in identity_was_refused(user, **claims)


def test_id_token_that_is_not_for_us_costs_the_name_and_not_the_grant_where_nobody_is_expected(user: User) -> None:
    link = ready(user)
    user.provider.fault(client_id=user.client_id, claims={"nonce": None})
    assert STORED in authorize(user, link)
    user.wait_for_reason("Authorized")
    assert "authorizedAs" not in user.status()
    assert "spec.oauth2.nonce" in user.ready()["message"]


def test_refused_person_does_not_cost_the_credential_there_is(user: User) -> None:
    authorize(user, ready(user, expectedIdentity={"sub": "ada"}), **ADA)
    user.wait_for_reason("Authorized")
    stored = user.credential_id()
    user.annotate("new-credential", "1")
    user.wait_for_link()

    assert "Another account is expected" in authorize(user, user.link())

    assert user.credential_id() == stored
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")
    assert user.reason() == "Authorized"


def test_expecting_somebody_else_takes_the_tokens_from_apps_and_reverting_brings_them_back(user: User) -> None:
    authorize(user, ready(user), **ADA)
    user.wait_for_reason("Authorized")
    requests = len(user.provider.token_requests())

    expect(user, email="demo@example.com")
    user.wait_for_reason("ParametersChanged")
    eventually("apps have nothing", lambda: user.secret("calendar-token") is None)
    assert "expectedIdentity" in user.ready()["message"]

    expect(user, email="ada@example.com")
    user.wait_for_reason("Authorized")
    eventually("apps have the token", lambda: user.secret("calendar-token") is not None)
    assert len(user.provider.token_requests()) == requests


def test_expecting_the_one_who_authorized_changes_nothing(user: User) -> None:
    authorize(user, ready(user), **ADA)
    user.wait_for_reason("Authorized")
    token = token_in_use(user)

    expect(user, sub="ada")

    assert user.reason() == "Authorized"
    assert token_in_use(user) == token


def test_refresh_that_is_about_somebody_else_gives_apps_nothing_and_ends_the_grant(user: User) -> None:
    authorize(user, ready(user), **ADA)
    user.wait_for_reason("Authorized")
    token = token_in_use(user)

    user.provider.fault(client_id=user.client_id, claims={"sub": "mallory"})
    user.annotate("refresh", "1")
    user.wait_for_reason("GrantRevoked")

    # The old access token is Ada's, and works until it runs out.
    assert token_in_use(user) == token
    eventually("the reply is revoked", lambda: [each.status for each in revocations(user)] == [200])


def test_refresh_with_a_broken_id_token_gives_apps_nothing_and_loses_no_grant(user: User) -> None:
    authorize(user, ready(user, expectedIdentity={"email": "ada@example.com"}), **ADA)
    user.wait_for_reason("Authorized")
    token = token_in_use(user)
    requests = len(user.provider.token_requests())

    user.provider.fault(client_id=user.client_id, claims={"aud": "another-app"})
    user.annotate("refresh", "1")
    eventually("it is tried again", lambda: len(user.provider.token_requests()) >= requests + 2)
    user.wait_for_handled("refresh", "1")

    assert user.reason() == "Authorized"
    assert token_in_use(user) != token
    spent = [each.refresh_token_sha256 for each in user.provider.token_requests()[requests:]]
    assert len(spent) == len(set(spent))
    assert revocations(user) == []


def test_edit_of_expected_identity_ends_an_authorization_under_way(user: User) -> None:
    link = ready(user)
    with Person() as person:
        callback = person.consent(person.begin(link))
        expect(user, email="ada@example.com")
        page = person.come_back(callback)

    assert STORED not in page.text
    assert user.credential() is None


def test_code_is_not_spent_while_nobody_could_verify_who_comes(user: User) -> None:
    link = ready(user)
    with Person() as person:
        callback = person.consent(person.begin(link))
        requests = len(user.provider.token_requests())
        issuer = f"{user.provider.issuer}/nobody"
        user.apply(user.datasource(user.oauth2(issuer=issuer)))
        page = person.come_back(callback)

    assert STORED not in page.text
    assert len(user.provider.token_requests()) == requests


def test_two_people_at_once_are_told_apart(user: User) -> None:
    link = ready(user, expectedIdentity={"sub": "ada"})
    with Person() as stranger, Person(**ADA) as ada:
        callbacks = [stranger.consent(stranger.begin(link)), ada.consent(ada.begin(link))]
        user.provider.fault(client_id=user.client_id, hold_reply=timedelta(seconds=1), times=2)
        pages: dict[str, str] = {}

        def come_back(name: str, person: Person, callback: str) -> None:
            pages[name] = person.come_back(callback).text

        threads = [
            threading.Thread(target=come_back, args=("stranger", stranger, callbacks[0])),
            threading.Thread(target=come_back, args=("ada", ada, callbacks[1])),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert STORED in pages["ada"]
    assert STORED not in pages["stranger"]
    user.wait_for_reason("Authorized")
    assert user.status()["authorizedAs"] == "ada@example.com"
