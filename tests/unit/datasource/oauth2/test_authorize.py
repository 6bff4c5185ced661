"""The authorization request: what stands in it, what may not, and that nothing stands twice."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.authorize import (
    ReservedParameter,
    authorization_parameters,
    front_url,
    new_secret,
    pushed_url,
    s256_challenge,
)
from datasource.oauth2.reserved_parameters import RESERVED_PARAMETERS

ENDPOINT = "https://login.example.com/authorize"
REDIRECT_URI = "https://connect.example.com/callback/shop"

# RFC 7636 appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def url(endpoint: str = ENDPOINT, **changes: Any) -> str:
    arguments: dict[str, Any] = {"client_id": "my-app", "redirect_uri": REDIRECT_URI, "state": "st-1"} | changes
    return front_url(endpoint, authorization_parameters(**arguments))


def query_of(address: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(address).query, keep_blank_values=True)


def test_challenge_is_the_one_of_the_rfc() -> None:
    assert s256_challenge(VERIFIER) == CHALLENGE


def test_secret_is_256_bits_of_the_randomness_given() -> None:
    asked: list[int] = []

    def token_bytes(count: int) -> bytes:
        asked.append(count)
        return bytes(range(count))

    assert new_secret(token_bytes) == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert asked == [32]


@given(st.binary(min_size=32, max_size=32))
def test_secret_is_a_code_verifier_whatever_the_randomness(random: bytes) -> None:
    secret = new_secret(lambda _: random)
    assert len(secret) == 43
    assert set(secret) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_least_request_asks_for_a_code_and_nothing_more() -> None:
    assert dict(query_of(url())) == {
        "response_type": "code",
        "client_id": "my-app",
        "redirect_uri": REDIRECT_URI,
        "state": "st-1",
    }


def test_full_request_carries_scope_nonce_and_s256_challenge() -> None:
    address = url(scopes=("read", "offline_access"), nonce="n-1", code_challenge=CHALLENGE, extra={"prompt": "consent"})
    assert dict(query_of(address)) == {
        "response_type": "code",
        "client_id": "my-app",
        "redirect_uri": REDIRECT_URI,
        "state": "st-1",
        "scope": "read offline_access",
        "nonce": "n-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "prompt": "consent",
    }


def test_challenge_method_is_never_plain() -> None:
    assert "plain" not in url(code_challenge=VERIFIER)


def test_query_of_the_endpoint_is_kept() -> None:
    query = query_of(url(ENDPOINT + "?tenant=a%20b&blank="))
    assert ("tenant", "a b") in query
    assert ("blank", "") in query


@pytest.mark.parametrize(
    "own", ["p=%FF", "p=a+b", "p=a%2fb/c?d", "p", "p=", "p=1&p=2", "%C3%A4=%c3%a4", "p=a%20b;q=c", "p=%zz", "p=a=b"]
)
def test_query_of_the_endpoint_stays_as_it_is_written(own: str) -> None:
    """A service may read a plus as one, and need not use UTF-8."""
    assert url(f"{ENDPOINT}?{own}").startswith(f"{ENDPOINT}?{own}&response_type=code&")


def test_what_no_url_may_hold_is_escaped_in_the_query_of_the_endpoint() -> None:
    assert url(f'{ENDPOINT}?p=a b"<ä>&&').startswith(f"{ENDPOINT}?p=a%20b%22%3C%C3%A4%3E&response_type=code&")


def test_resource_may_repeat_in_the_query_of_the_endpoint() -> None:
    # RFC 8707 section 2: the one parameter that may stand more than once.
    query = query_of(url(ENDPOINT + "?resource=https%3A%2F%2Fa.example&resource=https%3A%2F%2Fb.example"))
    assert [value for name, value in query if name == "resource"] == ["https://a.example", "https://b.example"]


def test_extra_parameter_wins_over_the_endpoints_query() -> None:
    query = query_of(url(ENDPOINT + "?prompt=none", extra={"prompt": "consent"}))
    assert [value for name, value in query if name == "prompt"] == ["consent"]


def test_space_is_written_as_percent_20() -> None:
    address = url(scopes=("read", "write"))
    assert "scope=read%20write" in address
    assert "+" not in address


def test_scheme_host_and_path_of_the_endpoint_stay() -> None:
    assert url("https://login.example.com:8443/a/b?x=1").startswith("https://login.example.com:8443/a/b?x=1&")


@pytest.mark.parametrize("name", sorted(RESERVED_PARAMETERS))
def test_reserved_parameter_is_refused_wherever_it_stands(name: str) -> None:
    with pytest.raises(ReservedParameter) as in_query:
        url(f"{ENDPOINT}?{name}=x")
    with pytest.raises(ReservedParameter) as in_extra:
        url(extra={name: "x"})
    assert in_query.value.name == in_extra.value.name == name


def test_reserved_parameter_is_seen_through_percent_encoding_and_without_a_value() -> None:
    with pytest.raises(ReservedParameter):
        url(ENDPOINT + "?%73tate=x")
    with pytest.raises(ReservedParameter):
        url(ENDPOINT + "?state=")


_names = st.text(min_size=1).filter(lambda name: name not in RESERVED_PARAMETERS)


@given(
    extra=st.dictionaries(_names, st.text()), scopes=st.lists(st.text(min_size=1)), state=st.text(), client=st.text()
)
def test_whatever_is_put_in_comes_out_once(extra: dict[str, str], scopes: list[str], state: str, client: str) -> None:
    query = query_of(url(client_id=client, state=state, scopes=scopes, extra=extra))
    assert len(query) == len(dict(query))
    assert dict(query) == extra | {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": REDIRECT_URI,
        "state": state,
        **({"scope": " ".join(scopes)} if scopes else {}),
    }


def test_resource_stands_once_for_each_indicator() -> None:
    query = query_of(url(resources=("https://a.example", "https://b.example")))
    assert [value for name, value in query if name == "resource"] == ["https://a.example", "https://b.example"]


def test_resource_indicators_win_over_the_endpoints_query() -> None:
    query = query_of(url(ENDPOINT + "?resource=https%3A%2F%2Fold.example", resources=("https://a.example",)))
    assert [value for name, value in query if name == "resource"] == ["https://a.example"]


@pytest.mark.parametrize(("separator", "scope"), [(" ", "a b"), (",", "a,b"), ("+", "a+b")])
def test_scopes_are_joined_as_the_provider_wants(separator: str, scope: str) -> None:
    assert ("scope", scope) in query_of(url(scopes=("a", "b"), scope_separator=separator))


def test_pushed_request_leaves_client_id_and_request_uri_in_front_and_nothing_else() -> None:
    address = pushed_url(ENDPOINT, client_id="my-app", request_uri="urn:ietf:params:oauth:request_uri:6&x=1")
    assert query_of(address) == [("client_id", "my-app"), ("request_uri", "urn:ietf:params:oauth:request_uri:6&x=1")]
