"""Requests to the token endpoint (RFC 6749 sections 4.1.3 and 6), with exactly one way of client authentication."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import quote_plus, urlencode

import msgspec

from datasource.oauth2.extra_headers import ExtraHeader
from datasource.oauth2.reserved_parameters import RESERVED_TOKEN_PARAMETERS, SECRET_PARAMETERS
from datasource.outbound.provider_request import ProviderRequest

_NEVER_SHOWN = SECRET_PARAMETERS | {"token", "state", "nonce", "code_challenge"}
"""Parameters whose values are cut out of what a provider says."""

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""RFC 7523 section 2.2."""

TOKEN_REPLY = 256 * 1024
"""Bytes of a reply with tokens: access, refresh and id_token of the largest size that is taken (64 KiB each), and the rest. A
reply to a refresh that is not read may be a grant that is lost, so what the parser would take is never too large to be read."""


class ClientAuthentication(StrEnum):
    """How a client authenticates (RFC 6749 section 2.3, OIDC Core section 9)."""

    CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105 - a method, not a secret
    CLIENT_SECRET_POST = "client_secret_post"  # noqa: S105 - a method, not a secret
    PRIVATE_KEY_JWT = "private_key_jwt"
    BASIC_WITHOUT_SECRET = "basic_without_secret"  # noqa: S105 - a method, not a secret
    """Basic with an empty password: a public client at a service that wants the header all the same (Reddit)."""
    NONE = "none"


WITH_A_SECRET = (ClientAuthentication.CLIENT_SECRET_BASIC, ClientAuthentication.CLIENT_SECRET_POST)
"""Ways of clients that have one."""

WITHOUT_A_SECRET = frozenset({ClientAuthentication.NONE, ClientAuthentication.BASIC_WITHOUT_SECRET})
"""Ways of public clients."""

_BASIC = frozenset({ClientAuthentication.CLIENT_SECRET_BASIC, ClientAuthentication.BASIC_WITHOUT_SECRET})


class BodyFormat(StrEnum):
    """What the body of a token request is written in; the RFC knows forms only, some providers want JSON."""

    FORM = "form"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks. An assertion is for one request, and a client with one is, too."""

    client_id: str
    client_secret: str | None = field(repr=False)
    authentication: ClientAuthentication
    assertion: str | None = field(default=None, repr=False)
    is_named_in_the_body: bool = False
    """Whether `client_id` stands in the body beside Basic."""
    headers: tuple[ExtraHeader, ...] = ()
    """What an API gateway before the provider asks for; it stands before every endpoint where the client authenticates."""


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What a provider wants beside the standard."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    """Further ones; the flow's own win."""
    resources: Sequence[str] = ()
    """Resource indicators (RFC 8707): the parameter `resource`, once for each."""
    body_format: BodyFormat = BodyFormat.FORM
    largest_reply: int = TOKEN_REPLY
    """Bytes."""


_PLAIN = RequestOptions()


def authorization_code_request(
    token_url: str,
    client: Client,
    *,
    code: str,
    redirect_uri: str,
    code_verifier: str | None,
    options: RequestOptions = _PLAIN,
) -> ProviderRequest:
    """Exchange a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""
    parameters = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    if code_verifier is not None:
        parameters["code_verifier"] = code_verifier
    return _token_request(token_url, client, parameters, options)


def refresh_request(
    token_url: str,
    client: Client,
    *,
    refresh_token: str,
    redirect_uri: str | None = None,
    options: RequestOptions = _PLAIN,
) -> ProviderRequest:
    """Refresh an access token (RFC 6749 section 6); scope is left out: the same as granted.

    The standard knows no `redirect_uri` here; some services want the one that the code was obtained with.
    """
    parameters = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    if redirect_uri is not None:
        parameters["redirect_uri"] = redirect_uri
    return _token_request(token_url, client, parameters, options)


def _token_request(
    token_url: str, client: Client, parameters: Mapping[str, str], options: RequestOptions
) -> ProviderRequest:
    request = client_request(token_url, client, _with_options(parameters, options), options.body_format)
    return replace(request, largest_reply=options.largest_reply)


def client_request(
    url: str, client: Client, parameters: Sequence[tuple[str, str]], body_format: BodyFormat = BodyFormat.FORM
) -> ProviderRequest:
    """A POST with which the client authenticates, one way; `parameters` name each once, but for `resource`."""
    headers = {
        "Accept": "application/json",
        # What a server compresses all the same is read within a bound: a small bomb would make much memory.
        "Accept-Encoding": "identity",
        "Content-Type": "application/x-www-form-urlencoded" if body_format is BodyFormat.FORM else "application/json",
        "User-Agent": "datasource-operator",
    }
    extra = {header.name: header.value for header in client.headers}
    replaced = {name.lower() for name in extra}
    headers = {name: value for name, value in headers.items() if name.lower() not in replaced} | extra
    ours = _in_the_body(client)
    if client.authentication in _BASIC:
        headers["Authorization"] = _basic(client.client_id, client.client_secret or "")
    pairs = [pair for pair in parameters if pair[0] not in ours] + list(ours.items())
    body = urlencode(pairs).encode() if body_format is BodyFormat.FORM else _json(pairs)
    said_once = {value for name, value in pairs if name in _NEVER_SHOWN} | {client.client_secret or ""}
    said_once |= {header.value for header in client.headers if header.is_secret}
    return ProviderRequest(url=url, headers=headers, body=body, secrets=tuple(sorted(said_once - {""})))


def _with_options(parameters: Mapping[str, str], options: RequestOptions) -> list[tuple[str, str]]:
    pairs = [pair for pair in options.parameters.items() if pair[0] not in RESERVED_TOKEN_PARAMETERS]
    pairs += parameters.items()
    return pairs + [("resource", resource) for resource in options.resources]


def _in_the_body(client: Client) -> dict[str, str]:
    """What the client says of itself in the body."""
    match client.authentication:
        case ClientAuthentication.CLIENT_SECRET_BASIC | ClientAuthentication.BASIC_WITHOUT_SECRET:
            return {"client_id": client.client_id} if client.is_named_in_the_body else {}
        case ClientAuthentication.CLIENT_SECRET_POST:
            return {"client_id": client.client_id, "client_secret": client.client_secret or ""}
        case ClientAuthentication.PRIVATE_KEY_JWT:
            assertion = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": client.assertion or ""}
            return {"client_id": client.client_id, **assertion}
        case _:
            return {"client_id": client.client_id}


def _json(pairs: Sequence[tuple[str, str]]) -> bytes:
    """An object of texts; what stands more than once becomes a list."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return msgspec.json.encode({name: value[0] if len(value) == 1 else value for name, value in values.items()})


def _basic(client_id: str, client_secret: str) -> str:
    """HTTP Basic with both parts form-encoded first (RFC 6749 section 2.3.1 and appendix B)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return "Basic " + b64encode(pair.encode()).decode()
