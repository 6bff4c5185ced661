"""The authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3, OIDC Core section 3.1.2.1)."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge

RESERVED_PARAMETERS = frozenset(
    {
        "client_id",
        "redirect_uri",
        "state",
        "response_type",
        "response_mode",
        "scope",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "request",
        "request_uri",
    }
)
"""Parameters that the flow sets itself, or that would change what it means (another response_mode never reaches us)."""


class ReservedParameter(ValueError):
    """A parameter that the flow sets itself stands in the endpoint's query or among the extra parameters."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is set by the flow itself")
        self.name = name


def new_secret(token_bytes: Callable[[int], bytes]) -> str:
    """256 random bits, base64url without padding: 43 characters; fit for a code_verifier (RFC 7636 section 4.1) or a nonce."""
    return urlsafe_b64encode(token_bytes(32)).decode().rstrip("=")


def s256_challenge(code_verifier: str) -> str:
    """The S256 code_challenge of a verifier (RFC 7636 section 4.2)."""
    challenge: str = create_s256_code_challenge(code_verifier)
    return challenge


def authorize_url(
    endpoint: str,
    *,
    client_id: str,
    redirect_uri: str,
    state: str,
    scopes: Sequence[str] = (),
    code_challenge: str | None = None,
    nonce: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """Build the URL to send the browser to; the endpoint's own query is kept, and no parameter stands twice.

    Raises:
        ReservedParameter: the endpoint's query or `extra` sets one of RESERVED_PARAMETERS.
    """
    split = urlsplit(endpoint)
    extra = extra or {}
    # A list, not a dict: `resource` may stand more than once (RFC 8707 section 2).
    given = [pair for pair in parse_qsl(split.query, keep_blank_values=True) if pair[0] not in extra]
    given += extra.items()
    for name, _ in given:
        if name in RESERVED_PARAMETERS:
            raise ReservedParameter(name)
    ours = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(scopes) or None,
        "state": state,
        "nonce": nonce,
        "code_challenge": code_challenge,
        "code_challenge_method": None if code_challenge is None else "S256",
    }
    parameters = given + [(name, value) for name, value in ours.items() if value is not None]
    # %20, not +: some providers read the query as a path.
    return urlunsplit(split._replace(query=urlencode(parameters, quote_via=quote, safe="")))
