"""What holds: written first, then the preset, then metadata; and what does not go together is told."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from datasource.api.spec import InvalidSpec, OAuth2, SpecProblem
from datasource.oauth2.error_reply import ErrorMeaning, ErrorRule
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.oauth2.token_request import BodyFormat, Client, ClientAuthentication, RequestOptions
from datasource.oauth2.token_response import ReplyOptions
from datasource.records.client_secret import ClientSecret
from datasource.records.credential import CredentialFacts
from datasource.records.effective import (
    Effective,
    Source,
    authenticating_as_recorded,
    client_for,
    code_options,
    effective_oauth2,
    needs_metadata,
    read_recorded_client,
    recorded_client,
    refresh_options,
    reply_options,
)
from tests.unit.datasource.builders import oauth2

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ISSUER = "https://login.example.com"
BY_ISSUER: dict[str, Any] = {"issuer": ISSUER, "authorizeURL": None, "tokenURL": None}


def metadata(**changes: Any) -> ProviderMetadata:
    usual: dict[str, Any] = {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/auth",
        "token_endpoint": f"{ISSUER}/tok",
        "revocation_endpoint": f"{ISSUER}/rev",
        "code_challenge_methods_supported": ("S256",),
    }
    return ProviderMetadata(**(usual | changes))


def holds(said: ProviderMetadata | None = None, **changes: Any) -> Effective:
    return effective_oauth2(oauth2(**changes), said)


def refused(said: ProviderMetadata | None, **changes: Any) -> SpecProblem:
    with pytest.raises(InvalidSpec) as caught:
        holds(said, **changes)
    return caught.value.problem


def test_metadata_fills_in_what_is_not_written() -> None:
    found = holds(metadata(), **BY_ISSUER)
    assert (found.authorize_url, found.token_url, found.revocation_url) == (
        f"{ISSUER}/auth",
        f"{ISSUER}/tok",
        f"{ISSUER}/rev",
    )
    assert found.source("authorize_url") is Source.METADATA


def test_what_is_written_wins_over_metadata_each_by_itself() -> None:
    found = holds(metadata(), issuer=ISSUER, tokenURL="https://other.example.com/token", authorizeURL=None)
    assert found.token_url == "https://other.example.com/token"
    assert found.authorize_url == f"{ISSUER}/auth"
    assert (found.source("token_url"), found.source("authorize_url")) == (Source.WRITTEN, Source.METADATA)


def test_preset_wins_over_metadata() -> None:
    found = holds(metadata(issuer="https://accounts.google.com"), provider="google", authorizeURL=None, tokenURL=None)
    assert found.token_url == "https://oauth2.googleapis.com/token"
    assert found.source("token_url") is Source.PRESET


def test_without_an_issuer_nothing_but_what_is_written_holds() -> None:
    found = holds()
    assert (found.authorize_url, found.token_url) == (
        "https://login.example.com/authorize",
        "https://login.example.com/token",
    )
    assert (found.revocation_url, found.pushed_authorization_url) == (None, None)
    assert found.client_id == "my-app"
    assert found.code_challenge_is_sent


@pytest.mark.parametrize(
    ("member", "field"), [("authorization_endpoint", "authorizeURL"), ("token_endpoint", "tokenURL")]
)
def test_endpoint_that_nobody_tells_is_named(member: str, field: str) -> None:
    error = refused(metadata(**{member: None}), **BY_ISSUER)
    assert error.field == f"spec.oauth2.{field}"
    assert member in str(error)


@pytest.mark.parametrize("methods", [None, (), ("plain",)])
def test_metadata_without_s256_blocks(methods: Any) -> None:
    said = metadata(code_challenge_methods_supported=methods)
    assert refused(said, **BY_ISSUER).field == "spec.oauth2.pkce"
    assert refused(said, issuer=ISSUER).field == "spec.oauth2.pkce"


@pytest.mark.parametrize(("pkce", "is_sent"), [("none", False), ("S256Unadvertised", True)])
def test_metadata_without_s256_does_not_block_who_opts_out(pkce: str, is_sent: bool) -> None:
    found = holds(metadata(code_challenge_methods_supported=None), pkce=pkce, **BY_ISSUER)
    assert found.code_challenge_is_sent is is_sent


def test_callback_chooses_where_the_code_goes_and_where_its_tokens_are_revoked() -> None:
    eu = {
        "parameter": "dc",
        "value": "eu",
        "url": "https://eu.example.com/t",
        "revocationURL": "https://eu.example.com/r",
    }
    asia = {"parameter": "dc", "value": "in", "url": "https://in.example.com/t"}
    found = holds(tokenURLs=[eu, asia], revocationURL="https://login.example.com/r")
    assert found.chosen_by({}) is found
    chosen = found.chosen_by({"dc": "eu"})
    assert (chosen.token_url, chosen.revocation_url) == ("https://eu.example.com/t", "https://eu.example.com/r")
    assert chosen.endpoints == {"tokenURL": "https://eu.example.com/t", "revocationURL": "https://eu.example.com/r"}
    other = found.chosen_by({"dc": "in"})
    assert (other.token_url, other.revocation_url) == ("https://in.example.com/t", "https://login.example.com/r")


PAR = f"{ISSUER}/par"


@pytest.mark.parametrize(
    ("said", "changes", "expected"),
    [
        pytest.param({"pushed_authorization_request_endpoint": PAR}, {}, PAR, id="offered"),
        pytest.param({}, {}, None, id="not offered"),
        pytest.param(
            {"pushed_authorization_request_endpoint": PAR}, {"pushedAuthorization": "required"}, PAR, id="required"
        ),
        pytest.param(
            {"pushed_authorization_request_endpoint": PAR}, {"pushedAuthorization": "never"}, None, id="never"
        ),
        pytest.param({}, {"pushedAuthorizationURL": "https://p.example/"}, "https://p.example/", id="written"),
        pytest.param(
            {"pushed_authorization_request_endpoint": PAR},
            {"pushedAuthorizationURL": "https://p.example/"},
            "https://p.example/",
            id="written wins",
        ),
        pytest.param(
            {"pushed_authorization_request_endpoint": PAR},
            {"authorizeURL": "https://other.example.com/authorize"},
            None,
            id="offered by another server than the authorize URL's",
        ),
    ],
)
def test_request_is_pushed_where_offered_or_asked_for(said: Any, changes: Any, expected: str | None) -> None:
    assert holds(metadata(**said), **(BY_ISSUER | changes)).pushed_authorization_url == expected


def test_pushed_request_that_cannot_be_is_told() -> None:
    assert "no endpoint for it is known" in str(refused(metadata(), pushedAuthorization="required", **BY_ISSUER))
    said = metadata(pushed_authorization_request_endpoint=PAR, require_pushed_authorization_requests=True)
    assert "requires it" in str(refused(said, pushedAuthorization="never", **BY_ISSUER))


def test_request_that_must_be_pushed_is_not_sent_otherwise() -> None:
    said = metadata(require_pushed_authorization_requests=True)
    assert "pushedAuthorizationURL" in str(refused(said, **BY_ISSUER))
    pushed = holds(said, pushedAuthorizationURL="https://p.example/", **BY_ISSUER)
    assert pushed.pushed_authorization_url == "https://p.example/"
    elsewhere = holds(said, **(BY_ISSUER | {"authorizeURL": "https://other.example.com/authorize"}))
    assert elsewhere.pushed_authorization_url is None, "what another server requires does not hold here"


def test_secret_goes_to_no_endpoint_that_is_not_listed() -> None:
    said = metadata(pushed_authorization_request_endpoint=PAR)
    endpoints = holds(said, refreshURL="https://refresh.example.com/", **BY_ISSUER).endpoints
    assert endpoints == {
        "tokenURL": f"{ISSUER}/tok",
        "refreshURL": "https://refresh.example.com/",
        "revocationURL": f"{ISSUER}/rev",
        "pushedAuthorizationURL": PAR,
    }


# Clients.

TYPED = "client-authentication+jwt"


def pem() -> str:
    text: bytes = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


def client(parameters: OAuth2, secret: ClientSecret | None) -> Client:
    return client_for(
        parameters.expanded(),
        secret,
        token_endpoint=f"{ISSUER}/tok",
        now=NOW,
        token_bytes=lambda count: b"r" * count,
    )


def test_client_has_the_secret_that_was_read() -> None:
    made = client(oauth2(), ClientSecret("my-app", "s3cret"))
    assert made == Client("my-app", "s3cret", ClientAuthentication.CLIENT_SECRET_BASIC)


def test_public_client_has_none() -> None:
    assert client(oauth2(clientSecretRef=None), None) == Client("my-app", None, ClientAuthentication.NONE)


@pytest.mark.parametrize(
    ("changes", "audience"),
    [
        pytest.param({"issuer": ISSUER}, ISSUER, id="the issuer where it is known"),
        pytest.param({}, f"{ISSUER}/tok", id="the token endpoint where none is"),
        pytest.param({"issuer": ISSUER, "assertionAudience": "tokenURL"}, f"{ISSUER}/tok", id="by choice"),
        pytest.param({"issuer": ISSUER, "provider": "okta"}, f"{ISSUER}/tok", id="by the preset"),
    ],
)
def test_assertion_is_addressed_to_one_audience(changes: Mapping[str, Any], audience: str) -> None:
    parameters = oauth2(clientSecretRef=None, privateKeyRef={"name": "signing", "keyID": "key-1"}, **changes)
    text = pem()
    made = client(parameters, ClientSecret("signing", text))
    assert made.client_secret is None
    assert made.assertion is not None
    assertion = jwt.decode(made.assertion, ECKey.import_key(text), algorithms=["ES256"])
    assert assertion.claims["aud"] == audience
    assert assertion.header["kid"] == "key-1"


@pytest.mark.parametrize(("written", "type_"), [(None, "JWT"), ("JWT", "JWT"), (TYPED, TYPED)])
def test_assertion_has_the_type_that_was_asked_for(written: str | None, type_: str) -> None:
    key = {"name": "signing"}
    parameters = oauth2(clientSecretRef=None, privateKeyRef=key, issuer=ISSUER, assertionType=written)
    text = pem()
    recorded = read_recorded_client(recorded_client(parameters))
    assert recorded is not None
    for each in (parameters, recorded):
        made = client(each, ClientSecret("signing", text))
        assertion = jwt.decode(made.assertion or "", ECKey.import_key(text), algorithms=["ES256"])
        assert (assertion.header["typ"], assertion.claims["aud"]) == (type_, ISSUER)


# Options.


def test_standard_parameters_make_standard_options() -> None:
    assert code_options(oauth2()) == refresh_options(oauth2()) == RequestOptions()
    assert reply_options(oauth2()) == ReplyOptions(scope_separator=",")
    assert reply_options(oauth2(), refreshed=CredentialFacts("c")) == ReplyOptions(
        token_path_may_be_missing=True, missing_token_type_allowed=True, scope_separator=","
    )


@pytest.mark.parametrize(
    ("listed", "changes", "expected"),
    [
        pytest.param(("client_secret_post",), {}, "client_secret_post", id="the body alone"),
        pytest.param(("private_key_jwt", "client_secret_post"), {}, "client_secret_post", id="no Basic"),
        pytest.param(("client_secret_post", "client_secret_basic"), {}, "client_secret_basic", id="both"),
        pytest.param(("client_secret_jwt",), {}, "client_secret_basic", id="neither"),
        pytest.param(None, {}, "client_secret_basic", id="nothing is listed"),
        pytest.param(
            ("client_secret_post",),
            {"clientAuthentication": "client_secret_basic"},
            "client_secret_basic",
            id="written",
        ),
        pytest.param(("client_secret_post",), {"clientSecretRef": None}, "none", id="a public client"),
        pytest.param(
            ("client_secret_post",), {"tokenURL": "https://b.example.com"}, "client_secret_basic", id="another server"
        ),
    ],
)
def test_client_authenticates_as_the_metadata_lists_where_nothing_is_written(
    listed: tuple[str, ...] | None, changes: dict[str, Any], expected: str
) -> None:
    said = metadata(token_endpoint="https://login.example.com/token", token_endpoint_auth_methods_supported=listed)
    assert effective_oauth2(oauth2(**changes), said).parameters.effective_client_authentication() == expected


def test_client_authenticates_as_a_promise_without_endpoints_says() -> None:
    said = metadata(token_endpoint_auth_methods_supported=("client_secret_post",)).promises
    assert said.token_endpoint is None
    parameters = effective_oauth2(oauth2(), said).parameters
    assert parameters.effective_client_authentication() == "client_secret_post"


def test_refresh_authenticates_as_the_exchange_did_where_nothing_is_written() -> None:
    listed = ("client_secret_post",)
    said = metadata(token_endpoint="https://login.example.com/token", token_endpoint_auth_methods_supported=listed)
    told = effective_oauth2(oauth2(), said)
    recorded = recorded_client(told.parameters)
    way = authenticating_as_recorded(oauth2(), recorded).effective_client_authentication()
    assert way == "client_secret_post"
    for spec, text in (
        (oauth2(clientAuthentication="client_secret_basic"), recorded),
        (oauth2(), None),
        (oauth2(), recorded_client(oauth2(clientSecretRef=None))),
    ):
        assert authenticating_as_recorded(spec, text) == spec
        assert authenticating_as_recorded(spec, text).effective_client_authentication() == "client_secret_basic"
    public = oauth2(clientSecretRef=None)
    assert authenticating_as_recorded(public, recorded) == public


def test_reply_to_a_refresh_lasts_as_long_as_was_told_before() -> None:
    told = CredentialFacts("c", told_lifetime=timedelta(minutes=40))
    assert reply_options(oauth2(), refreshed=told).last_lifetime == timedelta(minutes=40)
    before = CredentialFacts("c", refreshed_at=NOW, expires_at=NOW + timedelta(minutes=30))
    assert reply_options(oauth2(), refreshed=before).last_lifetime == timedelta(minutes=30)
    # v0.1.0 may have made it of defaultLifetime, which may be another by now.
    assert reply_options(oauth2(defaultLifetime="1h"), refreshed=before).last_lifetime is None
    for odd in (CredentialFacts("c", expires_at=NOW), CredentialFacts("c", refreshed_at=NOW, expires_at=NOW)):
        assert reply_options(oauth2(), refreshed=odd).last_lifetime is None


def test_options_are_read_from_what_is_written() -> None:
    parameters = oauth2(
        tokenParameters={"a": "1"},
        refreshParameters={"b": "2"},
        resource=["https://api.example.com"],
        bodyFormat="json",
        tokenPath="data.token",
        defaultLifetime="30m",
        maxLifetime="2h",
        missingTokenTypeAllowed=True,
        bearerTokenTypes=["BOT"],
        scopeSeparator=",",
        errorCodes={"gone": "invalid_grant"},
        errorRules=[{"path": "errors.code", "error": "x", "means": "temporary"}],
        capturedFields={"tokenResponse": ["instance_url"]},
    )
    resources = ("https://api.example.com",)
    assert code_options(parameters) == RequestOptions({"a": "1"}, resources, BodyFormat.JSON)
    assert refresh_options(parameters) == RequestOptions({"b": "2"}, resources, BodyFormat.JSON)
    options = reply_options(parameters)
    assert options.token_path == ("data", "token")
    assert (options.default_lifetime, options.longest_lifetime) == (timedelta(minutes=30), timedelta(hours=2))
    assert options.bearer_token_types == {"bearer", "bot"}
    assert (options.missing_token_type_allowed, options.scope_separator) == (True, ",")
    assert options.error_rules == (ErrorRule(ErrorMeaning.TEMPORARY, path="errors.code", error="x"),)
    assert (options.error_codes, options.captured) == ({"gone": "invalid_grant"}, ("instance_url",))


@pytest.mark.parametrize(
    ("scopes", "separator"), [((), ","), (("repo", "gist"), ","), (("repo", "rows:read,write"), " ")]
)
def test_scopes_of_a_reply_may_have_commas_between_them_unless_they_have_them_within(
    scopes: tuple[str, ...], separator: str
) -> None:
    assert reply_options(OAuth2(scopes=scopes)).scope_separator == separator


# Looked up.


def test_metadata_is_needed_where_an_endpoint_is_not_told() -> None:
    assert not needs_metadata(oauth2(issuer=ISSUER))
    assert needs_metadata(oauth2(issuer=ISSUER, tokenURL=None))
    assert not needs_metadata(oauth2(provider="google", tokenURL=None, authorizeURL=None))


@pytest.mark.parametrize(
    "query", ["state=x", "a=b&redirect_uri=https%3A%2F%2Fevil.example.com", "%63lient_id=", "nonce"]
)
def test_metadata_whose_authorize_url_sets_what_the_flow_sets_is_refused_before_anything_is_begun(query: str) -> None:
    error = refused(metadata(authorization_endpoint=f"{ISSUER}/auth?{query}"), **BY_ISSUER)
    assert error.field == "spec.oauth2.issuer"
    assert "which the flow sets itself" in str(error)


def test_other_parameters_in_the_authorize_url_of_metadata_stay() -> None:
    assert holds(metadata(authorization_endpoint=f"{ISSUER}/auth?p=b2c"), **BY_ISSUER).authorize_url.endswith("?p=b2c")


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({}, ClientAuthentication.CLIENT_SECRET_BASIC),
        ({"clientAuthentication": "client_secret_post"}, ClientAuthentication.CLIENT_SECRET_POST),
        ({"clientSecretRef": None}, ClientAuthentication.NONE),
    ],
)
def test_client_is_recorded_as_it_authenticates_and_nothing_else_of_the_spec(
    changes: dict[str, Any], method: ClientAuthentication
) -> None:
    read = read_recorded_client(recorded_client(oauth2(scopes=["read"], **changes)))
    assert read is not None
    assert (read.client_id, read.effective_client_authentication()) == ("my-app", method)
    assert (read.scopes, read.token_url) == ((), None)


@pytest.mark.parametrize("text", [None, "", "[]", '{"clientID": 5}'])
def test_recorded_client_that_cannot_be_read_is_none(text: str | None) -> None:
    assert read_recorded_client(text) is None
