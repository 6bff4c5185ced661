"""The claims of an id_token that came straight from the token endpoint.

Where an issuer is configured, signature.py verifies them first. Without one, OIDC Core section 3.1.3.7 point 6 lets TLS
validation of the token endpoint stand in for the signature, and that is enough to show who authorized. It holds only because
the reply came over verified TLS in answer to our own request; over plain http it does not.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeGuard

from datasource.outbound.printable import printable

LEEWAY = timedelta(minutes=5)
_LONGEST = 65_536
_MOST_DIGITS = 300
"""Of an integer claim. With one that is beyond all floats no time can be compared."""


class IdentityMismatch(Exception):
    """The id_token is not for us, not of this authorization, or not readable. Safe to show."""


class OfAnotherAuthorization(IdentityMismatch):
    """Its nonce is one that we did not send for it: the code may have been somebody else's (RFC 9700 section 4.5)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who authorized."""

    issuer: str
    subject: str
    shown: str
    """What a person recognizes: email, else preferred_username, else the subject."""


class Named(NamedTuple):
    """What the settings are called that an id_token is compared with: messages name them."""

    issuer: str = "spec.oauth2.issuer"
    client_id: str = "spec.oauth2.clientID"
    no_nonce: str = " Where the service never has one, set spec.oauth2.nonce to false."


IN_THE_SPEC = Named()


def unverified_claims(id_token: str) -> Mapping[str, Any]:
    """Decode the payload of a JWT without looking at its signature (RFC 7519 section 7.2).

    Raises:
        IdentityMismatch: it is no JWT.
    """
    _, payload, _ = jwt_parts(id_token)
    return claims_in(payload)


def jwt_parts(id_token: str) -> tuple[bytes, bytes, bytes]:
    """Header, payload and signature of a signed JWT (RFC 7515 section 3.1), decoded and not looked at.

    Raises:
        IdentityMismatch: it is no JWT, or longer than 64 KiB.
    """
    parts = id_token.split(".")
    if len(parts) != 3 or len(id_token) > _LONGEST:
        raise IdentityMismatch("The id_token is not a signed JWT.")
    try:
        header, payload, signature = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts)
    except ValueError:
        raise IdentityMismatch("The id_token cannot be read.") from None
    return header, payload, signature


def claims_in(payload: bytes) -> Mapping[str, Any]:
    """The claims in the payload of a JWT (RFC 7519 section 4).

    Raises:
        IdentityMismatch: there are none.
    """
    try:
        # Half a character (a surrogate alone) can be neither stored nor shown, and would end in an exception far from here.
        read = json.loads(payload, parse_int=_number)
        claims = json.loads(_whole_characters(json.dumps(read, ensure_ascii=False)))
    except (ValueError, RecursionError):
        raise IdentityMismatch("The id_token cannot be read.") from None
    if not isinstance(claims, dict):
        raise IdentityMismatch("The id_token carries no claims.")
    return claims


def _number(digits: str) -> int | float:
    """An integer; beyond what any clock or counter reaches an infinity, with which one can reckon on."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def _whole_characters(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def check_claims(
    claims: Mapping[str, Any],
    *,
    issuer: str | None,
    client_id: str,
    nonce: str | None,
    now: datetime,
    named: Named = IN_THE_SPEC,
) -> Identity:
    """Check claims as OIDC Core section 3.1.3.7 asks, apart from the signature.

    Args:
        claims: the unverified claims.
        issuer: what spec.oauth2.issuer says; None: any issuer, as long as it names itself.
        client_id: ours; must be in `aud`.
        nonce: what was sent; None: none was.
        now: an aware moment.
        named: what issuer and client ID are called where they are set.

    Raises:
        IdentityMismatch: with the claim that does not fit.
    """
    iss, sub = claims.get("iss"), claims.get("sub")
    if not isinstance(iss, str) or not iss or (issuer is not None and iss != issuer):
        raise IdentityMismatch(f"The id_token's iss is not {named.issuer}.")
    if not isinstance(sub, str) or not sub:
        raise IdentityMismatch("The id_token has no sub.")
    _check_audience(claims, client_id, named)
    expires = claims.get("exp")
    if not _is_number(expires):
        raise IdentityMismatch("The id_token does not say when it expires.")
    # Not `<`: NaN, which json.loads lets through, is never less than anything.
    if not expires >= (now - LEEWAY).timestamp():
        raise IdentityMismatch(f"The id_token has expired{_by(now.timestamp() - expires)}.")
    if claims.get("iat") is None:
        raise IdentityMismatch("The id_token does not say when it was issued (iat).")
    for moment in (claims.get("iat"), claims.get("nbf")):
        if moment is not None and not (_is_number(moment) and moment <= (now + LEEWAY).timestamp()):
            off = _by(moment - now.timestamp()) if _is_number(moment) else ""
            raise IdentityMismatch(f"The id_token is of the future{off}.")
    _check_nonce(claims, nonce, named)
    return Identity(issuer=iss, subject=sub, shown=_shown(claims, sub))


def _check_nonce(claims: Mapping[str, Any], nonce: str | None, named: Named) -> None:
    if nonce is None or claims.get("nonce") == nonce:
        return
    if claims.get("nonce") is None:
        raise IdentityMismatch(f"The id_token has no nonce, although one was sent.{named.no_nonce}")
    raise OfAnotherAuthorization("The id_token's nonce is not the one sent: it is not of this authorization.")


def _by(seconds: float) -> str:
    """How far a clock is off, in words."""
    return f", by {seconds:.0f} s of our clock: compare the clocks" if abs(seconds) < 1e9 else ""


def _check_audience(claims: Mapping[str, Any], client_id: str, named: Named) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences:
        raise IdentityMismatch(f"The id_token's aud is not {named.client_id}.")
    party = claims.get("azp")
    if (party is not None or len(audiences) > 1) and party != client_id:
        raise IdentityMismatch(f"The id_token's azp is not {named.client_id}.")


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(claims: Mapping[str, Any], sub: str) -> str:
    for name in ("email", "preferred_username"):
        value = claims.get(name)
        if isinstance(value, str) and value:
            return printable(value)
    return printable(sub)
