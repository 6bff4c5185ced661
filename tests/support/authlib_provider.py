"""An OAuth2 provider made of Authlib's authorization server, in this process: its rules are not ours.

Codes work once and with their code verifier (RFC 7636); refresh tokens rotate, and one that is used twice ends its grant
(RFC 9700 section 4.14.2); tokens are revoked by RFC 7009. Everybody consents at once.
"""

import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

import uvicorn
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    AuthorizationServer,
    ClientMixin,
    OAuth2Request,
    TokenMixin,
    grants,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.local.processes import free_ports

AUTHENTICATION = ["client_secret_basic", "client_secret_post"]


@dataclass
class Client(ClientMixin):  # type: ignore[misc]
    """The one client that is registered."""

    client_id: str
    client_secret: str
    redirect_uri: str

    def get_client_id(self) -> str:
        """Part of Authlib's interface, like all below."""
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(client_secret, self.client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in AUTHENTICATION

    def check_response_type(self, response_type: str) -> bool:
        return bool(response_type == "code")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"authorization_code", "refresh_token"}


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """An authorization code."""

    redirect_uri: str
    scope: str
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        """Part of Authlib's interface, like the next."""
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Token(TokenMixin):  # type: ignore[misc]
    """A pair of tokens, and whether the refresh token among them still works."""

    client: Client
    access_token: str
    refresh_token: str
    scope: str
    is_used: bool = False
    is_gone: bool = False

    def check_client(self, client: Client) -> bool:
        """Part of Authlib's interface, like all below."""
        return client is self.client

    def get_scope(self) -> str:
        return self.scope

    def is_revoked(self) -> bool:
        return self.is_gone


@dataclass
class Grant:
    """What the provider remembers."""

    client: Client
    codes: dict[str, Code] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)

    def of_refresh_token(self, text: str) -> Token | None:
        """The pair with this refresh token."""
        return next((each for each in self.tokens if each.refresh_token == text), None)

    def end(self) -> None:
        """No token works any more."""
        for each in self.tokens:
            each.is_gone = True


class _Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server below Starlette."""

    def __init__(self, grant: Grant) -> None:
        super().__init__()
        self.grant = grant
        generator = BearerTokenGenerator(
            lambda **_: secrets.token_urlsafe(24), lambda **_: secrets.token_urlsafe(24), lambda *_: 3600
        )
        self.register_token_generator("default", generator)
        self.register_grant(_CodeGrant, [CodeChallenge(required=True)])
        self.register_grant(_RefreshGrant)
        self.register_endpoint(_Revocation)

    def query_client(self, client_id: str) -> Client | None:
        return self.grant.client if client_id == self.grant.client.client_id else None

    def save_token(self, token: Mapping[str, Any], request: OAuth2Request) -> None:
        made = Token(request.client, token["access_token"], token["refresh_token"], token.get("scope", ""))
        self.grant.tokens.append(made)

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return Response(text, status, dict(headers))

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""


class _CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        data = request.payload.data
        self.server.grant.codes[code] = Code(
            data["redirect_uri"], request.scope, data.get("code_challenge"), data.get("code_challenge_method")
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        return self.server.grant.codes.get(code)  # type: ignore[no-any-return]

    def delete_authorization_code(self, authorization_code: Code) -> None:
        codes = self.server.grant.codes
        self.server.grant.codes = {key: each for key, each in codes.items() if each is not authorization_code}

    def authenticate_user(self, authorization_code: Code) -> str:
        return "ada"


class _RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = AUTHENTICATION
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        found: Token | None = self.server.grant.of_refresh_token(refresh_token)
        if found is not None and found.is_used:
            # Used twice: somebody stole it, or somebody lost the answer.
            self.server.grant.end()
        return None if found is None or found.is_gone else found

    def authenticate_user(self, refresh_token: Token) -> str:
        return "ada"

    def revoke_old_credential(self, refresh_token: Token) -> None:
        refresh_token.is_used = True


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = AUTHENTICATION

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        return self.server.grant.of_refresh_token(token_string)  # type: ignore[no-any-return]

    def revoke_token(self, token: Token, request: OAuth2Request) -> None:
        self.server.grant.end()


class AuthlibProvider:
    """The provider on loopback. Use it as a context manager; AUTHLIB_INSECURE_TRANSPORT has to be set for http://."""

    def __init__(self, client_id: str, client_secret: str, redirect_uri: str) -> None:
        self.origin = f"http://127.0.0.1:{free_ports(1)[0]}"
        self.grant = Grant(Client(client_id, client_secret, redirect_uri))
        self._server = _Server(self.grant)
        routes = [
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
            Route("/revoke", self._revoke, methods=["POST"]),
        ]
        port = int(self.origin.rpartition(":")[2])
        config = uvicorn.Config(Starlette(routes=routes), "127.0.0.1", port, log_config=None, access_log=False)
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()

    async def _authorize(self, request: Request) -> Response:
        asked = _asked(request, dict(request.query_params))
        grant = self._server.get_consent_grant(asked, end_user="ada")
        return self._server.create_authorization_response(asked, grant_user="ada", grant=grant)  # type: ignore[no-any-return]

    async def _token(self, request: Request) -> Response:
        return self._server.create_token_response(await _posted(request))  # type: ignore[no-any-return]

    async def _revoke(self, request: Request) -> Response:
        return self._server.create_endpoint_response("revocation", await _posted(request))  # type: ignore[no-any-return]


async def _posted(request: Request) -> OAuth2Request:
    fields = parse_qs((await request.body()).decode(), keep_blank_values=True, strict_parsing=False)
    return _asked(request, {name: values[0] for name, values in fields.items()})


class _Request(OAuth2Request):  # type: ignore[misc]
    """What Authlib looks at of a request, from Starlette."""

    fields: Mapping[str, str] = {}

    @property
    def args(self) -> Mapping[str, str]:
        return self.fields if self.method == "GET" else {}

    @property
    def form(self) -> Mapping[str, str]:
        return self.fields if self.method == "POST" else {}


def _asked(request: Request, fields: Mapping[str, str]) -> OAuth2Request:
    made = _Request(request.method, str(request.url), headers={k.title(): v for k, v in request.headers.items()})
    made.payload = BasicOAuth2Payload(fields)
    made.fields = fields
    return made
