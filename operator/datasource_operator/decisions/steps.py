"""The vocabulary of steps: what `policy.next_step` may answer. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from datasource.api.requests import HandledSet
from datasource.api.secret_metadata import SecretMetadata
from datasource.records.contents import Readable, StoredCredential
from datasource.records.credential import Unreadable
from datasource.records.import_secret import ImportSecret
from datasource.records.stored_token_secret import StoredTokenSecret
from datasource.records.token_secret import TokenSecretPlan
from datasource_operator.decisions.observed import BY_ANNOTATION, Asked, Finding


@dataclass(frozen=True, slots=True)
class Nothing:
    """The Datasource is being deleted. The garbage collector deletes its Secrets."""


@dataclass(frozen=True, slots=True)
class ReadLive:
    """Read the credential Secret and the Datasource live, because a cache may lag. Destructive steps come after that."""


@dataclass(frozen=True, slots=True)
class LookAround:
    """Read the surroundings: whether the client Secret is usable, and no foreign Secret has a name that we need."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Set the owner reference on a restored credential Secret."""

    credential: Readable


@dataclass(frozen=True, slots=True)
class Clear:
    """Replace the credential by a tombstone. Where there is no Secret, create one: it remembers the handled request."""

    credential: Readable | Unreadable | None
    handled: HandledSet
    asked: Asked = BY_ANNOTATION


@dataclass(frozen=True, slots=True)
class MarkHandled:
    """Mark a requested refresh as handled, because there is no refresh token."""

    credential: Readable
    handled: HandledSet
    result: str
    """Why it was not refreshed, for the history."""
    asked: Asked = BY_ANNOTATION


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """Read the history from the credential Secret, because the status lacks its last entry."""


@dataclass(frozen=True, slots=True)
class CompareIdentity:
    """Compare the account that authorized with an expectedIdentity that was written later."""

    credential: StoredCredential
    expected: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Hold:
    """Put our finalizer on the credential Secret, and record what a revocation needs after the Datasource is deleted."""

    credential: StoredCredential


@dataclass(frozen=True, slots=True)
class Release:
    """Remove our finalizer, and no other, from the credential Secret."""

    credential: Readable


@dataclass(frozen=True, slots=True)
class Relabel:
    """Set the labels and annotations of the credential Secret as the template says."""

    credential: Readable
    template: SecretMetadata


@dataclass(frozen=True, slots=True)
class LookAtImport:
    """Read the data of an import Secret. The watch shows only its metadata."""

    secret: ImportSecret


@dataclass(frozen=True, slots=True)
class TakeImport:
    """Store the refresh token of an import Secret as an unproven credential. It is sent only after it is stored."""

    secret: ImportSecret
    token_hash: str
    replaced: Readable | None
    keeps_access_token: bool
    """Whether apps keep an access token that has not expired."""


@dataclass(frozen=True, slots=True)
class DeleteImport:
    """Delete an import Secret whose refresh token is stored as a credential."""

    secret: ImportSecret


@dataclass(frozen=True, slots=True)
class WriteTokenSecret:
    """Create or update the token Secret as planned."""

    plan: TokenSecretPlan
    credential: StoredCredential
    stored: StoredTokenSecret | None


@dataclass(frozen=True, slots=True)
class LookForTokenSecret:
    """Read a Secret live to see whether it is a token Secret that no watch shows, because its label was removed."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteTokenSecret:
    """Delete a token Secret, because its token must not be used any more or is in a Secret of another name now."""

    stored: StoredTokenSecret


@dataclass(frozen=True, slots=True)
class Settle:
    """No step is left: write the status, and start a refresh if one is wanted. A refresh takes longer than a step may."""

    finding: Finding
    wake_at: datetime | None = None
    """The next time at which something changes without any event."""
    refresh: bool = False


Step = (
    Nothing
    | ReadLive
    | LookAround
    | Adopt
    | Clear
    | MarkHandled
    | ReadHistory
    | CompareIdentity
    | Hold
    | Release
    | Relabel
    | LookAtImport
    | TakeImport
    | DeleteImport
    | WriteTokenSecret
    | LookForTokenSecret
    | DeleteTokenSecret
    | Settle
)
