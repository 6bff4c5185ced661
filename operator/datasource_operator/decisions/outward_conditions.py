"""Conditions about services outside of the cluster: the provider, and the service of spec.probe. Pure.

They change no state. They are written with the next write of the status, unless they are news.
"""

from datetime import datetime

from datasource.api.clock import rfc3339
from datasource.api.objects import Condition, Status
from datasource.api.spec import Spec
from datasource.api.states import ACCEPTED, PROVIDER_REACHABLE
from datasource.outbound.reach import Reach
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.predicates import usable_credential

OUTWARD_TYPES = (PROVIDER_REACHABLE, ACCEPTED)
"""The types of these conditions."""

_ASKED_FOR = frozenset({ACCEPTED})
"""The types whose first success is news. A person who wrote spec.probe waits for it."""

_REACHABLE = "Reachable"


def provider_reachable(seen: Observed) -> Condition | None:
    """Whether the provider can be reached. While nothing is known after a restart, the current condition is kept."""
    stood = seen.status.condition(PROVIDER_REACHABLE)
    if seen.oauth2 is None:
        return None
    if seen.reach is None:
        return stood if stood is not None and stood.observed_generation == seen.generation else None
    status, reason = _meaning(seen.reach)
    return _condition(seen, PROVIDER_REACHABLE, status, reason, seen.reach.message)


def accepted(seen: Observed) -> Condition | None:
    """Whether the service of spec.probe accepts the access token; None where apps have no token."""
    if not isinstance(seen.spec, Spec) or seen.spec.probe is None or usable_credential(seen) is None:
        return None
    found = seen.probed.acceptance
    if found is None:
        stood = seen.status.condition(ACCEPTED)
        return stood if stood is not None and stood.observed_generation == seen.generation else None
    return _condition(seen, ACCEPTED, found.status, found.reason, found.message)


def outward_conditions(seen: Observed) -> tuple[Condition, ...]:
    """The conditions of both types, as far as they are known."""
    return tuple(each for each in (provider_reachable(seen), accepted(seen)) if each is not None)


def _condition(seen: Observed, type_: str, status: str, reason: str, message: str) -> Condition:
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=transition_time(seen.status.condition(type_), status, seen.now),
        observed_generation=seen.generation,
    )


def reach_is_news(status: Status, reach: Reach) -> bool:
    """Whether a check of the provider found something that is worth a write of the status."""
    stood = status.condition(PROVIDER_REACHABLE)
    return _is_news(None if stood is None else (stood.status, stood.reason), _meaning(reach), PROVIDER_REACHABLE)


def conditions_are_news(before: Status, after: Status) -> bool:
    """Whether the conditions of two statuses differ so much that the status is worth a write.

    A changed result of a check is. A first result that is good is not, and neither is another message for the same result.
    """
    if _settled(before) != _settled(after):
        return True
    return any(_is_news(_told(before, type_), _told(after, type_), type_) for type_ in OUTWARD_TYPES)


def transition_time(stood: Condition | None, status: str, now: datetime) -> str:
    """The time since which a condition has its status: `now`, unless it had the same status before."""
    return stood.last_transition_time if stood is not None and stood.status == status else rfc3339(now)


def _settled(status: Status) -> tuple[Condition, ...]:
    return tuple(each for each in status.conditions or () if each.type not in OUTWARD_TYPES)


def _told(status: Status, type_: str) -> tuple[str, str] | None:
    condition = status.condition(type_)
    return None if condition is None else (condition.status, condition.reason)


def _is_news(before: tuple[str, str] | None, after: tuple[str, str] | None, type_: str) -> bool:
    if after is None:
        return False
    return (after[0] != "True" or type_ in _ASKED_FOR) if before is None else before != after


def _meaning(reach: Reach) -> tuple[str, str]:
    return ("True", _REACHABLE) if reach.obstacle is None else ("False", reach.obstacle)
