"""The operator's metrics; names are controller-runtime's and client-go's where they have one for the same thing.

What Datasources are like is read from the cache when Prometheus asks, and only where this process leads: a replica that stands
by tells of itself alone, so no series is there twice. The labels are `datasource_namespace` and `datasource_name`, which no
scrape configuration renames (`namespace` is the pod's own).
"""

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from datasource.api.objects import Datasource
from datasource.api.states import MEANING
from datasource.process.clock import utc_now
from datasource.records.contents import Contents, StoredCredential
from datasource.records.credential import CredentialFacts
from datasource_operator.about_datasources import UNSEEN, About
from datasource_operator.cache import Cache, Key
from datasource_operator.served_scopes import Source

CONTROLLER = "datasource"

_WATCHES = {
    Source.CREDENTIALS: "credentials",
    Source.TOKENS: "tokens",
    Source.OTHER_TOKENS: "tokens_of_other_types",
    Source.IMPORTS: "imports",
}
_PER_OBJECT = ["datasource_namespace", "datasource_name"]
_PER_NAMESPACE = ["datasource_namespace"]
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ReconcileResult(StrEnum):
    """How a reconciliation ended, in the words of controller-runtime."""

    SUCCESS = "success"
    REQUEUE = "requeue"
    REQUEUE_AFTER = "requeue_after"
    ERROR = "error"


_RECONCILES = Counter("controller_runtime_reconcile", "Reconciliations by how they ended.", ["controller", "result"])
_ERRORS = Counter("controller_runtime_reconcile_errors", "Reconciliations that failed.", ["controller"]).labels(
    CONTROLLER
)
_SECONDS = Histogram(
    "controller_runtime_reconcile_time_seconds", "Seconds a reconciliation took.", ["controller"], buckets=_BUCKETS
).labels(CONTROLLER)
QUEUE_SECONDS = Histogram(
    "workqueue_queue_duration_seconds", "Seconds a key was due before it was taken.", ["name"], buckets=_BUCKETS
).labels(CONTROLLER)
_RECONCILES_BY_RESULT = {each: _RECONCILES.labels(CONTROLLER, each) for each in ReconcileResult}


def count_reconcile(result: ReconcileResult, seconds: float) -> None:
    """Count a reconciliation that ended."""
    _RECONCILES_BY_RESULT[result].inc()
    _SECONDS.observe(seconds)
    if result is ReconcileResult.ERROR:
        _ERRORS.inc()


@dataclass(frozen=True, slots=True)
class Workload:
    """How busy the operator is at this moment."""

    due: int
    added: int
    retried: int
    working: int
    longest_working: float
    refreshes_running: int
    refreshes_waiting: int
    replies_waiting: int
    """Replies that are in memory alone."""
    left_to_another: int
    """Statuses that another installation writes, too."""
    watches_silent_for: dict[Source, float]
    """Seconds."""
    last_event: float
    """Seconds since a watch told of a Datasource."""
    readable: Mapping[str, bool]
    """Whether each namespace that is to be served can be read; `*`: all of them, which are read at once."""
    callback_rights_refused: int = 0
    """Namespaces in which the Roles of the callback server could not be written."""


@dataclass(slots=True)
class _Totals:
    """What is summed up on the way over all Datasources."""

    states: Tally[tuple[str, str]] = field(default_factory=Tally)
    by_namespace: Tally[tuple[str, str, str]] = field(default_factory=Tally)
    overdue: Tally[str] = field(default_factory=Tally)
    person_needed: dict[str, float] = field(default_factory=dict)
    expiring: Tally[str] = field(default_factory=Tally)
    suspended: int = 0
    owed: int = 0
    """Tokens that apps expect to work."""
    invalid: Tally[str] = field(default_factory=Tally)
    """Of those, the ones that do not."""


@dataclass(frozen=True, slots=True, eq=False)  # a registry keeps collectors by identity
class OperatorCollector(Collector):
    """Reads the operator when Prometheus asks; from a thread of its own, so it copies before it walks."""

    cache: Cache
    workload: Callable[[], Workload]
    is_leading: Callable[[], bool]
    per_object: bool
    seen_before: Callable[[Key, CredentialFacts, datetime], datetime | None]
    """When this process first saw a revision: what is due is told by the very times that decide on refreshes."""
    now: Callable[[], datetime] = utc_now

    def describe(self) -> Iterator[Metric]:
        """Nothing: asked at registration, when there is nothing to read yet."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Every family, with its samples."""
        yield from _workload_families(self.workload())
        if self.is_leading():
            yield from self._datasource_families()

    def _datasource_families(self) -> Iterator[Metric]:
        expires = GaugeMetricFamily(
            "datasource_access_token_expiration_timestamp_seconds",
            "When the access token of an AUTHORIZED Datasource expires.",
            labels=_PER_OBJECT,
        )
        due = GaugeMetricFamily(
            "datasource_refresh_due_timestamp_seconds",
            "When the next refresh of an AUTHORIZED Datasource is due.",
            labels=_PER_OBJECT,
        )
        person = GaugeMetricFamily(
            "datasource_person_needed_seconds",
            "Seconds since a Datasource that waits for a person was last Ready, or was made.",
            labels=_PER_OBJECT,
        )
        ends = GaugeMetricFamily(
            "datasource_grant_expiration_timestamp_seconds",
            "When the grant behind an AUTHORIZED Datasource ends, if that is known.",
            labels=_PER_OBJECT,
        )
        totals, now = _Totals(), self.now()
        for datasource, credential in self.cache.pairs():
            place = (datasource.metadata.namespace, datasource.metadata.name)
            about = self._about(datasource, credential, now)
            _add_up(totals, place[0], about)
            if not self.per_object:
                continue
            if about.expires_at is not None:
                expires.add_metric(place, about.expires_at.timestamp())
            if about.due_at is not None:
                due.add_metric(place, about.due_at.timestamp())
            if about.grant_ends_at is not None:
                ends.add_metric(place, about.grant_ends_at.timestamp())
            if about.person_needed_for is not None:
                person.add_metric(place, about.person_needed_for)
        if self.per_object:
            yield from (expires, due, ends, person)
        yield from _total_families(totals)

    def _about(self, datasource: Datasource, credential: Contents | None, now: datetime) -> About:
        seen = None
        if isinstance(credential, StoredCredential):
            key = Key(datasource.metadata.namespace, datasource.metadata.name)
            seen = self.seen_before(key, credential.facts, now)
        return About.of(datasource, credential, first_seen=seen or now, now=now)


def _add_up(totals: _Totals, namespace: str, about: About) -> None:
    totals.states[(about.state, about.reason)] += 1
    totals.by_namespace[(namespace, about.state, about.reason)] += 1
    totals.suspended += about.is_suspended
    if about.due_at is not None:
        totals.overdue[namespace] += about.is_overdue
    totals.expiring[namespace] += about.is_grant_expiring
    if about.is_token_owed:
        totals.owed += 1
        totals.invalid[namespace] += not about.is_token_valid
    if about.person_needed_for is not None:
        longest = max(about.person_needed_for, totals.person_needed.get(namespace, 0.0))
        totals.person_needed[namespace] = longest


def _total_families(totals: _Totals) -> Iterator[Metric]:
    states = GaugeMetricFamily("datasource_datasources", "Datasources by state and reason.", labels=["state", "reason"])
    known = [(meaning.state.value, reason.value) for reason, meaning in MEANING.items()]
    for state, reason in (*known, UNSEEN):
        states.add_metric((state, reason), totals.states[(state, reason)])
    yield states
    # What is not there has no series: 16 reasons in each namespace would be many that say 0.
    by_namespace = GaugeMetricFamily(
        "datasource_namespace_datasources",
        "Datasources by namespace, state and reason; none where there is none.",
        labels=[*_PER_NAMESPACE, "state", "reason"],
    )
    for place, count in totals.by_namespace.items():
        by_namespace.add_metric(place, count)
    yield by_namespace
    yield GaugeMetricFamily(
        "datasource_suspended_datasources", "Datasources whose spec.suspend is true.", value=totals.suspended
    )
    yield GaugeMetricFamily(
        "datasource_token_valid_ratio",
        "Of the Datasources whose apps expect a token, the share whose token is valid now; 1 where none does.",
        value=1 - totals.invalid.total() / totals.owed if totals.owed else 1,
    )
    yield _by_namespace(
        "datasource_tokens_invalid",
        "Datasources whose apps expect a token and have none that is valid.",
        totals.invalid,
    )
    yield _by_namespace(
        "datasource_refreshes_overdue",
        "AUTHORIZED Datasources whose refresh has been due for more than a minute.",
        totals.overdue,
    )
    yield _by_namespace(
        "datasource_grants_expiring",
        "Datasources whose grant ends soon: a person has to authorize again before that.",
        totals.expiring,
    )
    yield _by_namespace(
        "datasource_person_needed_longest_seconds",
        "The longest of datasource_person_needed_seconds in a namespace.",
        totals.person_needed,
    )


def _by_namespace(name: str, documentation: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=_PER_NAMESPACE)
    for namespace, value in values.items():
        family.add_metric((namespace,), value)
    return family


def _workload_families(load: Workload) -> Iterator[Metric]:
    yield _named(GaugeMetricFamily, "workqueue_depth", "Keys that are due and wait for a worker.", load.due)
    yield _named(CounterMetricFamily, "workqueue_adds", "Keys added, at once or for later.", load.added)
    yield _named(CounterMetricFamily, "workqueue_retries", "Keys added after a failure.", load.retried)
    yield _named(
        GaugeMetricFamily,
        "workqueue_longest_running_processor_seconds",
        "Seconds the longest-running worker has been on its key.",
        load.longest_working,
    )
    workers = GaugeMetricFamily(
        "controller_runtime_active_workers", "Workers that are on a key.", labels=["controller"]
    )
    workers.add_metric((CONTROLLER,), load.working)
    yield workers
    yield GaugeMetricFamily("datasource_refreshes_running", "Refreshes under way.", value=load.refreshes_running)
    yield GaugeMetricFamily(
        "datasource_refreshes_waiting",
        "Refreshes that wait for their turn at a provider.",
        value=load.refreshes_waiting,
    )
    yield GaugeMetricFamily(
        "datasource_replies_waiting_for_store",
        "Replies of providers that the API server does not take; they are in this process's memory alone.",
        value=load.replies_waiting,
    )
    yield GaugeMetricFamily(
        "datasource_statuses_left_to_another_installation",
        "Datasources whose status another installation writes, too; this one has stopped to write it.",
        value=load.left_to_another,
    )
    silence = GaugeMetricFamily(
        "datasource_watch_silence_seconds",
        "Seconds for which the stalest watch of Secrets heard nothing; bookmarks come every minute.",
        labels=["watch"],
    )
    for source, seconds in load.watches_silent_for.items():
        silence.add_metric((_WATCHES[source],), seconds)
    yield silence
    yield GaugeMetricFamily(
        "datasource_last_event_age_seconds",
        "Seconds since a watch reported a Datasource; grows while none changes.",
        value=load.last_event,
    )
    unreadable = GaugeMetricFamily(
        "datasource_namespace_unreadable",
        "1 for a namespace that is to be served and cannot be read, 0 for one that can; * is all of them.",
        labels=_PER_NAMESPACE,
    )
    for namespace, can_be_read in load.readable.items():
        unreadable.add_metric((namespace,), 0 if can_be_read else 1)
    yield unreadable
    yield GaugeMetricFamily(
        "datasource_callback_rights_refused_namespaces",
        "Namespaces in which the Roles with which the callback server reads Secrets could not be seen to.",
        value=load.callback_rights_refused,
    )


def _named(
    family: type[GaugeMetricFamily] | type[CounterMetricFamily], name: str, documentation: str, value: float
) -> Metric:
    made = family(name, documentation, labels=["name"])
    made.add_metric((CONTROLLER,), value)
    return made


def seconds_since(moment: float | None, monotonic: Callable[[], float] = time.monotonic) -> float:
    """Seconds since a moment of the monotonic clock; 0 where there was none."""
    return 0.0 if moment is None else max(monotonic() - moment, 0.0)
