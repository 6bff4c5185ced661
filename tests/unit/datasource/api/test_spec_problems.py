"""What the API server's schema cannot check of a spec is found, with the field and the remedy."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.names import LAST_APPLIED
from datasource.api.spec import (
    InvalidSpec,
    Spec,
    SpecProblem,
)
from datasource.api.spec_problems import parse_spec
from datasource.oauth2.reserved_parameters import RESERVED_PARAMETERS, RESERVED_TOKEN_PARAMETERS, SECRET_PARAMETERS
from datasource.outbound.egress import EgressPolicy, rules
from tests.support.hostile_provider import self_signed
from tests.unit.datasource.builders import oauth2, raw_spec, spec

URLS = ["issuer", "discoveryURL", "authorizeURL", "tokenURL", "refreshURL", "revocationURL", "pushedAuthorizationURL"]

PUBLIC: dict[str, Any] = {"clientSecretRef": None}
"""What makes a client public: no client secret."""


def refused(raw: dict[str, Any], *, allow_insecure_http: bool = False) -> SpecProblem:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(raw, allow_insecure_http=allow_insecure_http)
    return caught.value.problem


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param({}, id="no url"),
        pytest.param({"url": 5}, id="a url that is a number"),
        pytest.param({"url": "x", "oauth2": []}, id="oauth2 that is a list"),
        pytest.param({"url": "x", "oauth2": {"pkce": "plain"}}, id="pkce plain"),
        pytest.param({"url": "x", "oauth2": {"clientAuthentication": "tls"}}, id="an unknown client authentication"),
        pytest.param({"url": "x", "oauth2": {"clientSecretRef": {}}}, id="a reference without a name"),
        pytest.param({"url": "x", "oauth2": {"scopes": "read"}}, id="scopes that are a text"),
    ],
)
def test_spec_that_does_not_fit_the_schema_names_the_remedy(raw: dict[str, Any]) -> None:
    error = refused(raw)
    assert error.field == "spec"
    assert "kubectl explain dsrc.spec" in str(error)


# Endpoints.

DOCUMENT = "https://login.example.com/common/.well-known/openid-configuration"


def test_place_of_metadata_is_asked_instead_of_the_issuer() -> None:
    parameters = oauth2(issuer="https://tenant.internal/v2.0", discoveryURL=DOCUMENT)
    assert parameters.called_endpoints()["discoveryURL"] == DOCUMENT
    assert "issuer" not in parameters.called_endpoints()


@pytest.mark.parametrize(
    ("changes", "field", "remedy"),
    [
        pytest.param({}, "discoveryURL", "Set spec.oauth2.issuer", id="no issuer"),
        pytest.param({"provider": "okta"}, "discoveryURL", "Set spec.oauth2.issuer", id="a preset without an issuer"),
        pytest.param(
            {"issuer": "https://login.example.com/{tenantid}/v2.0"}, "issuer", "ID of your tenant", id="a placeholder"
        ),
    ],
)
def test_place_of_metadata_needs_the_issuer_that_tokens_name(changes: dict[str, Any], field: str, remedy: str) -> None:
    error = refused(raw_spec(discoveryURL=DOCUMENT, **changes))
    assert error.field == f"spec.oauth2.{field}"
    assert remedy in error.remedy


def test_place_of_metadata_may_have_a_query_without_a_secret() -> None:
    parameters = oauth2(issuer="https://login.example.com", discoveryURL=f"{DOCUMENT}?p=B2C_1_signin")
    assert parameters.discovery_url == f"{DOCUMENT}?p=B2C_1_signin"
    assert "sets client_secret in its query" in str(
        refused(raw_spec(issuer="https://login.example.com", discoveryURL=f"{DOCUMENT}?client_secret=x"))
    )


@pytest.mark.parametrize("field", URLS)
@pytest.mark.parametrize(
    ("url", "problem"),
    [
        pytest.param("login.example.com", "is not an absolute", id="no scheme"),
        pytest.param("ftp://login.example.com", "is not an absolute", id="another scheme"),
        pytest.param("javascript:alert(1)", "is not an absolute", id="a script"),
        pytest.param("https://", "is not an absolute", id="no host"),
        pytest.param("https:///token", "is not an absolute", id="no host before the path"),
        pytest.param("https://:443/token", "is not an absolute", id="a port without a host"),
        pytest.param("//login.example.com", "is not an absolute", id="no scheme before the slashes"),
        pytest.param(
            "https:/\\login.example.com", "is not an absolute", id="a backslash that browsers read as a slash"
        ),
        pytest.param("https://login.example.com\\@evil.example", "is not an absolute", id="a backslash in the host"),
        pytest.param("https://login.example.com/\t", "is not an absolute", id="a tab"),
        pytest.param("https://login.example.com/\r\nHost: x", "is not an absolute", id="a line break"),
        pytest.param("https://login.example.com/a b", "is not an absolute", id="a space"),
        pytest.param(" https://login.example.com/", "is not an absolute", id="a space before it"),
        pytest.param("https://lögin.example.com/", "is not an absolute", id="letters beyond ASCII"),
        pytest.param("https://login.example.com:99999/", "is not an absolute", id="a port there is not"),
        pytest.param("https://login.example.com:https/", "is not an absolute", id="a port that is a word"),
        pytest.param("https://[::1/", "is not an absolute", id="half an IPv6 address"),
        pytest.param("https://[login]/", "is not an absolute", id="a name in brackets"),
        pytest.param("https://user:password@login.example.com/", "carries a user name", id="user and password"),
        pytest.param("https://user@login.example.com/", "carries a user name", id="a user"),
        pytest.param("https://@login.example.com/", "carries a user name", id="an empty user"),
        pytest.param("https://login.example.com/#top", "carries a fragment", id="a fragment"),
        pytest.param("https://login.example.com/#", "carries a fragment", id="an empty fragment"),
        pytest.param("http://login.example.com/", "is not https", id="plain http"),
        pytest.param("http://127.0.0.1.example.com/", "is not https", id="plain http to a name like loopback"),
        pytest.param("http://localhost.example.com/", "is not https", id="plain http to a name like localhost"),
        pytest.param("http://10.0.0.1/", "is not https", id="plain http to a private address"),
    ],
)
def test_endpoint_that_cannot_be_used_is_refused_by_name(field: str, url: str, problem: str) -> None:
    change: dict[str, Any] = {field: url}
    error = refused(raw_spec(**change))
    assert error.field == f"spec.oauth2.{field}"
    assert str(error).startswith(f"spec.oauth2.{field} {problem}")


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.com/token",
        "HTTPS://login.example.com/token",
        "https://login.example.com:8443/tenant/a/token?version=2",
        "https://[2001:db8::1]:8443/token",
    ],
)
def test_endpoint_on_https_is_accepted(url: str) -> None:
    assert oauth2(tokenURL=url).token_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/token",
        "http://127.0.0.1:8080/token",
        "http://127.8.8.8/token",
        "http://[::1]:8080/token",
    ],
)
def test_endpoint_on_loopback_may_be_plain_http_where_loopback_is_allowed(url: str) -> None:
    loopback = EgressPolicy(allowed=rules(["localhost", "127.0.0.0/8", "::1"]))
    parsed = parse_spec(raw_spec(tokenURL=url), allow_insecure_http=False, egress=loopback)
    assert parsed.oauth2 is not None
    assert parsed.oauth2.token_url == url


@pytest.mark.parametrize("field", ["issuer", "discoveryURL", "tokenURL", "revocationURL"])
@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param("https://127.0.0.1/token", "the machine that asks", id="loopback"),
        pytest.param("https://0x7f.1/token", "the machine that asks", id="loopback in hexadecimal"),
        pytest.param("https://[::ffff:169.254.169.254]/", "a cloud's metadata service", id="mapped metadata"),
        pytest.param("https://10.0.0.1/token", "a private network", id="private"),
        pytest.param("https://idp.auth.svc/token", "a Service of the cluster", id="a Service"),
        pytest.param("https://idp.auth.svc.cluster.local./token", "a Service of the cluster", id="a Service in full"),
    ],
)
def test_endpoint_that_no_request_may_go_to_is_refused_with_the_operators_flag(field: str, url: str, kind: str) -> None:
    change: dict[str, Any] = {"issuer": "https://login.example.com", field: url}
    error = refused(raw_spec(**change))
    assert str(error).startswith(f"spec.oauth2.{field} leads to {kind}")
    assert f"({urlsplit(url).hostname}). No request may go there." in str(error)
    assert "DATASOURCE_EGRESS_ALLOW" in str(error)


def test_authorize_url_may_be_anywhere_because_the_browser_goes_there() -> None:
    url = "https://10.0.0.1/authorize"
    assert oauth2(authorizeURL=url).authorize_url == url


def test_ca_bundle_is_kept_as_it_is() -> None:
    pem = self_signed().certificate
    assert oauth2(caBundle=pem).ca_bundle == pem


def test_ca_bundle_that_cannot_be_used_is_refused() -> None:
    error = refused(raw_spec(caBundle="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"))
    assert str(error).startswith("spec.oauth2.caBundle is not a list of certificates in PEM")


def test_ca_bundle_stands_in_one_place() -> None:
    error = refused(raw_spec(caBundle=self_signed().certificate, caBundleRef={"name": "ca"}))
    assert str(error).startswith("spec.oauth2.caBundleRef is set as well as caBundle")


def test_plain_http_is_accepted_by_the_operators_flag() -> None:
    raw = raw_spec(tokenURL="http://login.example.com/token")
    assert parse_spec(raw, allow_insecure_http=True).oauth2 is not None


def test_flag_lets_nothing_through_but_plain_http() -> None:
    error = refused(raw_spec(tokenURL="http://user@login.example.com/"), allow_insecure_http=True)
    assert "carries a user name" in str(error)


@pytest.mark.parametrize("field", URLS)
def test_empty_endpoint_is_missing_and_not_wrong(field: str) -> None:
    assert oauth2(**{field: ""}) is not None


# Parameters.


@pytest.mark.parametrize("name", sorted(RESERVED_PARAMETERS))
def test_reserved_parameter_is_refused_in_query_and_extra_parameters(name: str) -> None:
    in_query = refused(raw_spec(authorizeURL=f"https://login.example.com/authorize?x=1&{name}="))
    assert (in_query.field, name in str(in_query)) == ("spec.oauth2.authorizeURL", True)
    in_extra = refused(raw_spec(authorizeParameters={"x": "1", name: "2"}))
    assert (in_extra.field, name in str(in_extra)) == ("spec.oauth2.authorizeParameters", True)


def test_extra_parameters_of_providers_are_accepted() -> None:
    extra = {"access_type": "offline", "prompt": "consent", "audience": "api.example.com", "resource": "https://x"}
    parsed = oauth2(authorizeParameters=extra, authorizeURL="https://login.example.com/authorize?tenant=a")
    assert parsed.authorize_parameters == extra


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param(
            PUBLIC | {"clientAuthentication": "client_secret_basic"},
            "clientAuthentication",
            id="basic without a client secret",
        ),
        pytest.param(
            PUBLIC | {"clientAuthentication": "client_secret_post"},
            "clientAuthentication",
            id="post without a client secret",
        ),
        pytest.param({"clientAuthentication": "none"}, "clientAuthentication", id="none beside a client secret"),
        pytest.param(PUBLIC | {"pkce": "none"}, "pkce", id="no PKCE for a public client"),
        pytest.param(
            {"clientSecretRef": {"name": "sales-oauth2-credential"}},
            "clientSecretRef.name",
            id="a credential Secret as client secret",
        ),
    ],
)
def test_client_that_contradicts_itself_is_refused(changes: dict[str, Any], field: str) -> None:
    assert refused(raw_spec(**changes)).field == f"spec.oauth2.{field}"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(PUBLIC, id="a public client"),
        pytest.param(PUBLIC | {"clientAuthentication": "none"}, id="a public client that says so"),
        pytest.param({"pkce": "none"}, id="no PKCE beside a client secret"),
        pytest.param({"pkce": "S256"}, id="PKCE beside a client secret"),
    ],
)
def test_client_that_makes_sense_is_accepted(changes: dict[str, Any]) -> None:
    assert oauth2(**changes) is not None


# What providers want beside the standard.


@pytest.mark.parametrize("field", ["tokenParameters", "refreshParameters"])
@pytest.mark.parametrize("name", sorted(RESERVED_TOKEN_PARAMETERS))
def test_reserved_parameter_of_token_requests_is_refused(field: str, name: str) -> None:
    change: dict[str, Any] = {field: {name: "x"}}
    assert refused(raw_spec(**change)).field == f"spec.oauth2.{field}"


@pytest.mark.parametrize("field", ["tokenURL", "refreshURL", "revocationURL", "pushedAuthorizationURL"])
@pytest.mark.parametrize("name", [*sorted(SECRET_PARAMETERS), "%63ode"])
def test_credential_never_stands_in_a_url(field: str, name: str) -> None:
    change: dict[str, Any] = {field: f"https://login.example.com/token?{name}=x"}
    error = refused(raw_spec(**change))
    assert (error.field, "in its query" in str(error)) == (f"spec.oauth2.{field}", True)


_KEY: dict[str, Any] = PUBLIC | {"privateKeyRef": {"name": "signing"}}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"privateKeyRef": {"name": "signing"}}, "privateKeyRef", id="a key beside a secret"),
        pytest.param({"clientAuthentication": "private_key_jwt"}, "clientAuthentication", id="no key"),
        pytest.param({"assertionType": "client-authentication+jwt"}, "assertionType", id="a type without an issuer"),
        pytest.param(
            {"assertionType": "client-authentication+jwt", "provider": "okta", "issuer": "https://x.okta.com"},
            "assertionType",
            id="a type that is for the issuer, and a preset that addresses the token URL",
        ),
        pytest.param(_KEY | {"clientAuthentication": "none"}, "clientAuthentication", id="none beside a key"),
        pytest.param(
            _KEY | {"clientAuthentication": "client_secret_post"}, "clientAuthentication", id="a secret's way"
        ),
        pytest.param(PUBLIC | {"privateKeyRef": {"name": "x-oauth2-credential"}}, "privateKeyRef.name", id="our own"),
        pytest.param(
            PUBLIC | {"privateKeyRef": {"name": "s", "algorithm": "HS256"}}, "privateKeyRef.algorithm", id="HS256"
        ),
        pytest.param(
            {"resource": ["https://a"], "tokenParameters": {"resource": "b"}}, "tokenParameters", id="resource"
        ),
        pytest.param({"audience": "a", "authorizeParameters": {"audience": "b"}}, "authorizeParameters", id="audience"),
        pytest.param({"defaultLifetime": "10s"}, "defaultLifetime", id="a short lifetime"),
        pytest.param({"grantLifetime": "59s"}, "grantLifetime", id="a short grant"),
        pytest.param({"grantIdleLifetime": "365d"}, "grantIdleLifetime", id="a grant in days"),
        pytest.param({"maxLifetime": "soon"}, "maxLifetime", id="no lifetime"),
        pytest.param(
            {"capturedFields": {"tokenResponse": ["a.refresh_token"]}}, "capturedFields.tokenResponse", id="a token"
        ),
        pytest.param({"capturedFields": {"callback": ["code"]}}, "capturedFields.callback", id="the code"),
        pytest.param({"provider": "example"}, "provider", id="no such preset"),
    ],
)
def test_option_that_contradicts_or_leaks_is_refused(changes: dict[str, Any], field: str) -> None:
    assert refused(raw_spec(**changes)).field == f"spec.oauth2.{field}"


# Anything at all.

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)

_urls = st.text(max_size=30) | st.text(alphabet="htps:/[]@.#?\\%x1-", max_size=20).map("https://".__add__)


@given(raw=st.dictionaries(st.sampled_from(["url", "type", "oauth2", "tokenSecret"]) | st.text(), _json))
def test_arbitrary_json_raises_nothing_but_an_invalid_spec(raw: dict[str, Any]) -> None:
    try:
        parsed = parse_spec(raw, allow_insecure_http=True)
    except InvalidSpec:
        return
    assert isinstance(parsed, Spec)


@given(url=_urls, field=st.sampled_from(URLS))
def test_arbitrary_endpoint_is_refused_or_goes_by_https(url: str, field: str) -> None:
    change: dict[str, Any] = {field: url}
    try:
        spec(**change)
    except InvalidSpec as error:
        check_names_a_field(error.problem)
        return
    assert url == "" or url.lower().startswith(("https://", "http://"))
    assert "\\" not in url
    assert "#" not in url
    assert url.isascii()


def check_names_a_field(error: SpecProblem) -> None:
    assert error.field.startswith("spec.oauth2.")


EXPECTED = {
    "expectedIdentity": {"email": "ada@example.com"},
    "issuer": "https://login.example.com",
    "scopes": ["openid"],
}


@pytest.mark.parametrize("missing", [{"issuer": None}, {"scopes": ["email"]}, {"scopes": None}])
def test_identity_that_nobody_could_verify_is_refused(missing: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.oauth2\.expectedIdentity"):
        oauth2(**EXPECTED | missing)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"clientAuthentication": "basic_without_secret"}, "basic_without_secret beside a clientSecretRef"),
        (
            {"clientAuthentication": "basic_without_secret", "clientSecretRef": None, "pkce": "none"},
            "is none for a client without a secret",
        ),
        (
            {
                "nonce": False,
                "issuer": "https://a.example.com",
                "scopes": ["openid"],
                "expectedIdentity": {"sub": "ada"},
            },
            "spec.oauth2.nonce is false and expectedIdentity is set",
        ),
        ({"errorRules": [{"means": "temporary"}]}, "has an entry that matches every reply"),
    ],
)
def test_option_that_does_not_go_with_another_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidSpec, match=told):
        parse_spec(raw_spec(**changes), allow_insecure_http=False)


def test_options_of_odd_services_are_accepted() -> None:
    raw = raw_spec(
        clientSecretRef=None,
        clientAuthentication="basic_without_secret",
        clientIDInBody=True,
        redirectURIOnRefresh=True,
        nonce=False,
        errorRules=[{"status": 400, "means": "temporary"}],
    )
    parsed = parse_spec(raw, allow_insecure_http=False).oauth2
    assert parsed is not None
    assert (parsed.client_id_in_body, parsed.redirect_uri_on_refresh) == (True, True)


# Labels and annotations of the credential Secret.


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ({"labels": {"datasource.dev/role": "token"}}, "labels[datasource.dev/role] is the operator's own"),
        ({"annotations": {"datasource.dev/verdict": "x"}}, "annotations[datasource.dev/verdict] is the operator's own"),
        ({"annotations": {LAST_APPLIED: "{}"}}, f"annotations[{LAST_APPLIED}] is kubectl's own"),
        ({"labels": {"a b": "x"}}, "labels[a b] is not a key that Kubernetes accepts"),
        ({"labels": {"a": "not a label"}}, "labels[a] has a value that no label can have"),
        ({"annotations": {"a": "x" * 5_000}}, " has 5,001 bytes; at most 4,096 are allowed"),
    ],
)
def test_labels_and_annotations_that_a_credential_cannot_have_are_refused(template: Any, says: str) -> None:
    error = str(refused(raw_spec() | {"credentialSecret": {"template": template}}))
    assert error.startswith("spec.credentialSecret.template")
    assert says in error


def test_labels_and_annotations_of_a_credential_are_read() -> None:
    template = {"labels": {"app.kubernetes.io/part-of": "shop"}, "annotations": {"example.com/a": "any text"}}
    parsed = parse_spec(raw_spec() | {"credentialSecret": {"template": template}}, allow_insecure_http=False)
    assert parsed.credential_secret.template.labels == template["labels"]
    assert parsed.credential_secret.template.annotations == template["annotations"]
