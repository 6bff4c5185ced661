"""What Prometheus is told about Datasources, read from the cache when it asks."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from datasource.api.clock import rfc3339
from datasource.api.objects import Condition, Datasource, Status
from datasource.api.states import MEANING, Reason, State
from datasource.records.contents import StoredCredential
from datasource.records.schedule import refresh_due
from datasource_operator.cache import Cache, Key
from datasource_operator.metrics import OperatorCollector, Workload
from datasource_operator.served_scopes import Source
from tests.support.builders import NAME, NAMESPACE, NOW, credential_metadata, datasource

IDLE = Workload(
    due=0,
    added=0,
    retried=0,
    working=0,
    longest_working=0.0,
    refreshes_running=0,
    refreshes_waiting=0,
    replies_waiting=0,
    left_to_another=0,
    watches_silent_for={Source.CREDENTIALS: 0.0, Source.TOKENS: 0.0},
    last_event=0.0,
    readable={},
)
OURS = {"datasource_namespace": NAMESPACE, "datasource_name": NAME}
EXPIRES = "datasource_access_token_expiration_timestamp_seconds"
DUE = "datasource_refresh_due_timestamp_seconds"
PERSON = "datasource_person_needed_seconds"


def status(reason: Reason, *, since: datetime = NOW, link: bool = False, **changes: Any) -> Status:
    ready = Condition(
        type="Ready",
        status="True" if reason is Reason.AUTHORIZED else "False",
        reason=reason,
        message="",
        last_transition_time=rfc3339(since),
    )
    usual: dict[str, Any] = {
        "state": MEANING[reason].state,
        "conditions": (ready,),
        "authorization_link": "https://connect.example.com/authorize/shop/calendar?ticket=x" if link else None,
    }
    return Status(**(usual | changes))


def shown(reason: Reason | None = None, *, spec: Mapping[str, Any] | None = None, **changes: Any) -> Datasource:
    made = datasource()
    return msgspec.structs.replace(
        made,
        spec={**made.spec, **(spec or {})},
        status=Status(observed_generation=-1) if reason is None else status(reason, **changes),
    )


def authorized_cache(
    shown_as: Datasource | None = None, *, expires_in: timedelta = timedelta(hours=1), age: timedelta = timedelta(0)
) -> Cache:
    """A Datasource with a credential that was obtained `age` ago."""
    cache = Cache()
    cache.store_datasource(shown(Reason.AUTHORIZED) if shown_as is None else shown_as)
    cache.store_secret(
        credential_metadata(
            expires_at=rfc3339(NOW + expires_in), refreshed_at=rfc3339(NOW - age), has_refresh_token="true"
        )
    )
    return cache


def waiting_cache(since: datetime = NOW - timedelta(hours=2), *, link: bool = True) -> Cache:
    cache = Cache()
    cache.store_datasource(shown(Reason.AUTHORIZATION_REQUIRED, since=since, link=link))
    return cache


def scraped(
    cache: Cache,
    *,
    leads: bool = True,
    per_object: bool = True,
    load: Workload = IDLE,
    first_seen: datetime | None = None,
) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(
        OperatorCollector(
            cache=cache,
            workload=lambda: load,
            is_leading=lambda: leads,
            per_object=per_object,
            seen_before=lambda key, facts, now: first_seen,
            now=lambda: NOW,
        )
    )
    return registry


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def names(registry: CollectorRegistry) -> set[str]:
    return {sample.name for family in registry.collect() for sample in family.samples}


def test_authorized_datasource_tells_when_its_token_runs_out_and_is_refreshed() -> None:
    registry = scraped(authorized_cache())
    expires, due = value(registry, EXPIRES, **OURS), value(registry, DUE, **OURS)
    assert expires == (NOW + timedelta(hours=1)).timestamp()
    assert due is not None
    assert NOW.timestamp() < due < expires
    assert value(registry, "datasource_refreshes_overdue", datasource_namespace=NAMESPACE) == 0


def test_refresh_that_is_late_is_overdue() -> None:
    late = authorized_cache(age=timedelta(hours=8))
    assert value(scraped(late), "datasource_refreshes_overdue", datasource_namespace=NAMESPACE) == 1


def test_refresh_before_moves_the_due_time() -> None:
    early = authorized_cache(shown(Reason.AUTHORIZED, spec={"refreshBefore": "40m"}))
    late = authorized_cache(shown(Reason.AUTHORIZED, spec={"refreshBefore": "1m"}))
    first, second = value(scraped(early), DUE, **OURS), value(scraped(late), DUE, **OURS)
    assert first is not None
    assert second is not None
    assert first < second


def test_due_time_is_the_one_that_refreshes_are_decided_by() -> None:
    """A clock that runs ahead where the token was stored makes no refresh late, and no metric says that it is not due yet."""
    ahead, hour = timedelta(hours=3), timedelta(hours=1)
    cache, first_seen = authorized_cache(expires_in=ahead + hour, age=-ahead), NOW - hour
    stored = cache.credential(Key(NAMESPACE, NAME))
    assert isinstance(stored, StoredCredential)
    decided = refresh_due(stored.facts, refresh_before=None, first_seen=first_seen)
    assert decided is not None
    assert value(scraped(cache, first_seen=first_seen), DUE, **OURS) == decided.timestamp()
    assert decided < NOW, "by the stored time alone it would be due in three hours"


def test_suspended_datasource_is_counted_and_never_overdue() -> None:
    registry = scraped(authorized_cache(shown(Reason.AUTHORIZED, spec={"suspend": True}), age=timedelta(hours=8)))
    assert value(registry, "datasource_suspended_datasources") == 1
    assert value(registry, DUE, **OURS) is None
    assert value(registry, EXPIRES, **OURS) is not None
    assert value(registry, "datasource_refreshes_overdue", datasource_namespace=NAMESPACE) is None


@pytest.mark.parametrize(
    "reason", [reason for reason, meaning in MEANING.items() if meaning.state is not State.AUTHORIZED]
)
def test_credential_that_is_not_used_has_no_expiry(reason: Reason) -> None:
    registry = scraped(authorized_cache(shown(reason)))
    assert value(registry, EXPIRES, **OURS) is None
    assert value(registry, "datasource_datasources", state=MEANING[reason].state, reason=reason) == 1


def test_credential_that_cannot_be_read_has_no_expiry() -> None:
    cache = Cache()
    cache.store_datasource(shown(Reason.AUTHORIZED))
    cache.store_secret(credential_metadata(revision="many"))
    assert value(scraped(cache), EXPIRES, **OURS) is None


def test_every_state_and_reason_is_there_from_the_start() -> None:
    registry = scraped(Cache())
    for reason, meaning in MEANING.items():
        assert value(registry, "datasource_datasources", state=meaning.state, reason=reason) == 0


def test_namespace_tells_of_what_is_there_and_of_nothing_else() -> None:
    registry = scraped(authorized_cache(shown(Reason.GRANT_REVOKED)), per_object=False)
    (family,) = (each for each in registry.collect() if each.name == "datasource_namespace_datasources")
    assert [(sample.labels, sample.value) for sample in family.samples] == [
        ({"datasource_namespace": NAMESPACE, "state": "NOT AUTHORIZED", "reason": "GrantRevoked"}, 1)
    ]


def test_datasource_that_nobody_looked_at_is_unseen() -> None:
    cache = Cache()
    cache.store_datasource(shown())
    assert value(scraped(cache), "datasource_datasources", state="unseen", reason="Unseen") == 1


def test_person_is_needed_since_the_datasource_was_last_ready() -> None:
    registry = scraped(waiting_cache())
    assert value(registry, PERSON, **OURS) == 7200
    assert value(registry, "datasource_person_needed_longest_seconds", datasource_namespace=NAMESPACE) == 7200


def test_grants_that_end_soon_are_counted_by_namespace_and_each_tells_its_end() -> None:
    (ready,) = status(Reason.AUTHORIZED).conditions or ()
    expiring = msgspec.structs.replace(ready, type="GrantExpiring", status="True", reason="EndsSoon")
    ends = rfc3339(NOW + timedelta(days=3))
    registry = scraped(authorized_cache(shown(Reason.AUTHORIZED, conditions=(ready, expiring), grant_expires_at=ends)))
    assert value(registry, "datasource_grants_expiring", datasource_namespace=NAMESPACE) == 1
    told = value(registry, "datasource_grant_expiration_timestamp_seconds", **OURS)
    assert told == (NOW + timedelta(days=3)).timestamp()
    none = scraped(authorized_cache())
    assert value(none, "datasource_grants_expiring", datasource_namespace=NAMESPACE) == 0
    assert value(none, "datasource_grant_expiration_timestamp_seconds", **OURS) is None


@pytest.mark.parametrize("cache", [waiting_cache(link=False), authorized_cache()])
def test_nobody_is_needed_where_no_link_waits(cache: Cache) -> None:
    registry = scraped(cache)
    assert value(registry, PERSON, **OURS) is None
    assert value(registry, "datasource_person_needed_longest_seconds", datasource_namespace=NAMESPACE) is None


def test_status_of_somebody_else_breaks_no_scrape() -> None:
    cache = waiting_cache()
    broken = replace_transition_time(shown(Reason.AUTHORIZATION_REQUIRED, link=True), "yesterday")
    newer = msgspec.structs.replace(broken.metadata, resource_version="9")
    cache.store_datasource(msgspec.structs.replace(broken, metadata=newer, spec={"refreshBefore": 7, "suspend": "yes"}))
    assert value(scraped(cache), PERSON, **OURS) == 0


def replace_transition_time(made: Datasource, text: str) -> Datasource:
    (ready,) = made.status.conditions or ()
    broken = msgspec.structs.replace(ready, last_transition_time=text)
    return msgspec.structs.replace(made, status=msgspec.structs.replace(made.status, conditions=(broken,)))


def test_replica_that_stands_by_tells_of_no_datasource() -> None:
    found = names(scraped(authorized_cache(), leads=False))
    assert not {each for each in found if each.startswith(("datasource_datasources", EXPIRES, DUE, PERSON))}
    assert {"workqueue_depth", "datasource_watch_silence_seconds"} <= found


def test_without_series_per_object_no_name_is_told_and_the_sums_are() -> None:
    registry = scraped(authorized_cache(age=timedelta(hours=8)), per_object=False)
    labels = {label for family in registry.collect() for sample in family.samples for label in sample.labels}
    assert "datasource_name" not in labels
    assert value(registry, "datasource_refreshes_overdue", datasource_namespace=NAMESPACE) == 1


def test_workload_is_told_in_the_names_that_people_know() -> None:
    load = replace(
        IDLE,
        due=3,
        added=9,
        retried=2,
        working=4,
        longest_working=1.5,
        refreshes_running=5,
        refreshes_waiting=6,
        replies_waiting=2,
        left_to_another=3,
        watches_silent_for={Source.CREDENTIALS: 7.0, Source.TOKENS: 8.0},
        last_event=10.0,
        readable={"lost": False, "here": True},
        callback_rights_refused=3,
    )
    registry = scraped(Cache(), load=load)
    queue = {"name": "datasource"}
    assert registry.get_sample_value("workqueue_depth", queue) == 3
    assert registry.get_sample_value("workqueue_adds_total", queue) == 9
    assert registry.get_sample_value("workqueue_retries_total", queue) == 2
    assert registry.get_sample_value("workqueue_longest_running_processor_seconds", queue) == 1.5
    assert value(registry, "controller_runtime_active_workers", controller="datasource") == 4
    assert value(registry, "datasource_refreshes_running") == 5
    assert value(registry, "datasource_refreshes_waiting") == 6
    assert value(registry, "datasource_replies_waiting_for_store") == 2
    assert value(registry, "datasource_statuses_left_to_another_installation") == 3
    assert value(registry, "datasource_watch_silence_seconds", watch="credentials") == 7
    assert value(registry, "datasource_watch_silence_seconds", watch="tokens") == 8
    assert value(registry, "datasource_last_event_age_seconds") == 10
    assert value(registry, "datasource_namespace_unreadable", datasource_namespace="lost") == 1
    assert value(registry, "datasource_namespace_unreadable", datasource_namespace="here") == 0
    assert value(registry, "datasource_callback_rights_refused_namespaces") == 3


def test_share_of_valid_tokens_counts_only_those_that_apps_expect() -> None:
    assert value(scraped(Cache()), "datasource_token_valid_ratio") == 1
    assert value(scraped(waiting_cache()), "datasource_token_valid_ratio") == 1
    assert value(scraped(authorized_cache()), "datasource_token_valid_ratio") == 1
    dead = scraped(authorized_cache(expires_in=timedelta(0), age=timedelta(hours=1)))
    assert value(dead, "datasource_token_valid_ratio") == 0
    assert value(dead, "datasource_tokens_invalid", datasource_namespace=NAMESPACE) == 1
    assert value(scraped(authorized_cache(), leads=False), "datasource_token_valid_ratio") is None
