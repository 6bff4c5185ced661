"""The vocabulary of steps: what `policy.next_step` may answer. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from datasource.api.requests import HandledSet
from datasource.api.secret_metadata import SecretMetadata
from datasource.records.contents import Readable, StoredCredential
from datasource.records.credential import Unreadable
from datasource.records.import_secret import ImportSecret
from datasource.records.token_secret import StoredTokenSecret, TokenSecretPlan
from datasource_operator.decisions.observed import BY_ANNOTATION, Asked, Finding


@dataclass(frozen=True, slots=True)
class Nothing:
    """The Datasource is going away; its Secrets follow by the garbage collector."""


@dataclass(frozen=True, slots=True)
class ReadLive:
    """Caches lag: read credential Secret and Datasource live before what comes next."""


@dataclass(frozen=True, slots=True)
class LookAround:
    """See whether the client Secret is usable and no foreign Secret has our names."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Become the owner of a restored credential Secret."""

    credential: Readable


@dataclass(frozen=True, slots=True)
class Clear:
    """Rewrite the credential Secret to a tombstone; create one where there is none, so that the request stays handled."""

    credential: Readable | Unreadable | None
    handled: HandledSet
    asked: Asked = BY_ANNOTATION


@dataclass(frozen=True, slots=True)
class MarkHandled:
    """A refresh was asked for, and there is no refresh token: remember that the request was seen."""

    credential: Readable
    handled: HandledSet
    result: str
    """Why nothing came of it."""
    asked: Asked = BY_ANNOTATION


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """Read what people did: the status does not tell the last of it."""


@dataclass(frozen=True, slots=True)
class CompareIdentity:
    """Compare who authorized with an expectedIdentity that was written since."""

    credential: StoredCredential
    expected: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Hold:
    """Put our finalizer on the credential Secret, with what it takes to revoke its tokens once the Datasource is gone."""

    credential: StoredCredential


@dataclass(frozen=True, slots=True)
class Release:
    """Take our finalizer off the credential Secret, and nobody else's."""

    credential: Readable


@dataclass(frozen=True, slots=True)
class Relabel:
    """Bring labels and annotations of the credential Secret to what the template says by now."""

    credential: Readable
    template: SecretMetadata


@dataclass(frozen=True, slots=True)
class LookAtImport:
    """Read what an import Secret brings: watches show its metadata alone."""

    secret: ImportSecret


@dataclass(frozen=True, slots=True)
class TakeImport:
    """Store the refresh token of an import Secret as a credential that is to be proved. It is sent after that, not before."""

    secret: ImportSecret
    token_hash: str
    replaced: Readable | None
    keeps_access_token: bool
    """Whether apps still have one that works."""


@dataclass(frozen=True, slots=True)
class DeleteImport:
    """Delete an import Secret whose refresh token was taken over."""

    secret: ImportSecret


@dataclass(frozen=True, slots=True)
class WriteTokenSecret:
    """Bring the token Secret to what it should be."""

    plan: TokenSecretPlan
    credential: StoredCredential
    stored: StoredTokenSecret | None


@dataclass(frozen=True, slots=True)
class LookForTokenSecret:
    """See whether a token Secret stands that no watch shows: somebody may have taken our label off."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteTokenSecret:
    """Take a token Secret away: its token must not be used any more, or it stands under another name now."""

    stored: StoredTokenSecret


@dataclass(frozen=True, slots=True)
class Settle:
    """Nothing is left to do but to say so, and perhaps to refresh meanwhile: that takes longer than a step may."""

    finding: Finding
    wake_at: datetime | None = None
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
