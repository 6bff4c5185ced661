"""What keeps a part written by hand: an input that the library takes and we refuse, or that it writes wrongly.

The table is docs/decisions.md#parts-by-hand. A test that fails here, because a library became stricter, is a reason to use it.
"""

import json
from base64 import b64decode
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749.parameters import parse_authorization_code_response, prepare_token_request
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.core import CodeIDToken
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from datasource.oauth2.callback import RefusedCallback, parse_callback
from datasource.oauth2.errors import MetadataUnusable, OAuth2Error
from datasource.oauth2.id_token import IdentityMismatch, check_claims
from datasource.oauth2.provider_metadata import parse_provider_metadata
from datasource.oauth2.token_request import Client, ClientAuthentication, RequestOptions, refresh_request
from datasource.oauth2.token_response import parse_token_response

NOW = datetime(2026, 7, 1, tzinfo=UTC)
URL = "https://id.example.com/token"
ISSUER = "https://id.example.com"


def test_basic_credentials_are_form_encoded_first() -> None:
    """RFC 6749 section 2.3.1: a colon in the client ID would move the border between the two."""
    client = Client("a:b", "c", ClientAuthentication.CLIENT_SECRET_BASIC)
    ours = refresh_request(URL, client, refresh_token="r").headers["Authorization"]
    _, theirs, _ = ClientAuth("a:b", "c").prepare("POST", URL, {}, "")
    assert b64decode(ours.removeprefix("Basic ")) == b"a%3Ab:c"
    assert b64decode(theirs["Authorization"].removeprefix("Basic ")) == b"a:b:c"


def test_secret_beyond_latin_1_can_be_sent() -> None:
    client = Client("a", "\u20ac", ClientAuthentication.CLIENT_SECRET_BASIC)
    ours = refresh_request(URL, client, refresh_token="r").headers["Authorization"]
    assert b64decode(ours.removeprefix("Basic ")) == b"a:%E2%82%AC"
    with pytest.raises(UnicodeEncodeError):
        ClientAuth("a", "\u20ac").prepare("POST", URL, {}, "")


def test_further_parameter_never_stands_beside_the_clients_own() -> None:
    client = Client("ours", "s", ClientAuthentication.CLIENT_SECRET_POST)
    options = RequestOptions(parameters={"client_id": "theirs"})
    ours = refresh_request(URL, client, refresh_token="r", options=options).body.decode()
    body = prepare_token_request("refresh_token", "", refresh_token="r", client_id="theirs")
    _, _, theirs = ClientAuth("ours", "s", "client_secret_post").prepare("POST", URL, {}, body)
    assert ours.count("client_id=") == 1
    assert theirs.count("client_id=") == 2


def test_resource_may_stand_more_than_once() -> None:
    """RFC 8707 section 2."""
    resources = ["https://a.example", "https://b.example"]
    client = Client("ours", None, ClientAuthentication.NONE)
    ours = refresh_request(URL, client, refresh_token="r", options=RequestOptions(resources=resources)).body.decode()
    assert ours.count("resource=") == 2
    with pytest.raises(TypeError):
        prepare_token_request("refresh_token", "", refresh_token="r", resource=resources)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"issuer": "https://other.example"}, id="another issuer"),
        pytest.param({"token_endpoint": "https://user:word@id.example.com/token"}, id="a login in an endpoint"),
        pytest.param({"token_endpoint": "https://id.example.com/token#part"}, id="a fragment in an endpoint"),
        pytest.param({"revocation_endpoint": "https://id.example.com:99999/revoke"}, id="a port that cannot be"),
    ],
)
def test_metadata_that_the_library_takes_is_refused(said: dict[str, str]) -> None:
    document = {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": URL,
        "response_types_supported": ["code"],
        **said,
    }
    AuthorizationServerMetadata(document).validate()
    with pytest.raises(MetadataUnusable):
        parse_provider_metadata(json.dumps(document).encode(), issuer=ISSUER, allow_insecure_http=False)


CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "sam",
    "aud": "ours",
    "exp": NOW.timestamp() + 60,
    "iat": NOW.timestamp(),
}


def refuse(claims: dict[str, Any]) -> None:
    with pytest.raises(IdentityMismatch):
        check_claims(claims, issuer=ISSUER, client_id="ours", nonce=None, now=NOW)


def test_empty_subject_is_refused_and_authlib_takes_it() -> None:
    claims = CLAIMS | {"sub": ""}
    wanted = {"iss": {"value": ISSUER}, "aud": {"value": "ours"}}
    CodeIDToken(claims, {}, wanted, {"client_id": "ours"}).validate(now=int(NOW.timestamp()))
    refuse(claims)


@pytest.mark.parametrize("claim", [{"azp": "theirs"}, {"aud": ["ours", "theirs"]}], ids=str)
def test_token_for_another_party_is_refused_and_joserfc_takes_it(claim: dict[str, Any]) -> None:
    """OIDC Core section 3.1.3.7, points 4 and 5."""
    claims = CLAIMS | claim
    wanted: ClaimsOption = {"essential": True}
    registry = JWTClaimsRegistry(
        now=int(NOW.timestamp()),
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": "ours"},
        sub=wanted,
        exp=wanted,
    )
    registry.validate(claims)
    refuse(claims)


@pytest.mark.parametrize(
    ("status", "members"),
    [
        pytest.param(401, {"access_token": "t", "token_type": "Bearer"}, id="a refusal that looks like a token"),
        pytest.param(200, {"access_token": "", "token_type": "Bearer"}, id="an empty token"),
        pytest.param(200, {"access_token": "t", "token_type": "mac"}, id="a token of unknown type"),
    ],
)
def test_reply_that_the_library_takes_is_refused(status: int, members: dict[str, str]) -> None:
    body = json.dumps(members).encode()
    reply = SimpleNamespace(
        status_code=status, json=lambda: members, text=body.decode(), content=body, raise_for_status=lambda: None
    )
    assert OAuth2Client(None, token_endpoint=URL).parse_response_token(reply) == members
    with pytest.raises(OAuth2Error):
        parse_token_response(status, {"content-type": "application/json"}, body, received_at=NOW)


def test_code_that_stands_twice_is_refused() -> None:
    query = "code=one&code=two&state=s"
    assert parse_authorization_code_response(f"https://us.example/cb?{query}", "s")["code"] == "two"
    with pytest.raises(RefusedCallback):
        parse_callback(query.encode())
