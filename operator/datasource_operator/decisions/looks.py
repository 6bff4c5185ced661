"""Conditions that looks at others make: they change no state, and join what is written anyway. Pure."""

from datetime import datetime

from datasource.api.clock import rfc3339
from datasource.api.objects import Condition, Status
from datasource.api.states import PROVIDER_REACHABLE
from datasource.outbound.reach import Reach
from datasource_operator.decisions.observed import Observed

LOOKS = (PROVIDER_REACHABLE,)
"""Their types."""

_REACHABLE = "Reachable"


def provider_reachable(seen: Observed) -> Condition | None:
    """What the last look showed. After a restart nothing is known for a moment, and what stands is kept."""
    stood = seen.status.condition(PROVIDER_REACHABLE)
    if seen.oauth2 is None:
        return None
    if seen.reach is None:
        return stood if stood is not None and stood.observed_generation == seen.generation else None
    status, reason = _meaning(seen.reach)
    return Condition(
        type=PROVIDER_REACHABLE,
        status=status,
        reason=reason,
        message=seen.reach.message,
        last_transition_time=transition_time(stood, status, seen.now),
        observed_generation=seen.generation,
    )


def reach_is_news(status: Status, reach: Reach) -> bool:
    """Whether a look showed something for which a status is worth a write."""
    stood = status.condition(PROVIDER_REACHABLE)
    return _is_news(None if stood is None else (stood.status, stood.reason), _meaning(reach))


def conditions_are_news(before: Status, after: Status) -> bool:
    """Whether conditions are worth a write for themselves.

    A look whose outcome changed is. The first that shows that all is well is not, nor are other words for the same.
    """
    if _settled(before) != _settled(after):
        return True
    return any(_is_news(_told(before, type_), _told(after, type_)) for type_ in LOOKS)


def transition_time(stood: Condition | None, status: str, now: datetime) -> str:
    """Since when a condition has its status."""
    return stood.last_transition_time if stood is not None and stood.status == status else rfc3339(now)


def _settled(status: Status) -> tuple[Condition, ...]:
    return tuple(each for each in status.conditions or () if each.type not in LOOKS)


def _told(status: Status, type_: str) -> tuple[str, str] | None:
    condition = status.condition(type_)
    return None if condition is None else (condition.status, condition.reason)


def _is_news(before: tuple[str, str] | None, after: tuple[str, str] | None) -> bool:
    if after is None:
        return False
    return after[0] != "True" if before is None else before != after


def _meaning(reach: Reach) -> tuple[str, str]:
    return ("True", _REACHABLE) if reach.obstacle is None else ("False", reach.obstacle)
