"""The credential Secret `<name>-oauth2-credential`: tokens in its data, facts in its annotations.

Annotations schedule, data authorizes. The operator watches metadata only, so what it plans with are the facts; before a
token is sent or handed out the data is read, and tokens go only to the endpoints recorded there. Both are always written in
one request, so they never disagree unless somebody edited them.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from datasource.clock import parse_rfc3339, rfc3339
from datasource.intent import Intent
from datasource.names import LAST_APPLIED, Annotation, Role, SecretType, credential_secret_name
from datasource.objects import Metadata, OwnerReference, Secret, encoded_data, owner_reference
from datasource.requests import HandledSet
from datasource.states import Reason


class UnreadableCredential(Exception):
    """A Secret of ours does not say what it should; names the annotation or key, never its value."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def advice(self, datasource_name: str) -> str:
        """What a person reads."""
        secret = credential_secret_name(datasource_name)
        return f"The credential Secret {secret} cannot be read: {self.what}. Restore it, or delete it and get a new credential."


class CredentialFacts(msgspec.Struct, frozen=True):
    """What the annotations of a credential Secret say; `tombstone` is set where it holds no credential any more."""

    credential_id: str
    revision: int = 1
    replaces: str = ""
    fingerprint: str = ""
    requested_scopes: tuple[str, ...] = ()
    granted_scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    refreshed_at: datetime | None = None
    has_refresh_token: bool = False
    authorized_as: str | None = None
    ticket_hash: str | None = None
    handled: HandledSet = HandledSet()
    tombstone: Reason | None = None
    intent: Intent | None = None
    stored_by: str | None = None
    """The ID of the intent whose reply this revision is; None for the first."""
    verdict: Reason | None = None
    """Why the refresh token is never sent again."""


class StoredCredential(msgspec.Struct, frozen=True):
    """A credential Secret's facts with where they stand: what the operator keeps in memory of it."""

    facts: CredentialFacts
    resource_version: str
    owners: tuple[OwnerReference, ...]


class CredentialData(msgspec.Struct, frozen=True, rename="lower"):
    """The data of a credential Secret. Endpoints are those the tokens were obtained with."""

    access_token: str
    token_type: str
    token_endpoint: str
    fingerprint: str
    client_id: str
    refresh_token: str | None = None
    revocation_endpoint: str | None = None
    refresh_endpoint: str | None = None
    """Where it is not the token endpoint."""
    captured: str | None = None
    """What else of the provider's answers is kept: a JSON object of texts."""

    @property
    def captured_fields(self) -> Mapping[str, str]:
        """The captured fields by name."""
        return {} if self.captured is None else msgspec.json.decode(self.captured, type=dict[str, str])

    def with_captured(self, fields: Mapping[str, str]) -> "CredentialData":
        """The same with further captured fields; a provider does not tell every one each time."""
        kept = {**self.captured_fields, **fields}
        return msgspec.structs.replace(
            self, captured=msgspec.json.encode(kept, order="sorted").decode() if kept else None
        )

    def __repr__(self) -> str:
        return f"CredentialData(token_endpoint={self.token_endpoint!r}, ...)"


T = TypeVar("T")

_DATA_KEYS = CredentialData.__struct_fields__


def read_facts(metadata: Metadata) -> StoredCredential:
    """Read a credential Secret's annotations.

    Raises:
        UnreadableCredential: somebody altered them.
    """
    return StoredCredential(
        facts=_facts(metadata.annotations),
        resource_version=metadata.resource_version,
        owners=metadata.owner_references,
    )


def read_data(secret: Secret) -> CredentialData:
    """Read a credential Secret's data.

    Raises:
        UnreadableCredential: a key is missing or is not text.
    """
    values: dict[str, str] = {}
    for key in _DATA_KEYS:
        try:
            value = secret.value(key)
        except ValueError:
            raise UnreadableCredential(f"data key {key} is not UTF-8 text in base64") from None
        if value is not None:
            values[key] = value
    try:
        data = msgspec.convert(values, CredentialData)
    except msgspec.ValidationError as error:
        raise UnreadableCredential(f"data: {error}") from None
    try:
        _ = data.captured_fields
    except msgspec.MsgspecError:
        raise UnreadableCredential("data key captured is no JSON object of texts") from None
    return data


def manifest(
    *, namespace: str, datasource_name: str, datasource_uid: str, facts: CredentialFacts, data: CredentialData | None
) -> dict[str, Any]:
    """The whole Secret, for the POST that creates it. Without data it is a tombstone."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SecretType.CREDENTIAL,
        "metadata": {
            "name": credential_secret_name(datasource_name),
            "namespace": namespace,
            "annotations": {
                key: value for key, value in _annotations(datasource_name, facts).items() if value is not None
            },
            "ownerReferences": [owner_reference(datasource_name, datasource_uid)],
        },
        "data": {key: value for key, value in _encoded(data).items() if value is not None},
    }


def patch(
    *, datasource_name: str, resource_version: str, facts: CredentialFacts, data: CredentialData | None
) -> dict[str, Any]:
    """The merge patch that puts another credential, or a tombstone, in the place of what is stored.

    It carries the resourceVersion: it fails with 409 if anybody wrote meanwhile. It leaves ownerReferences alone: changing
    them takes the right to delete on some clusters (OwnerReferencesPermissionEnforcement); the operator adopts.
    """
    return {
        "metadata": {"resourceVersion": resource_version, "annotations": _annotations(datasource_name, facts)},
        # null takes everything out, also what somebody added: a tombstone holds no token.
        "data": None if data is None else _encoded(data),
    }


def facts_patch(*, datasource_name: str, resource_version: str, facts: CredentialFacts) -> dict[str, Any]:
    """The merge patch that changes what is known of a credential and leaves its tokens alone: intents, verdicts."""
    return {"metadata": {"resourceVersion": resource_version, "annotations": _annotations(datasource_name, facts)}}


def adoption_patch(*, resource_version: str, datasource_name: str, datasource_uid: str) -> dict[str, Any]:
    """The merge patch that makes a Datasource the owner of a restored Secret."""
    return {
        "metadata": {
            "resourceVersion": resource_version,
            "annotations": {LAST_APPLIED: None},
            "ownerReferences": [owner_reference(datasource_name, datasource_uid)],
        }
    }


def tombstone(before: CredentialFacts | None, *, credential_id: str, handled: HandledSet) -> CredentialFacts:
    """What is left of a credential after a clear: no token, the requests handled, and why."""
    if before is None:
        return CredentialFacts(credential_id=credential_id, handled=handled, tombstone=Reason.AUTHORIZATION_REQUIRED)
    return CredentialFacts(
        credential_id=credential_id,
        replaces=before.credential_id,
        handled=handled,
        ticket_hash=before.ticket_hash,
        # Where there was nothing to clear, there is still nothing that was cleared.
        tombstone=before.tombstone or Reason.CREDENTIAL_CLEARED,
    )


def is_ours(metadata: Metadata, datasource_name: str, role: Role) -> bool:
    """Whether a Secret of one of our types is the one of that Datasource in that role."""
    annotations = metadata.annotations
    return annotations.get(Annotation.DATASOURCE) == datasource_name and annotations.get(Annotation.ROLE) == role


def _encoded(data: CredentialData | None) -> dict[str, str | None]:
    return {} if data is None else encoded_data(msgspec.structs.asdict(data))


def _annotations(datasource_name: str, facts: CredentialFacts) -> dict[str, str | None]:
    return {
        Annotation.DATASOURCE: datasource_name,
        Annotation.ROLE: Role.CREDENTIAL,
        Annotation.CREDENTIAL_ID: facts.credential_id,
        Annotation.REVISION: str(facts.revision),
        Annotation.REPLACES: facts.replaces or None,
        Annotation.FINGERPRINT: facts.fingerprint or None,
        Annotation.REQUESTED_SCOPES: " ".join(facts.requested_scopes) or None,
        Annotation.GRANTED_SCOPES: " ".join(facts.granted_scopes) or None,
        Annotation.EXPIRES_AT: None if facts.expires_at is None else rfc3339(facts.expires_at),
        Annotation.REFRESHED_AT: None if facts.refreshed_at is None else rfc3339(facts.refreshed_at),
        Annotation.HAS_REFRESH_TOKEN: "true" if facts.has_refresh_token else None,
        Annotation.AUTHORIZED_AS: facts.authorized_as,
        Annotation.TICKET_HASH: facts.ticket_hash,
        Annotation.HANDLED: facts.handled.encode(),
        Annotation.TOMBSTONE: facts.tombstone,
        Annotation.INTENT: None if facts.intent is None else facts.intent.encode(),
        Annotation.STORED_BY: facts.stored_by,
        Annotation.VERDICT: facts.verdict,
        # Whoever applied a backup left a copy of the tokens there: a clear would not be one, and caches hold annotations.
        LAST_APPLIED: None,
    }


def _facts(annotations: Mapping[str, str]) -> CredentialFacts:
    credential_id = annotations.get(Annotation.CREDENTIAL_ID)
    if not credential_id:
        raise UnreadableCredential(f"annotation {Annotation.CREDENTIAL_ID} is missing")
    facts = CredentialFacts(
        credential_id=credential_id,
        revision=_parsed(annotations, Annotation.REVISION, int) or 1,
        replaces=annotations.get(Annotation.REPLACES, ""),
        fingerprint=annotations.get(Annotation.FINGERPRINT, ""),
        requested_scopes=tuple(annotations.get(Annotation.REQUESTED_SCOPES, "").split()),
        granted_scopes=tuple(annotations.get(Annotation.GRANTED_SCOPES, "").split()),
        expires_at=_parsed(annotations, Annotation.EXPIRES_AT, parse_rfc3339),
        refreshed_at=_parsed(annotations, Annotation.REFRESHED_AT, parse_rfc3339),
        has_refresh_token=Annotation.HAS_REFRESH_TOKEN in annotations,
        authorized_as=annotations.get(Annotation.AUTHORIZED_AS),
        ticket_hash=annotations.get(Annotation.TICKET_HASH),
        handled=_parsed(annotations, Annotation.HANDLED, HandledSet.decode) or HandledSet(),
        tombstone=_parsed(annotations, Annotation.TOMBSTONE, Reason),
        intent=_parsed(annotations, Annotation.INTENT, Intent.decode),
        stored_by=annotations.get(Annotation.STORED_BY),
        verdict=_parsed(annotations, Annotation.VERDICT, Reason),
    )
    if facts.tombstone is None and not facts.fingerprint:
        raise UnreadableCredential(f"annotation {Annotation.FINGERPRINT} is missing")
    return facts


def _parsed(annotations: Mapping[str, str], key: Annotation, parse: Callable[[str], T]) -> T | None:
    text = annotations.get(key)
    if text is None:
        return None
    try:
        return parse(text)
    except (ValueError, msgspec.MsgspecError):
        raise UnreadableCredential(f"annotation {key} cannot be read") from None
