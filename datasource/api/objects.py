"""Typed copies of the Kubernetes objects that we read: only the fields we use."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

import msgspec

from datasource.api.names import API_VERSION, HISTORY_KEY, KIND
from datasource.api.spelling import spelled


class OwnerReference(msgspec.Struct, frozen=True, rename=spelled):
    """One entry of `metadata.ownerReferences`."""

    uid: str
    kind: str = ""
    name: str = ""
    api_version: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ManagedFields(msgspec.Struct, frozen=True, rename=spelled):
    """One entry of `metadata.managedFields`: which field manager owns which fields."""

    manager: str = ""
    operation: str = ""
    subresource: str = ""
    fields_v1: dict[str, Any] = {}


class Metadata(msgspec.Struct, frozen=True, rename=spelled):
    """`metadata` of any object."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()
    managed_fields: tuple[ManagedFields, ...] = ()


class PartialObject(msgspec.Struct, frozen=True):
    """PartialObjectMetadata (meta.k8s.io/v1): an object without spec, data and type."""

    metadata: Metadata


class SecretHeader(msgspec.Struct, frozen=True):
    """A Secret without its data: for whoever must know whose it is, and no value."""

    metadata: Metadata
    type: str = "Opaque"
    data: "_NoSecret | None" = None

    @property
    def history(self) -> str | None:
        """What people did to it, where that is text."""
        return _text_or_none(None if self.data is None else self.data.history)


class _NoSecret(msgspec.Struct, frozen=True):
    """What of a credential Secret's data is no secret; a decoder skips the rest. In base64, as it stands there."""

    history: str | None = None


class Secret(msgspec.Struct, frozen=True):
    """A Secret as a live GET returns it; `data` is base64."""

    metadata: Metadata
    type: str = "Opaque"
    data: dict[str, str] | None = msgspec.field(default=None)
    immutable: bool = False

    def __repr__(self) -> str:
        return f"Secret({self.metadata.namespace}/{self.metadata.name})"

    def value(self, key: str) -> str | None:
        """The text under a key.

        Raises:
            ValueError: it is not base64, or not UTF-8.
        """
        encoded = (self.data or {}).get(key)
        return None if encoded is None else b64decode(encoded, validate=True).decode()

    @property
    def history(self) -> str | None:
        """What people did to it, where that is text."""
        return _text_or_none((self.data or {}).get(HISTORY_KEY))


def _text_or_none(encoded: str | None) -> str | None:
    try:
        return None if encoded is None else b64decode(encoded, validate=True).decode()
    except ValueError:
        return None


class ConfigMap(msgspec.Struct, frozen=True):
    """A ConfigMap as a live GET returns it; its `binaryData` is none of ours."""

    metadata: Metadata
    data: dict[str, str] | None = msgspec.field(default=None)


def encoded_data(values: Mapping[str, str | None]) -> dict[str, str | None]:
    """Secret `data` in base64; None stays None, which removes a key in a merge patch."""
    return {key: None if value is None else b64encode(value.encode()).decode() for key, value in values.items()}


class LeaseSpec(msgspec.Struct, frozen=True, rename=spelled):
    """`spec` of a Lease (coordination.k8s.io/v1); times are MicroTime: RFC 3339 in UTC with microseconds."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(msgspec.Struct, frozen=True):
    """A Lease: who leads, and since when nobody has heard of them."""

    metadata: Metadata
    spec: LeaseSpec = LeaseSpec()


class Condition(msgspec.Struct, frozen=True, rename=spelled):
    """metav1.Condition."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int = 0


class HandledEcho(msgspec.Struct, frozen=True, rename=spelled, omit_defaults=True):
    """`status.handled`: the last request values that were acted on."""

    clear_credential: str | None = None
    new_credential: str | None = None
    refresh: str | None = None


class LastAuthorization(msgspec.Struct, frozen=True, rename=spelled):
    """`status.lastAuthorization`: how the last attempt of a person ended."""

    time: str
    outcome: str
    """Succeeded or Failed."""
    message: str

    @property
    def has_failed(self) -> bool:
        """Whether no credential came of it."""
        return self.outcome == FAILED


class HistoryEcho(msgspec.Struct, frozen=True, rename=spelled, omit_defaults=True):
    """An entry of `status.history`: what somebody did, as the credential Secret tells it."""

    id: str
    time: str
    what: str
    by: str
    result: str = ""


SUCCEEDED = "Succeeded"
FAILED = "Failed"


class Status(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename=spelled,
):
    """The status of a Datasource. Times are RFC 3339 in UTC."""

    state: str | None = None
    authorization_link: str | None = None
    redirect_uri: str | None = None
    expires_at: str | None = None
    refreshed_at: str | None = None
    grant_expires_at: str | None = None
    granted_scopes: tuple[str, ...] | None = None
    authorized_as: str | None = None
    authorized_at: str | None = None
    last_authorized_as: str | None = None
    """Whom to ask, once nobody's credential is in use any more."""
    next_refresh: str | None = None
    last_authorization: LastAuthorization | None = None
    token_secret_name: str | None = None
    observed_generation: int | None = None
    handled: HandledEcho | None = None
    history: tuple[HistoryEcho, ...] | None = None
    """The oldest first."""
    conditions: tuple[Condition, ...] | None = None

    def condition(self, type_: str) -> Condition | None:
        """The condition of that type, if it is there."""
        return next((condition for condition in self.conditions or () if condition.type == type_), None)


class Datasource(msgspec.Struct, frozen=True):
    """A Datasource as the API server returns it; `spec` is parsed by `datasource.api.spec_problems.parse_spec`."""

    metadata: Metadata
    spec: Mapping[str, Any] = {}
    status: Status = Status()


class Ownership(Enum):
    """Whose a Secret of ours is, told by its ownerReferences."""

    OURS = auto()
    OWNERLESS = auto()
    """A restore drops ownerReferences."""
    DANGLING = auto()
    """It belongs to another Datasource of the same name, gone by now: the garbage collector's work."""


def ownership(owners: tuple[OwnerReference, ...], uid: str) -> Ownership:
    """Whose a Secret is, seen from the Datasource with that uid."""
    if any(owner.uid == uid for owner in owners):
        return Ownership.OURS
    return Ownership.DANGLING if any(owner.kind == KIND for owner in owners) else Ownership.OWNERLESS


MOST_OWNERS = 16
"""How many owners of one Secret are kept in memory. Whoever may write it may give it as many as fill a megabyte."""

_LONGEST_OWNER = 64
"""Characters of a uid or kind that is kept; ours have 36 and 10."""


def telling_owners(owners: tuple[OwnerReference, ...]) -> tuple[OwnerReference, ...]:
    """Of the owners of a Secret what `ownership` asks for, in little memory: uid and kind of a few, Datasources first."""
    short = [
        OwnerReference(owner.uid, owner.kind)
        for owner in owners
        if len(owner.uid) <= _LONGEST_OWNER and len(owner.kind) <= _LONGEST_OWNER
    ]
    return tuple(sorted(short, key=lambda owner: owner.kind != KIND)[:MOST_OWNERS])


def owner_reference(name: str, uid: str) -> dict[str, Any]:
    """The ownerReference that makes the garbage collector remove a Secret with its Datasource.

    No blockOwnerDeletion: it would ask for rights on finalizers and hold up foreground deletions.
    """
    return {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": uid, "controller": True}
