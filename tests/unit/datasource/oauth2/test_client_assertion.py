"""Assertions with a private key: which keys sign, what is said, and that each is used once."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, JWKRegistry, OctKey, RSAKey

from datasource.oauth2.client_assertion import SigningKey, UnusableKey, client_assertion, signing_key

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
AUDIENCE = "https://login.example.com"

Format = serialization.PrivateFormat


def pem(key: Any, how: serialization.PrivateFormat = Format.PKCS8, password: bytes | None = None) -> str:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    text: bytes = key.private_bytes(serialization.Encoding.PEM, how, encryption)
    return text.decode()


def public_pem(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return text.decode()


RSA = rsa.generate_private_key(65537, 2048)
SHORT_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to see it refused
P256 = ec.generate_private_key(ec.SECP256R1())
EC_JWK: dict[str, Any] = ECKey.import_key(pem(P256)).as_dict(private=True)


def assertion(key: SigningKey, random: bytes = b"r") -> str:
    return client_assertion(
        key, client_id="my-app", audience=AUDIENCE, now=NOW, token_bytes=lambda count: (random * count)[:count]
    )


@pytest.mark.parametrize(
    ("text", "algorithm", "expected"),
    [
        pytest.param(pem(RSA), None, "RS256", id="RSA"),
        pytest.param(pem(RSA, Format.TraditionalOpenSSL), None, "RS256", id="RSA as openssl writes it"),
        pytest.param(pem(RSA), "PS384", "PS384", id="RSA with PSS"),
        pytest.param(pem(P256), None, "ES256", id="P-256"),
        pytest.param(pem(P256, Format.TraditionalOpenSSL), None, "ES256", id="P-256 as openssl writes it"),
        pytest.param(pem(ec.generate_private_key(ec.SECP384R1())), None, "ES384", id="P-384"),
        pytest.param(pem(ec.generate_private_key(ec.SECP521R1())), None, "ES512", id="P-521"),
        pytest.param(pem(ed25519.Ed25519PrivateKey.generate()), None, "Ed25519", id="Ed25519"),
        pytest.param(json.dumps(EC_JWK), None, "ES256", id="a JWK"),
        pytest.param("\n " + json.dumps(EC_JWK | {"alg": "ES256"}), None, "ES256", id="a JWK that says how"),
        pytest.param(json.dumps(RSAKey.import_key(pem(RSA)).as_dict(private=True)), "PS256", "PS256", id="an RSA JWK"),
    ],
)
def test_assertion_verifies_with_the_public_key(text: str, algorithm: str | None, expected: str) -> None:
    key = signing_key(text, algorithm=algorithm)
    public = JWKRegistry.import_key(key.key.as_dict(private=False))

    token = jwt.decode(assertion(key), public, algorithms=[expected])

    assert (token.header["alg"], token.header["typ"]) == (expected, "JWT")
    assert token.claims == {
        "iss": "my-app",
        "sub": "my-app",
        "aud": AUDIENCE,
        "jti": "cnJycnJycnJycnJycnJycnJy",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 120,
    }


def test_each_assertion_has_an_identifier_of_its_own() -> None:
    key = signing_key(pem(P256))
    identifiers = {
        jwt.decode(assertion(key, random), key.key, algorithms=["ES256"]).claims["jti"] for random in (b"a", b"b")
    }
    assert len(identifiers) == 2


@pytest.mark.parametrize(
    ("text", "key_id", "expected"),
    [
        (pem(P256), None, None),
        (pem(P256), "key-1", "key-1"),
        (json.dumps(EC_JWK | {"kid": "own"}), None, "own"),
        (json.dumps(EC_JWK | {"kid": "own"}), "key-1", "key-1"),
        (json.dumps(EC_JWK | {"kid": ""}), None, None),
    ],
)
def test_key_id_is_what_is_written_or_what_a_jwk_says(text: str, key_id: str | None, expected: str | None) -> None:
    key = signing_key(text, key_id=key_id)
    assert jwt.decode(assertion(key), key.key, algorithms=["ES256"]).header.get("kid") == expected


@pytest.mark.parametrize(
    ("text", "algorithm", "why"),
    [
        pytest.param("", None, "neither PEM", id="nothing"),
        pytest.param("hello", None, "neither PEM", id="a word"),
        pytest.param(pem(P256)[:-40], None, "neither PEM", id="PEM cut short"),
        pytest.param(pem(P256, password=b"x"), None, "neither PEM without a password", id="PEM with a password"),
        pytest.param(public_pem(P256), None, "is a public key", id="a public key"),
        pytest.param(
            json.dumps({key: text for key, text in EC_JWK.items() if key != "d"}),
            None,
            "is a public key",
            id="the public half of a JWK",
        ),
        pytest.param(pem(SHORT_RSA), None, "less than 2048 bits", id="a short RSA key"),
        pytest.param(pem(P256), "RS256", "does not sign with RS256; it does with ES256", id="not its algorithm"),
        pytest.param(pem(RSA), "HS256", "does not sign with HS256", id="a shared-secret algorithm"),
        pytest.param(pem(RSA), "none", "does not sign with none", id="no signature"),
        pytest.param(pem(ed448.Ed448PrivateKey.generate()), None, "on curve Ed448", id="another curve"),
        pytest.param("{", None, "no JWK that can be read", id="JSON cut short"),
        pytest.param("{}", None, "no JWK that can be read", id="an empty object"),
        pytest.param('{"kty": "EC"}', None, "no JWK that can be read", id="a JWK without a key"),
        pytest.param('{"kty": 5}', None, "no JWK that can be read", id="a key type that is a number"),
        pytest.param(json.dumps(EC_JWK | {"alg": "none"}), None, "does not sign with none", id="a JWK with none"),
        pytest.param(
            json.dumps(OctKey.generate_key().as_dict(private=True)), None, "shared secret", id="a shared secret"
        ),
        pytest.param("x" * 32_769, None, "longer than", id="too long"),
    ],
)
def test_key_that_signs_no_assertion_is_refused(text: str, algorithm: str | None, why: str) -> None:
    with pytest.raises(UnusableKey, match=why):
        signing_key(text, algorithm=algorithm)


@given(
    st.text(max_size=300)
    | st.dictionaries(st.sampled_from(["kty", "crv", "d", "k", "n", "x"]), st.text()).map(json.dumps)
)
def test_any_text_is_a_key_or_a_typed_error(text: str) -> None:
    with pytest.raises(UnusableKey):
        signing_key(text)


def test_key_does_not_print() -> None:
    text = json.dumps(EC_JWK)
    assert EC_JWK["d"] not in repr(signing_key(text))
    with pytest.raises(UnusableKey) as caught:
        signing_key(text, algorithm="RS256")
    assert EC_JWK["d"] not in str(caught.value)
