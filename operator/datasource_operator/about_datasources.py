"""What the metrics show of one Datasource, from the cache. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from datasource.api.clock import parse_rfc3339
from datasource.api.durations import parse_duration
from datasource.api.objects import Datasource, Status
from datasource.api.states import GRANT_EXPIRING, MEANING, Reason, State
from datasource.records.contents import Contents, StoredCredential
from datasource.records.credential import CredentialFacts, Unreadable
from datasource.records.grant import GrantEnd
from datasource.records.schedule import refresh_due

OVERDUE_AFTER = timedelta(minutes=1)
"""How late a refresh is before it counts as overdue. Without problems it is done within seconds."""

TOKEN_IS_OWED = frozenset(
    {reason.value for reason, meaning in MEANING.items() if meaning.state is State.AUTHORIZED or meaning.takes_away}
    | {Reason.CLIENT_REJECTED, Reason.CREDENTIAL_UNREADABLE, Reason.SECRETS_FORBIDDEN}
)
"""Reasons with which apps of an authorized Datasource expect a valid token.

With the others, a person cleared the credential or changed the spec.
"""

UNSEEN = ("unseen", "Unseen")
"""State and reason of a Datasource that was never reconciled."""


@dataclass(frozen=True, slots=True)
class About:
    """What the metrics show of one Datasource."""

    state: str
    reason: str
    expires_at: datetime | None
    due_at: datetime | None
    is_overdue: bool
    grant_ends_at: datetime | None
    is_grant_expiring: bool
    person_needed_for: float | None
    """For how many seconds the Datasource has needed a person; None: it needs none."""
    is_suspended: bool
    is_token_owed: bool
    """Whether apps expect a valid token: a person authorized, and no person took that back."""
    is_token_valid: bool
    """Whether apps have a valid token."""

    @staticmethod
    def of(datasource: Datasource, credential: Contents | None, *, first_seen: datetime, now: datetime) -> "About":
        status = datasource.status
        ready = status.condition("Ready")
        state, reason = UNSEEN if status.state is None or ready is None else (status.state, ready.reason)
        is_suspended = datasource.spec.get("suspend") is True
        facts = credential.facts if isinstance(credential, StoredCredential) and state == State.AUTHORIZED else None
        due_at = None if facts is None or is_suspended else _due_at(datasource, facts, first_seen)
        waits = state == State.NOT_AUTHORIZED and status.authorization_link is not None and ready is not None
        return About(
            state=state,
            reason=reason,
            expires_at=None if facts is None else facts.expires_at,
            due_at=due_at,
            is_overdue=due_at is not None and now - due_at > OVERDUE_AFTER,
            grant_ends_at=None if facts is None else _grant_ends_at(status),
            is_grant_expiring=status.condition(GRANT_EXPIRING) is not None,
            person_needed_for=_seconds_since(ready.last_transition_time, now) if waits and ready is not None else None,
            is_suspended=is_suspended,
            is_token_owed=isinstance(credential, StoredCredential | Unreadable)
            and reason in TOKEN_IS_OWED
            and not is_suspended,
            is_token_valid=facts is not None and (facts.expires_at is None or facts.expires_at > now),
        )


def _due_at(datasource: Datasource, facts: CredentialFacts, first_seen: datetime) -> datetime | None:
    refresh_before = datasource.spec.get("refreshBefore")
    before = parse_duration(refresh_before) if isinstance(refresh_before, str) else None
    ends_at = _grant_ends_at(datasource.status)
    grant = None if ends_at is None else GrantEnd(ends_at, timedelta(0))
    return refresh_due(facts, refresh_before=before, first_seen=first_seen, grant=grant)


def _grant_ends_at(status: Status) -> datetime | None:
    try:
        return None if status.grant_expires_at is None else parse_rfc3339(status.grant_expires_at)
    except ValueError:
        # Another client wrote the status; it is corrected at the next look.
        return None


def _seconds_since(text: str, now: datetime) -> float:
    try:
        return max((now - parse_rfc3339(text)).total_seconds(), 0.0)
    except ValueError:
        # Another client wrote the status; it is corrected at the next look.
        return 0.0
