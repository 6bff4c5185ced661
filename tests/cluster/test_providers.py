"""Whole flows, and a refresh of each, with what providers ask for beside the usual: discovery, PAR, keys, resources."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from deploy.local.provider import Authentication, TokenRequest
from tests.support.gateway import HEADER, gateway
from tests.support.person import STORED, Person
from tests.support.user import CLIENT_SECRET, User, eventually

pytestmark = pytest.mark.cluster

RESOURCE = "https://api.example.com/v3"


@pytest.fixture
def person() -> Iterator[Person]:
    """Somebody with cookies of their own."""
    with Person() as somebody:
        yield somebody


def by_issuer_alone(user: User, **changes: Any) -> dict[str, Any]:
    """Parameters in which the issuer tells every URL."""
    usual: dict[str, Any] = {"authorizeURL": None, "tokenURL": None, "pushedAuthorization": None}
    return user.oauth2(**(usual | changes))


def prepared(user: User, oauth2: dict[str, Any], **registration: Any) -> str:
    user.register_application(**registration)
    user.create_client_secret()
    user.apply(user.datasource(oauth2))
    user.wait_for_reason("AuthorizationRequired")
    return user.link()


def requests_of(user: User, grant_type: str) -> list[TokenRequest]:
    made = user.provider.token_requests()
    return [each for each in made if each.client_id == user.client_id and each.grant_type == grant_type]


def authorized_and_refreshed(user: User, person: Person, link: str) -> str:
    """Go the whole way and refresh once; returns the URL at the provider to which the browser was sent."""
    sent_to = person.begin(link)
    page = person.come_back(person.consent(sent_to))
    assert STORED in page.text, page.text
    user.wait_for_reason("Authorized")
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")
    eventually(
        "the refresh was answered",
        lambda: [each.status for each in requests_of(user, "refresh_token")] == [200],
        lambda: (requests_of(user, "refresh_token"), user.status()),
    )
    return sent_to


def stored(user: User, key: str) -> str | None:
    return user.decoded("calendar-oauth2-credential", key)


def test_issuer_alone_tells_the_endpoints(user: User, person: Person) -> None:
    sent_to = authorized_and_refreshed(user, person, prepared(user, by_issuer_alone(user)))

    assert sent_to.startswith(user.provider.authorize_url)
    assert stored(user, "token_endpoint") == user.provider.token_url
    assert stored(user, "revocation_endpoint") == user.provider.revocation_url


def test_dialog_shows_endpoints_from_metadata_and_that_they_are(user: User, person: Person) -> None:
    page = person.get(prepared(user, by_issuer_alone(user))).text

    assert user.provider.token_url in page
    assert "from the issuer&#39;s metadata" in page


def test_metadata_of_another_issuer_is_told_and_no_link_is_offered(user: User) -> None:
    user.create_client_secret()
    # The provider's document is found there, and names the issuer without the slash.
    issuer = f"{user.provider.issuer}/"
    user.apply(user.datasource(by_issuer_alone(user, issuer=issuer)))

    user.wait_for_reason("InvalidConfiguration")

    assert f"is about issuer {user.provider.issuer}, not {issuer}" in user.ready()["message"]
    assert "authorizationLink" not in user.status()


def test_provider_that_is_down_takes_no_link_away(user: User, person: Person) -> None:
    user.create_client_secret()
    user.apply(user.datasource(by_issuer_alone(user, issuer="http://127.0.0.1:9")))
    user.wait_for_reason("AuthorizationRequired")

    page = person.get(user.link())

    assert page.status_code == 502
    assert "The service does not answer" in page.text
    assert "spec.oauth2.issuer" in page.text


def test_callback_without_iss_is_refused_where_the_metadata_promises_one(user: User, person: Person) -> None:
    user.provider.forget_token_requests()
    link = prepared(user, by_issuer_alone(user))
    back = person.consent(person.begin(link))
    place, _, query = back.partition("?")
    without = "&".join(pair for pair in query.split("&") if not pair.startswith("iss="))
    assert without != query

    page = person.come_back(f"{place}?{without}")

    assert "promises to name itself" in page.text
    assert requests_of(user, "authorization_code") == []
    assert user.credential() is None


def test_error_without_iss_is_refused_where_the_metadata_promises_one(user: User, person: Person) -> None:
    link = prepared(user, by_issuer_alone(user))
    place, _, query = person.consent(person.begin(link), button="Deny").partition("?")
    without = "&".join(pair for pair in query.split("&") if not pair.startswith("iss="))

    page = person.come_back(f"{place}?{without}")

    assert "promises to name itself" in page.text
    assert "access_denied" not in page.text


def test_request_is_pushed_where_the_metadata_offers_it(user: User, person: Person) -> None:
    sent_to = authorized_and_refreshed(user, person, prepared(user, by_issuer_alone(user)))

    assert [name for name, _ in parse_qsl(urlsplit(sent_to).query)] == ["client_id", "request_uri"]


def test_provider_that_requires_a_pushed_request_gets_one(user: User, person: Person) -> None:
    oauth2 = user.oauth2(pushedAuthorization="required")
    sent_to = authorized_and_refreshed(user, person, prepared(user, oauth2, pushes_requests=True))

    assert [name for name, _ in parse_qsl(urlsplit(sent_to).query)] == ["client_id", "request_uri"]


def test_pushed_request_that_is_refused_is_shown_and_starts_nothing(user: User, person: Person) -> None:
    link = prepared(
        user, by_issuer_alone(user, scopes=["openid", "no-such-scope"], authorizeParameters={"prompt": "x"})
    )
    page = person.get(link)

    answer = person.submit(page, "Get new credential")

    assert answer.status_code == 502
    assert "The service refused the request" in answer.text


def with_private_key(user: User, **changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"clientSecretRef": None, "privateKeyRef": {"name": "signing", "keyID": "key-1"}}
    return by_issuer_alone(user, **(usual | changes))


@pytest.mark.parametrize("changes", [{}, {"assertionAudience": "tokenURL"}], ids=["to the issuer", "to the token URL"])
def test_client_authenticates_with_a_private_key(user: User, person: Person, changes: dict[str, Any]) -> None:
    public = user.create_private_key()
    registration: dict[str, Any] = {"authentication": Authentication.PRIVATE_KEY_JWT, "public_keys": [public]}

    # The request is pushed, too: a third assertion.
    authorized_and_refreshed(user, person, prepared(user, with_private_key(user, **changes), **registration))

    made = requests_of(user, "authorization_code") + requests_of(user, "refresh_token")
    assert [each.has_client_assertion for each in made] == [True, True]


def test_private_key_that_is_none_is_told_before_a_link_is_offered(user: User) -> None:
    user.kubectl("create", "secret", "generic", "signing", "--from-literal=private-key=sentinel-no-key")
    user.apply(user.datasource(with_private_key(user)))

    user.wait_for_reason("InvalidConfiguration")

    message = user.ready()["message"]
    assert "spec.oauth2.privateKeyRef names key private-key of Secret signing, which is neither PEM" in message
    assert "sentinel" not in json.dumps(user.status())


def test_private_key_that_is_not_there_yet_is_waited_for(user: User) -> None:
    user.apply(user.datasource(with_private_key(user)))
    user.wait_for_reason("ClientSecretNotFound")

    user.create_private_key()

    user.wait_for_reason("AuthorizationRequired")


def test_token_is_for_the_resource_that_was_asked_for(user: User, person: Person) -> None:
    oauth2 = user.oauth2(resource=[RESOURCE])
    sent_to = authorized_and_refreshed(user, person, prepared(user, oauth2))

    assert ("resource", RESOURCE) in parse_qsl(urlsplit(sent_to).query)
    made = requests_of(user, "authorization_code") + requests_of(user, "refresh_token")
    assert [list(each.resource) for each in made] == [[RESOURCE], [RESOURCE]]
    token = stored(user, "access_token")
    assert token is not None
    told = httpx.post(
        user.provider.introspection_url, data={"token": token}, auth=(user.client_id, CLIENT_SECRET)
    ).json()
    assert (told["active"], told["aud"]) == (True, RESOURCE)


def test_captured_fields_reach_apps_and_survive_a_refresh(user: User, person: Person) -> None:
    oauth2 = by_issuer_alone(user, capturedFields={"tokenResponse": ["scope"], "callback": ["realmId"]})
    user.register_application()
    user.create_client_secret()
    template = {"data": {"scope": "{{ captured.scope }}", "realm": "{{ captured.realmId }}"}}
    user.apply(user.datasource(oauth2, tokenSecret={"template": template}))
    user.wait_for_reason("AuthorizationRequired")

    # What a provider such as QuickBooks adds to the callback.
    back = person.consent(person.begin(user.link())) + "&realmId=4711"
    assert STORED in person.come_back(back).text
    user.wait_for_reason("Authorized")
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")

    assert user.decoded("calendar-token", "realm") == "4711"
    assert user.decoded("calendar-token", "scope") == "openid email offline_access read"


def test_refresh_goes_where_the_credential_says_and_not_where_an_edit_points(user: User, person: Person) -> None:
    refresh_url = f"{user.provider.token_url}?refresh=1"
    authorized_and_refreshed(user, person, prepared(user, by_issuer_alone(user, refreshURL=refresh_url)))
    assert stored(user, "refresh_endpoint") == refresh_url

    with_another = by_issuer_alone(user, refreshURL="http://127.0.0.1:9/elsewhere")
    user.apply(user.datasource(with_another))
    user.annotate("refresh", "2")
    user.wait_for_handled("refresh", "2")

    assert [each.status for each in requests_of(user, "refresh_token")] == [200, 200]


def test_grant_that_is_gone_by_a_name_of_the_providers_own_needs_a_person(user: User, person: Person) -> None:
    oauth2 = by_issuer_alone(user, errorCodes={"bad_refresh_token": "invalid_grant"})
    page = person.authorize(prepared(user, oauth2))
    assert STORED in page.text
    user.wait_for_reason("Authorized")
    user.provider.fault(client_id=user.client_id, status=400, error="bad_refresh_token")

    user.annotate("refresh", "1")

    user.wait_for_reason("GrantRevoked")


def test_gateway_before_the_provider_is_found_by_its_metadata_and_given_its_key(user: User, person: Person) -> None:
    """Both processes read the Secret of the header under their own rights; the callback server has them by its name."""
    with gateway(user.provider.issuer, "sentinel-gateway-key-41d7") as before:
        header = {"name": HEADER, "secretRef": {"name": "gateway", "key": "api-key"}}
        oauth2 = by_issuer_alone(user, discoveryURL=before.discovery_url, tokenHeaders=[header])
        user.register_application()
        user.create_client_secret()
        user.apply(user.datasource(oauth2))
        user.wait_for_reason("ClientSecretNotFound")
        assert "spec.oauth2.tokenHeaders" in user.ready()["message"]
        user.kubectl("create", "secret", "generic", "gateway", f"--from-literal=api-key={before.key}\n")
        user.wait_for_reason("AuthorizationRequired")

        authorized_and_refreshed(user, person, user.link())

        assert set(before.keys) == {before.key}
        assert stored(user, "token_endpoint") == f"http://127.0.0.1:{before.port}/token"
