"""What every request to a provider has in common, whether it carries a token or asks for metadata."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SHORT_REPLY = 64 * 1024
"""Bytes of a reply that carries no token: to a revocation, or to a pushed authorization request."""


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """A request to a provider; headers and body may carry secrets and never print."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: Literal["POST", "GET"] = "POST"
    largest_reply: int = SHORT_REPLY
    """Bytes of the reply's body; more is not read."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What it carries that nobody may be shown, although the provider may say it again."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; header names in lower case, the body as it reads without content coding."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        """Whether its status is 2xx: only such a reply grants anything."""
        return 200 <= self.status < 300


class UnusableReply(Exception):
    """A reply came, whole, in a form that is never opened. What that means depends on the request, so its sender says it."""

    received: Reply | None = None
    """What can be read of it: the status and the headers."""
