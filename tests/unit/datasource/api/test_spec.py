"""The spec: what it says, and what is left out."""

import gc
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.presets import PRESETS
from datasource.api.spec import (
    AssertionType,
    ClientSecretRef,
    DeletionPolicy,
    HeaderSecretRef,
    InvalidSpec,
    OAuth2,
    Pkce,
    PrivateKeyRef,
    PushedAuthorization,
    Spec,
    TokenHeader,
    TokenSecret,
    TokenSecretTemplate,
    missing_fields,
    redirect_uri_of,
)
from datasource.api.spec_problems import parse_spec
from datasource.api.token_endpoints import TokenEndpoint
from datasource.oauth2.error_reply import ErrorMeaning, ErrorRule
from datasource.oauth2.token_request import ClientAuthentication
from tests.unit.datasource.builders import oauth2, raw_spec, spec

PUBLIC: dict[str, Any] = {"clientSecretRef": None}
"""What makes a client public: no client secret."""

# What a spec says.


def test_problem_that_is_kept_holds_no_frame_of_what_was_on_the_way() -> None:
    try:
        try:
            raise ValueError
        except ValueError as cause:
            raise InvalidSpec("spec", "is wrong", "Mend it.") from cause
    except InvalidSpec as raised:
        kept = raised.problem
    assert not isinstance(kept, BaseException)
    assert all(isinstance(each, str | type) for each in gc.get_referents(kept))
    assert str(kept) == str(kept.error()) == "spec is wrong. Mend it."


def test_full_spec_is_read() -> None:
    parsed = parse_spec(
        {
            "type": "URL",
            "url": "https://api.example.com/rest/v3",
            "oauth2": {
                "clientID": "my-app",
                "clientSecretRef": {"name": "my-app", "key": "secret"},
                "issuer": "https://login.example.com",
                "provider": "google",
                "authorizeURL": "https://login.example.com/authorize",
                "tokenURL": "https://login.example.com/token",
                "revocationURL": "https://login.example.com/revoke",
                "scopes": ["read", "offline_access"],
                "clientAuthentication": "client_secret_post",
                "pkce": "none",
                "authorizeParameters": {"prompt": "consent"},
            },
            "tokenSecret": {
                "name": "sales-token",
                "template": {"labels": {"a": "b"}, "annotations": {"c": "d"}, "data": {"t": "{{ access_token }}"}},
            },
            "refreshBefore": "10m",
        },
        allow_insecure_http=False,
    )
    assert parsed == Spec(
        url="https://api.example.com/rest/v3",
        oauth2=OAuth2(
            client_id="my-app",
            client_secret_ref=ClientSecretRef(name="my-app", key="secret"),
            issuer="https://login.example.com",
            provider="google",
            authorize_url="https://login.example.com/authorize",
            token_url="https://login.example.com/token",
            revocation_url="https://login.example.com/revoke",
            scopes=("read", "offline_access"),
            client_authentication=ClientAuthentication.CLIENT_SECRET_POST,
            pkce=Pkce.NONE,
            authorize_parameters={"prompt": "consent"},
        ),
        token_secret=TokenSecret(
            name="sales-token",
            template=TokenSecretTemplate(labels={"a": "b"}, annotations={"c": "d"}, data={"t": "{{ access_token }}"}),
        ),
        refresh_before="10m",
    )


def test_least_spec_is_a_url() -> None:
    parsed = parse_spec({"url": "https://api.example.com"}, allow_insecure_http=False)
    assert parsed == Spec(url="https://api.example.com")
    assert parsed.oauth2 is None


def test_fields_of_a_later_version_are_passed_over() -> None:
    assert parse_spec({"url": "x", "later": 1, "oauth2": {"later": 2}}, allow_insecure_http=False).url == "x"


def test_token_secret_is_named_after_the_datasource_unless_the_spec_names_it() -> None:
    assert spec().token_secret_name("sales") == "sales-token"
    assert spec(token_secret={"name": "other"}).token_secret_name("sales") == "other"


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        pytest.param({}, (), id="nothing"),
        pytest.param({"clientID": None}, ("clientID",), id="the client ID"),
        pytest.param({"clientID": ""}, ("clientID",), id="an empty client ID"),
        pytest.param({"authorizeURL": None}, ("authorizeURL",), id="the authorize URL"),
        pytest.param({"tokenURL": ""}, ("tokenURL",), id="an empty token URL"),
        pytest.param(
            {"clientID": None, "authorizeURL": None, "tokenURL": None},
            ("clientID", "authorizeURL", "tokenURL"),
            id="everything, in the order of the dialog",
        ),
    ],
)
def test_missing_parameters_are_named_as_in_yaml(changes: dict[str, Any], missing: tuple[str, ...]) -> None:
    assert oauth2(**changes).missing() == missing


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        pytest.param({}, ClientAuthentication.CLIENT_SECRET_BASIC, id="basic with a client secret"),
        pytest.param(PUBLIC, ClientAuthentication.NONE, id="none without one"),
        pytest.param(
            {"clientAuthentication": "client_secret_post"}, ClientAuthentication.CLIENT_SECRET_POST, id="what is said"
        ),
    ],
)
def test_client_authentication_has_a_default(changes: dict[str, Any], method: ClientAuthentication) -> None:
    assert oauth2(**changes).effective_client_authentication() is method


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        pytest.param(None, None, id="not set"),
        pytest.param("30s", timedelta(seconds=30), id="seconds"),
        pytest.param("10m", timedelta(minutes=10), id="minutes"),
        pytest.param("1h30m5s", timedelta(hours=1, minutes=30, seconds=5), id="several units"),
        pytest.param("1.5h", timedelta(minutes=90), id="a fraction"),
        pytest.param("5m5m", timedelta(minutes=10), id="a unit twice, as Go adds it up"),
        pytest.param("", None, id="nothing"),
        pytest.param("10", None, id="no unit"),
        pytest.param("10 m", None, id="a space"),
        pytest.param("-10m", None, id="a negative one"),
        pytest.param("1d", None, id="a unit there is not"),
        pytest.param("10m\n", None, id="a line break"),
        pytest.param("9999999999h", timedelta(microseconds=9223372036854776), id="longer than Go can hold"),
        pytest.param("\uff11m", None, id="a digit of another script"),
    ],
)
def test_refresh_before_is_read_as_go_writes_durations(text: str | None, duration: timedelta | None) -> None:
    assert Spec(url="x", refresh_before=text).refresh_before_duration() == duration


def test_pkce_is_s256_unless_the_spec_opts_out() -> None:
    assert oauth2().pkce is Pkce.S256


EU = "https://eu.example.com/token"


def test_every_option_is_read() -> None:
    parsed = oauth2(
        clientSecretRef=None,
        privateKeyRef={"name": "signing", "keyID": "key-1", "algorithm": "PS256"},
        assertionAudience="tokenURL",
        refreshURL="https://login.example.com/refresh",
        pushedAuthorizationURL="https://login.example.com/par",
        pushedAuthorization="required",
        scopeSeparator=",",
        audience="api",
        resource=["https://api.example.com"],
        tokenParameters={"a": "1"},
        refreshParameters={"b": "2"},
        bodyFormat="json",
        tokenPath="authed_user",
        defaultLifetime="1h",
        maxLifetime="12h",
        missingTokenTypeAllowed=True,
        bearerTokenTypes=["bot"],
        errorCodes={"bad": "invalid_grant"},
        errorRules=[{"error": "busy", "means": "temporary"}],
        nonce=False,
        capturedFields={"tokenResponse": ["instance_url"], "callback": ["realmId"]},
        redirectURI="PerDatasource",
        assertionType="JWT",
        tokenHeaders=[
            {"name": "X-Api-Key", "secretRef": {"name": "gateway", "key": "api-key"}},
            {"name": "User-Agent", "value": "my-app/1"},
        ],
        discoveryURL="https://login.example.com/common/.well-known/openid-configuration",
        issuer="https://login.example.com/tenant",
    )
    other = oauth2(tokenURLs=[{"parameter": "dc", "value": "eu", "url": EU, "revocationURL": f"{EU}/revoke"}])
    assert other.token_urls == (TokenEndpoint("dc", "eu", EU, f"{EU}/revoke"),)
    assert parsed.token_headers == (
        TokenHeader("X-Api-Key", secret_ref=HeaderSecretRef("gateway", "api-key")),
        TokenHeader("User-Agent", "my-app/1"),
    )
    assert parsed.discovery_url == "https://login.example.com/common/.well-known/openid-configuration"
    assert parsed.assertion_type is AssertionType.JWT
    assert redirect_uri_of(parsed, "https://x", "shop", "calendar") == "https://x/callback/shop/calendar"
    assert parsed.private_key_ref == PrivateKeyRef("signing", "private-key", "key-1", "PS256")
    assert parsed.effective_client_authentication() is ClientAuthentication.PRIVATE_KEY_JWT
    assert parsed.pushed_authorization is PushedAuthorization.REQUIRED
    assert parsed.error_rules == (ErrorRule(ErrorMeaning.TEMPORARY, error="busy"),)
    assert parsed.nonce is False
    assert parsed.captured_names == ("instance_url", "realmId")
    assert parsed.expanded() is parsed


def test_nonce_may_be_asked_for_again_where_a_preset_sends_none_and_rules_add_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"nonce": False, "errorRules": [{"status": 403, "means": "invalidGrant"}]}
    monkeypatch.setitem(PRESETS, "github", msgspec.structs.replace(PRESETS["github"], options=options))
    assert oauth2(provider="github").expanded().nonce is False
    assert oauth2(provider="github", nonce=True).expanded().nonce is True
    mine = oauth2(provider="github", errorRules=[{"status": 400, "means": "temporary"}]).expanded().error_rules
    assert [rule.status for rule in mine] == [400, 403]


@pytest.mark.parametrize("written", [None, "PerNamespace"])
def test_redirect_uri_is_of_the_namespace_unless_asked_for_otherwise(written: str | None) -> None:
    assert redirect_uri_of(oauth2(redirectURI=written), "https://x", "shop", "calendar") == "https://x/callback/shop"
    assert redirect_uri_of(None, "https://x", "shop", "calendar") == "https://x/callback/shop"


def test_issuer_or_preset_tells_the_urls() -> None:
    without: dict[str, Any] = {"authorizeURL": None, "tokenURL": None}
    assert oauth2(issuer="https://login.example.com", **without).missing() == ()
    assert oauth2(provider="google", **without).missing() == ()
    assert oauth2(provider="keycloak", **without).missing() == ("issuer",)
    assert oauth2(provider="github", clientID=None, **without).missing() == ("clientID",)


def test_expected_identity_is_read() -> None:
    written = {
        "expectedIdentity": {"email": "ada@example.com"},
        "issuer": "https://login.example.com",
        "scopes": ["openid"],
    }
    assert oauth2(**written).expected_identity == {"email": "ada@example.com"}


def test_tokens_are_not_revoked_on_deletion_unless_asked_for() -> None:
    raw = raw_spec()
    parsed = [
        parse_spec(raw | changes, allow_insecure_http=False).deletion_policy
        for changes in ({}, {"deletionPolicy": "Delete"}, {"deletionPolicy": "Revoke"})
    ]
    assert parsed == [DeletionPolicy.DELETE, DeletionPolicy.DELETE, DeletionPolicy.REVOKE]


def test_fields_that_are_not_set_are_told_where_they_are_written() -> None:
    told = missing_fields(["clientID", "tokenURL"])
    assert told.startswith("Not set yet: spec.oauth2.clientID, spec.oauth2.tokenURL. ")


def test_field_that_each_customer_has_a_value_of_is_told_with_the_preset_s_example() -> None:
    told = missing_fields(["clientID", "issuer"], PRESETS["okta"])
    assert told.startswith(
        "Not set yet: spec.oauth2.clientID, spec.oauth2.issuer. An example of issuer: https://COMPANY.okta.com/"
    )
    assert "example" not in missing_fields(["clientID"], PRESETS["okta"])
