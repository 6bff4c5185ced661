"""What the dialog says of the parameters: those that hold, and where they come from."""

from typing import Any

import msgspec
import pytest

from callback_server.parameter_rows import Shown, shown_parameters
from datasource.api.presets import PRESETS
from datasource.api.spec import OAuth2
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.records.effective import effective_oauth2

ISSUER = "https://login.example.com"
METADATA = ProviderMetadata(
    issuer=ISSUER,
    authorization_endpoint=f"{ISSUER}/auth",
    token_endpoint=f"{ISSUER}/tok",
    pushed_authorization_request_endpoint=f"{ISSUER}/par",
    code_challenge_methods_supported=("S256",),
)


def oauth2(**fields: Any) -> OAuth2:
    return msgspec.convert({"clientID": "my-app", "scopes": ["read", "write"]} | fields, OAuth2)


def shown(parameters: OAuth2, metadata: ProviderMetadata | None = None) -> dict[str, Shown]:
    return {each.label: each for each in shown_parameters(parameters, effective_oauth2(parameters, metadata))}


def test_what_is_written_is_shown_without_a_source() -> None:
    rows = shown(oauth2(authorizeURL="https://a.example/authorize", tokenURL="https://a.example/token"))
    assert list(rows) == ["Client ID", "Client secret", "Authorize URL", "Token URL", "Scopes"]
    assert rows["Scopes"].values == ("read", "write")
    assert {row.source for row in rows.values()} == {""}


def test_what_the_issuer_tells_is_shown_as_such() -> None:
    rows = shown(oauth2(issuer=ISSUER), METADATA)
    assert rows["Token URL"] == Shown("Token URL", (f"{ISSUER}/tok",), "from the issuer's metadata")
    assert rows["Request pushed to"] == Shown("Request pushed to", (f"{ISSUER}/par",), "from the issuer's metadata")
    assert rows["Issuer"].source == ""


def test_what_a_preset_fills_in_is_shown_as_such() -> None:
    rows = shown(oauth2(provider="google", authorizeParameters={"hd": "example.com"}))
    assert rows["Service"].values == ("Google",)
    # Whether we tried a preset is for our documentation: it would only frighten who consents.
    assert rows["Service"].source == ""
    assert rows["Token URL"] == Shown("Token URL", ("https://oauth2.googleapis.com/token",), "from the preset")
    assert rows["Authorize parameters"].source == "partly from the preset"
    assert set(rows["Authorize parameters"].values) == {"access_type=offline", "prompt=consent", "hd=example.com"}


def test_every_option_that_is_used_is_shown() -> None:
    rows = shown(
        oauth2(
            provider="salesforce",
            issuer=ISSUER,
            audience="api",
            resource=["https://api.example.com"],
            tokenPath="data",
            bodyFormat="json",
            refreshURL="https://a.example/refresh",
            privateKeyRef={"name": "signing"},
        ),
        METADATA,
    )
    assert rows["Private key"].values == ("in Secret signing, key private-key (private_key_jwt)",)
    assert rows["PKCE"] == Shown("PKCE", ("S256Unadvertised",), "from the preset")
    assert rows["Captured fields"] == Shown("Captured fields", ("instance_url",), "from the preset")
    assert rows["Default lifetime"] == Shown("Default lifetime", ("1h",), "from the preset")
    assert rows["Refresh URL"].values == ("https://a.example/refresh",)
    assert {"Audience", "Resources", "Token path", "Body of requests"} <= rows.keys()


ROWS: list[tuple[str, Any, str, tuple[str, ...]]] = [
    ("issuer", ISSUER, "Issuer", (ISSUER,)),
    ("provider", "github", "Service", ("GitHub",)),
    ("clientID", "an-app", "Client ID", ("an-app",)),
    ("clientSecretRef", {"name": "s"}, "Client secret", ("in Secret s, key client-secret (client_secret_basic)",)),
    ("privateKeyRef", {"name": "k"}, "Private key", ("in Secret k, key private-key (private_key_jwt)",)),
    ("authorizeURL", "https://a.example/a", "Authorize URL", ("https://a.example/a",)),
    ("tokenURL", "https://a.example/t", "Token URL", ("https://a.example/t",)),
    ("refreshURL", "https://a.example/r", "Refresh URL", ("https://a.example/r",)),
    ("pushedAuthorizationURL", "https://a.example/p", "Request pushed to", ("https://a.example/p",)),
    ("discoveryURL", "https://a.example/meta", "Discovery URL", ("https://a.example/meta",)),
    ("scopes", ["a", "b"], "Scopes", ("a", "b")),
    ("pkce", "S256Unadvertised", "PKCE", ("S256Unadvertised",)),
    ("authorizeParameters", {"a": "1", "b": "<2>"}, "Authorize parameters", ("a=1", "b=<2>")),
    ("tokenParameters", {"a": "1"}, "Token parameters", ("a=1",)),
    ("refreshParameters", {"a": "1"}, "Refresh parameters", ("a=1",)),
    ("expectedIdentity", {"hd": "example.com"}, "Who may authorize", ("hd=example.com",)),
    ("audience", "api", "Audience", ("api",)),
    ("resource", ["urn:a", "urn:b"], "Resources", ("urn:a", "urn:b")),
    ("bodyFormat", "json", "Body of requests", ("json",)),
    ("tokenPath", "data.token", "Token path", ("data.token",)),
    ("defaultLifetime", "1h", "Default lifetime", ("1h",)),
    ("grantLifetime", "8760h", "The grant lasts", ("8760h",)),
    ("grantIdleLifetime", "2160h", "The grant lasts, after each refresh", ("2160h",)),
    (
        "tokenURLs",
        [{"parameter": "dc", "value": "eu", "url": "https://eu.example.com/t"}],
        "Token URLs to choose from",
        ("https://eu.example.com/t where dc is eu",),
    ),
    ("maxLifetime", "2h", "Longest lifetime", ("2h",)),
    ("missingTokenTypeAllowed", True, "Token type", ("may be missing",)),
    ("bearerTokenTypes", ["bot"], "Further token types", ("bot",)),
    ("errorCodes", {"gone": "invalid_grant"}, "Names of errors", ("gone=invalid_grant",)),
    (
        "errorRules",
        [
            {"path": "errors.0", "error": "x", "status": 400, "means": "invalidGrant"},
            {"error": "y", "means": "temporary"},
        ],
        "Errors",
        ("path: errors.0, error: x, status: 400, means: invalidGrant", "error: y, means: temporary"),
    ),
    ("capturedFields", {"callback": ["realmId"]}, "Captured fields", ("realmId",)),
    ("clientIDInBody", True, "Client ID in the body", ("beside the header",)),
    ("redirectURIOnRefresh", True, "Redirect URI on refresh", ("sent",)),
    ("redirectURI", "PerDatasource", "Redirect URI", ("of this Datasource alone",)),
    (
        "tokenHeaders",
        [
            {"name": "User-Agent", "value": "<app>/1"},
            {"name": "X-Api-Key", "secretRef": {"name": "gateway", "key": "key"}},
        ],
        "Headers of token requests",
        ("User-Agent: <app>/1", "X-Api-Key: in Secret gateway, key key"),
    ),
    ("nonce", False, "Nonce", ("none is sent",)),
]

NOT_SHOWN = {
    "client_authentication",  # beside the client secret or the private key
    "pushed_authorization",  # the URL is, where the request is pushed
    "revocation_url",  # nothing goes there while somebody authorizes
    "scope_separator",
    "assertion_audience",
    "assertion_type",
    "ca_bundle",
    "ca_bundle_ref",
}
"""Options that say nothing to whoever consents."""


@pytest.mark.parametrize(("field", "written", "label", "values"), ROWS, ids=[row[0] for row in ROWS])
def test_option_has_its_row(field: str, written: Any, label: str, values: tuple[str, ...]) -> None:
    rows = shown(
        oauth2(**({"issuer": ISSUER} | {field: written})),
        METADATA,
    )
    assert rows[label].values == values
    assert rows[label].source == ""


def test_no_option_is_forgotten() -> None:
    have_a_row = {each.name for each in msgspec.structs.fields(OAuth2) if each.encode_name in {row[0] for row in ROWS}}
    assert have_a_row | NOT_SHOWN == set(OAuth2.__struct_fields__)
    assert not have_a_row & NOT_SHOWN


@pytest.mark.parametrize("name", PRESETS)
def test_what_a_preset_says_of_errors_is_shown_as_such(name: str) -> None:
    theirs = msgspec.convert(PRESETS[name].options, OAuth2).error_rules
    rows = {each.label: each for each in shown_parameters(oauth2(provider=name), None)}
    assert ("Errors" in rows) is bool(theirs)
    if theirs:
        assert rows["Errors"].source == "from the preset"
        mine = oauth2(provider=name, errorRules=[{"status": 418, "means": "temporary"}])
        with_mine = {each.label: each for each in shown_parameters(mine, None)}
        assert with_mine["Errors"].source == "partly from the preset"
        assert len(with_mine["Errors"].values) == len(theirs) + 1


def test_without_metadata_at_hand_it_is_said_where_an_endpoint_comes_from() -> None:
    rows = {each.label: each for each in shown_parameters(oauth2(issuer=ISSUER), None)}
    assert rows["Token URL"].values == ("from the issuer's metadata",)


@pytest.mark.parametrize(
    ("scopes", "nonce", "warns"),
    [([], None, True), (["read"], None, True), (["openid"], None, False), (["openid"], False, True)],
)
def test_dialog_says_where_nothing_tells_a_stolen_code(scopes: list[str], nonce: bool | None, warns: bool) -> None:
    rows = shown_parameters(oauth2(pkce="none", scopes=scopes, nonce=nonce), None)
    (row,) = (each for each in rows if each.label == "PKCE")
    assert ("stolen code" in row.source) is warns
