"""Signatures of webhooks as Standard Webhooks says it (specification 1.0, "Signature scheme"): symmetric, `v1`. Pure."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

_PREFIX = "whsec_"
_FEWEST, _MOST = 24, 64
"""Bytes of a key."""

_MOST_KEYS = 2
"""While a key is rotated, receivers may still know the old one."""


class InvalidKeys(Exception):
    """What should hold the keys does not; says what is wrong with it, and never shows it."""


@dataclass(frozen=True, slots=True)
class WebhookKeys:
    """One key, or two while they are rotated."""

    keys: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def read(cls, text: str) -> "WebhookKeys":
        """Read `whsec_` and base64, one key in a line.

        Raises:
            InvalidKeys: with the remedy.
        """
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not 1 <= len(lines) <= _MOST_KEYS:
            raise InvalidKeys(
                f"It must hold one key, or two while they are rotated, each in a line; it holds {len(lines)}."
            )
        return cls(tuple(_key(line) for line in lines))

    def headers(self, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
        """What goes with a body; `message_id` is the same each time that message is sent."""
        timestamp = str(int(now.timestamp()))
        signed = b".".join((message_id.encode(), timestamp.encode(), body))
        signatures = [f"v1,{b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}" for key in self.keys]
        return {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(signatures),
        }

    def secrets(self) -> Sequence[str]:
        """What nobody may be shown, in the spelling of the file."""
        return [b64encode(key).decode() for key in self.keys]


def _key(line: str) -> bytes:
    try:
        key = b64decode(line.removeprefix(_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not line.startswith(_PREFIX) or not _FEWEST <= len(key) <= _MOST:
        raise InvalidKeys(
            f"A key must be {_PREFIX} and {_FEWEST} to {_MOST} random bytes in base64, as from: "
            f'echo "{_PREFIX}$(openssl rand -base64 32)".'
        )
    return key
