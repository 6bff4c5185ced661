"""A token endpoint that rotates refresh tokens: a strict one, to which a used one is a theft, or a lenient one. What works
there is the truth that a stored refresh token is measured by."""

import asyncio
import json
from dataclasses import dataclass, field

from tests.support.hostile_provider import ReceivedRequest, replies


@dataclass
class RotatingProvider:
    """A behaviour for HostileProvider."""

    is_strict: bool
    refresh_token: str = "rt-1"
    """The newest one."""
    used: list[str] = field(default_factory=list)
    """Those that were rotated away, in the order of their use; a lenient provider takes them all the same."""
    revoked: list[str] = field(default_factory=list)
    is_dead: bool = False
    """Whether the grant is gone."""
    also: dict[str, object] = field(default_factory=dict)
    """Members of each reply beside the usual ones."""
    status: int = 200
    issued: int = 1

    async def __call__(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        if request.target.endswith("/revoke"):
            self.revoked.append(request.form["token"])
            self.is_dead = True
            await replies(200, b"{}")(request, writer)
            return
        await replies(*self._answer(request.form))(request, writer)

    def works(self, refresh_token: str | None) -> bool:
        """Whether a refresh token gets tokens. Nobody is asked, so nothing is rotated by that."""
        if self.is_dead:
            return False
        return refresh_token == self.refresh_token or (not self.is_strict and refresh_token in self.used)

    def _answer(self, form: dict[str, str]) -> tuple[int, bytes]:
        sent = form.get("refresh_token", self.refresh_token)
        if not self.works(sent):
            # RFC 9700 section 4.14.2: nobody can tell which of the two is the thief.
            self.is_dead = self.is_dead or self.is_strict
            return 400, b'{"error": "invalid_grant"}'
        self.issued += 1
        self.used.append(sent)
        self.refresh_token = f"rt-{self.issued}"
        granted = {
            "access_token": f"at-{self.issued}",
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": self.refresh_token,
        }
        return self.status, json.dumps(granted | self.also).encode()
