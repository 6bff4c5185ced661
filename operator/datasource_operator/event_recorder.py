"""I/O: Events (events.k8s.io/v1) for changes of state, each kind once and then counted as a series.

The name of an Event follows from what it says. So a second operator, or a restarted one, meets the Event that is there
instead of adding another.

`event_rates` bounds how many are written about whom.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from datasource.api.clock import micro_time
from datasource.api.names import API_VERSION, FIELD_MANAGER, KIND
from datasource.api.objects import Metadata, PartialObject
from datasource.api.states import MEANING
from datasource.cluster.api_errors import ApiError, Conflict, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import EVENTS
from datasource.process.metrics import LEFT_OUT
from datasource_operator.decisions.observed import Finding, Observed
from datasource_operator.event_rates import EventRates

logger = structlog.get_logger(__name__)

_REMEMBERED = 10_000
_NOTE_LENGTH = 1024


@dataclass(slots=True)
class EventRecorder:
    """Records what changed; an Event that cannot be written is logged and let go, it is never worth a retry."""

    kube: Kube
    instance: str
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    _counts: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _rates: EventRates = field(default_factory=EventRates)

    async def announce(self, seen: Observed, finding: Finding, *, seconds: float) -> None:
        """Tell of a new state or reason, which took so many seconds to find; nothing where both stood already."""
        ready = seen.status.condition("Ready")
        if ready is not None and (seen.status.state, ready.reason) == (finding.state, finding.reason):
            return
        logger.info(
            "state changed",
            datasource=f"{seen.namespace}/{seen.name}",
            state=finding.state.value,
            reason=finding.reason,
            before=seen.status.state,
            seconds=round(seconds, 3),
        )
        await self._record(
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "namespace": seen.namespace,
                "name": seen.name,
                "uid": seen.uid,
            },
            type_="Warning" if MEANING[finding.reason].is_warning else "Normal",
            reason=finding.reason,
            action="Reconcile",
            note=f"{finding.state}: {finding.message}",
        )

    async def warn(self, about: Metadata, *, is_secret: bool, reason: str, action: str, note: str) -> None:
        """Record a warning about a Datasource or a Secret. Where that fails, the log says so: nothing waits for an Event."""
        api_version, kind = ("v1", "Secret") if is_secret else (API_VERSION, KIND)
        regarding = {
            "apiVersion": api_version,
            "kind": kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        }
        await self._record(regarding, type_="Warning", reason=reason, action=action, note=note)

    def _is_admitted(self, regarding: dict[str, str], type_: str) -> bool:
        namespace, now = regarding["namespace"], self.monotonic()
        if type_ == "Warning":
            return self._rates.admits_warning(namespace, regarding["uid"], now)
        return self._rates.admits_normal(namespace, now)

    async def _record(self, regarding: dict[str, str], *, type_: str, reason: str, action: str, note: str) -> None:
        if not self._is_admitted(regarding, type_):
            LEFT_OUT.labels("Event").inc()
            return
        try:
            await self._write(regarding, type_=type_, reason=reason, action=action, note=note)
        except (ApiError, Unavailable) as error:
            # In a namespace that is being deleted nothing new may be made.
            about = {regarding["kind"].lower(): f"{regarding['namespace']}/{regarding['name']}"}
            logger.warning("could not record an Event", **about, error=str(error))

    async def _write(self, regarding: dict[str, str], *, type_: str, reason: str, action: str, note: str) -> None:
        namespace = regarding["namespace"]
        name = _event_name(regarding, reason, note)
        if name in self._counts and await self._count(namespace, name):
            return
        manifest = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": micro_time(self.now()),
            "reportingController": "datasource.dev/operator",
            "reportingInstance": self.instance,
            "type": type_,
            "reason": reason,
            "action": action,
            # The API server counts bytes.
            "note": note.encode()[:_NOTE_LENGTH].decode(errors="ignore"),
            "regarding": regarding,
        }
        try:
            await self.kube.create(EVENTS, namespace, manifest, PartialObject, manager=FIELD_MANAGER)
        except Conflict:
            self._remember(name, 1)
            await self._count(namespace, name)
            return
        self._remember(name, 1)

    async def _count(self, namespace: str, name: str) -> bool:
        """Count an Event that is there; False where it ran out (they live for an hour or so)."""
        count = self._counts[name] + 1
        series = {"count": count, "lastObservedTime": micro_time(self.now())}
        try:
            await self.kube.merge_patch(
                EVENTS, namespace, name, {"series": series}, PartialObject, manager=FIELD_MANAGER
            )
        except NotFound:
            del self._counts[name]
            return False
        self._remember(name, count)
        return True

    def _remember(self, name: str, count: int) -> None:
        self._counts[name] = count
        self._counts.move_to_end(name)
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)


def _event_name(regarding: dict[str, str], reason: str, message: str) -> str:
    said = "\n".join((regarding["uid"], reason, message))
    return f"{regarding['name'][:200]}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"
