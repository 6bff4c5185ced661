"""The identity provider of the demo and of the end-to-end tests: npm's certified `oidc-provider`, in provider/*.mjs.

It issues refresh tokens for `offline_access`, rotates them, and revokes the whole grant when one is used twice.
`python -m deploy.local.provider` installs it ahead of time.
"""

import json
import secrets
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from deploy.local import npm, tools
from deploy.local.processes import Child, StackError, free_ports
from deploy.local.progress import Say, say

DEMO_LOGIN = "demo"
DEMO_PASSWORD = "demo"  # noqa: S105 - the demo tells everybody

_SOURCE = Path(__file__).with_name("provider")

_CONTROL_SECONDS = 10.0


class ProviderRefused(StackError):
    """The control endpoint refused a request; the text says why."""


class Authentication(StrEnum):
    """How a client authenticates at the token endpoint (RFC 7591 section 2)."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"
    PRIVATE_KEY_JWT = "private_key_jwt"
    NONE = "none"


LONGEST_HOLD = timedelta(seconds=15)
"""How long a reply may be held back, however slow the machine, that our side is still to wait for: it gives up after 20 s."""


@dataclass(frozen=True)
class TokenRequest:
    """One POST to the token endpoint. Secrets appear as the hex SHA-256 of their text."""

    at: datetime
    grant_type: str | None
    client_id: str | None
    code_sha256: str | None
    code_verifier_sha256: str | None
    refresh_token_sha256: str | None
    resource: Sequence[str]
    """The resource indicators, in their order."""
    has_client_assertion: bool
    status: int | None
    """What the provider answered; None while it has not. With a fault `drop_after` the client never saw it."""
    error: str | None
    fault: Mapping[str, Any] | None
    """The staged fault that it met, as the control endpoint names it."""


@dataclass(frozen=True)
class RevocationRequest:
    """One POST to the revocation endpoint. The token appears as the hex SHA-256 of its text."""

    client_id: str | None
    token_sha256: str | None
    token_type_hint: str | None
    status: int | None


@dataclass(frozen=True)
class Secrets:
    """Every secret that the provider ever issued or received, as it was: to look for in logs."""

    codes: tuple[str, ...] = field(repr=False)
    code_verifiers: tuple[str, ...] = field(repr=False)
    access_tokens: tuple[str, ...] = field(repr=False)
    refresh_tokens: tuple[str, ...] = field(repr=False)
    id_tokens: tuple[str, ...] = field(repr=False)

    def all(self) -> frozenset[str]:
        """All of them together."""
        return frozenset(self.codes + self.code_verifiers + self.access_tokens + self.refresh_tokens + self.id_tokens)


class Provider:
    """One provider on 127.0.0.1. What it knows is gone when it stops. Use it as a context manager, or `start` and `stop`.

    `access_token_lifetime` is for clients that have no lifetime of their own.
    """

    def __init__(
        self, folder: Path, *, port: int | None = None, access_token_lifetime: timedelta = timedelta(hours=1)
    ) -> None:
        self._folder = folder.resolve()
        self._port = port or free_ports(1)[0]
        self._access_token_lifetime = access_token_lifetime
        self._admin_token = secrets.token_urlsafe(32)
        self.issuer = f"http://127.0.0.1:{self._port}"
        self.authorize_url = f"{self.issuer}/auth"
        self.token_url = f"{self.issuer}/token"
        self.revocation_url = f"{self.issuer}/token/revocation"
        self.introspection_url = f"{self.issuer}/token/introspection"
        self.userinfo_url = f"{self.issuer}/me"
        self.log = self._folder / "provider.log"
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, out: Say = say) -> None:
        """Install it where it is missing, start it and wait until it answers.

        Raises:
            StackError: npm failed, or the provider did not come up.
        """
        program = self._assembled_program(install(out))
        configuration = self._written_configuration()
        self._child = Child("the identity provider", [tools.node().node, program, configuration], self.log)
        self._child.start()
        try:
            self._child.wait_until_ready(self._is_healthy, seconds=30)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it. No error if it does not run."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def freeze(self) -> None:
        """Stop its clock: connections are accepted, nothing answers."""
        self._running().freeze()

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._running().thaw()

    def register_client(
        self,
        client_id: str,
        client_secret: str | None,
        redirect_uris: Sequence[str],
        *,
        authentication: Authentication | None = None,
        client_name: str | None = None,
        access_token_lifetime: timedelta | None = None,
        public_keys: Sequence[Mapping[str, Any]] = (),
        pushes_requests: bool = False,
        takes_used_refresh_tokens: bool = False,
    ) -> None:
        """Register a client, or replace the one of this id; its grants stay.

        Without an `authentication` a client with a secret uses HTTP Basic, one without is public. `public_keys` are JWKs with
        which assertions are verified; one that `pushes_requests` must push every authorization request (RFC 9126). One that
        `takes_used_refresh_tokens` meets a lenient provider: old refresh tokens go on to work beside the new ones.

        Raises:
            ProviderRefused: the provider could not use such a client.
        """
        default = Authentication.NONE if client_secret is None else Authentication.BASIC
        client = {
            "client_id": client_id,
            "client_secret": client_secret,
            "client_name": client_name,
            "redirect_uris": list(redirect_uris),
            "token_endpoint_auth_method": str(authentication or default),
            "access_token_seconds": _seconds(access_token_lifetime),
            "jwks": {"keys": list(public_keys)} if public_keys else None,
            "require_pushed_authorization_requests": pushes_requests or None,
            "takes_used_refresh_tokens": takes_used_refresh_tokens or None,
        }
        self._control("POST", "clients", _given(client))

    def token_requests(self) -> list[TokenRequest]:
        """Every POST to the token endpoint since the last `forget_token_requests`, in the order of arrival."""
        answered = self._control("GET", "token-requests")
        return [
            TokenRequest(
                **{
                    **_without(each, "token_sha256", "token_type_hint"),
                    "at": datetime.fromisoformat(each["at"]),
                }
            )
            for each in answered
        ]

    def revocation_requests(self) -> list[RevocationRequest]:
        """Every POST to the revocation endpoint, in the order of arrival."""
        names = ("client_id", "token_sha256", "token_type_hint", "status")
        answered = self._control("GET", "revocation-requests")
        return [RevocationRequest(**{name: each[name] for name in names}) for each in answered]

    def forget_token_requests(self) -> None:
        """Empty the list of `token_requests`."""
        self._control("DELETE", "token-requests")

    def fault(
        self,
        *,
        times: int = 1,
        client_id: str | None = None,
        status: int | None = None,
        error: str | None = None,
        retry_after: int | None = None,
        hang: bool = False,
        hold: timedelta | None = None,
        hold_reply: timedelta | None = None,
        drop_before: bool = False,
        drop_after: bool = False,
        claims: Mapping[str, Any] | None = None,
        at: Literal["token", "revocation"] = "token",
    ) -> None:
        """Stage a fault for the next token (or revocation) requests, after those that are staged already.

        `hold` waits first. Then one of these happens, and the provider does not act: `status` answers so, with the OAuth2
        `error` and `retry_after` (s); `hang` never answers; `drop_before` cuts the connection. Otherwise the provider acts,
        waits for `hold_reply` or until `let_go`, and answers. With `drop_after` it cuts the connection instead. `claims`
        replace those of the id_token in its answer, which is still signed; None takes one out.
        """
        staged = {
            "times": times,
            "client_id": client_id,
            "status": status,
            "error": error,
            "retryAfter": retry_after,
            "hang": hang or None,
            "holdMillis": _milliseconds(hold),
            "holdReplyMillis": _milliseconds(hold_reply),
            "dropBefore": drop_before or None,
            "dropAfter": drop_after or None,
            "claims": claims,
        }
        self._control("POST", "faults", {at: _given(staged)})

    def forget_faults(self) -> None:
        """Drop the faults that no request has met yet."""
        self._control("DELETE", "faults")

    def let_go(self) -> None:
        """Send every reply of the token endpoint that is held back now."""
        self._control("DELETE", "held-replies")

    def revoke_grants(self, client_id: str) -> None:
        """Revoke every grant of a client, so that its refresh tokens are answered with invalid_grant."""
        self._control("POST", "revoke-grants", {"client_id": client_id})

    def secrets(self) -> Secrets:
        """Every code, code verifier and token since the start."""
        answered = self._control("GET", "secrets")
        return Secrets(**{kind: tuple(values) for kind, values in answered.items()})

    def _running(self) -> Child:
        if self._child is None:
            raise StackError("The provider does not run.")
        return self._child

    def _assembled_program(self, packages: Path) -> Path:
        """Put our modules beside a link to node_modules, which is how Node finds packages; returns the program."""
        folder = self._folder / "provider"
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        for module in _SOURCE.glob("*.mjs"):
            shutil.copy(module, folder)
        (folder / "node_modules").symlink_to(packages)
        return folder / "provider.mjs"

    def _written_configuration(self) -> Path:
        path = self._folder / "provider" / "configuration.json"
        configuration = {
            "port": self._port,
            "adminToken": self._admin_token,
            "accessTokenSeconds": _seconds(self._access_token_lifetime),
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(configuration))
        return path

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.issuer}/healthz", timeout=_CONTROL_SECONDS) as response:  # noqa: S310
                return bool(response.status == 200)
        except OSError:
            return False

    def _control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own provider
            f"{self.issuer}/control/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._admin_token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_CONTROL_SECONDS) as response:  # noqa: S310
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise ProviderRefused(f"{method} /control/{path}: {error.code} {error.read().decode()}") from None


def _seconds(lifetime: timedelta | None) -> int | None:
    return None if lifetime is None else int(lifetime.total_seconds())


def _milliseconds(duration: timedelta | None) -> int | None:
    return None if duration is None else duration // timedelta(milliseconds=1)


def _without(members: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in names}


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def install(out: Say = say) -> Path:
    """The node_modules folder that package-lock.json describes; npm fetches it once for each lock file.

    Raises:
        StackError: npm failed.
    """
    return npm.install(_SOURCE, "the identity provider", out)


def main() -> None:
    """Install what is missing."""
    try:
        say(f"      {install()}")
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
