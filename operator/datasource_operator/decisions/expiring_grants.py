"""Whether the grant of a credential ends soon, and the message about that. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from datasource.api.clock import rfc3339
from datasource.api.durations import parse_duration
from datasource.api.spec import OAuth2, Spec
from datasource.oauth2.lifetimes import LONGEST_LIFETIME
from datasource.records.credential import CredentialFacts
from datasource.records.grant import GrantEnd, Nearness, grant_ends, near_end, nearness
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.once import once
from datasource_operator.decisions.predicates import usable_credential


@dataclass(frozen=True, slots=True)
class Expiring:
    """A grant that ends soon."""

    end: GrantEnd
    nearness: Nearness
    message: str


def ends_of(facts: CredentialFacts, oauth2: OAuth2 | None) -> tuple[GrantEnd, ...]:
    """The known ends of a grant, the earliest first. They follow from its facts, the spec and the preset."""
    whole = OAuth2() if oauth2 is None else oauth2.expanded()
    return grant_ends(facts, lifetime=_read(whole.grant_lifetime), idle=_read(whole.grant_idle_lifetime))


@once
def ends_of_grant(seen: Observed) -> tuple[GrantEnd, ...]:
    """The known ends of the grant in use, the earliest first; empty where no credential is in use."""
    usable = usable_credential(seen)
    return () if usable is None else ends_of(usable.facts, seen.oauth2)


def told_end_of_grant(seen: Observed) -> GrantEnd | None:
    """The end that the status shows: the first one that is near, else the earliest. None where none is known."""
    ends = ends_of_grant(seen)
    return near_end(ends, seen.now) or next(iter(ends), None)


@once
def expiring_grant(seen: Observed) -> Expiring | None:
    """The grant in use, if its end is near; else None."""
    end = near_end(ends_of_grant(seen), seen.now)
    near = None if end is None else nearness(end, seen.now)
    if end is None or near is None:
        return None
    return Expiring(
        end, near, f"The grant ends at {rfc3339(end.at)}{_why(seen)}. {_what_to_do(seen)}{_whom_to_ask(seen)}"
    )


def _why(seen: Observed) -> str:
    if seen.is_suspended:
        return ", and while spec.suspend is true nothing is refreshed that may move that"
    if seen.trouble is not None:
        return ", unless a refresh moves that, and refreshing fails"
    return ", and refreshing does not move that"


def _what_to_do(seen: Observed) -> str:
    if seen.is_suspended:
        return "Set spec.suspend to false in time."
    return "Open status.authorizationLink to get a new credential before; the old one works until then."


def _whom_to_ask(seen: Observed) -> str:
    """Sentences about the people to ask. Unless the spec names an expected identity, another person may authorize, too."""
    facts = seen.facts
    last = None if facts is None else facts.authorized_as
    contact = seen.spec.display.contact if isinstance(seen.spec, Spec) else ""
    anybody = seen.oauth2 is None or not seen.oauth2.expected_identity
    said = f" {last} authorized last{'; another person may do it' if anybody else ''}." if last else ""
    return f"{said} Whom to ask: {contact}." if contact else said


def _read(text: str | None) -> timedelta | None:
    duration = parse_duration(text)
    return None if duration is None else min(duration, LONGEST_LIFETIME)
