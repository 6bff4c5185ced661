"""How often Kubernetes Events are written about whom. Pure: no I/O, no clock.

- What is Normal: so many of a namespace, and so many of all. The first of a namespace after a silence is always written: no
  crowd elsewhere keeps it out.
- Warnings: so many of an object, and so many of a namespace. The first of an object after a silence is always written: it may
  say that apps lose their token.

Status, logs and metrics tell of all.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from datasource.concurrency.fair_rate import FairRate

NORMAL_AT_ONCE = 100
"""Normal Events, of one namespace and of all, that are written however fast they come; where a thousand change, nobody reads
a thousand."""

WARNINGS_OF_AN_OBJECT_AT_ONCE = 5
THEN_A_WARNING_OF_AN_OBJECT_EVERY = timedelta(minutes=1)
WARNINGS_AT_ONCE = 100
"""Of one namespace."""

THEN_EVERY = timedelta(seconds=1)
"""How soon each of them may be followed by another of all, or of a namespace."""


@dataclass(frozen=True, slots=True)
class EventRates:
    """Who had how many Events of late; times are monotonic, in seconds."""

    _normal: FairRate[str] = field(default_factory=lambda: FairRate(NORMAL_AT_ONCE, THEN_EVERY))
    _normal_in_all: FairRate[None] = field(default_factory=lambda: FairRate(NORMAL_AT_ONCE, THEN_EVERY))
    _warnings: FairRate[str] = field(default_factory=lambda: FairRate(WARNINGS_AT_ONCE, THEN_EVERY))
    _of_object: FairRate[str] = field(
        default_factory=lambda: FairRate(WARNINGS_OF_AN_OBJECT_AT_ONCE, THEN_A_WARNING_OF_AN_OBJECT_EVERY)
    )

    def admits_normal(self, namespace: str, now: float) -> bool:
        """Whether one more is written that warns of nothing."""
        admitted = self._normal.admit(namespace, now)
        return admitted is not None and (admitted.is_first or self._normal_in_all.admit(None, now) is not None)

    def admits_warning(self, namespace: str, uid: str, now: float) -> bool:
        """Whether one more warning is written about the object with that uid."""
        admitted = self._of_object.admit(uid, now)
        return admitted is not None and (admitted.is_first or self._warnings.admit(namespace, now) is not None)
