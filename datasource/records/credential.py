"""The credential Secret `<name>-oauth2-credential`: tokens in its data, facts in its annotations.

The operator watches metadata only, so it plans with the facts. It reads the data before it sends a token or hands one out.
Tokens go only to the endpoints that the data records. New tokens and their facts are always written in one request, so they
agree unless the Secret was edited.
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
    """A Secret of ours that cannot be parsed. It may be kept in memory. An exception may not: its traceback leads to tokens."""

    what: str
    """Names the annotation or key, never its value."""
    handled: HandledSet | None = None
    """The requests that were already acted on; None where they cannot be parsed either."""
    owners: tuple[OwnerReference, ...] = ()

    def advice(self, datasource_name: str) -> str:
        """The message for people."""
        secret = credential_secret_name(datasource_name)
        return f"The credential Secret {secret} cannot be read: {self.what}. Restore it, or delete it and get a new credential."


class UnreadableCredential(Exception):
    """`Unreadable` as an exception. It is caught soon and never kept."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
        self.unreadable = Unreadable(what)


class CredentialFacts(msgspec.Struct, frozen=True):
    """What the annotations of a credential Secret say about its tokens."""

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
    """The ID of the intent whose reply is stored as this revision; None for the first revision."""
    verdict: Reason | None = None
    """Why the refresh token is never sent again; None: it may be sent."""
    verdict_message: str | None = None
    """The reason in the provider's words."""
    told_lifetime: timedelta | None = None
    """The lifetime of an access token, as the provider gave it last; None where it never did."""
    expiry_hint: datetime | None = None
    """When to refresh at the latest, where no lifetime is known. If it is equal to `refreshed_at`: refresh at once."""
    grant_expires_at: datetime | None = None
    """When the refresh token expires, where the provider says so."""
    grant_lifetime: timedelta | None = None
    """The whole lifetime of the grant up to that end (datasource.records.grant)."""
    identity_problem: str | None = None
    """Why the account that authorized is not known, although the provider sent an id_token."""
    identity_checked: str | None = None
    """Hash of the expectedIdentity that the stored identity was compared with; None: it was not compared."""
    identity_fits: bool = False
    """The result of that comparison."""
    is_revocable: bool = False
    """Whether a revocation endpoint was known when the tokens were obtained."""
    authorized_at: datetime | None = None
    """When a person authorized. Refreshes do not change it. None: v0.1.0 stored the credential."""
    promised: ProviderMetadata | None = None
    """What the issuer's metadata promised when the credential was obtained. It counts while the metadata cannot be read."""
    page_request: PageRequest | None = None
    """A clear or a refresh of this very credential that a person requested at a page."""
    history: str | None = None
    """The ID of the last history entry in the data. A process that has this entry need not read the history again."""
    imported: ImportedFrom | None = None
    """The import that the refresh token came from; None where a person authorized."""

    @property
    def is_unproven(self) -> bool:
        """Whether the refresh token was imported, and the provider has not accepted it yet. Apps get no token from it."""
        return self.imported is not None and self.refreshed_at is None

    @property
    def was_never_sent(self) -> bool:
        """Whether the refresh token was imported and never sent, so that it is not used up."""
        return self.is_unproven and self.revision == 1 and self.intent is None


class TombstoneFacts(msgspec.Struct, frozen=True):
    """What the annotations of a credential Secret say where it holds no credential."""

    credential_id: str
    """The ID of the tombstone. A link is bound to what it would replace, and that may be a tombstone."""
    reason: Reason
    """CredentialCleared, or AuthorizationRequired where there was nothing to clear."""
    replaces: str = ""
    handled: HandledSet = HandledSet()
    ticket_hash: str | None = None
    revoke_until: datetime | None = None
    """When to give up the revocation of the token that the tombstone keeps; None where it keeps none."""
    promised: ProviderMetadata | None = None
    """As in the facts of the credential that was cleared."""
    history: str | None = None
    """As in CredentialFacts."""
    imported: ImportedFrom | None = None
    """The import that was cleared. It is not imported again."""


Facts = CredentialFacts | TombstoneFacts
"""What the annotations of a credential Secret say, where they can be parsed."""


class CredentialData(msgspec.Struct, frozen=True, rename="lower"):
    """The data of a credential Secret. The endpoints are those that the tokens were obtained from."""

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
    """The client secret that the tokens were last obtained with, only while `spec.deletionPolicy` is Revoke. Deleting a
    namespace deletes the client Secret, too. Without this copy, no revocation could authenticate then."""
    ca_bundle: str | None = None
    """On the same condition: the CA bundle that the revocation endpoint is trusted by, beside the system's authorities."""
    token_headers: str | None = None
    """On the same condition: the headers of the request, with values from Secrets, as a JSON object of texts."""
    identity: str | None = None
    """Verified claims about the account that authorized, as JSON; None where no issuer vouched for them."""
    refresh_endpoint: str | None = None
    """The endpoint for refreshes; None where it is the token endpoint."""
    redirect_uri: str | None = None
    """The redirect URI that the code was sent to."""
    captured: str | None = None
    """Other fields of the provider's replies that are kept: a JSON object of texts."""

    @property
    def captured_fields(self) -> Mapping[str, str]:
        """The captured fields by name."""
        return {} if self.captured is None else read_json(self.captured, dict[str, str])

    def with_captured(self, fields: Mapping[str, str]) -> "CredentialData":
        """The same with further captured fields. Earlier ones stay, because a reply need not have every field.

        They stay as long as there is room. Each edit of the spec may name other fields, and a Secret that is full could not be
        written any more.
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
"""Bytes of captured fields that are kept. The fields that one spec can name need less."""

_WHOLE_SECONDS = re.compile("[1-9][0-9]{0,8}")

_DATA_KEYS = CredentialData.__struct_fields__


def read_facts(annotations: Mapping[str, str]) -> Facts:
    """Read a credential Secret's annotations.

    Raises:
        UnreadableCredential: they were altered.
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
    """The requests that were already acted on, even if the rest cannot be parsed; None where they cannot be parsed either."""
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
    """Our keys in the data of a Secret, as text.

    Raises:
        UnreadableCredential: a value is not text.
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
    """Whether a Secret of one of our types belongs to that Datasource in that role."""
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
