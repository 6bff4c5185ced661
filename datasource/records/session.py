"""Sessions: who has signed in, stored in the API server so that any replica knows it.

A session is a Secret `datasource-session-<digest of the user's name>-<slot>` in the system namespace. The browser keeps a key
that names it. The record keeps only a hash of that key, so a person who can read Secrets cannot use the session. It is written
once, and ends after an hour, however much it is used.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from datasource.api.clock import Moment, rfc3339
from datasource.api.names import Annotation, Role, SecretType, session_secret_name
from datasource.api.objects import Secret, encoded_data
from datasource.oauth2.id_token import LEEWAY
from datasource.oauth2.kubernetes_user import User, is_of_the_cluster
from datasource.outbound.json_text import read_json
from datasource.records.flow import FlowKey, flow_key_origin, key_hash, new_flow_key, parse_flow_key
from datasource.records.link_keys import LinkKey, LinkKeys, Origin, Purpose

SESSION_LIFETIME = timedelta(hours=1)
"""It counts from the sign-in, however much the session is used. After it, the issuer says again which groups a person is in."""

_DATA_KEY = "session"


class UnreadableSession(Exception):
    """A Secret that holds no session."""


class Session(msgspec.Struct, frozen=True, rename="camel"):
    """One person who signed in."""

    key_hash: str
    user: User
    signed_in_by: str
    """Digest of the sign-in settings. A session is not valid under other settings: there, the name may belong to another
    person."""
    created_at: Moment

    def __repr__(self) -> str:
        return f"Session({self.user!r})"

    @property
    def expires_at(self) -> datetime:
        """When it ends."""
        return self.created_at + SESSION_LIFETIME


class StoredSession(msgspec.Struct, frozen=True):
    """A session as it was read, and the version for a compare-and-swap."""

    session: Session
    resource_version: str


def new_session_key(user: User, slot: int, token_bytes: Callable[[int], bytes], key: LinkKey) -> FlowKey:
    """The key that the browser keeps: which slot, 256 random bits, and a mark by a link key."""
    return new_flow_key(user.name, slot, token_bytes, lambda text: key.mark(Purpose.SESSION, text))


def session_key_in(text: str, keys: LinkKeys, now: datetime) -> FlowKey | None:
    """The session key in a cookie; None where we did not make it. For such a cookie, no Secret is read."""
    key = parse_flow_key(text)
    if key is None or flow_key_origin(key, Purpose.SESSION, keys, now) is not Origin.OURS:
        return None
    return key


def secret_name(key: FlowKey) -> str:
    """The name of the session's Secret."""
    return session_secret_name(key.digest, key.slot)


def holds(session: Session, key: FlowKey, *, signed_in_by: str, now: datetime) -> bool:
    """Whether a session belongs to that key and is live. Keys are compared in constant time.

    A session that begins in the future was forged: it would last as long as its author likes.
    """
    is_of = hmac.compare_digest(key_hash(key), session.key_hash)
    is_now = session.created_at <= now + LEEWAY and now < session.expires_at
    return is_of and is_now and session.signed_in_by == signed_in_by


def digest_of_settings(*settings: str) -> str:
    """Digest of the sign-in settings: SHA-256, hex."""
    return hashlib.sha256(msgspec.json.encode(settings)).hexdigest()


def session_manifest(session: Session, key: FlowKey, *, system_namespace: str) -> dict[str, Any]:
    """The Secret that holds a session, for POST."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SecretType.SESSION,
        "metadata": {
            "name": secret_name(key),
            "namespace": system_namespace,
            "annotations": _annotations(session.expires_at),
        },
        "data": encoded_data({_DATA_KEY: msgspec.json.encode(session).decode()}),
    }


def replacement_patch(session: Session, key: FlowKey, *, resource_version: str) -> dict[str, Any]:
    """The merge patch that replaces the session in a slot. It fails with 409 if the Secret changed meanwhile."""
    whole = session_manifest(session, key, system_namespace="")
    return _patch(whole["metadata"]["annotations"], whole["data"], resource_version)


def ended_patch(resource_version: str, now: datetime) -> dict[str, Any]:
    """The merge patch that empties a session. It gives no access any more, and the operator deletes it."""
    return _patch(_annotations(now), encoded_data({_DATA_KEY: None}), resource_version)


def _patch(annotations: Mapping[str, str], data: Mapping[str, str | None], resource_version: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": resource_version, "annotations": dict(annotations)}, "data": dict(data)}


def _annotations(expires_at: datetime) -> dict[str, str]:
    return {Annotation.ROLE: Role.SESSION, Annotation.EXPIRES_AT: rfc3339(expires_at)}


def read_session(secret: Secret) -> StoredSession:
    """Read a session.

    Raises:
        UnreadableSession: it is no session, or it was ended or altered.
    """
    if secret.type != SecretType.SESSION:
        raise UnreadableSession(f"type is {secret.type}")
    try:
        session = read_json(secret.value(_DATA_KEY) or "", Session)
    except (ValueError, msgspec.MsgspecError):
        raise UnreadableSession(f"data key {_DATA_KEY} cannot be read") from None
    if is_of_the_cluster(session.user):
        # No sign-in makes such a session. An attacker who has the callback server's token could write one.
        raise UnreadableSession("it names the cluster's own")
    return StoredSession(session, secret.metadata.resource_version)
