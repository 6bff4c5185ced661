"""Requests to the token endpoint (RFC 6749 sections 4.1.3 and 6), with exactly one way of client authentication."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal
from urllib.parse import quote_plus, urlencode


class ClientAuthentication(StrEnum):
    """How a client authenticates (RFC 6749 section 2.3, OIDC Core section 9)."""

    CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105 - a method, not a secret
    CLIENT_SECRET_POST = "client_secret_post"  # noqa: S105 - a method, not a secret
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks."""

    client_id: str
    client_secret: str | None = field(repr=False)
    authentication: ClientAuthentication


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request to a provider, mostly a POST to its token endpoint; headers and body carry secrets and never print."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: Literal["POST", "GET"] = "POST"


def authorization_code_request(
    token_url: str, client: Client, *, code: str, redirect_uri: str, code_verifier: str | None
) -> TokenRequest:
    """Exchange a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""
    parameters = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    if code_verifier is not None:
        parameters["code_verifier"] = code_verifier
    return _request(token_url, client, parameters)


def refresh_request(token_url: str, client: Client, *, refresh_token: str) -> TokenRequest:
    """Refresh an access token (RFC 6749 section 6); scope is left out: the same as granted."""
    return _request(token_url, client, {"grant_type": "refresh_token", "refresh_token": refresh_token})


def _request(url: str, client: Client, parameters: dict[str, str]) -> TokenRequest:
    headers = {
        "Accept": "application/json",
        # What a server compresses all the same is refused: a small bomb would make much memory.
        "Accept-Encoding": "identity",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "datasource-operator",
    }
    secret = client.client_secret or ""
    if client.authentication is ClientAuthentication.CLIENT_SECRET_BASIC:
        headers["Authorization"] = _basic(client.client_id, secret)
    else:
        parameters = parameters | {"client_id": client.client_id}
    if client.authentication is ClientAuthentication.CLIENT_SECRET_POST:
        parameters = parameters | {"client_secret": secret}
    return TokenRequest(url=url, headers=headers, body=urlencode(parameters).encode())


def _basic(client_id: str, client_secret: str) -> str:
    """HTTP Basic with both parts form-encoded first (RFC 6749 section 2.3.1 and appendix B)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return "Basic " + b64encode(pair.encode()).decode()
