"""The states and reasons that users read, and what each reason means.

Source: the table of states in the design; kstatus conventions (`Reconciling` and `Stalled` exist only while True).
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class State(StrEnum):
    """`status.state`: exactly these strings."""

    AUTHORIZED = "AUTHORIZED"
    NOT_AUTHORIZED = "NOT AUTHORIZED"
    NOT_CONFIGURED = "NOT CONFIGURED"
    ERROR = "ERROR"


OPEN_THE_LINK = 'Open the link in status.authorizationLink and select "Get new credential".'
"""What messages say to whoever reads them in a status, and no page need say to whoever came by that link."""


class Reason(StrEnum):
    """The reason of the `Ready` condition."""

    AUTHORIZED = "Authorized"
    REFRESH_FAILING = "RefreshFailing"

    AUTHORIZATION_REQUIRED = "AuthorizationRequired"
    CREDENTIAL_CLEARED = "CredentialCleared"
    PARAMETERS_CHANGED = "ParametersChanged"
    GRANT_REVOKED = "GrantRevoked"
    TOKEN_EXPIRED = "TokenExpired"  # noqa: S105 - a reason, not a token
    REFRESH_INTERRUPTED = "RefreshInterrupted"

    OAUTH2_MISSING = "OAuth2Missing"
    PARAMETERS_INCOMPLETE = "ParametersIncomplete"
    CLIENT_SECRET_NOT_FOUND = "ClientSecretNotFound"  # noqa: S105 - a reason, not a secret

    SECRET_CONFLICT = "SecretConflict"  # noqa: S105 - a reason, not a secret
    CREDENTIAL_UNREADABLE = "CredentialUnreadable"
    CLIENT_REJECTED = "ClientRejected"
    INVALID_CONFIGURATION = "InvalidConfiguration"
    SECRETS_FORBIDDEN = "SecretsForbidden"


PROVIDER_REACHABLE = "ProviderReachable"
"""The type of the condition that says whether the operator's pod can connect to the provider. It changes no state."""


IMPORTED = "Imported"
"""The type of a condition that is there, and False, as long as a refresh token that somebody brought waits or was refused."""


class ImportReason(StrEnum):
    """Why an import Secret still stands; the reason of the condition Imported."""

    WAITING = "Waiting"
    """It is taken over as soon as something else is mended."""
    BEING_TRIED = "BeingTried"
    """It was taken over; the provider has not answered yet."""
    INVALID = "Invalid"
    CREDENTIAL_EXISTS = "CredentialExists"
    REFUSED = "Refused"
    """The provider does not take it."""


IMPORT_REFUSALS = frozenset({ImportReason.INVALID, ImportReason.CREDENTIAL_EXISTS, ImportReason.REFUSED})
"""Somebody has to do something about these."""


ACCEPTED = "Accepted"
"""The type of the condition that says whether the service takes the access token (spec.probe). It changes no state."""


class Progress(Enum):
    """What kstatus should make of a Datasource that is not ready."""

    WAITING = auto()
    """For a person: neither stalled nor reconciling."""
    RECONCILING = auto()
    """Heals by itself, the operator keeps trying."""
    STALLED = auto()
    """Stays so until somebody changes something."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason says about state and progress."""

    state: State
    progress: Progress = Progress.WAITING
    takes_away: bool = False
    """Whether it takes a token from apps, or keeps one from them, and nobody asked for that."""

    @property
    def is_warning(self) -> bool:
        """Whether an Event that tells of it is a Warning (Kubernetes convention: somebody may have to act)."""
        return self.takes_away or self.state is State.ERROR


MEANING: dict[Reason, Meaning] = {
    Reason.AUTHORIZED: Meaning(State.AUTHORIZED),
    Reason.REFRESH_FAILING: Meaning(State.AUTHORIZED, Progress.RECONCILING, takes_away=True),
    Reason.AUTHORIZATION_REQUIRED: Meaning(State.NOT_AUTHORIZED),
    Reason.CREDENTIAL_CLEARED: Meaning(State.NOT_AUTHORIZED),
    Reason.PARAMETERS_CHANGED: Meaning(State.NOT_AUTHORIZED),
    Reason.GRANT_REVOKED: Meaning(State.NOT_AUTHORIZED, takes_away=True),
    Reason.TOKEN_EXPIRED: Meaning(State.NOT_AUTHORIZED, takes_away=True),
    Reason.REFRESH_INTERRUPTED: Meaning(State.NOT_AUTHORIZED, takes_away=True),
    Reason.OAUTH2_MISSING: Meaning(State.NOT_CONFIGURED, Progress.STALLED),
    Reason.PARAMETERS_INCOMPLETE: Meaning(State.NOT_CONFIGURED, Progress.STALLED),
    Reason.CLIENT_SECRET_NOT_FOUND: Meaning(State.NOT_CONFIGURED, Progress.RECONCILING, takes_away=True),
    Reason.SECRET_CONFLICT: Meaning(State.ERROR, Progress.STALLED),
    Reason.CREDENTIAL_UNREADABLE: Meaning(State.ERROR),
    Reason.CLIENT_REJECTED: Meaning(State.ERROR, Progress.STALLED),
    Reason.INVALID_CONFIGURATION: Meaning(State.ERROR, Progress.STALLED),
    Reason.SECRETS_FORBIDDEN: Meaning(State.ERROR, Progress.RECONCILING),
}

GRANT_EXPIRING = "GrantExpiring"
"""The grant behind a credential ends soon: the type of a condition, there only while True, and the reason of its Events."""
