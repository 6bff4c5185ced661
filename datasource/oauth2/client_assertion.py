"""Client authentication with a private key: private_key_jwt (RFC 7523 section 2.2, OIDC Core section 9). Signed by joserfc."""

import json
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey

from datasource.oauth2.private_key import UNREADABLE, PublicKey, key_in_pem, rsa_key_in_jwk

CLIENT_ASSERTION_ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
)
"""JWS algorithms with a private key (RFC 7518 section 3.1, RFC 9864). Never none, never HS256."""

LIFETIME = timedelta(minutes=1)
"""Longer than a request takes, and too short to be worth stealing."""

CLOCK_SKEW = timedelta(minutes=1)
"""What is left for a provider whose clock is behind or ahead of ours."""

_LONGEST_KEY = 32_768
_SMALLEST_RSA = 2048

_LARGEST_RSA = 4096
"""Bits. To sign takes the cube of that: 1.5 ms, and with 16,384 bits a quarter of a second, in which nothing else goes on."""
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


class UnusableKey(Exception):
    """The private key cannot sign assertions; the text says why and never shows any of it."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, ready to sign."""

    key: RSAKey | ECKey | OKPKey = field(repr=False)
    algorithm: str
    key_id: str | None


def signing_key(text: str, *, key_id: str | None = None, algorithm: str | None = None) -> SigningKey:
    """Read a private key: PEM (PKCS#8, or as openssl writes RSA and EC keys), or a JWK (RFC 7517).

    Args:
        text: the key.
        key_id: the `kid`; None: what a JWK says of itself.
        algorithm: one of CLIENT_ASSERTION_ALGORITHMS; None: what a JWK says, or the usual one for such a key.

    Raises:
        UnusableKey: it is no private key, too weak, or not for that algorithm.
    """
    if len(text) > _LONGEST_KEY:
        raise UnusableKey("is longer than any private key")
    with warnings.catch_warnings():
        # A weak key is refused below, with words for whoever made it.
        warnings.simplefilter("ignore", SecurityWarning)
        key, said = _jwk(text) if text.lstrip().startswith("{") else (_pem(text), {})
    if not key.is_private:
        raise UnusableKey("is a public key")
    possible = _algorithms(key)
    chosen = algorithm or _text(said, "alg") or possible[0]
    if chosen not in possible:
        raise UnusableKey(f"does not sign with {chosen}; it does with {', '.join(possible)}")
    return SigningKey(key, chosen, key_id or _text(said, "kid"))


def client_assertion(
    key: SigningKey,
    *,
    client_id: str,
    audience: str,
    now: datetime,
    token_bytes: Callable[[int], bytes],
    type_: str = "JWT",
) -> str:
    """Make an assertion for one request; every one has a fresh `jti`, so that it can be used once.

    Args:
        key: what signs.
        client_id: issuer and subject.
        audience: whom it is for. One text: a list would let one provider present it to another (draft-ietf-oauth-rfc7523bis).
        now: an aware moment.
        token_bytes: the randomness.
        type_: the `typ` of its header.
    """
    header = {"alg": key.algorithm, "typ": type_} | ({} if key.key_id is None else {"kid": key.key_id})
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": urlsafe_b64encode(token_bytes(18)).decode(),
        "iat": int(now.timestamp()),
        "exp": int((now + LIFETIME + CLOCK_SKEW).timestamp()),
    }
    return jwt.encode(header, claims, key.key, algorithms=[key.algorithm])


def _jwk(text: str) -> tuple[RSAKey | ECKey | OKPKey, dict[str, object]]:
    try:
        said = json.loads(text)
        key = rsa_key_in_jwk(said) or JWKRegistry.import_key(said)
        _ = key.is_private
    except UNREADABLE:
        raise UnusableKey("is no JWK that can be read") from None
    if isinstance(key, OctKey):
        raise UnusableKey("is a shared secret, not a private key")
    return key, said


def _pem(text: str) -> RSAKey | ECKey | OKPKey:
    try:
        return key_in_pem(text)
    except PublicKey:
        raise UnusableKey("is a public key") from None
    except UNREADABLE:
        raise UnusableKey("is neither PEM without a password nor a JWK") from None


def _algorithms(key: RSAKey | ECKey | OKPKey) -> tuple[str, ...]:
    """What it can sign with, the usual one first."""
    if isinstance(key, RSAKey):
        if key.raw_value.key_size < _SMALLEST_RSA:
            raise UnusableKey(f"is an RSA key of less than {_SMALLEST_RSA} bits")
        if key.raw_value.key_size > _LARGEST_RSA:
            raise UnusableKey(f"is an RSA key of more than {_LARGEST_RSA} bits")
        return tuple(name for name in CLIENT_ASSERTION_ALGORITHMS if name.startswith(("RS", "PS")))
    curve = key.curve_name
    if isinstance(key, OKPKey) and curve == "Ed25519":
        return ("Ed25519",)
    if curve in _CURVES:
        return (_CURVES[curve],)
    raise UnusableKey(f"is on curve {curve}, which signs no assertions")


def _text(said: dict[str, object], name: str) -> str | None:
    value = said.get(name)
    return value if isinstance(value, str) and value else None
