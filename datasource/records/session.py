"""Sessions: who signed in, kept in the API server so that any replica knows it.

A session is a Secret `datasource-session-<digest of the user's name>-<slot>` in the system namespace. What the browser keeps
says which one it is; the record keeps only its hash, so that nobody gets into a session by reading Secrets. It is written once,
and holds for an hour: whatever it was read for, it never lasts longer.
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
"""From sign-in, whatever is done meanwhile: by then the issuer is asked again who is in which group."""

_DATA_KEY = "session"


class UnreadableSession(Exception):
    """A Secret that holds no session."""


class Session(msgspec.Struct, frozen=True, rename="camel"):
    """One person who signed in."""

    key_hash: str
    user: User
    signed_in_by: str
    """Digest of how people sign in: who has a name by other settings is not known by these."""
    created_at: Moment

    def __repr__(self) -> str:
        return f"Session({self.user!r})"

    @property
    def expires_at(self) -> datetime:
        """When it ends."""
        return self.created_at + SESSION_LIFETIME


class StoredSession(msgspec.Struct, frozen=True):
    """A session as read, and what a compare-and-swap on it needs."""

    session: Session
    resource_version: str


def new_session_key(user: User, slot: int, token_bytes: Callable[[int], bytes], key: LinkKey) -> FlowKey:
    """What the browser keeps of a session in that slot: which one, 256 random bits, and a mark by a link key."""
    return new_flow_key(user.name, slot, token_bytes, lambda text: key.mark(Purpose.SESSION, text))


def session_key_in(text: str, keys: LinkKeys, now: datetime) -> FlowKey | None:
    """Read what came back; None for what we did not make, of which nothing is read."""
    key = parse_flow_key(text)
    if key is None or flow_key_origin(key, Purpose.SESSION, keys, now) is not Origin.OURS:
        return None
    return key


def secret_name(key: FlowKey) -> str:
    """The name of the session's Secret."""
    return session_secret_name(key.digest, key.slot)


def holds(session: Session, key: FlowKey, *, signed_in_by: str, now: datetime) -> bool:
    """Whether a session is the one of that key, and lives; keys are compared in constant time.

    One that begins later was written by somebody else: it would last as long as they like.
    """
    is_of = hmac.compare_digest(key_hash(key), session.key_hash)
    is_now = session.created_at <= now + LEEWAY and now < session.expires_at
    return is_of and is_now and session.signed_in_by == signed_in_by


def digest_of_settings(*settings: str) -> str:
    """How people sign in, in short: SHA-256, hex."""
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
    """The merge patch that puts a session in the place of another one, or fails with 409 if anybody wrote meanwhile."""
    whole = session_manifest(session, key, system_namespace="")
    return _patch(whole["metadata"]["annotations"], whole["data"], resource_version)


def ended_patch(resource_version: str, now: datetime) -> dict[str, Any]:
    """The merge patch that takes everything out of a session: nobody gets in by it any more, and it is swept."""
    return _patch(_annotations(now), encoded_data({_DATA_KEY: None}), resource_version)


def _patch(annotations: Mapping[str, str], data: Mapping[str, str | None], resource_version: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": resource_version, "annotations": dict(annotations)}, "data": dict(data)}


def _annotations(expires_at: datetime) -> dict[str, str]:
    return {Annotation.ROLE: Role.SESSION, Annotation.EXPIRES_AT: rfc3339(expires_at)}


def read_session(secret: Secret) -> StoredSession:
    """Read a session.

    Raises:
        UnreadableSession: it is none, or it was ended, or somebody altered it.
    """
    if secret.type != SecretType.SESSION:
        raise UnreadableSession(f"type is {secret.type}")
    try:
        session = read_json(secret.value(_DATA_KEY) or "", Session)
    except (ValueError, msgspec.MsgspecError):
        raise UnreadableSession(f"data key {_DATA_KEY} cannot be read") from None
    if is_of_the_cluster(session.user):
        # No sign-in makes such a one. To write it is one of the things that the callback server's token is good for.
        raise UnreadableSession("it names the cluster's own")
    return StoredSession(session, secret.metadata.resource_version)
