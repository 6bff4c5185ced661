"""The signature of an id_token: by a key of the issuer, in a way that proves something."""

import base64
import hmac
import json
import warnings
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from datasource.oauth2.errors import MetadataUnusable
from datasource.oauth2.id_token import IdentityMismatch
from datasource.oauth2.signature import UnknownKey, VerificationKey, parse_key_set, verified_claims

RSA = RSAKey.generate_key(2048, {"kid": "k-1", "alg": "RS256", "use": "sig"})
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "k-2"})
EC = ECKey.generate_key("P-256", {"kid": "k-ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "k-ed"})
CLAIMS = {"iss": "https://login.example.com", "sub": "user-1"}

Key = RSAKey | ECKey | OKPKey


def key_set(*keys: Any, **changes: Any) -> bytes:
    """A JWK Set of public keys, or of whatever is given; `changes` go into each."""
    entries = [key.as_dict(private=False) if hasattr(key, "as_dict") else key for key in keys]
    return json.dumps({"keys": [entry | changes for entry in entries]}).encode()


def keys(*given: Any, **changes: Any) -> tuple[VerificationKey, ...]:
    return parse_key_set(key_set(*given, **changes))


def signed(key: Key = RSA, alg: str = "RS256", payload: bytes | None = None, **header: Any) -> str:
    members = {"alg": alg, "kid": key.kid, **header}
    members = {name: value for name, value in members.items() if value is not None}
    content = json.dumps(CLAIMS).encode() if payload is None else payload
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jws.serialize_compact(members, content, key, algorithms=[alg])


def part(members: object) -> str:
    return urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")


def long_key(bits: int) -> dict[str, str]:
    """A modulus of so many bits, each signature with which costs their square."""
    modulus = (1 << bits - 1) | 1
    n = base64.urlsafe_b64encode(modulus.to_bytes((bits + 7) // 8, "big")).rstrip(b"=").decode()
    return {"kty": "RSA", "n": n, "e": "AQAB"}


def weak_key() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(RSAKey.generate_key(1024, {"kid": "weak"}).as_dict(private=False))


@pytest.mark.parametrize(
    ("key", "alg"), [(RSA, "RS256"), (OTHER_RSA, "PS384"), (EC, "ES256"), (ED, "Ed25519"), (ED, "EdDSA")]
)
def test_claims_that_the_issuer_signed_are_believed(key: Key, alg: str) -> None:
    assert verified_claims(signed(key, alg), keys(RSA, OTHER_RSA, EC, ED)) == CLAIMS


def test_key_without_a_name_is_found_where_it_is_the_only_one() -> None:
    assert verified_claims(signed(kid=None), keys(RSA, EC)) == CLAIMS


def test_key_is_not_guessed_among_several() -> None:
    with pytest.raises(IdentityMismatch, match="which of the provider's keys"):
        verified_claims(signed(kid=None), keys(RSA, OTHER_RSA))


@pytest.mark.parametrize("kid", ["k-9", "", ["k-1"], 5])
def test_key_of_another_name_is_unknown(kid: Any) -> None:
    token = f"{part({'alg': 'RS256', 'kid': kid})}.{part(CLAIMS)}.c2ln"
    with pytest.raises(UnknownKey):
        verified_claims(token, keys(RSA))


def test_signature_by_somebody_else_under_the_same_name_is_refused() -> None:
    with pytest.raises(IdentityMismatch, match="signature"):
        verified_claims(signed(OTHER_RSA, kid="k-1"), keys(RSA))


def test_altered_claims_are_refused() -> None:
    header, _, signature = signed().split(".")
    with pytest.raises(IdentityMismatch, match="signature"):
        verified_claims(f"{header}.{part(CLAIMS | {'sub': 'mallory'})}.{signature}", keys(RSA))


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "RS1", "dir"])
def test_algorithm_that_proves_nothing_is_refused(alg: str) -> None:
    with pytest.raises(IdentityMismatch, match="proves nothing"):
        verified_claims(f"{part({'alg': alg, 'kid': 'k-1'})}.{part(CLAIMS)}.", keys(RSA))


@pytest.mark.parametrize("header", [{}, {"alg": None}, {"alg": ["RS256"]}, {"alg": 5}])
def test_header_without_an_algorithm_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(IdentityMismatch, match="proves nothing"):
        verified_claims(f"{part(header)}.{part(CLAIMS)}.c2ln", keys(RSA))


def test_public_key_as_an_hmac_secret_is_refused() -> None:
    # By hand: joserfc would not make such a token.
    content = f"{part({'alg': 'HS256', 'kid': 'k-1'})}.{part(CLAIMS)}"
    mac = hmac.digest(RSA.as_pem(private=False), content.encode(), "sha256")
    with pytest.raises(IdentityMismatch, match="HS256"):
        verified_claims(f"{content}.{urlsafe_b64encode(mac).decode().rstrip('=')}", keys(RSA))


def test_algorithm_that_the_metadata_does_not_list_is_refused() -> None:
    assert verified_claims(signed(), keys(RSA), supported=("RS256",)) == CLAIMS
    with pytest.raises(IdentityMismatch, match="does not list"):
        verified_claims(signed(), keys(RSA), supported=("ES256",))


def test_key_that_is_for_another_algorithm_is_not_used() -> None:
    with pytest.raises(UnknownKey):
        verified_claims(f"{part({'alg': 'RS512', 'kid': 'k-1'})}.{part(CLAIMS)}.c2ln", keys(RSA))


def test_key_of_another_kind_is_not_used() -> None:
    token = f"{part({'alg': 'ES256', 'kid': 'k-1'})}.{part(CLAIMS)}.c2ln"
    with pytest.raises(UnknownKey):
        verified_claims(token, keys(RSA))


@pytest.mark.parametrize(
    "odd",
    [
        {"use": ["sig"]},
        {"use": {}},
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"key_ops": {"verify": 1}},
        {"kty": ["RSA"]},
        {"kty": None},
        {"n": 5},
    ],
)
def test_odd_entry_of_a_key_set_is_passed_over_and_costs_the_others_nothing(odd: dict[str, Any]) -> None:
    """RFC 7517 section 5."""
    good = RSA.as_dict(private=False, kid="k-1")
    found = parse_key_set(json.dumps({"keys": [good | {"kid": "odd"} | odd, 5, None, [good], good]}).encode())
    assert [key.kid for key in found] == ["k-1"]


@pytest.mark.parametrize(
    "huge",
    [
        {"kty": "RSA", "n": "_" * 701, "e": "AQAB"},
        {"kty": "RSA", "n": "_" * 683, "e": "_" * 900_000},
        {"kty": "EC", "crv": "P-256", "x": "A" * 40_000, "y": "A"},
        {"kty": "OKP", "crv": "Ed25519", "x": "A" * 40_000},
        {"kty": "EC", "crv": "P" * 40_000, "x": "A", "y": "A"},
    ],
)
def test_key_longer_than_any_that_is_used_is_passed_over_before_a_number_is_made_of_it(
    huge: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instance: a key set of a megabyte, and everybody waited for a third of a second."""
    monkeypatch.setattr("datasource.oauth2.signature.JWKRegistry.import_key", lambda _: pytest.fail("it was made"))
    with pytest.raises(MetadataUnusable):
        parse_key_set(json.dumps({"keys": [huge]}).encode())


def test_longest_key_that_is_used_is_read() -> None:
    # To find such a key takes seconds; whether it is one is not looked at.
    modulus = urlsafe_b64encode((2**4096 - 1).to_bytes(512)).decode().rstrip("=")
    good = {"kty": "RSA", "n": modulus, "e": "AQAB", "kid": "k-1"}
    assert len(parse_key_set(json.dumps({"keys": [good]}).encode())) == 1


def test_key_for_verifying_is_one_for_signatures() -> None:
    good = RSA.as_dict(private=False, kid="k-1") | {"key_ops": ["verify"], "use": "sig"}
    assert len(parse_key_set(json.dumps({"keys": [good]}).encode())) == 1


def test_critical_header_is_refused() -> None:
    token = f"{part({'alg': 'RS256', 'kid': 'k-1', 'crit': ['b64'], 'b64': False})}.{part(CLAIMS)}.c2ln"
    with pytest.raises(IdentityMismatch, match="critical"):
        verified_claims(token, keys(RSA))


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c.d.e", "!.!.!", "e30.e30.e30", "x" * 70_000])
def test_what_is_no_jwt_is_refused(token: str) -> None:
    with pytest.raises(IdentityMismatch):
        verified_claims(token, keys(RSA))


@pytest.mark.parametrize("payload", [b"[]", b"", b"\xff", b"5"])
def test_signed_nonsense_carries_no_claims(payload: bytes) -> None:
    with pytest.raises(IdentityMismatch):
        verified_claims(signed(payload=payload), keys(RSA))


@given(st.text(max_size=200))
def test_arbitrary_text_raises_nothing_but_a_mismatch(token: str) -> None:
    with pytest.raises(IdentityMismatch):
        verified_claims(token, KEYS)


KEYS = keys(RSA, EC)

UNUSABLE: list[Any] = [
    5,
    {},
    {"kty": 5},
    {"kty": "oct", "k": "c2VjcmV0"},
    {"kty": "RSA"},
    {"kty": "RSA", "n": "!!", "e": "AQAB"},
    {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
    {"kty": "RSA", "n": 5, "e": "AQAB"},
    {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    {"kty": "EC", "crv": "nope", "x": "AA", "y": "AA"},
    {"kty": "OKP", "crv": "X25519", "x": "AA"},
    weak_key(),
    long_key(4097),
    long_key(16_384),
    RSA.as_dict(private=False) | {"use": "enc"},
]


@pytest.mark.parametrize("entry", UNUSABLE, ids=[str(index) for index in range(len(UNUSABLE))])
def test_key_that_cannot_have_signed_is_passed_over(entry: Any) -> None:
    document = {"keys": [entry, RSA.as_dict(private=False)]}
    (found,) = parse_key_set(json.dumps(document).encode())
    assert found.kid == "k-1"
    with pytest.raises(MetadataUnusable, match="none that an id_token"):
        parse_key_set(json.dumps({"keys": [entry]}).encode())


def test_names_that_are_no_texts_are_passed_over() -> None:
    (found,) = keys(RSA, kid=5, alg=None)
    assert (found.kid, found.algorithm) == (None, None)


def test_private_members_of_a_key_are_not_read() -> None:
    (found,) = parse_key_set(json.dumps({"keys": [RSA.as_dict(private=True)]}).encode())
    assert not found.key.is_private


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"\xff", b'{"keys": {}}', b'{"keys": []}', key_set(*[RSA] * 21), b"{" * 9_000]
)
def test_what_is_no_key_set_is_unusable(body: bytes) -> None:
    with pytest.raises(MetadataUnusable):
        parse_key_set(body)
