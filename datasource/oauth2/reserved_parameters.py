"""Parameters that neither a URL nor an option of a spec may set: the flow sets them itself, or they are secrets. Pure."""

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

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
"""Of an authorization request: what the flow sets itself, or what would change its meaning (another response_mode never
reaches us)."""

SECRET_PARAMETERS = frozenset(
    {"client_secret", "client_assertion", "code", "code_verifier", "refresh_token", "access_token", "password"}
)
"""What never stands in a URL, where proxies and servers log it."""

RESERVED_TOKEN_PARAMETERS = frozenset(
    {*SECRET_PARAMETERS, "grant_type", "redirect_uri", "client_id", "client_assertion_type"}
)
"""Parameters of a token request that the flow sets itself."""

_IN_THE_QUERY: Mapping[str, frozenset[str]] = {"authorizeURL": RESERVED_PARAMETERS}
"""By fields of spec.oauth2."""


def reserved_parameter_in(endpoint: str, field: str = "authorizeURL") -> str | None:
    """The first parameter in the query of an endpoint that may not stand there, if there is one.

    Args:
        endpoint: its URL.
        field: of spec.oauth2, where the URL is written.
    """
    return next(reserved_parameters_in(endpoint, field), None)


def reserved_parameters_in(endpoint: str, field: str) -> Iterator[str]:
    """All of them, in their order."""
    reserved = _IN_THE_QUERY.get(field, SECRET_PARAMETERS)
    return (name for name, _ in parse_qsl(urlsplit(endpoint).query, keep_blank_values=True) if name in reserved)
