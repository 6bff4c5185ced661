"""The credential Secret `<name>-oauth2-credential`: tokens in its data, facts in its annotations.

Annotations schedule, data authorizes. The operator watches metadata only, so what it plans with are the facts; before a
token is sent or handed out the data is read, and tokens go only to the endpoints recorded there. Both are always written in
one request, so they never disagree unless somebody edited them.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from datasource.api.clock import parse_rfc3339
from datasource.api.names import Annotation, Role, credential_secret_name
from datasource.api.objects import Metadata, OwnerReference, Secret
from datasource.api.requests import HandledSet
from datasource.api.states import Reason
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.outbound.json_text import read_json
from datasource.records.import_secret import ImportedFrom
from datasource.records.intent import Intent
from datasource.records.kept_facts import LONGEST_FACT, key_of_too_long, scopes_in, shown_in
from datasource.records.lenient_facts import (
    authorized_at_in,
    history_in,
    identity_check_in,
    page_request_in,
    promised_in,
)
from datasource.records.page_request import PageRequest


class Unreadable(msgspec.Struct, frozen=True):
    """A Secret of ours does not say what it should. It may be kept; an exception may not, its traceback leads to tokens."""

    what: str
    """Names the annotation or key, never its value."""
    handled: HandledSet | None = None
    """The requests already acted on; None where that cannot be read either."""
    owners: tuple[OwnerReference, ...] = ()

    def advice(self, datasource_name: str) -> str:
        """What a person reads."""
        secret = credential_secret_name(datasource_name)
        return f"The credential Secret {secret} cannot be read: {self.what}. Restore it, or delete it and get a new credential."


class UnreadableCredential(Exception):
    """The same, for whoever cannot go on; caught at the next edge and never kept."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.unreadable = Unreadable(what)


class CredentialFacts(msgspec.Struct, frozen=True):
    """What the annotations of a credential Secret say of the tokens in it."""

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
    intent: Intent | None = None
    stored_by: str | None = None
    """The ID of the intent whose reply this revision is; None for the first."""
    verdict: Reason | None = None
    """Why the refresh token is never sent again."""
    verdict_message: str | None = None
    """The same in the provider's words."""
    told_lifetime: timedelta | None = None
    """How long an access token lasts, as the provider told it last; None where it never did."""
    expiry_hint: datetime | None = None
    """Where no lifetime is known: when to refresh at the latest."""
    grant_expires_at: datetime | None = None
    """When the refresh token runs out, where the provider tells."""
    grant_lifetime: timedelta | None = None
    """How long the grant lasts in whole by what was told of that end (datasource.records.grant)."""
    identity_problem: str | None = None
    """Why it is not known who authorized, although the provider sent an id_token."""
    identity_checked: str | None = None
    """Hash of the expectedIdentity that the stored identity was compared with; None: with none."""
    identity_fits: bool = False
    """What came of it."""
    is_revocable: bool = False
    """Whether a revocation endpoint was known when the tokens were obtained."""
    authorized_at: datetime | None = None
    """When a person got it; refreshes leave it. None: v0.1.0 stored it."""
    promised: ProviderMetadata | None = None
    """What the issuer's metadata promised when the credential was obtained: it holds while the document is out of reach."""
    page_request: PageRequest | None = None
    """What somebody asked for at a page, of this very credential."""
    history: str | None = None
    """The ID of the last entry of the history in the data: whoever has that entry needs to read none."""
    imported: ImportedFrom | None = None
    """Whose refresh token somebody brought along; None where a person authorized."""

    @property
    def is_unproven(self) -> bool:
        """Whether nobody knows yet if the provider takes the refresh token: apps get nothing of it."""
        return self.imported is not None and self.refreshed_at is None

    @property
    def was_never_sent(self) -> bool:
        """Whether it is an import whose refresh token stands as it came: nothing of it was used up."""
        return self.is_unproven and self.revision == 1 and self.intent is None


class TombstoneFacts(msgspec.Struct, frozen=True):
    """What the annotations of a credential Secret say where it holds no credential any more, or never did."""

    credential_id: str
    """As a credential has one: a link is bound to what it would replace, and that may be a tombstone."""
    reason: Reason
    """Why: CredentialCleared, or AuthorizationRequired where there was nothing to clear."""
    replaces: str = ""
    handled: HandledSet = HandledSet()
    ticket_hash: str | None = None
    revoke_until: datetime | None = None
    """Where it keeps a token to be revoked: when to give that up."""
    promised: ProviderMetadata | None = None
    """As that of the credential that was cleared."""
    history: str | None = None
    """As that of a credential."""
    imported: ImportedFrom | None = None
    """The same: what was cleared is not taken from there once more."""


Facts = CredentialFacts | TombstoneFacts
"""What the annotations of a credential Secret say, where they can be read."""


class CredentialData(msgspec.Struct, frozen=True, rename="lower"):
    """The data of a credential Secret. Endpoints are those the tokens were obtained with."""

    access_token: str
    token_type: str
    token_endpoint: str
    fingerprint: str
    client_id: str
    refresh_token: str | None = None
    revocation_endpoint: str | None = None
    client_parameters: str | None = None
    """How the client authenticates (datasource.records.effective.recorded_client)."""
    client_secret: str | None = None
    """Only while `spec.deletionPolicy` is Revoke: the one the tokens were last obtained with. Whoever deletes a namespace
    deletes the user's own Secret with it, and nobody could authenticate to revoke then."""
    ca_bundle: str | None = None
    """In the same way: what the revocation endpoint is trusted by beside the certificate authorities of the system."""
    token_headers: str | None = None
    """In the same way: the headers of the request, values from Secrets included, as a JSON object of texts."""
    identity: str | None = None
    """Verified claims of who authorized, as JSON; None where no issuer vouched for them."""
    refresh_endpoint: str | None = None
    """Where it is not the token endpoint."""
    redirect_uri: str | None = None
    """Where the code was sent to."""
    captured: str | None = None
    """What else of the provider's answers is kept: a JSON object of texts."""

    @property
    def captured_fields(self) -> Mapping[str, str]:
        """The captured fields by name."""
        return {} if self.captured is None else read_json(self.captured, dict[str, str])

    def with_captured(self, fields: Mapping[str, str]) -> "CredentialData":
        """The same with further captured fields; a provider does not tell every one each time.

        What was told earlier stays as long as there is room: each edit of the spec may name others, and a Secret that is full
        could not be written any more.
        """
        kept = dict(fields)
        room = LARGEST_CAPTURED - sum(map(_size, kept.items()))
        for field in self.captured_fields.items():
            if field[0] not in kept and _size(field) <= room:
                kept[field[0]] = field[1]
                room -= _size(field)
        return msgspec.structs.replace(
            self, captured=msgspec.json.encode(kept, order="sorted").decode() if kept else None
        )

    def __repr__(self) -> str:
        return f"CredentialData(token_endpoint={self.token_endpoint!r}, ...)"


T = TypeVar("T")

LARGEST_CAPTURED = 288 * 1024
"""Bytes of captured fields that are kept: more than all that one spec can name."""

_WHOLE_SECONDS = re.compile("[1-9][0-9]{0,8}")

_DATA_KEYS = CredentialData.__struct_fields__


def read_facts(annotations: Mapping[str, str]) -> Facts:
    """Read a credential Secret's annotations.

    Raises:
        UnreadableCredential: somebody altered them.
    """
    longer = key_of_too_long(annotations)
    if longer is not None:
        raise UnreadableCredential(f"annotation {longer} is longer than {LONGEST_FACT} characters")
    credential_id = annotations.get(Annotation.CREDENTIAL_ID)
    if not credential_id:
        raise UnreadableCredential(f"annotation {Annotation.CREDENTIAL_ID} is missing")
    reason = _parsed(annotations, Annotation.TOMBSTONE, Reason)
    if reason is not None:
        return _tombstone_facts(credential_id, reason, annotations)
    return _credential_facts(credential_id, annotations)


def handled_in(annotations: Mapping[str, str]) -> HandledSet | None:
    """The requests already acted on, however readable the rest is; None where that cannot be read."""
    try:
        return _handled(annotations)
    except UnreadableCredential:
        return None


def read_data(secret: Secret) -> CredentialData:
    """Read a credential Secret's data.

    Raises:
        UnreadableCredential: a key is missing or is not text.
    """
    try:
        data = msgspec.convert(data_values(secret), CredentialData)
    except msgspec.ValidationError as error:
        raise UnreadableCredential(f"data: {error}") from None
    try:
        _ = data.captured_fields
    except msgspec.MsgspecError:
        raise UnreadableCredential("data key captured is no JSON object of texts") from None
    return data


def data_values(secret: Secret) -> dict[str, str]:
    """The keys of ours in a Secret, as text.

    Raises:
        UnreadableCredential: one is not text.
    """
    values: dict[str, str] = {}
    for key in _DATA_KEYS:
        try:
            value = secret.value(key)
        except ValueError:
            raise UnreadableCredential(f"data key {key} is not UTF-8 text in base64") from None
        if value is not None:
            values[key] = value
    return values


def is_ours(metadata: Metadata, datasource_name: str, role: Role) -> bool:
    """Whether a Secret of one of our types is the one of that Datasource in that role."""
    annotations = metadata.annotations
    return annotations.get(Annotation.DATASOURCE) == datasource_name and annotations.get(Annotation.ROLE) == role


def _size(field: tuple[str, str]) -> int:
    return sum(len(text.encode()) for text in field)


def _tombstone_facts(credential_id: str, reason: Reason, annotations: Mapping[str, str]) -> TombstoneFacts:
    return TombstoneFacts(
        credential_id=credential_id,
        reason=reason,
        replaces=annotations.get(Annotation.REPLACES, ""),
        handled=_handled(annotations),
        ticket_hash=annotations.get(Annotation.TICKET_HASH),
        revoke_until=_parsed(annotations, Annotation.REVOKE_UNTIL, parse_rfc3339),
        promised=promised_in(annotations),
        history=history_in(annotations),
        imported=_parsed(annotations, Annotation.IMPORTED, ImportedFrom.decode),
    )


def _credential_facts(credential_id: str, annotations: Mapping[str, str]) -> CredentialFacts:
    fingerprint = annotations.get(Annotation.FINGERPRINT)
    if not fingerprint:
        raise UnreadableCredential(f"annotation {Annotation.FINGERPRINT} is missing")
    identity_checked, verdict = identity_check_in(annotations)
    return CredentialFacts(
        credential_id=credential_id,
        revision=_parsed(annotations, Annotation.REVISION, int) or 1,
        replaces=annotations.get(Annotation.REPLACES, ""),
        fingerprint=fingerprint,
        requested_scopes=scopes_in(annotations, Annotation.REQUESTED_SCOPES),
        granted_scopes=scopes_in(annotations, Annotation.GRANTED_SCOPES),
        expires_at=_parsed(annotations, Annotation.EXPIRES_AT, parse_rfc3339),
        refreshed_at=_parsed(annotations, Annotation.REFRESHED_AT, parse_rfc3339),
        has_refresh_token=Annotation.HAS_REFRESH_TOKEN in annotations,
        authorized_as=shown_in(annotations, Annotation.AUTHORIZED_AS),
        ticket_hash=annotations.get(Annotation.TICKET_HASH),
        handled=_handled(annotations),
        intent=_parsed(annotations, Annotation.INTENT, Intent.decode),
        stored_by=annotations.get(Annotation.STORED_BY),
        verdict=_parsed(annotations, Annotation.VERDICT, Reason),
        verdict_message=shown_in(annotations, Annotation.VERDICT_MESSAGE),
        told_lifetime=_parsed(annotations, Annotation.TOLD_LIFETIME, _seconds),
        expiry_hint=_parsed(annotations, Annotation.EXPIRY_HINT, parse_rfc3339),
        grant_expires_at=_parsed(annotations, Annotation.GRANT_EXPIRES_AT, parse_rfc3339),
        grant_lifetime=_parsed(annotations, Annotation.GRANT_LIFETIME, _seconds),
        identity_problem=shown_in(annotations, Annotation.IDENTITY_PROBLEM),
        identity_checked=identity_checked,
        identity_fits=verdict == "fits",
        is_revocable=Annotation.REVOCABLE in annotations,
        authorized_at=authorized_at_in(annotations),
        promised=promised_in(annotations),
        page_request=page_request_in(annotations, credential_id),
        history=history_in(annotations),
        imported=_parsed(annotations, Annotation.IMPORTED, ImportedFrom.decode),
    )


def _handled(annotations: Mapping[str, str]) -> HandledSet:
    return _parsed(annotations, Annotation.HANDLED, HandledSet.decode) or HandledSet()


def _seconds(text: str) -> timedelta:
    if not _WHOLE_SECONDS.fullmatch(text):
        raise ValueError(text)
    return timedelta(seconds=int(text))


def _parsed(annotations: Mapping[str, str], key: Annotation, parse: Callable[[str], T]) -> T | None:
    text = annotations.get(key)
    if text is None:
        return None
    try:
        return parse(text)
    except (ValueError, msgspec.MsgspecError):
        raise UnreadableCredential(f"annotation {key} cannot be read") from None
