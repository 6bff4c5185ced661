"""Conditions that looks at others make: they change no state, and join what is written anyway. Pure."""

from datetime import datetime

from datasource.api.clock import rfc3339
from datasource.api.objects import Condition, Status
from datasource.api.spec import Spec
from datasource.api.states import ACCEPTED, PROVIDER_REACHABLE
from datasource.outbound.reach import Reach
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.predicates import usable_credential

LOOKS = (PROVIDER_REACHABLE, ACCEPTED)
"""Their types."""

_ASKED_FOR = frozenset({ACCEPTED})
"""Whose first success is news: somebody wrote spec.probe to read it."""

_REACHABLE = "Reachable"


def provider_reachable(seen: Observed) -> Condition | None:
    """What the last look showed. After a restart nothing is known for a moment, and what stands is kept."""
    stood = seen.status.condition(PROVIDER_REACHABLE)
    if seen.oauth2 is None:
        return None
    if seen.reach is None:
        return stood if stood is not None and stood.observed_generation == seen.generation else None
    status, reason = _meaning(seen.reach)
    return _condition(seen, PROVIDER_REACHABLE, status, reason, seen.reach.message)


def accepted(seen: Observed) -> Condition | None:
    """What spec.probe has shown of the access token; nothing where there is none that is in use."""
    if not isinstance(seen.spec, Spec) or seen.spec.probe is None or usable_credential(seen) is None:
        return None
    found = seen.probed.acceptance
    if found is None:
        stood = seen.status.condition(ACCEPTED)
        return stood if stood is not None and stood.observed_generation == seen.generation else None
    return _condition(seen, ACCEPTED, found.status, found.reason, found.message)


def look_conditions(seen: Observed) -> tuple[Condition, ...]:
    """All of them that are known."""
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
    """Whether a look showed something for which a status is worth a write."""
    stood = status.condition(PROVIDER_REACHABLE)
    return _is_news(None if stood is None else (stood.status, stood.reason), _meaning(reach), PROVIDER_REACHABLE)


def conditions_are_news(before: Status, after: Status) -> bool:
    """Whether conditions are worth a write for themselves.

    A look whose outcome changed is. The first that shows that all is well is not, nor are other words for the same.
    """
    if _settled(before) != _settled(after):
        return True
    return any(_is_news(_told(before, type_), _told(after, type_), type_) for type_ in LOOKS)


def transition_time(stood: Condition | None, status: str, now: datetime) -> str:
    """Since when a condition has its status."""
    return stood.last_transition_time if stood is not None and stood.status == status else rfc3339(now)


def _settled(status: Status) -> tuple[Condition, ...]:
    return tuple(each for each in status.conditions or () if each.type not in LOOKS)


def _told(status: Status, type_: str) -> tuple[str, str] | None:
    condition = status.condition(type_)
    return None if condition is None else (condition.status, condition.reason)


def _is_news(before: tuple[str, str] | None, after: tuple[str, str] | None, type_: str) -> bool:
    if after is None:
        return False
    return (after[0] != "True" or type_ in _ASKED_FOR) if before is None else before != after


def _meaning(reach: Reach) -> tuple[str, str]:
    return ("True", _REACHABLE) if reach.obstacle is None else ("False", reach.obstacle)
