"""Pure: what is written to a credential Secret: the whole of it, or one of the merge patches that change it.

Each carries the resourceVersion of what was read: it fails with 409 if anybody wrote meanwhile.
"""

from datetime import timedelta
from typing import Any, assert_never

import msgspec

from datasource.api.clock import rfc3339
from datasource.api.names import (
    HISTORY_KEY,
    LAST_APPLIED,
    REVOKE_FINALIZER,
    Annotation,
    Role,
    SecretType,
    credential_secret_name,
)
from datasource.api.objects import Metadata, OwnerReference, Secret, encoded_data, owner_reference
from datasource.api.secret_metadata import NO_METADATA, SecretMetadata
from datasource.api.states import Reason
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.records.change import Change
from datasource.records.contents import Readable
from datasource.records.credential import CredentialData, CredentialFacts, Facts, TombstoneFacts
from datasource.records.import_secret import ImportedFrom
from datasource.records.revocable_token import RevocableToken
from datasource.records.secret_labels import created_metadata


def credential_manifest(
    *,
    namespace: str,
    datasource_name: str,
    datasource_uid: str,
    facts: Facts,
    data: CredentialData | None,
    template: SecretMetadata = NO_METADATA,
    history: str | None = None,
) -> dict[str, Any]:
    """The whole Secret, for the POST that creates it. Without data it is a tombstone."""
    asked_for = created_metadata(template)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SecretType.CREDENTIAL,
        "metadata": {
            "name": credential_secret_name(datasource_name),
            "namespace": namespace,
            **({"labels": asked_for["labels"]} if asked_for["labels"] else {}),
            # Ours last: no template says what a credential is.
            "annotations": asked_for["annotations"]
            | {key: value for key, value in _annotations(datasource_name, facts).items() if value is not None},
            "ownerReferences": [owner_reference(datasource_name, datasource_uid)],
        },
        "data": {key: value for key, value in (_encoded(data) | _told(history)).items() if value is not None},
    }


def credential_patch(
    *,
    datasource_name: str,
    resource_version: str,
    facts: Facts,
    data: CredentialData | None,
    history: str | None = None,
) -> dict[str, Any]:
    """The merge patch that puts another credential in the place of what is stored; without data, nothing.

    It carries the resourceVersion: it fails with 409 if anybody wrote meanwhile. It leaves ownerReferences alone: changing
    them takes the right to delete on some clusters (OwnerReferencesPermissionEnforcement); the operator adopts.
    """
    return {
        "metadata": {"resourceVersion": resource_version, "annotations": _annotations(datasource_name, facts)},
        # null takes everything out, also what somebody added.
        "data": None if data is None else _encoded(data) | _told(history),
    }


def tombstone_patch(
    *,
    datasource_name: str,
    secret: Secret,
    facts: TombstoneFacts,
    token: RevocableToken | None,
    history: str | None = None,
) -> dict[str, Any]:
    """The merge patch that clears a credential: of all its data, what people did stays, and one token until it is revoked."""
    # Also what somebody added goes: a tombstone holds no token.
    kept = {} if token is None else encoded_data(msgspec.structs.asdict(token))
    return facts_patch(
        datasource_name=datasource_name, resource_version=secret.metadata.resource_version, facts=facts
    ) | {"data": _all_but_history(secret) | kept | _told(history)}


def revoked_patch(secret: Secret) -> dict[str, Any]:
    """The merge patch for when a revocation is over: our finalizer is gone, and of a tombstone's token nothing is left.

    With the resourceVersion: a reply that was stored meanwhile is revoked, too, before the Secret goes.
    """
    metadata = secret.metadata
    changes: dict[str, Any] = {"resourceVersion": metadata.resource_version}
    if metadata.deletion_timestamp is not None:
        return {"metadata": changes | {"finalizers": _without_ours(metadata.finalizers)}}
    return {"metadata": changes | {"annotations": {Annotation.REVOKE_UNTIL: None}}, "data": _all_but_history(secret)}


def hold_patch(metadata: Metadata, data: CredentialData) -> dict[str, Any]:
    """The merge patch that puts our finalizer on a Secret, with what it takes to revoke its tokens without the Datasource."""
    return {
        "metadata": {
            "resourceVersion": metadata.resource_version,
            "finalizers": [*_without_ours(metadata.finalizers), REVOKE_FINALIZER],
        },
        "data": _encoded(data),
    }


def release_patch(credential: Readable) -> dict[str, Any]:
    """The merge patch that takes our finalizer away, and the copy of the client secret."""
    return {
        "metadata": {
            "resourceVersion": credential.resource_version,
            "finalizers": _without_ours(credential.finalizers),
        },
        "data": {"client_secret": None, "ca_bundle": None},
    }


def _without_ours(finalizers: tuple[str, ...]) -> list[str]:
    return [finalizer for finalizer in finalizers if finalizer != REVOKE_FINALIZER]


def facts_patch(*, datasource_name: str, resource_version: str, facts: Facts) -> dict[str, Any]:
    """The merge patch that changes what is known of a credential and leaves its tokens alone: intents, verdicts."""
    return {"metadata": {"resourceVersion": resource_version, "annotations": _annotations(datasource_name, facts)}}


def told_patch(history: str | None) -> dict[str, Any]:
    """The part of a merge patch that changes what is told of people, and no token; nothing where that stays as it is."""
    return {} if history is None else {"data": _told(history)}


def change_patch(datasource_name: str, before: Readable, change: Change) -> dict[str, Any]:
    """The merge patch that puts a change over a credential, as it was read."""
    version = before.resource_version
    if change.data is None:
        patch = facts_patch(datasource_name=datasource_name, resource_version=version, facts=change.facts)
        return patch | told_patch(change.history)
    return credential_patch(
        datasource_name=datasource_name,
        resource_version=version,
        facts=change.facts,
        data=change.data,
        history=change.history,
    )


def adoption_patch(
    *, resource_version: str, datasource_name: str, datasource_uid: str, owners: tuple[OwnerReference, ...] = ()
) -> dict[str, Any]:
    """The merge patch that makes a Datasource the owner of a restored Secret, beside the owners that it has."""
    ours = owner_reference(datasource_name, datasource_uid)
    if any(owner.controller for owner in owners):
        # A Secret has one controller at most.
        del ours["controller"]
    others = [
        {name: value for name, value in msgspec.to_builtins(owner).items() if value is not None} for owner in owners
    ]
    return {
        "metadata": {
            "resourceVersion": resource_version,
            "annotations": {LAST_APPLIED: None},
            "ownerReferences": [*others, ours],
        }
    }


def _encoded(data: CredentialData | None) -> dict[str, str | None]:
    return {} if data is None else encoded_data(msgspec.structs.asdict(data))


def _told(history: str | None) -> dict[str, str | None]:
    """Nothing where the history stays as it is."""
    return {} if history is None else encoded_data({HISTORY_KEY: history})


def _all_but_history(secret: Secret) -> dict[str, str | None]:
    """What takes every other key out."""
    return dict.fromkeys(key for key in secret.data or {} if key != HISTORY_KEY)


def _annotations(datasource_name: str, facts: Facts) -> dict[str, str | None]:
    """Every annotation of ours: what these facts do not say, null takes away."""
    return {
        **_NOT_SAID,
        Annotation.DATASOURCE: datasource_name,
        Annotation.ROLE: Role.CREDENTIAL,
        # Whoever applied a backup left a copy of the tokens there: a clear would not be one, and caches hold annotations.
        LAST_APPLIED: None,
        **_said(facts),
    }


def _said(facts: Facts) -> dict[str, str | None]:
    match facts:
        case CredentialFacts():
            return _said_of_credential(facts)
        case TombstoneFacts():
            return _said_of_tombstone(facts)
        case _:
            assert_never(facts)


def _said_of_tombstone(facts: TombstoneFacts) -> dict[str, str | None]:
    return {
        Annotation.CREDENTIAL_ID: facts.credential_id,
        # As every version wrote it.
        Annotation.REVISION: "1",
        Annotation.REPLACES: facts.replaces or None,
        Annotation.TICKET_HASH: facts.ticket_hash,
        Annotation.HANDLED: facts.handled.encode(),
        Annotation.TOMBSTONE: facts.reason,
        Annotation.REVOKE_UNTIL: None if facts.revoke_until is None else rfc3339(facts.revoke_until),
        Annotation.PROMISED: _promised(facts.promised),
        Annotation.HISTORY: facts.history,
        Annotation.IMPORTED: _imported(facts.imported),
    }


def _said_of_credential(facts: CredentialFacts) -> dict[str, str | None]:
    return {
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
        Annotation.INTENT: None if facts.intent is None else facts.intent.encode(),
        Annotation.STORED_BY: facts.stored_by,
        Annotation.VERDICT: facts.verdict,
        Annotation.VERDICT_MESSAGE: facts.verdict_message,
        Annotation.TOLD_LIFETIME: _seconds(facts.told_lifetime),
        Annotation.EXPIRY_HINT: None if facts.expiry_hint is None else rfc3339(facts.expiry_hint),
        Annotation.GRANT_EXPIRES_AT: None if facts.grant_expires_at is None else rfc3339(facts.grant_expires_at),
        Annotation.GRANT_LIFETIME: _seconds(facts.grant_lifetime),
        Annotation.IDENTITY_PROBLEM: facts.identity_problem,
        Annotation.EXPECTED_IDENTITY: _identity_check(facts),
        Annotation.REVOCABLE: "true" if facts.is_revocable else None,
        Annotation.AUTHORIZED_AT: None if facts.authorized_at is None else rfc3339(facts.authorized_at),
        Annotation.PROMISED: _promised(facts.promised),
        Annotation.PAGE_REQUEST: None if facts.page_request is None else facts.page_request.encode(),
        Annotation.HISTORY: facts.history,
        Annotation.IMPORTED: _imported(facts.imported),
    }


def _imported(imported: ImportedFrom | None) -> str | None:
    return None if imported is None else imported.encode()


def _promised(promised: ProviderMetadata | None) -> str | None:
    return None if promised is None else msgspec.json.encode(promised).decode()


def _seconds(lifetime: timedelta | None) -> str | None:
    return None if lifetime is None else str(max(1, int(lifetime.total_seconds())))


def _identity_check(facts: CredentialFacts) -> str | None:
    if facts.identity_checked is None:
        return None
    return f"{facts.identity_checked} {'fits' if facts.identity_fits else 'differs'}"


_NOT_SAID: dict[str, str | None] = dict.fromkeys(
    [
        *_said_of_credential(CredentialFacts(credential_id="")),
        *_said_of_tombstone(TombstoneFacts(credential_id="", reason=Reason.CREDENTIAL_CLEARED)),
    ]
)
