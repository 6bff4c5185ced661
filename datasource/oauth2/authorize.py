"""The authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3, OIDC Core section 3.1.2.1)."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import quote, unquote_plus, urlencode, urlsplit, urlunsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from datasource.oauth2.reserved_parameters import RESERVED_PARAMETERS

_OF_A_QUERY = "!$&'()*+,;=:@/?%-._~"
"""What a query may hold besides letters and digits (RFC 3986 section 3.4), and what an escape begins with."""


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


def authorization_parameters(
    *,
    client_id: str,
    redirect_uri: str,
    state: str,
    scopes: Sequence[str] = (),
    scope_separator: str = " ",
    code_challenge: str | None = None,
    nonce: str | None = None,
    resources: Sequence[str] = (),
    extra: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """The parameters of an authorization request; none stands twice but `resource` (RFC 8707 section 2).

    Raises:
        ReservedParameter: `extra` sets one of RESERVED_PARAMETERS.
    """
    given = list((extra or {}).items())
    _refuse_reserved(extra or ())
    ours = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scope_separator.join(scopes) or None,
        "state": state,
        "nonce": nonce,
        "code_challenge": code_challenge,
        "code_challenge_method": None if code_challenge is None else "S256",
    }
    given += [("resource", resource) for resource in resources]
    return given + [(name, value) for name, value in ours.items() if value is not None]


def front_url(endpoint: str, parameters: Sequence[tuple[str, str]]) -> str:
    """Put parameters behind an authorization endpoint; its own query is kept as it is (RFC 6749 section 3.1), without doubles.

    Raises:
        ReservedParameter: the endpoint's query sets one of RESERVED_PARAMETERS.
    """
    split = urlsplit(endpoint)
    names = {name for name, _ in parameters}
    own = [pair for pair in split.query.split("&") if pair and _name_of(pair) not in names - RESERVED_PARAMETERS]
    _refuse_reserved([_name_of(pair) for pair in own])
    # What no URL may hold is escaped, and nothing else: a service may read a plus as one, and bytes as they are.
    kept = [quote(pair, safe=_OF_A_QUERY) for pair in own]
    # %20, not +: some providers read the query as a path.
    return urlunsplit(split._replace(query="&".join([*kept, urlencode(parameters, quote_via=quote, safe="")])))


def _name_of(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def pushed_url(endpoint: str, *, client_id: str, request_uri: str) -> str:
    """The URL to send the browser to once the request was pushed: client_id and request_uri only (RFC 9126 section 4)."""
    return front_url(endpoint, [("client_id", client_id), ("request_uri", request_uri)])


def _refuse_reserved(names: Iterable[str]) -> None:
    for name in names:
        if name in RESERVED_PARAMETERS:
            raise ReservedParameter(name)
