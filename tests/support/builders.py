"""Builders of what the operator sees: the least of each thing, with what a test cares about changed.

Without arguments everything is in order and fits everything else: `observed()` is a Datasource whose parameters are complete
and that nobody authorized yet; `observed(credential())` is authorized; `token_secret()` is as it should be for both.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from datasource.api.names import FIELD_MANAGER, KIND, Annotation, Role, credential_secret_name
from datasource.api.objects import Datasource, ManagedFields, Metadata, OwnerReference, Status
from datasource.api.requests import HandledSet, Requests
from datasource.api.spec import Spec, SpecProblem
from datasource.api.spec_problems import parse_spec
from datasource.api.states import Reason
from datasource.records.contents import Contents, Leaving, Readable, StoredCredential, StoredTombstone, seen_from
from datasource.records.credential import CredentialFacts, TombstoneFacts, Unreadable
from datasource.records.fingerprint import fingerprint
from datasource.records.flow import Flow
from datasource.records.stored_token_secret import StoredTokenSecret
from datasource.records.token_secret import TokenSecretPlan, plan_token_secret
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Finding, Observed, Surroundings, Trouble
from datasource_operator.decisions.status import StatusSettings, wanted_status

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
NAMESPACE = "shop"
NAME = "calendar"
UID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
EXTERNAL_URL = "https://connect.example.com"

OURS = (OwnerReference(uid=UID, kind=KIND, name=NAME),)
DANGLING = (OwnerReference(uid="another-uid", kind=KIND, name=NAME),)
OWNERLESS = ()

LEAST_OAUTH2: Mapping[str, Any] = {
    "clientID": "my-app",
    "clientSecretRef": {"name": "my-app", "key": "client-secret"},
    "authorizeURL": "https://login.example.com/authorize",
    "tokenURL": "https://login.example.com/token",
    "scopes": ["read", "offline_access"],
}


def raw_spec(*, token_secret: Mapping[str, Any] | None = None, **oauth2: object) -> dict[str, Any]:
    """A spec as decoded JSON; a field of oauth2 that is None is left out."""
    fields = {name: value for name, value in (dict(LEAST_OAUTH2) | oauth2).items() if value is not None}
    raw: dict[str, Any] = {"type": "URL", "url": "https://api.example.com", "oauth2": fields}
    return raw if token_secret is None else raw | {"tokenSecret": dict(token_secret)}


def spec(*, token_secret: Mapping[str, Any] | None = None, **oauth2: object) -> Spec:
    """A parsed spec; fields of oauth2 as they are written in YAML, None leaves one out."""
    return parse_spec(raw_spec(token_secret=token_secret, **oauth2), allow_insecure_http=False)


def spec_without_oauth2() -> Spec:
    """A Datasource as it is before anybody registered an application."""
    return parse_spec({"url": "https://api.example.com"}, allow_insecure_http=False)


def invalid_spec() -> SpecProblem:
    """What parsing says of a token URL that is not https."""
    return SpecProblem("spec.oauth2.tokenURL", "is not https", "Use https://.")


def too_large() -> SpecProblem:
    """What rendering says of a token that is too long for its template."""
    return SpecProblem("spec.tokenSecret.template.data", "makes a Secret of 600,000 bytes", "Take text out.")


def fingerprint_of(wanted: Spec) -> str:
    """What a credential that was obtained with these parameters is bound to."""
    assert wanted.oauth2 is not None
    return fingerprint(wanted.oauth2)


def facts(*, obtained_with: Spec | None = None, **changes: Any) -> CredentialFacts:
    """The facts of a credential with a refresh token, as obtained with a spec."""
    oauth2 = (obtained_with or spec()).oauth2
    assert oauth2 is not None
    usual: dict[str, Any] = {
        "credential_id": "credential-1",
        "fingerprint": fingerprint(oauth2),
        "requested_scopes": oauth2.scopes,
        "granted_scopes": ("read",),
        "expires_at": NOW + timedelta(hours=1),
        "refreshed_at": NOW - timedelta(minutes=5),
        "has_refresh_token": True,
        "authorized_as": "ada@example.com",
        "ticket_hash": "ticket-hash-1",
    }
    return CredentialFacts(**(usual | changes))


def credential(
    *,
    obtained_with: Spec | None = None,
    owners: tuple[OwnerReference, ...] = OURS,
    resource_version: str = "7",
    **changes: Any,
) -> StoredCredential:
    """A stored credential; further arguments are fields of its facts."""
    return StoredCredential(
        facts=facts(obtained_with=obtained_with, **changes), resource_version=resource_version, owners=owners
    )


def tombstone(
    reason: Reason = Reason.CREDENTIAL_CLEARED,
    *,
    handled: HandledSet | None = None,
    owners: tuple[OwnerReference, ...] = OURS,
) -> StoredTombstone:
    """What a clear leaves of a credential."""
    left = TombstoneFacts(credential_id="tombstone-1", reason=reason, handled=handled or HandledSet())
    return StoredTombstone(facts=left, resource_version="7", owners=owners)


def leaving(stored: Readable | Unreadable) -> Leaving:
    """A credential Secret that somebody deleted, and that finalizers hold."""
    return Leaving(stored, is_deleted=True)


def handled(**values: str) -> HandledSet:
    """A handled set with one value of each named request."""
    return HandledSet().with_requests(Requests(**values))


def observed(
    credential: Contents | None = None,
    *token_secrets: StoredTokenSecret,
    wanted: Spec | SpecProblem | None = None,
    requests: Requests | None = None,
    status: Status | None = None,
    **changes: Any,
) -> Observed:
    """What the operator sees of one Datasource: by default right after it was applied for the first time."""
    usual: dict[str, Any] = {
        "namespace": NAMESPACE,
        "name": NAME,
        "uid": UID,
        "generation": 1,
        "being_deleted": False,
        "spec": spec() if wanted is None else wanted,
        "requests": requests or Requests(),
        "status": Status(observed_generation=-1) if status is None else status,
        "credential": seen_from(credential, UID),
        "token_secrets": token_secrets,
        "now": NOW,
    }
    return Observed(**(usual | changes))


def live(seen: Observed, *, problem: Finding | None = None) -> Observed:
    """The same after everything was read live, the surroundings and the usual name of the token Secret included."""
    looked_at = frozenset({f"{seen.name}-token"})
    return replace(seen, is_live=True, surroundings=Surroundings(problem), names_looked_at=looked_at)


def status_settings(external_url: str = EXTERNAL_URL, random_byte: bytes = b"r") -> StatusSettings:
    """What a status is built with; `random_byte` stands for all randomness."""
    return StatusSettings(external_url, lambda count: random_byte * count)


def settled(seen: Observed) -> Observed:
    """The same Datasource, with the status that it should have."""
    return replace(seen, status=wanted_status(seen, finding_of(seen), status_settings()))


def problem(reason: Reason = Reason.CLIENT_SECRET_NOT_FOUND) -> Finding:
    """Something in the surroundings that is in the way."""
    return Finding(reason, f"{reason}: something is in the way")


def trouble(reason: Reason = Reason.REFRESH_FAILING, *, try_again_in: timedelta = timedelta(minutes=1)) -> Trouble:
    """What is remembered when the last refresh of `credential()` failed."""
    return Trouble(
        credential_id="credential-1",
        revision=1,
        reason=reason,
        message=f"{reason}: the refresh did not go well",
        try_again_at=NOW + try_again_in,
    )


def planned(for_: StoredCredential | None = None, wanted: Spec | None = None) -> TokenSecretPlan:
    """The token Secret that a credential and a spec ask for."""
    return plan_token_secret(
        namespace=NAMESPACE, name=NAME, uid=UID, spec=wanted or spec(), facts=(for_ or credential()).facts
    )


def token_secret(
    for_: StoredCredential | None = None,
    wanted: Spec | None = None,
    *,
    owners: tuple[OwnerReference, ...] = OURS,
    **changes: Any,
) -> StoredTokenSecret:
    """A token Secret as it should be for a credential and a spec; further arguments change what is stored."""
    due = planned(for_, wanted)
    stored = StoredTokenSecret(
        name=due.name,
        uid=f"uid-of-{due.name}",
        resource_version="8",
        content=due.content,
        owners=owners,
        fields=due.fields,
    )
    return msgspec.structs.replace(stored, **changes)


def datasource(*, resource_version: str = "5", **changes: Any) -> Datasource:
    """A Datasource as a watch shows it; arguments change its metadata."""
    usual: dict[str, Any] = {"name": NAME, "namespace": NAMESPACE, "uid": UID, "generation": 1}
    metadata = Metadata(resource_version=resource_version, **(usual | changes))
    return Datasource(metadata=metadata, spec=raw_spec(), status=Status(observed_generation=-1))


def credential_metadata(*, resource_version: str = "7", name: str = NAME, **annotations: str | None) -> Metadata:
    """The metadata of a credential Secret; arguments are annotations by the names of `Annotation`, None drops one."""
    usual: dict[str, str | None] = {
        "datasource": name,
        "role": Role.CREDENTIAL,
        "credential_id": "credential-1",
        "fingerprint": fingerprint_of(spec()),
    }
    return Metadata(
        name=credential_secret_name(name),
        namespace=NAMESPACE,
        uid="uid-of-credential",
        resource_version=resource_version,
        annotations=_annotations(usual | annotations),
        owner_references=OURS,
    )


def token_secret_metadata(
    name: str = f"{NAME}-token",
    *,
    resource_version: str = "8",
    manager: str = FIELD_MANAGER,
    keys: tuple[str, ...] = ("access_token", "token_type", "expires_at"),
    **annotations: str | None,
) -> Metadata:
    """The metadata of a token Secret whose keys a field manager wrote."""
    usual: dict[str, str | None] = {"datasource": NAME, "role": Role.TOKEN, "content": "content-1"}
    fields: dict[str, Any] = {"f:data": {".": {}, **{f"f:{key}": {} for key in keys}}}
    return Metadata(
        name=name,
        namespace=NAMESPACE,
        uid=f"uid-of-{name}",
        resource_version=resource_version,
        annotations=_annotations(usual | annotations),
        owner_references=OURS,
        managed_fields=(ManagedFields(manager=manager, operation="Apply", fields_v1=fields),),
    )


def _annotations(values: Mapping[str, str | None]) -> dict[str, str]:
    return {Annotation[name.upper()]: value for name, value in values.items() if value is not None}


def a_flow(**changes: Any) -> Flow:
    """An authorization under way; `changes` are what matters of it."""
    least: dict[str, Any] = {
        "namespace": "shop",
        "name": "calendar",
        "uid": "uid",
        "parameters_hash": "",
        "replaces": "",
        "state_hash": "",
        "cookie_hash": "",
        "ticket_hash": "",
        "redirect_uri": "",
        "created_at": NOW,
        "expires_at": NOW + timedelta(minutes=10),
        "code_verifier": None,
        "nonce": None,
        "done_id": "",
    }
    return Flow(**(least | changes))
