"""The signature of an id_token, checked with a key that its issuer publishes (RFC 7515, RFC 7517, OIDC Core section 3.1.3.7).

Pure. Asymmetric algorithms only: with `none` anybody could sign, with HS256 anybody who knows the public key, or the client
secret.
"""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from datasource.oauth2.errors import MetadataUnusable
from datasource.oauth2.id_token import IdentityMismatch, claims_in, jwt_parts
from datasource.oauth2.strict_json import json_object, text_of
from datasource.outbound.printable import printable

_KEY_TYPES = {
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "EC",
    "ES384": "EC",
    "ES512": "EC",
    "Ed25519": "OKP",
    "EdDSA": "OKP",
}
ALGORITHMS = frozenset(_KEY_TYPES)
"""What an id_token may be signed with (RFC 7518 section 3.1, RFC 9864)."""

_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_LEAST_RSA_BITS = 2048
_MOST_RSA_BITS = 4096
_LONGEST_MEMBER = 700
"""Characters; 4,096 bits in base64url take 683. To make a number of a megabyte keeps everybody waiting for a third of a
second."""

_MOST_KEYS = 20
"""A provider publishes two or three. They are kept in memory, and a signature costs their length squared."""


class UnknownKey(IdentityMismatch):
    """Signed with a key that is not among those known: a newer one, perhaps."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key of an issuer, and what it says that it is for."""

    kid: str | None
    key_type: str
    algorithm: str | None
    key: RSAKey | ECKey | OKPKey = field(repr=False)


def parse_key_set(body: bytes) -> tuple[VerificationKey, ...]:
    """Parse a JWK Set (RFC 7517 section 5); keys of other kinds and uses, and unusable ones, are passed over.

    Raises:
        MetadataUnusable: it is no such set, or has no key that could have signed an id_token.
    """
    members = json_object(text_of(body))
    entries = None if members is None else members.get("keys")
    if not isinstance(entries, list) or len(entries) > _MOST_KEYS:
        raise MetadataUnusable(f"The provider's keys (jwks_uri) are no JWK Set of at most {_MOST_KEYS} keys.")
    keys = tuple(key for entry in entries if (key := _verification_key(entry)) is not None)
    if not keys:
        raise MetadataUnusable("The provider's keys (jwks_uri) have none that an id_token can be signed with.")
    return keys


def verified_claims(
    id_token: str, keys: Iterable[VerificationKey], *, supported: tuple[str, ...] | None = None
) -> Mapping[str, Any]:
    """The claims of an id_token whose signature is by one of the keys.

    Args:
        id_token: as the token endpoint sent it.
        keys: those of the configured issuer, and of nobody else.
        supported: `id_token_signing_alg_values_supported` of its metadata; None where it does not say.

    Raises:
        UnknownKey: none of the keys is the one that it names.
        IdentityMismatch: it is no JWT, is signed in a way that proves nothing, or by somebody else.
    """
    header, _, _ = jwt_parts(id_token)
    members = json_object(text_of(header)) or {}
    algorithm, kid = members.get("alg"), members.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        said = printable(algorithm) if isinstance(algorithm, str) else "nothing"
        raise IdentityMismatch(f"The id_token is signed with {said}, which proves nothing to us.")
    if supported is not None and algorithm not in supported:
        raise IdentityMismatch(f"The id_token is signed with {algorithm}, which the provider's metadata does not list.")
    if "crit" in members:
        raise IdentityMismatch("The id_token has a critical header that is not understood.")
    key = _the_key(tuple(keys), algorithm, kid)
    try:
        with warnings.catch_warnings():
            # EdDSA is the old name of Ed25519 (RFC 9864), and what providers send.
            warnings.simplefilter("ignore", SecurityWarning)
            verified = jws.deserialize_compact(id_token, key.key, algorithms=[algorithm])
    except (JoseError, ValueError):
        raise IdentityMismatch("The id_token's signature is not by the provider's key.") from None
    return claims_in(verified.payload)


def _the_key(keys: tuple[VerificationKey, ...], algorithm: str, kid: object) -> VerificationKey:
    """The one key; without a kid it must be the only one that fits (OIDC Core section 10.1)."""
    fitting = [key for key in keys if key.key_type == _KEY_TYPES[algorithm] and key.algorithm in {None, algorithm}]
    if kid is not None:
        fitting = [key for key in fitting if key.kid == kid]
    if not fitting:
        raise UnknownKey(
            "The id_token is signed with a key that the provider does not publish. If the key is new, try again in a minute."
        )
    if len(fitting) > 1:
        raise IdentityMismatch("The id_token does not say which of the provider's keys it is signed with.")
    return fitting[0]


def _verification_key(entry: object) -> VerificationKey | None:
    if not isinstance(entry, dict) or not _is_for_signatures(entry):
        return None
    key_type, kid, algorithm = entry.get("kty"), entry.get("kid"), entry.get("alg")
    # Symmetric keys have no place in a public document, and private members no place in a public key.
    if not isinstance(key_type, str) or key_type not in _PUBLIC_MEMBERS:
        return None
    public = {"kty": key_type} | {name: entry.get(name) for name in _PUBLIC_MEMBERS[key_type]}
    key = _imported(public) if all(map(_is_member, public.values())) else None
    if key is None:
        return None
    return VerificationKey(
        kid=kid if isinstance(kid, str) else None,
        key_type=key_type,
        algorithm=algorithm if isinstance(algorithm, str) else None,
        key=key,
    )


def _is_member(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_MEMBER


def _is_for_signatures(entry: Mapping[str, Any]) -> bool:
    """By `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3), of which a stranger makes what they like."""
    use, operations = entry.get("use"), entry.get("key_ops")
    return (use is None or use == "sig") and (operations is None or (_names(operations, "verify")))


def _names(values: object, name: str) -> bool:
    return isinstance(values, list) and name in values


def _imported(public: Mapping[str, Any]) -> RSAKey | ECKey | OKPKey | None:
    try:
        with warnings.catch_warnings():
            # It warns of short keys; they are refused below.
            warnings.simplefilter("ignore", SecurityWarning)
            key = JWKRegistry.import_key(dict(public))
        if isinstance(key, RSAKey):
            return key if _LEAST_RSA_BITS <= key.public_key.key_size <= _MOST_RSA_BITS else None
        # Signatures need a point on a known curve; the key is read here, not at the first use.
        return key if isinstance(key, ECKey | OKPKey) and key.public_key is not None else None
    except (JoseError, ValueError, KeyError, TypeError):
        return None
