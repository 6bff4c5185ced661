"""Whole flows with providers that were not written here and follow rules of their own: Authlib's server, oauth2-mock-server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.authlib_provider import AuthlibProvider
from tests.support.mock_provider.server import MockProvider
from tests.support.person import STORED, Person
from tests.support.user import CLIENT_SECRET, User, eventually

pytestmark = pytest.mark.cluster


@pytest.fixture
def person() -> Iterator[Person]:
    """Somebody with cookies of their own."""
    with Person() as somebody:
        yield somebody


@pytest.fixture
def authlib(user: User, monkeypatch: pytest.MonkeyPatch) -> Iterator[AuthlibProvider]:
    """Authlib's server, where the application of this namespace is registered."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    callback = f"{user.external_url}/callback/{user.namespace}"
    with AuthlibProvider(user.client_id, CLIENT_SECRET, callback) as started:
        yield started


@pytest.mark.parametrize("authentication", ["client_secret_basic", "client_secret_post"])
def test_authlib_server_that_rotates_is_authorized_refreshed_and_revoked(
    user: User, person: Person, authlib: AuthlibProvider, authentication: str
) -> None:
    urls = {
        "issuer": None,
        "authorizeURL": f"{authlib.origin}/authorize",
        "tokenURL": f"{authlib.origin}/token",
        "revocationURL": f"{authlib.origin}/revoke",
    }
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2(**urls, clientAuthentication=authentication)))
    user.wait_for_reason("AuthorizationRequired")

    page = person.come_back(person.consent(person.begin(user.link())))
    assert STORED in page.text, page.text
    for number in (1, 2):
        user.annotate("refresh", str(number))
        user.wait_for_handled("refresh", str(number))
        eventually("it was rotated", lambda: len(authlib.grant.tokens) == number + 1, user.status)  # noqa: B023
        newest = authlib.grant.tokens[-1]
        eventually("it is stored", lambda: _stored(user, "refresh_token") == newest.refresh_token, user.status)  # noqa: B023
    # One token was used once each: had one been sent twice, the server would have ended the grant.
    assert [each.is_used for each in authlib.grant.tokens] == [True, True, False]
    assert not authlib.grant.tokens[-1].is_gone

    user.annotate("clear-credential", "1")
    user.wait_for_handled("clearCredential", "1")
    eventually("it was revoked", lambda: authlib.grant.tokens[-1].is_gone, user.status)


def test_authlib_server_that_ended_the_grant_asks_for_a_person(
    user: User, person: Person, authlib: AuthlibProvider
) -> None:
    urls = {"issuer": None, "authorizeURL": f"{authlib.origin}/authorize", "tokenURL": f"{authlib.origin}/token"}
    user.create_client_secret()
    user.apply(user.datasource(user.oauth2(**urls)))
    user.wait_for_reason("AuthorizationRequired")
    person.come_back(person.consent(person.begin(user.link())))
    user.wait_for_reason("Authorized")

    authlib.grant.end()
    user.annotate("refresh", "1")

    user.wait_for_reason("GrantRevoked")
    assert user.link()


def test_mock_server_is_found_by_its_issuer_authorized_and_refreshed(user: User, person: Person, folder: Path) -> None:
    with MockProvider(folder / "mock-provider.log") as mock:
        user.create_client_secret()
        endpoints = {"issuer": mock.issuer, "authorizeURL": None, "tokenURL": None}
        user.apply(user.datasource(user.oauth2(**endpoints)))
        user.wait_for_reason("AuthorizationRequired")
        page = person.come_back(person.consent(person.begin(user.link())))
        assert STORED in page.text, page.text
        user.wait_for_reason("Authorized")
        # Its access tokens differ by the second only.
        first = _stored(user, "refresh_token")
        user.annotate("refresh", "1")
        user.wait_for_handled("refresh", "1")
        eventually("what it answered is stored", lambda: _stored(user, "refresh_token") != first, user.status)
        assert user.reason() == "Authorized"


def _stored(user: User, key: str) -> str | None:
    return user.decoded("calendar-oauth2-credential", key)
