"""Pure: what is written to a credential Secret: the whole Secret, or a merge patch that changes it.

Each patch carries the resourceVersion that was read. It fails with 409 if the Secret changed meanwhile.
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
            # Our annotations come last, so that no template can replace them.
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
    """The merge patch that replaces what is stored with another credential. Without `data`, all data is removed.

    It carries the resourceVersion, so it fails with 409 if the Secret changed meanwhile. It leaves ownerReferences alone. On
    some clusters, changing them needs the right to delete (OwnerReferencesPermissionEnforcement). The operator adopts the
    Secret.
    """
    return {
        "metadata": {"resourceVersion": resource_version, "annotations": _annotations(datasource_name, facts)},
        # null removes all data, including keys that are not ours.
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
    """The merge patch that clears a credential. Of its data, the history stays, and one token until it is revoked."""
    # Keys that are not ours are removed, too: a tombstone must hold no token.
    kept = {} if token is None else encoded_data(msgspec.structs.asdict(token))
    return facts_patch(
        datasource_name=datasource_name, resource_version=secret.metadata.resource_version, facts=facts
    ) | {"data": _all_but_history(secret) | kept | _told(history)}


def revoked_patch(secret: Secret) -> dict[str, Any]:
    """The merge patch for when a revocation is over. It removes our finalizer, or the token that a tombstone keeps.

    It carries the resourceVersion. So a reply that was stored meanwhile is revoked, too, before the Secret is deleted.
    """
    metadata = secret.metadata
    changes: dict[str, Any] = {"resourceVersion": metadata.resource_version}
    if metadata.deletion_timestamp is not None:
        return {"metadata": changes | {"finalizers": _without_ours(metadata.finalizers)}}
    return {"metadata": changes | {"annotations": {Annotation.REVOKE_UNTIL: None}}, "data": _all_but_history(secret)}


def hold_patch(metadata: Metadata, data: CredentialData) -> dict[str, Any]:
    """The merge patch that adds our finalizer, and what is needed to revoke the tokens without the Datasource."""
    return {
        "metadata": {
            "resourceVersion": metadata.resource_version,
            "finalizers": [*_without_ours(metadata.finalizers), REVOKE_FINALIZER],
        },
        "data": _encoded(data),
    }


def release_patch(credential: Readable) -> dict[str, Any]:
    """The merge patch that removes our finalizer, and the copies of the client secret, the CA bundle and the headers."""
    return {
        "metadata": {
            "resourceVersion": credential.resource_version,
            "finalizers": _without_ours(credential.finalizers),
        },
        "data": {"client_secret": None, "ca_bundle": None, "token_headers": None},
    }


def _without_ours(finalizers: tuple[str, ...]) -> list[str]:
    return [finalizer for finalizer in finalizers if finalizer != REVOKE_FINALIZER]


def facts_patch(*, datasource_name: str, resource_version: str, facts: Facts) -> dict[str, Any]:
    """The merge patch that changes the facts of a credential, such as an intent or a verdict. Its tokens stay."""
    return {"metadata": {"resourceVersion": resource_version, "annotations": _annotations(datasource_name, facts)}}


def told_patch(history: str | None) -> dict[str, Any]:
    """The part of a merge patch that writes the history; empty where the history stays as it is."""
    return {} if history is None else {"data": _told(history)}


def change_patch(datasource_name: str, before: Readable, change: Change) -> dict[str, Any]:
    """The merge patch that writes a change over a credential as it was read."""
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
    """The merge patch that makes a Datasource an owner of a restored Secret. The other owners stay."""
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
    """The data with the history; empty where the history stays as it is."""
    return {} if history is None else encoded_data({HISTORY_KEY: history})


def _all_but_history(secret: Secret) -> dict[str, str | None]:
    """Null for every key except the history, which removes them."""
    return dict.fromkeys(key for key in secret.data or {} if key != HISTORY_KEY)


def _annotations(datasource_name: str, facts: Facts) -> dict[str, str | None]:
    """Every annotation of ours. Null removes those that these facts do not set."""
    return {
        **_NOT_SAID,
        Annotation.DATASOURCE: datasource_name,
        Annotation.ROLE: Role.CREDENTIAL,
        # `kubectl apply` of a backup leaves a copy of the tokens there. A clear must remove it, and caches hold annotations.
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
