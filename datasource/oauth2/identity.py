"""Who may authorize, and what is kept of who did. Pure; the claims are those of an id_token whose signature was checked."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from datasource.oauth2.id_token import IdentityMismatch
from datasource.outbound.json_text import read_json

LONGEST_KEPT = 16_384
"""Bytes of claims that are kept with a credential."""

# What says something about the token, not about the person (RFC 7519 section 4.1, OIDC Core section 2).
_OF_THE_TOKEN = frozenset(
    {"aud", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "s_hash", "azp", "auth_time", "sid"}
)


class IdentityChanged(IdentityMismatch):
    """The id_token of a refresh is about somebody else than the one who authorized."""


def mismatched_claim(claims: Mapping[str, Any], expected: Mapping[str, str]) -> str | None:
    """The first of the expected claims that does not match; None where all do.

    Texts match letter by letter, lists by one of their entries, booleans and integers as JSON writes them. `email` counts only
    where the provider says that it is verified: at some services anybody may write any address into an account of his.
    """
    for name, value in expected.items():
        if not _matches(claims.get(name), value):
            return name
        if name == "email" and claims.get("email_verified") not in (True, "true"):
            return name
    return None


def expected_identity_hash(expected: Mapping[str, str]) -> str:
    """SHA-256 (hex) of `spec.oauth2.expectedIdentity`: which one a credential was checked against."""
    return hashlib.sha256(msgspec.json.encode(dict(expected), order="deterministic")).hexdigest()


def kept_claims(claims: Mapping[str, Any]) -> str:
    """The claims to keep with a credential, as JSON: for another expectedIdentity later, and for the subject of refreshes.

    Where they are too long, the longest go first: `iss` and `sub` always stay.
    """
    kept = {name: value for name, value in claims.items() if name not in _OF_THE_TOKEN and _can_match(value)}
    lengths = {name: len(msgspec.json.encode(value)) for name, value in kept.items()}
    # With a colon and a comma for each, and the braces around all. Counted, for there may be thousands.
    left = 1 + sum(len(msgspec.json.encode(name)) + length + 2 for name, length in lengths.items())
    for name in sorted(kept.keys() - {"iss", "sub"}, key=lambda name: (-lengths[name], name)):
        if left <= LONGEST_KEPT:
            break
        del kept[name]
        left -= len(msgspec.json.encode(name)) + lengths[name] + 2
    return msgspec.json.encode(kept).decode()


def read_kept_claims(text: str | None) -> Mapping[str, Any] | None:
    """What `kept_claims` wrote; None where there is nothing, or nothing that can be read."""
    try:
        return None if text is None else read_json(text, dict[str, Any])
    except ValueError:
        return None


def require_same_subject(claims: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    """OIDC Core section 12.2: an id_token of a refresh has the iss and sub of the first.

    Raises:
        IdentityChanged: it has not.
    """
    for name in ("iss", "sub"):
        if claims.get(name) != kept.get(name):
            raise IdentityChanged(
                f"The id_token of the refresh belongs to another account than the one that authorized: its {name} differs."
            )


def _can_match(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str | bool | int)


def _matches(claim: object, value: str) -> bool:
    if isinstance(claim, list):
        return any(_matches(item, value) for item in claim if not isinstance(item, list))
    if isinstance(claim, bool):
        return value == ("true" if claim else "false")
    if isinstance(claim, int):
        return value == str(claim)
    return isinstance(claim, str) and claim == value
