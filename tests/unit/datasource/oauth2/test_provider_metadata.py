"""What a provider says about itself: where it stands, what is believed, and that any bytes end in one of two ways."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.errors import MetadataUnusable
from datasource.oauth2.provider_metadata import (
    ProviderMetadata,
    document_request,
    parse_provider_metadata,
    well_known_urls,
)

ISSUER = "https://login.example.com/realms/shop"

FULL: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://login.example.com/authorize",
    "token_endpoint": "https://login.example.com/token",
    "revocation_endpoint": "https://login.example.com/revoke",
    "jwks_uri": "https://keys.example.com/jwks",
    "pushed_authorization_request_endpoint": "https://login.example.com/par",
    "require_pushed_authorization_requests": True,
    "authorization_response_iss_parameter_supported": True,
    "code_challenge_methods_supported": ["plain", "S256"],
    "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    "id_token_signing_alg_values_supported": ["RS256"],
    "claims_supported": ["sub"],
}
ENDPOINTS = [name for name in FULL if name.endswith(("_endpoint", "_uri"))]


def parsed(*, allow_insecure_http: bool = False, **changes: Any) -> ProviderMetadata:
    members = {name: value for name, value in (FULL | changes).items() if value is not ...}
    body = json.dumps(members).encode()
    return parse_provider_metadata(body, issuer=ISSUER, allow_insecure_http=allow_insecure_http)


def refused(**changes: Any) -> str:
    with pytest.raises(MetadataUnusable) as caught:
        parsed(**changes)
    return str(caught.value)


def test_document_is_read() -> None:
    assert parsed() == ProviderMetadata(
        issuer=ISSUER,
        authorization_endpoint="https://login.example.com/authorize",
        token_endpoint="https://login.example.com/token",
        revocation_endpoint="https://login.example.com/revoke",
        jwks_uri="https://keys.example.com/jwks",
        pushed_authorization_request_endpoint="https://login.example.com/par",
        require_pushed_authorization_requests=True,
        authorization_response_iss_parameter_supported=True,
        code_challenge_methods_supported=("plain", "S256"),
        token_endpoint_auth_methods_supported=("client_secret_basic",),
        id_token_signing_alg_values_supported=("RS256",),
    )


def test_least_document_names_its_issuer() -> None:
    body = json.dumps({"issuer": ISSUER}).encode()
    least = parse_provider_metadata(body, issuer=ISSUER, allow_insecure_http=False)
    assert least == ProviderMetadata(issuer=ISSUER)
    assert least.authorization_response_iss_parameter_supported is False


@pytest.mark.parametrize(
    "named",
    [
        ISSUER + "/",
        ISSUER.upper(),
        "https://login.example.com",
        "https://evil.example.com/realms/shop",
        ISSUER + "\u200b",
        "",
    ],
)
def test_document_of_another_issuer_is_refused_byte_for_byte(named: str) -> None:
    assert "not https://login.example.com/realms/shop" in refused(issuer=named)


@pytest.mark.parametrize("named", [..., None, 5, [ISSUER]])
def test_document_without_an_issuer_is_refused(named: object) -> None:
    assert "names no issuer" in refused(issuer=named)


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://login.example.com/x", "is not https"),
        ("https://user@login.example.com/x", "carries a user name"),
        ("https://login.example.com/x#y", "carries a fragment"),
        ("javascript:alert(1)", "is not an absolute"),
        ("/x", "is not an absolute"),
        ("https://login.example.com\\@evil.example.com/", "is not an absolute"),
        ("https://login.example.com/" + "x" * 2048, "is no URL"),
        (5, "is no URL"),
        (["https://login.example.com/x"], "is no URL"),
    ],
)
def test_endpoint_that_no_request_should_go_to_spoils_the_document(name: str, url: Any, problem: str) -> None:
    said = refused(**{name: url})
    assert name in said
    assert problem in said


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("nothing", [..., None, ""])
def test_endpoint_that_is_left_out_is_none(name: str, nothing: Any) -> None:
    assert getattr(parsed(**{name: nothing}), name) is None


def test_endpoint_on_plain_http_is_for_loopback_or_the_operators_flag() -> None:
    on_loopback = "http://127.0.0.1:8080/token"
    elsewhere = "http://login.example.com/token"
    assert parsed(token_endpoint=on_loopback).token_endpoint == on_loopback
    assert parsed(token_endpoint=elsewhere, allow_insecure_http=True).token_endpoint == elsewhere


@pytest.mark.parametrize(
    ("methods", "supported"),
    [
        (["S256"], True),
        (["plain", "S256"], True),
        (["plain"], False),
        (["s256"], False),
        ([], False),
        # RFC 8414 section 2: "If omitted, the authorization server does not support PKCE."
        (..., False),
        (None, False),
    ],
)
def test_s256_is_supported_where_it_is_listed(methods: object, supported: bool) -> None:
    assert parsed(code_challenge_methods_supported=methods).supports_s256 is supported


@pytest.mark.parametrize(
    ("value", "listed"),
    [
        ("S256", ("S256",)),
        (["S256", None, 5, {"a": 1}, ["S256"]], ("S256",)),
        (["x" * 257, "S256"], ("S256",)),
        (["x"] * 101, ("x",) * 100),
        ([5], ()),
    ],
)
def test_odd_entry_of_a_list_costs_that_entry_alone(value: object, listed: tuple[str, ...]) -> None:
    assert parsed(code_challenge_methods_supported=value).code_challenge_methods_supported == listed


@pytest.mark.parametrize("value", [{"S256": True}, 5, True])
def test_list_that_is_none_spoils_the_document(value: object) -> None:
    assert "code_challenge_methods_supported" in refused(code_challenge_methods_supported=value)


@pytest.mark.parametrize(("value", "is_on"), [("true", True), ("True", True), ("false", False), ("FALSE", False)])
def test_switch_may_be_written_as_a_text(value: str, is_on: bool) -> None:
    assert parsed(require_pushed_authorization_requests=value).require_pushed_authorization_requests is is_on


@pytest.mark.parametrize("value", ["yes", "", 1, ["true"]])
def test_switch_that_is_neither_true_nor_false_spoils_the_document(value: object) -> None:
    assert "require_pushed_authorization_requests" in refused(require_pushed_authorization_requests=value)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"<html>", b"\xff", b'{"issuer":', b'{"a":' * 10_000, b'{"issuer": "' + b"x" * 100_000],
)
def test_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(MetadataUnusable, match="no JSON object"):
        parse_provider_metadata(body, issuer=ISSUER, allow_insecure_http=False)


@given(st.binary(max_size=2000))
def test_any_bytes_end_in_metadata_or_a_typed_error(body: bytes) -> None:
    with pytest.raises(MetadataUnusable):
        parse_provider_metadata(body, issuer=ISSUER, allow_insecure_http=True)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(members=st.dictionaries(st.sampled_from(sorted(FULL)), _json))
def test_any_members_end_in_metadata_of_the_issuer_or_a_typed_error(members: dict[str, Any]) -> None:
    body = json.dumps(FULL | members | {"issuer": ISSUER}).encode()
    try:
        metadata = parse_provider_metadata(body, issuer=ISSUER, allow_insecure_http=False)
    except MetadataUnusable:
        return
    assert metadata.issuer == ISSUER
    for name in ENDPOINTS:
        assert (getattr(metadata, name) or "https://").startswith("https://")


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (
            "https://login.example.com",
            (
                "https://login.example.com/.well-known/openid-configuration",
                "https://login.example.com/.well-known/oauth-authorization-server",
            ),
        ),
        (
            "https://login.example.com/",
            (
                "https://login.example.com/.well-known/openid-configuration",
                "https://login.example.com/.well-known/oauth-authorization-server",
            ),
        ),
        (
            "https://login.example.com:8443/realms/shop/",
            (
                "https://login.example.com:8443/realms/shop/.well-known/openid-configuration",
                "https://login.example.com:8443/.well-known/oauth-authorization-server/realms/shop",
                "https://login.example.com:8443/.well-known/openid-configuration/realms/shop",
            ),
        ),
    ],
)
def test_document_is_looked_for_where_the_specifications_put_it(issuer: str, urls: tuple[str, ...]) -> None:
    assert well_known_urls(issuer) == urls


def test_document_is_asked_for_uncompressed_and_without_credentials() -> None:
    request = document_request("https://login.example.com/.well-known/openid-configuration")
    assert (request.method, request.body) == ("GET", b"")
    assert request.headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in request.headers


# A document for many tenants.

MICROSOFT = "https://login.microsoftonline.com"


@pytest.mark.parametrize(
    ("named", "issuer"),
    [
        (f"{MICROSOFT}/{{tenantid}}/v2.0", f"{MICROSOFT}/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"),
        ("https://sts.windows.net/{tenantid}/", "https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/"),
        ("https://login.example.com/t-{tenant}", "https://login.example.com/t-1"),
    ],
)
def test_document_for_many_tenants_is_one_of_each_where_somebody_said_where_it_stands(named: str, issuer: str) -> None:
    body = json.dumps({"issuer": named, "token_endpoint": "https://login.example.com/token"}).encode()
    found = parse_provider_metadata(body, issuer=issuer, allow_insecure_http=False, may_be_of_many=True)
    assert found.issuer == issuer
    with pytest.raises(MetadataUnusable, match="is for many tenants"):
        parse_provider_metadata(body, issuer=issuer, allow_insecure_http=False)


@pytest.mark.parametrize(
    "named",
    [
        pytest.param("https://{tenantid}/v2.0", id="a placeholder for the host"),
        pytest.param("https://{tenantid}.example.com/v2.0", id="a placeholder in the host"),
        pytest.param("{tenantid}", id="a placeholder for all of it"),
        pytest.param(f"{MICROSOFT}/{{tenantid}}", id="one that would take two segments"),
        pytest.param(f"{MICROSOFT}/{{a}}{{b}}{{c}}", id="several"),
        pytest.param(f"{MICROSOFT}/{{a}}" + "{b}" * 500, id="very many"),
        pytest.param(f"{MICROSOFT}/shop/v2.0/{{tenantid}}", id="a placeholder for nothing"),
        pytest.param(f"{MICROSOFT}/{{tenant id}}/v2.0", id="braces that are no placeholder"),
        pytest.param("https://login.example.com/{tenantid}/v2.0", id="another host"),
        pytest.param(f"{MICROSOFT}/other/v2.0", id="another issuer"),
    ],
)
def test_document_for_others_is_refused_also_where_somebody_said_where_it_stands(named: str) -> None:
    body = json.dumps({"issuer": named}).encode()
    with pytest.raises(MetadataUnusable, match=f"not {MICROSOFT}/shop/v2.0"):
        parse_provider_metadata(body, issuer=f"{MICROSOFT}/shop/v2.0", allow_insecure_http=False, may_be_of_many=True)


def test_whoever_names_no_tenant_is_told_to_name_one() -> None:
    body = json.dumps({"issuer": f"{MICROSOFT}/{{tenantid}}/v2.0"}).encode()
    with pytest.raises(MetadataUnusable) as caught:
        parse_provider_metadata(body, issuer=f"{MICROSOFT}/common/v2.0", allow_insecure_http=False)
    assert "Name a tenant" in str(caught.value)
    assert "spec.oauth2.discoveryURL" in str(caught.value)


# What a credential remembers.


@pytest.mark.parametrize(
    ("token_endpoint", "listed", "kept"),
    [
        ("https://login.example.com/token", ("private_key_jwt", "client_secret_post"), ("client_secret_post",)),
        (None, ("client_secret_basic",), ("client_secret_basic",)),
        ("https://login.example.com/other", ("client_secret_post",), None),
        ("https://login.example.com/token", ("client_secret_jwt",), ()),
        ("https://login.example.com/token", None, None),
    ],
)
def test_way_to_authenticate_is_remembered_of_the_token_url_in_use(
    token_endpoint: str | None, listed: tuple[str, ...] | None, kept: tuple[str, ...] | None
) -> None:
    said = ProviderMetadata(
        issuer="https://login.example.com",
        token_endpoint=token_endpoint,
        token_endpoint_auth_methods_supported=listed,
    )
    remembered = said.promises_about("https://login.example.com/token")
    assert remembered == ProviderMetadata(
        issuer="https://login.example.com", token_endpoint_auth_methods_supported=kept
    )
    assert remembered.promises == remembered, "reading it back changes nothing"
