"""When to come again, and when to refresh. Pure: decided here and nowhere else."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from datasource.api.durations import parse_duration
from datasource.api.spec import OAuth2, Spec
from datasource.api.states import State
from datasource.outbound.provider import provider_of
from datasource.records.credential import CredentialFacts
from datasource.records.grant import next_step_towards
from datasource.records.intent import TokenLife
from datasource.records.schedule import age_begins, age_when_due
from datasource_operator.decisions.expiring_grants import ends_of_grant
from datasource_operator.decisions.observed import Finding, Observed, Trouble
from datasource_operator.decisions.once import once
from datasource_operator.decisions.predicates import (
    is_usable,
    late_at,
    outlives_its_grant,
)
from datasource_operator.decisions.steps import Settle

WAITING_RECHECK = timedelta(minutes=10)
"""How often the surroundings of a Datasource that waits for a person are read again."""

FORBIDDEN_RECHECK = timedelta(minutes=1)
"""How soon to try again where the operator lacks rights."""

ASKED_PAUSE = timedelta(minutes=1)
"""The shortest pause after a failure, also where a person requests a refresh."""

LONGEST_WAIT = timedelta(minutes=15)
"""The longest time until the next reconciliation: a clock may be changed, and a sleeping machine counts no time."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh that is wanted now."""

    provider: str
    """The provider at the token endpoint (datasource.outbound.provider)."""
    is_urgent: bool
    """Whether a person or an app requested it."""


@dataclass(frozen=True, slots=True)
class Comeback:
    """What follows a reconciliation: when to reconcile again, which Secret to watch, and what to refresh."""

    wake_after: timedelta | None = None
    """The time until the state changes without any event, such as the expiry of a token."""
    recheck_after: timedelta | None = None
    """About how long until the surroundings are read again."""
    watched_secret: str | None = None
    """The name of the Secret whose change may remove the problem."""
    refresh: Refresh | None = None
    """The refresh to start now."""


def refresh_is_wanted(seen: Observed) -> bool:
    """Whether to send the refresh token now: a refresh is due or was requested, and no pause after a failure is left."""
    facts = seen.facts
    if facts is None or not is_usable(facts, seen) or not isinstance(seen.spec, Spec):
        return False
    if not facts.has_refresh_token or seen.spec.suspend:
        return False
    if seen.trouble is not None:
        return _try_again_at(seen.trouble, seen) <= seen.now
    due = _due_at(facts, seen.spec, seen)
    is_asked_for = seen.asked_refresh is not None or seen.probed.wants_refresh
    return is_asked_for or (due is not None and due <= seen.now)


def wake_at(seen: Observed, finding: Finding) -> datetime | None:
    """The next time at which the finding or the next step changes without any event; None: there is none."""
    facts = seen.facts
    if facts is None:
        return None
    times: list[datetime | None] = []
    if isinstance(seen.spec, Spec) and is_usable(facts, seen) and not seen.spec.suspend:
        times.append(_due_at(facts, seen.spec, seen) if seen.trouble is None else _try_again_at(seen.trouble, seen))
        times.append(late_at(facts, seen))
    times += [next_step_towards(end, seen.now) for end in ends_of_grant(seen)]
    if finding.state is State.AUTHORIZED or outlives_its_grant(facts, seen) or seen.template_problem is not None:
        times.append(facts.expires_at)
    return min((time for time in times if time is not None and time > seen.now), default=None)


def next_refresh(seen: Observed) -> datetime | None:
    """When the next refresh is planned; None where none is. It counts from when the credential was stored, by that clock."""
    facts = seen.facts
    if facts is None or not is_usable(facts, seen) or not isinstance(seen.spec, Spec) or seen.spec.suspend:
        return None
    return _due_at(facts, seen.spec, seen, first_seen=facts.refreshed_at)


def token_life(facts: CredentialFacts, now: datetime) -> TokenLife | None:
    """The remaining and the whole lifetime of the access token; None where its expiry is not known."""
    if facts.expires_at is None or facts.refreshed_at is None:
        return None
    return TokenLife(left=facts.expires_at - now, whole=facts.expires_at - facts.refreshed_at)


def comeback(seen: Observed, settled: Settle) -> Comeback:
    """What follows after a Datasource has settled."""
    problem = None if seen.surroundings is None else seen.surroundings.problem
    watched = None if seen.surroundings is None or problem is None else seen.surroundings.watched_secret
    if watched is None and seen.trouble is not None:
        watched = seen.trouble.watched_secret
    recheck_after = None
    if problem is not None or settled.finding.needs_person:
        recheck_after = FORBIDDEN_RECHECK if problem is not None and watched is None else WAITING_RECHECK
    waits = [] if settled.wake_at is None else [max(settled.wake_at - seen.now, timedelta(0))]
    waits += [] if seen.probed.next_look is None else [seen.probed.next_look]
    return Comeback(
        wake_after=min((*waits, LONGEST_WAIT)) if waits else None,
        recheck_after=recheck_after,
        watched_secret=watched,
        refresh=_refresh(seen) if settled.refresh else None,
    )


def refresh_meanwhile(seen: Observed) -> Comeback | None:
    """What follows where the token Secret cannot be written or deleted: the refresh that is wanted now; None: there is none."""
    return Comeback(refresh=_refresh(seen)) if refresh_is_wanted(seen) else None


def _due_at(
    facts: CredentialFacts, spec: Spec, seen: Observed, *, first_seen: datetime | None = None
) -> datetime | None:
    age = _age_when_due(facts, spec, seen)
    return None if age is None else age_begins(facts, first_seen or seen.first_seen or seen.now) + age


@once
def _age_when_due(facts: CredentialFacts, spec: Spec, seen: Observed) -> timedelta | None:
    default = None if seen.oauth2 is None else parse_duration(seen.oauth2.expanded().default_lifetime)
    return age_when_due(
        facts,
        refresh_before=spec.refresh_before_duration(),
        default_lifetime=default,
        grant=next(iter(ends_of_grant(seen)), None),
    )


def _try_again_at(trouble: Trouble, seen: Observed) -> datetime:
    """When the pause after a failure ends. A request that was made after the failure ends it sooner, but not within a minute.

    A person may know that the cause is gone. Requests without end must not burden the provider.
    """
    if seen.asked_refresh in {None, trouble.asked} or trouble.failed_at is None:
        return trouble.try_again_at
    return min(trouble.try_again_at, trouble.failed_at + ASKED_PAUSE)


def _refresh(seen: Observed) -> Refresh:
    return Refresh(provider=provider_for(seen), is_urgent=seen.asked_refresh is not None)


def provider_for(seen: Observed) -> str:
    """The provider at the token endpoint; empty where that is not known."""
    whole = OAuth2() if seen.oauth2 is None else seen.oauth2.expanded()
    return provider_of(whole.token_url or whole.issuer or "")
