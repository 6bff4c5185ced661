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
from datasource.records.schedule import refresh_due
from datasource_operator.decisions.expiring_grants import ends_of, ends_of_grant
from datasource_operator.decisions.observed import Finding, Observed, Trouble
from datasource_operator.decisions.predicates import (
    is_usable,
    late_at,
    outlives_its_grant,
)
from datasource_operator.decisions.steps import Settle

WAITING_LOOK = timedelta(minutes=10)
"""How often the surroundings of a Datasource that waits for a person are looked at again."""

FORBIDDEN_LOOK = timedelta(minutes=1)
"""How soon to try again where the operator's rights did not reach."""


ASKED_PAUSE = timedelta(minutes=1)
"""How long a pause is at least, whoever asks for its end."""

LONGEST_WAIT = timedelta(minutes=15)
"""How long at most until the next look: a clock may be set, and a machine that sleeps counts no time."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh that is wanted now, and whether somebody asked for it."""

    provider: str
    """Whoever answers at the token endpoint (datasource.outbound.provider)."""
    is_urgent: bool


@dataclass(frozen=True, slots=True)
class Comeback:
    """What a reconciliation left: when to come again, which Secret's change may mend a problem, what to refresh."""

    wake_after: timedelta | None = None
    """When time changes what holds."""
    look_after: timedelta | None = None
    """When to look at the surroundings again, roughly."""
    watched_secret: str | None = None
    refresh: Refresh | None = None


def refresh_is_wanted(seen: Observed) -> bool:
    """Whether to send the refresh token now: it is due, or somebody asked; and the last failure is long enough ago."""
    facts = seen.facts
    if facts is None or not is_usable(facts, seen) or not isinstance(seen.spec, Spec):
        return False
    if not facts.has_refresh_token or seen.spec.suspend:
        return False
    if seen.trouble is not None:
        return _try_again_at(seen.trouble, seen) <= seen.now
    due = _due_at(facts, seen, seen.spec)
    is_asked_for = seen.asked_refresh is not None or seen.probed.wants_refresh
    return is_asked_for or (due is not None and due <= seen.now)


def wake_at(seen: Observed, finding: Finding) -> datetime | None:
    """When time alone changes what holds or what is to be done."""
    facts = seen.facts
    if facts is None:
        return None
    times: list[datetime | None] = []
    if isinstance(seen.spec, Spec) and is_usable(facts, seen) and not seen.spec.suspend:
        times.append(_due_at(facts, seen, seen.spec) if seen.trouble is None else _try_again_at(seen.trouble, seen))
        times.append(late_at(facts, seen))
    times += [next_step_towards(end, seen.now) for end in ends_of_grant(seen)]
    if finding.state is State.AUTHORIZED or outlives_its_grant(facts, seen) or seen.template_problem is not None:
        times.append(facts.expires_at)
    return min((time for time in times if time is not None and time > seen.now), default=None)


def next_refresh(seen: Observed) -> datetime | None:
    """When the refresh is planned, by the clock of whoever stored the credential; None where none will come by itself."""
    facts = seen.facts
    if facts is None or not is_usable(facts, seen) or not isinstance(seen.spec, Spec) or seen.spec.suspend:
        return None
    return _due_at(facts, seen, seen.spec, first_seen=facts.refreshed_at)


def token_life(facts: CredentialFacts, now: datetime) -> TokenLife | None:
    """How long apps still have a token that works; None where nobody knows."""
    if facts.expires_at is None or facts.refreshed_at is None:
        return None
    return TokenLife(left=facts.expires_at - now, whole=facts.expires_at - facts.refreshed_at)


def comeback(seen: Observed, settled: Settle) -> Comeback:
    """What is left to do after a Datasource has settled."""
    problem = None if seen.surroundings is None else seen.surroundings.problem
    watched = None if seen.surroundings is None or problem is None else seen.surroundings.look_again_at
    if watched is None and seen.trouble is not None:
        watched = seen.trouble.look_again_at
    look_after = None
    if problem is not None or settled.finding.needs_person:
        look_after = FORBIDDEN_LOOK if problem is not None and watched is None else WAITING_LOOK
    waits = [] if settled.wake_at is None else [max(settled.wake_at - seen.now, timedelta(0))]
    waits += [] if seen.probed.next_look is None else [seen.probed.next_look]
    return Comeback(
        wake_after=min((*waits, LONGEST_WAIT)) if waits else None,
        look_after=look_after,
        watched_secret=watched,
        refresh=_refresh(seen) if settled.refresh else None,
    )


def _due_at(
    facts: CredentialFacts, seen: Observed, spec: Spec, *, first_seen: datetime | None = None
) -> datetime | None:
    default = None if seen.oauth2 is None else parse_duration(seen.oauth2.expanded().default_lifetime)
    return refresh_due(
        facts,
        refresh_before=spec.refresh_before_duration(),
        first_seen=first_seen or seen.first_seen or seen.now,
        default_lifetime=default,
        grant=next(iter(ends_of(facts, seen.oauth2)), None),
    )


def _try_again_at(trouble: Trouble, seen: Observed) -> datetime:
    """When a pause is over. A request that did not stand at the failure ends it, once a minute: whoever asks may know better
    than we, and whoever asks without end is no burden to the provider."""
    if seen.asked_refresh in {None, trouble.asked} or trouble.failed_at is None:
        return trouble.try_again_at
    return min(trouble.try_again_at, trouble.failed_at + ASKED_PAUSE)


def _refresh(seen: Observed) -> Refresh:
    return Refresh(provider=provider_for(seen), is_urgent=seen.asked_refresh is not None)


def provider_for(seen: Observed) -> str:
    """Whoever answers at the token endpoint; empty where nobody knows."""
    whole = OAuth2() if seen.oauth2 is None else seen.oauth2.expanded()
    return provider_of(whole.token_url or whole.issuer or "")
