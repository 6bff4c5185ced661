"""Link keys: with them, tickets, states and done IDs are recognized as ours without a read of the API server.

The operator makes the keys, in one Secret of its own namespace, and replaces them. The callback server reads that Secret. A
mark says only that one of the two processes made a text, so junk costs no reads. A mark gives no access: the live Datasource
decides about a ticket, and the flow record about a state. So a lost key costs no person's consent.
"""

import hmac
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import Any

import msgspec

from datasource.api.clock import Moment
from datasource.api.names import LINK_KEYS_SECRET, Annotation, Role, SecretType
from datasource.api.objects import Secret, encoded_data
from datasource.outbound.json_text import read_json

MARK_LENGTH = 16
"""Characters of a mark: 96 bits. An attacker can only guess a mark by sending requests to us."""

KEY_LIFETIME = timedelta(days=90)
"""After this time, a new key is made. The key before it stays valid until the next one is made."""

KNOWN_AFTER = timedelta(minutes=2)
"""A new key marks links and states only after this time. By then, every replica has read it: they read four times as often."""

LENIENCE = timedelta(hours=1)
"""For this long after a first key was made without an earlier one, an unknown mark may be by a key that was lost."""

_KEY_BYTES = 32
_KEYS = 2
_DATA_KEY = "keys"


class UnreadableLinkKeys(Exception):
    """The Secret does not hold valid link keys."""


class Purpose(StrEnum):
    """What a mark is for. A mark for one purpose is not valid for another."""

    TICKET = "ticket"
    STATE = "state"
    DONE = "done"
    SESSION = "session"
    SIGN_IN = "sign-in"
    REQUEST = "request"
    HISTORY = "history"


class Origin(Enum):
    """Where a text that came back is from, as far as its mark shows."""

    OURS = auto()
    UNKNOWN = auto()
    """It has no mark, as in v0.1.0, or the key of its mark may be lost. Only a read can decide."""
    FORGED = auto()


class LinkKey(msgspec.Struct, frozen=True, rename="camel"):
    """One key, and when it was made."""

    text: str
    made_at: Moment

    def __repr__(self) -> str:
        return f"LinkKey(made_at={self.made_at})"

    def mark(self, purpose: Purpose, text: str) -> str:
        """The mark of a text: the first 96 bits of HMAC-SHA-256, URL-safe."""
        digest = hmac.digest(b64decode(self.text), f"{purpose}\n{text}".encode(), "sha256")
        return urlsafe_b64encode(digest[:12]).decode()


class LinkKeys(msgspec.Struct, frozen=True, rename="camel"):
    """The keys that are valid, the newest first; empty until the operator has made one."""

    keys: tuple[LinkKey, ...] = ()
    since: Moment | None = None
    """When the first key was made without an earlier one. A replacement does not change it."""

    def newest(self) -> LinkKey | None:
        """The newest key, which some replicas may not have read yet; None where there is none."""
        return self.keys[0] if self.keys else None

    def known(self, now: datetime) -> LinkKey | None:
        """The newest key that every replica has read by now; None where there is none."""
        return next((key for key in self.keys if key.made_at + KNOWN_AFTER <= now), None)

    def for_links(self, now: datetime) -> LinkKey | None:
        """The key that marks a link; None where there is none.

        The very first key is used at once: replicas that have no key yet look up every ticket.
        """
        return self.known(now) or (self.keys[-1] if self.keys else None)

    def mark(self, purpose: Purpose, text: str, now: datetime) -> str:
        """A mark by a key that every replica knows; empty where there is none."""
        key = self.known(now)
        return "" if key is None else key.mark(purpose, text)

    def origin(self, purpose: Purpose, text: str, mark: str, now: datetime) -> Origin:
        """Where a text with that mark is from."""
        if not mark or self.since is None:
            return Origin.UNKNOWN
        if any(hmac.compare_digest(key.mark(purpose, text).encode(), mark.encode()) for key in self.keys):
            return Origin.OURS
        return Origin.UNKNOWN if now < self.since + LENIENCE else Origin.FORGED

    def renewed(self, now: datetime, token_bytes: Callable[[int], bytes]) -> "LinkKeys":
        """The same keys, with a new one if the newest is too old."""
        newest = self.newest()
        if newest is not None and now < newest.made_at + KEY_LIFETIME:
            return self
        key = LinkKey(text=b64encode(token_bytes(_KEY_BYTES)).decode(), made_at=now)
        return LinkKeys(keys=(key, *self.keys)[:_KEYS], since=self.since or now)


def link_keys_manifest(keys: LinkKeys, *, system_namespace: str) -> dict[str, Any]:
    """The Secret that holds the keys, for POST."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SecretType.LINK_KEYS,
        "metadata": {
            "name": LINK_KEYS_SECRET,
            "namespace": system_namespace,
            "annotations": {Annotation.ROLE: Role.LINK_KEYS},
        },
        "data": encoded_data({_DATA_KEY: msgspec.json.encode(keys).decode()}),
    }


def link_keys_patch(keys: LinkKeys, *, resource_version: str) -> dict[str, Any]:
    """The merge patch that replaces the keys. It fails with 409 if the Secret changed meanwhile."""
    data = link_keys_manifest(keys, system_namespace="")["data"]
    return {"metadata": {"resourceVersion": resource_version}, "data": data}


def read_link_keys(secret: Secret) -> LinkKeys:
    """Read the keys.

    Raises:
        UnreadableLinkKeys: the Secret holds none, or they were altered.
    """
    if secret.type != SecretType.LINK_KEYS:
        raise UnreadableLinkKeys(f"type is {secret.type}")
    try:
        keys = read_json(secret.value(_DATA_KEY) or "", LinkKeys)
        sizes = {len(b64decode(key.text, validate=True)) for key in keys.keys}
    except (ValueError, msgspec.MsgspecError):
        raise UnreadableLinkKeys(f"data key {_DATA_KEY} cannot be read") from None
    if sizes != {_KEY_BYTES} or keys.since is None:
        raise UnreadableLinkKeys(f"data key {_DATA_KEY} holds no keys of {_KEY_BYTES} bytes")
    return keys
