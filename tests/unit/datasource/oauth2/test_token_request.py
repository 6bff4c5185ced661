"""Requests to the token endpoint: what is posted, and that credentials go one way only."""

import json
from base64 import b64decode
from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.extra_headers import ExtraHeader
from datasource.oauth2.pushed_authorization import pushed_authorization_request
from datasource.oauth2.revocation import TokenTypeHint, revocation_request
from datasource.oauth2.token_request import (
    BodyFormat,
    Client,
    ClientAuthentication,
    RequestOptions,
    authorization_code_request,
    refresh_request,
)
from datasource.outbound.provider_request import ProviderRequest

URL = "https://login.example.com/token?tenant=a"
REDIRECT_URI = "https://connect.example.com/callback/shop"
BASIC, POST, NONE = (
    ClientAuthentication.CLIENT_SECRET_BASIC,
    ClientAuthentication.CLIENT_SECRET_POST,
    ClientAuthentication.NONE,
)


def client(
    method: ClientAuthentication = BASIC, *, client_id: str = "my-app", client_secret: str | None = "s3cret"
) -> Client:
    return Client(client_id=client_id, client_secret=client_secret, authentication=method)


def form(request: ProviderRequest) -> dict[str, str]:
    values = parse_qs(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert all(len(value) == 1 for value in values.values())
    return {name: value[0] for name, value in values.items()}


def basic_pair(request: ProviderRequest) -> tuple[str, str]:
    scheme, _, encoded = request.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    client_id, _, client_secret = b64decode(encoded, validate=True).decode().partition(":")
    return unquote_plus(client_id), unquote_plus(client_secret)


def test_code_is_exchanged_with_its_redirect_uri_and_verifier() -> None:
    request = authorization_code_request(URL, client(), code="c-1", redirect_uri=REDIRECT_URI, code_verifier="v-1")
    assert request.url == URL
    assert form(request) == {
        "grant_type": "authorization_code",
        "code": "c-1",
        "redirect_uri": REDIRECT_URI,
        "code_verifier": "v-1",
    }


def test_no_verifier_is_sent_where_pkce_is_off() -> None:
    request = authorization_code_request(URL, client(), code="c-1", redirect_uri=REDIRECT_URI, code_verifier=None)
    assert "code_verifier" not in form(request)


def test_refresh_asks_for_the_scope_granted_by_naming_none() -> None:
    assert form(refresh_request(URL, client(), refresh_token="rt-1")) == {
        "grant_type": "refresh_token",
        "refresh_token": "rt-1",
    }


def test_reply_is_asked_for_as_uncompressed_json() -> None:
    headers = refresh_request(URL, client(), refresh_token="rt-1").headers
    assert headers["Accept"] == "application/json"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"


HEADERS = (ExtraHeader("X-Api-Key", "k3y-of-the-gateway"), ExtraHeader("user-agent", "my-app/1", is_secret=False))


@pytest.mark.parametrize("method", [BASIC, POST, NONE])
def test_headers_for_a_gateway_stand_beside_those_of_ours_or_in_their_place(method: ClientAuthentication) -> None:
    behind_gateway = replace(client(method), headers=HEADERS)
    requests = [
        authorization_code_request(URL, behind_gateway, code="c", redirect_uri=REDIRECT_URI, code_verifier=None),
        refresh_request(URL, behind_gateway, refresh_token="rt-1"),
        revocation_request(URL, behind_gateway, token="rt-1", hint=TokenTypeHint.REFRESH_TOKEN),
        pushed_authorization_request(URL, behind_gateway, [("scope", "a")]),
    ]
    for request in requests:
        assert request.headers["X-Api-Key"] == "k3y-of-the-gateway"
        assert [value for name, value in request.headers.items() if name.lower() == "user-agent"] == ["my-app/1"]
        assert ("Authorization" in request.headers) is (method is BASIC)
        assert request.headers["Accept-Encoding"] == "identity"
        # What everybody may read need not be cut out of what a provider says.
        assert "k3y-of-the-gateway" in request.secrets
        assert "my-app/1" not in request.secrets
        assert "k3y" not in repr(request) + repr(behind_gateway)


def test_basic_form_encodes_id_and_secret_first() -> None:
    # RFC 6749 section 2.3.1: otherwise a colon in the client ID would move the border between the two.
    request = refresh_request(URL, client(client_id="a:b c", client_secret="ü%/+"), refresh_token="rt-1")
    encoded = request.headers["Authorization"].removeprefix("Basic ")
    assert b64decode(encoded).decode() == "a%3Ab+c:%C3%BC%25%2F%2B"


@pytest.mark.parametrize(
    ("method", "in_header", "in_body"),
    [
        pytest.param(BASIC, True, set(), id="basic stands in the header only"),
        pytest.param(POST, False, {"client_id", "client_secret"}, id="post stands in the body only"),
        pytest.param(NONE, False, {"client_id"}, id="a public client names itself and sends no secret"),
    ],
)
def test_client_authenticates_one_way(method: ClientAuthentication, in_header: bool, in_body: set[str]) -> None:
    request = refresh_request(URL, client(method), refresh_token="rt-1")
    assert ("Authorization" in request.headers) is in_header
    assert form(request).keys() - {"grant_type", "refresh_token"} == in_body


def test_secret_goes_into_the_body_with_post() -> None:
    request = refresh_request(URL, client(POST, client_secret="s&=+ü"), refresh_token="rt-1")
    assert form(request)["client_secret"] == "s&=+ü"


def test_public_client_that_was_given_a_secret_does_not_send_it() -> None:
    request = refresh_request(URL, client(NONE, client_secret="sentinel"), refresh_token="rt-1")
    assert b"sentinel" not in request.body


def test_missing_secret_is_an_empty_one() -> None:
    request = refresh_request(URL, client(BASIC, client_secret=None), refresh_token="rt-1")
    assert basic_pair(request) == ("my-app", "")


@pytest.mark.parametrize("method", list(ClientAuthentication))
def test_nothing_secret_stands_in_the_url_or_prints(method: ClientAuthentication) -> None:
    who = client(method, client_secret="sentinel-secret")
    requests = [
        refresh_request(URL, who, refresh_token="sentinel-refresh"),
        authorization_code_request(
            URL, who, code="sentinel-code", redirect_uri=REDIRECT_URI, code_verifier="sentinel-verifier"
        ),
    ]
    assert [request.url for request in requests] == [URL, URL]
    assert "sentinel" not in repr(who) + repr(requests)
    assert "Basic" not in repr(requests)


@given(client_id=st.text(min_size=1), client_secret=st.text(min_size=1))
def test_any_id_and_secret_survive_basic(client_id: str, client_secret: str) -> None:
    request = refresh_request(URL, client(BASIC, client_id=client_id, client_secret=client_secret), refresh_token="rt")
    assert basic_pair(request) == (client_id, client_secret)


@given(refresh_token=st.text(min_size=1), client_secret=st.text(min_size=1))
def test_any_token_and_secret_survive_the_form(refresh_token: str, client_secret: str) -> None:
    request = refresh_request(URL, client(POST, client_secret=client_secret), refresh_token=refresh_token)
    assert form(request) == {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "client_id": "my-app",
        "client_secret": client_secret,
    }


# What some providers want beside the standard.


def pairs(request: ProviderRequest) -> list[tuple[str, str]]:
    return parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)


def test_assertion_takes_the_place_of_the_secret() -> None:
    # RFC 7523 section 2.2.
    who = Client("my-app", "sentinel", ClientAuthentication.PRIVATE_KEY_JWT, assertion="a.b.c")
    request = refresh_request(URL, who, refresh_token="rt-1")
    assert form(request) == {
        "grant_type": "refresh_token",
        "refresh_token": "rt-1",
        "client_id": "my-app",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "a.b.c",
    }
    assert "Authorization" not in request.headers
    assert "a.b.c" not in repr(who)


@pytest.mark.parametrize("resources", [("https://a.example",), ("https://a.example", "https://b.example")])
def test_resource_indicators_stand_on_code_and_refresh_requests(resources: tuple[str, ...]) -> None:
    options = RequestOptions(resources=resources)
    for request in (
        refresh_request(URL, client(), refresh_token="rt-1", options=options),
        authorization_code_request(
            URL, client(), code="c", redirect_uri=REDIRECT_URI, code_verifier=None, options=options
        ),
    ):
        assert [value for name, value in pairs(request) if name == "resource"] == list(resources)


def test_further_parameters_are_sent_and_never_take_the_place_of_the_flows_own() -> None:
    mine = {"audience": "api", "grant_type": "password", "client_secret": "x", "code": "y", "redirect_uri": "z"}
    request = authorization_code_request(
        URL,
        client(POST),
        code="c-1",
        redirect_uri=REDIRECT_URI,
        code_verifier=None,
        options=RequestOptions(parameters=mine),
    )
    assert form(request) == {
        "audience": "api",
        "grant_type": "authorization_code",
        "code": "c-1",
        "redirect_uri": REDIRECT_URI,
        "client_id": "my-app",
        "client_secret": "s3cret",
    }


@pytest.mark.parametrize("method", list(ClientAuthentication))
def test_json_body_says_what_the_form_says(method: ClientAuthentication) -> None:
    who = client(method)
    as_form = refresh_request(URL, who, refresh_token="rt-1")
    as_json = refresh_request(URL, who, refresh_token="rt-1", options=RequestOptions(body_format=BodyFormat.JSON))
    assert json.loads(as_json.body) == form(as_form)
    assert as_json.headers == {**as_form.headers, "Content-Type": "application/json"}


def test_json_body_lists_several_resources() -> None:
    options = RequestOptions(resources=("https://a", "https://b"), body_format=BodyFormat.JSON)
    body = json.loads(refresh_request(URL, client(), refresh_token="rt", options=options).body)
    assert body["resource"] == ["https://a", "https://b"]


# What must not come back.


@pytest.mark.parametrize("authentication", list(ClientAuthentication))
def test_request_knows_what_it_carries_that_nobody_may_be_shown(authentication: ClientAuthentication) -> None:
    asking = Client("client-1", "the-secret", authentication, assertion="the-assertion")
    refresh = refresh_request(URL, asking, refresh_token="rt-1")
    exchange = authorization_code_request(URL, asking, code="code-1", redirect_uri="r", code_verifier="verifier-1")
    proofs = {"the-assertion"} if authentication is ClientAuthentication.PRIVATE_KEY_JWT else set()
    assert set(refresh.secrets) == {"rt-1", "the-secret", *proofs}
    assert set(exchange.secrets) == {"code-1", "verifier-1", "the-secret", *proofs}
    assert "rt-1" not in repr(refresh)


def test_client_without_a_secret_sends_basic_with_an_empty_password_where_it_is_told_to() -> None:
    """Reddit's installed apps."""
    public = Client("my-app", None, ClientAuthentication.BASIC_WITHOUT_SECRET)
    request = refresh_request(URL, public, refresh_token="rt-1")
    assert basic_pair(request) == ("my-app", "")
    assert form(request) == {"grant_type": "refresh_token", "refresh_token": "rt-1"}


@pytest.mark.parametrize("method", [BASIC, ClientAuthentication.BASIC_WITHOUT_SECRET])
def test_client_may_be_named_in_the_body_beside_the_header(method: ClientAuthentication) -> None:
    named = Client("my-app", "s3cret" if method is BASIC else None, method, is_named_in_the_body=True)
    request = refresh_request(URL, named, refresh_token="rt-1")
    assert "Authorization" in request.headers
    assert form(request)["client_id"] == "my-app"
    assert "client_secret" not in form(request)


def test_refresh_carries_a_redirect_uri_where_that_is_wanted() -> None:
    uri = "https://connect.example.com/callback/shop"
    assert form(refresh_request(URL, client(), refresh_token="rt-1", redirect_uri=uri))["redirect_uri"] == uri
    assert "redirect_uri" not in form(refresh_request(URL, client(), refresh_token="rt-1"))
