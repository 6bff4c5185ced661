"""The spec, parsed once, and what the API server's schema cannot check."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.spec import (
    ClientSecretRef,
    DeletionPolicy,
    InvalidSpec,
    OAuth2,
    Pkce,
    PrivateKeyRef,
    PushedAuthorization,
    Spec,
    TokenSecret,
    TokenSecretTemplate,
    parse,
)
from datasource.oauth2.authorize import RESERVED_PARAMETERS
from datasource.oauth2.token_request import RESERVED_TOKEN_PARAMETERS, ClientAuthentication
from datasource.outbound.egress import EgressPolicy, rules
from tests.support.hostile_provider import self_signed
from tests.unit.datasource.builders import oauth2, raw_spec, spec

URLS = ["issuer", "authorizeURL", "tokenURL", "refreshURL", "revocationURL", "pushedAuthorizationURL"]

PUBLIC: dict[str, Any] = {"clientSecretRef": None}
"""What makes a client public: no client secret."""


def refused(raw: dict[str, Any], *, allow_insecure_http: bool = False) -> InvalidSpec:
    with pytest.raises(InvalidSpec) as caught:
        parse(raw, allow_insecure_http=allow_insecure_http)
    return caught.value


# What a spec says.


def test_full_spec_is_read() -> None:
    parsed = parse(
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
    parsed = parse({"url": "https://api.example.com"}, allow_insecure_http=False)
    assert parsed == Spec(url="https://api.example.com")
    assert parsed.oauth2 is None


def test_fields_of_a_later_version_are_passed_over() -> None:
    assert parse({"url": "x", "later": 1, "oauth2": {"later": 2}}, allow_insecure_http=False).url == "x"


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
    assert "kubectl explain datasource.spec" in str(error)


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
        pytest.param("9999999999h", None, id="longer than anybody means"),
        pytest.param("\uff11m", None, id="a digit of another script"),
    ],
)
def test_refresh_before_is_read_as_go_writes_durations(text: str | None, duration: timedelta | None) -> None:
    assert Spec(url="x", refresh_before=text).refresh_before_duration() == duration


# Endpoints.


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
    parsed = parse(raw_spec(tokenURL=url), allow_insecure_http=False, egress=loopback)
    assert parsed.oauth2 is not None
    assert parsed.oauth2.token_url == url


@pytest.mark.parametrize("field", ["issuer", "tokenURL", "revocationURL"])
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
    change: dict[str, Any] = {field: url}
    error = refused(raw_spec(**change))
    assert str(error).startswith(f"spec.oauth2.{field} leads to {kind}")
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
    assert str(error).startswith("spec.oauth2.caBundleRef stands beside a caBundle")


def test_plain_http_is_accepted_by_the_operators_flag() -> None:
    raw = raw_spec(tokenURL="http://login.example.com/token")
    assert parse(raw, allow_insecure_http=True).oauth2 is not None


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


def test_pkce_is_s256_unless_the_spec_opts_out() -> None:
    assert oauth2().pkce is Pkce.S256


# The token Secret.


def template_problem(**template: Any) -> InvalidSpec | None:
    return spec(token_secret={"template": template}).template_problem


def refused_template(**template: Any) -> InvalidSpec:
    problem = template_problem(**template)
    assert problem is not None
    return problem


def test_variable_that_there_is_not_is_named_with_its_key() -> None:
    error = refused_template(data={"ok": "{{ url }}", "bad": "{{ refresh_token }}"})
    assert error.field == "spec.tokenSecret.template.data[bad]"
    assert "uses {{ refresh_token }}, which there is not" in str(error)


def test_variable_as_long_as_the_template_is_shown_in_part() -> None:
    assert len(str(refused_template(data={"bad": "{{" + "x" * 8188 + "}}"}))) < 500


def test_template_is_checked_without_oauth2_too() -> None:
    raw = {"url": "x", "tokenSecret": {"template": {"data": {"bad": "{{ nothing }}"}}}}
    problem = parse(raw, allow_insecure_http=False).template_problem
    assert problem is not None
    assert problem.field == "spec.tokenSecret.template.data[bad]"


def test_wrong_template_is_no_reason_to_refuse_the_oauth2_parameters() -> None:
    # Else neither a refresh nor a revocation would know where to go.
    assert spec(token_secret={"template": {"data": {"bad": "{{ nothing }}"}}}).oauth2 == oauth2()


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param(".", id="a dot"),
        pytest.param("..", id="two dots"),
        pytest.param("..data", id="two dots in front, as kubelet names its own"),
        pytest.param("a/b", id="a slash"),
        pytest.param("a b", id="a space"),
        pytest.param("schlüssel", id="a letter that is not ASCII"),
        pytest.param("a\n", id="a line break at the end"),
        pytest.param("a" * 254, id="254 characters"),
    ],
)
def test_key_that_no_secret_can_have_is_named(key: str) -> None:
    error = refused_template(data={"ok": "", key: "x"})
    assert error.field == f"spec.tokenSecret.template.data[{key[:253]}]"
    assert "is no key that a Secret can have. Use up to 253 letters" in str(error)


@pytest.mark.parametrize("key", [".netrc", "a..b", "a..", "-", "_", "0", "a" * 253, "." + "a" * 252])
def test_odd_key_that_a_secret_can_have_is_taken(key: str) -> None:
    assert template_problem(data={key: "x"}) is None


METADATA_KEYS = [
    "",
    "a/b/c",
    "/a",
    "a/",
    "-a",
    "a-",
    "a b",
    "A.example.com/a",
    "-.com/a",
    "a..b/c",
    "a" * 64,
    "ü",
    "a\n",
]
LONG_NAME = ".".join(["a" * 50] * 5)


@pytest.mark.parametrize("place", ["labels", "annotations"])
@pytest.mark.parametrize("key", [*METADATA_KEYS, f"{LONG_NAME}/a"])
def test_label_or_annotation_that_kubernetes_refuses_is_named(place: str, key: str) -> None:
    error = refused_template(**{place: {"ok": "", key: "x"}})
    assert error.field == f"spec.tokenSecret.template.{place}[{key[:253]}]"
    assert "is no key that Kubernetes takes" in str(error)


@pytest.mark.parametrize("place", ["labels", "annotations"])
@pytest.mark.parametrize("key", ["a", "A_b.c-1", "example.com/a", "a" * 63, f"{LONG_NAME[:253]}/{'a' * 63}"])
def test_odd_label_or_annotation_that_kubernetes_takes_is_taken(place: str, key: str) -> None:
    assert template_problem(**{place: {key: "x"}}) is None


@pytest.mark.parametrize("place", ["labels", "annotations"])
def test_label_or_annotation_of_ours_is_refused_where_the_schema_did_not(place: str) -> None:
    assert "is the operator's own" in str(refused_template(**{place: {"datasource.dev/role": "credential"}}))


@pytest.mark.parametrize("value", ["a b", "-a", "a-", "a" * 64, "ü", "a\n"])
def test_value_that_no_label_can_have_is_named(value: str) -> None:
    error = refused_template(labels={"empty": "", "app": value})
    assert error.field == "spec.tokenSecret.template.labels[app]"
    assert "has a value that no label can have" in str(error)


def test_annotations_larger_than_kubernetes_takes_are_told_in_bytes() -> None:
    # 32 of 4,096 characters fit the schema of v0.1.0; those with four bytes each do not fit an object.
    error = refused_template(annotations={f"key-{number}": "😀" * 4096 for number in range(32)})
    assert "has 524,470 bytes; at most 261,120 are allowed" in str(error)


def test_template_that_makes_too_large_a_secret_of_any_token_is_told_before_there_is_one() -> None:
    error = refused_template(data={"small": "{{ access_token }}", "large": "x" * 400_000})
    assert error.field == "spec.tokenSecret.template.data"
    assert str(error) == (
        "spec.tokenSecret.template.data makes a Secret of 533,346 bytes; at most 524,288 are allowed, keys and base64 "
        "included. Its largest key is large with 533,341 bytes. "
        "Use variables fewer times, take text out, or have the service issue shorter tokens."
    )


# What providers want beside the standard.


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
        capturedFields={"tokenResponse": ["instance_url"], "callback": ["realmId"]},
    )
    assert parsed.private_key_ref == PrivateKeyRef("signing", "private-key", "key-1", "PS256")
    assert parsed.effective_client_authentication() is ClientAuthentication.PRIVATE_KEY_JWT
    assert parsed.pushed_authorization is PushedAuthorization.REQUIRED
    assert parsed.captured_names == ("instance_url", "realmId")
    assert parsed.expanded() is parsed


@pytest.mark.parametrize("field", ["tokenParameters", "refreshParameters"])
@pytest.mark.parametrize("name", sorted(RESERVED_TOKEN_PARAMETERS))
def test_reserved_parameter_of_token_requests_is_refused(field: str, name: str) -> None:
    change: dict[str, Any] = {field: {name: "x"}}
    assert refused(raw_spec(**change)).field == f"spec.oauth2.{field}"


@pytest.mark.parametrize("field", ["tokenURL", "refreshURL"])
@pytest.mark.parametrize("name", ["client_secret", "code", "refresh_token", "%63ode"])
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


def test_issuer_or_preset_tells_the_urls() -> None:
    without: dict[str, Any] = {"authorizeURL": None, "tokenURL": None}
    assert oauth2(issuer="https://login.example.com", **without).missing() == ()
    assert oauth2(provider="google", **without).missing() == ()
    assert oauth2(provider="keycloak", **without).missing() == ("issuer",)
    assert oauth2(provider="github", clientID=None, **without).missing() == ("clientID",)


def test_captured_field_is_a_variable_of_the_template() -> None:
    template = {"template": {"data": {"where": "{{ captured.instance_url }}"}}}
    captured = {"capturedFields": {"tokenResponse": ["instance_url"]}}
    assert spec(token_secret=template, **captured).token_secret.template.data
    assert spec(token_secret=template, provider="salesforce").oauth2 is not None
    assert refused_template(**template["template"]).field == "spec.tokenSecret.template.data[where]"


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
        parsed = parse(raw, allow_insecure_http=True)
    except InvalidSpec:
        return
    assert isinstance(parsed, Spec)


@given(url=_urls, field=st.sampled_from(URLS))
def test_arbitrary_endpoint_is_refused_or_goes_by_https(url: str, field: str) -> None:
    change: dict[str, Any] = {field: url}
    try:
        spec(**change)
    except InvalidSpec as error:
        check_names_a_field(error)
        return
    assert url == "" or url.lower().startswith(("https://", "http://"))
    assert "\\" not in url
    assert "#" not in url
    assert url.isascii()


def check_names_a_field(error: InvalidSpec) -> None:
    assert error.field.startswith("spec.oauth2.")


EXPECTED = {
    "expectedIdentity": {"email": "ada@example.com"},
    "issuer": "https://login.example.com",
    "scopes": ["openid"],
}


def test_expected_identity_is_read() -> None:
    assert oauth2(**EXPECTED).expected_identity == {"email": "ada@example.com"}


@pytest.mark.parametrize("missing", [{"issuer": None}, {"scopes": ["email"]}, {"scopes": None}])
def test_identity_that_nobody_could_verify_is_refused(missing: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.oauth2\.expectedIdentity"):
        oauth2(**EXPECTED | missing)


def test_tokens_are_not_revoked_on_deletion_unless_asked_for() -> None:
    raw = raw_spec()
    parsed = [
        parse(raw | changes, allow_insecure_http=False).deletion_policy
        for changes in ({}, {"deletionPolicy": "Delete"}, {"deletionPolicy": "Revoke"})
    ]
    assert parsed == [DeletionPolicy.DELETE, DeletionPolicy.DELETE, DeletionPolicy.REVOKE]
