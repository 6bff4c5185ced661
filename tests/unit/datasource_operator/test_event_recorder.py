"""Events: what `kubectl describe` shows of changes of state."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import Condition, Metadata, Status
from datasource.api.states import Reason
from datasource.cluster.api_errors import Conflict, Forbidden, Invalid, Unavailable
from datasource.cluster.resources import EVENTS
from datasource.process.metrics import LEFT_OUT
from datasource_operator import event_recorder
from datasource_operator.decisions.observed import Finding, Observed
from datasource_operator.event_rates import NORMAL_AT_ONCE, THEN_EVERY, WARNINGS_OF_AN_OBJECT_AT_ONCE
from datasource_operator.event_recorder import EventRecorder
from tests.support.builders import NAME, NAMESPACE, NOW, UID, observed
from tests.support.kube_in_memory import KubeInMemory

AUTHORIZED = Finding(Reason.AUTHORIZED, "A credential is stored.")
REJECTED = Finding(Reason.CLIENT_REJECTED, "The provider rejects the client.")
CLEARED = Finding(Reason.CREDENTIAL_CLEARED, "The credential was cleared on request.")


def standing(finding: Finding, **changes: Any) -> Observed:
    """A Datasource whose status tells a finding."""
    ready = Condition("Ready", "False", finding.reason, finding.message, "2026-07-01T11:00:00Z")
    return observed(status=Status(state=finding.state, conditions=(ready,)), **changes)


@dataclass
class Bench:
    """A recorder and the API server that it writes to."""

    kube: KubeInMemory = field(default_factory=KubeInMemory)
    now: datetime = NOW + timedelta(microseconds=42)
    recorder: EventRecorder = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin with a recorder that remembers nothing."""
        self.recorder = EventRecorder(self.kube, "operator-1", lambda: self.now, lambda: self.now.timestamp())

    async def announce(self, finding: Finding, seen: Observed | None = None) -> list[dict[str, Any]]:
        """Announce a finding; returns the Events there are then."""
        await self.recorder.announce(seen or observed(), finding, seconds=0.0123)
        return self.kube.stored(EVENTS)


async def test_a_new_state_is_told_in_one_event() -> None:
    (event,) = await Bench().announce(AUTHORIZED)
    metadata = event.pop("metadata")
    assert metadata["namespace"] == NAMESPACE
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "eventTime": "2026-07-01T12:00:00.000042Z",
        "reportingController": "datasource.dev/operator",
        "reportingInstance": "operator-1",
        "type": "Normal",
        "reason": "Authorized",
        "action": "Reconcile",
        "note": "AUTHORIZED: A credential is stored.",
        "regarding": {
            "apiVersion": "datasource.dev/v1alpha1",
            "kind": "Datasource",
            "namespace": NAMESPACE,
            "name": NAME,
            "uid": UID,
        },
    }


async def test_events_are_written_under_our_name() -> None:
    bench = Bench()
    await bench.announce(AUTHORIZED)
    await bench.announce(AUTHORIZED)
    assert [(call.verb, call.manager) for call in bench.kube.calls] == [
        ("create", FIELD_MANAGER),
        ("merge_patch", FIELD_MANAGER),
    ]


ASKED_FOR = {
    "Authorized",
    "AuthorizationRequired",
    "CredentialCleared",
    "ParametersChanged",
    "OAuth2Missing",
    "ParametersIncomplete",
}


@pytest.mark.parametrize("reason", Reason)
async def test_whatever_takes_a_token_from_apps_is_a_warning_unless_somebody_asked_for_it(reason: Reason) -> None:
    (event,) = await Bench().announce(Finding(reason, ""))
    assert event["type"] == ("Normal" if reason in ASKED_FOR else "Warning")


@pytest.mark.parametrize("message", ["A credential is stored.", "A new credential was requested."])
async def test_what_stood_already_is_not_told(message: str) -> None:
    assert await Bench().announce(Finding(Reason.AUTHORIZED, message), standing(AUTHORIZED)) == []


async def test_a_new_reason_in_the_same_state_is_told() -> None:
    required = Finding(Reason.AUTHORIZATION_REQUIRED, "Somebody has to consent.")
    assert len(await Bench().announce(CLEARED, standing(required))) == 1


async def test_a_new_state_of_the_same_reason_is_told() -> None:
    """As after somebody wrote into the status."""
    seen = standing(CLEARED)
    altered = replace(seen, status=Status(state="AUTHORIZED", conditions=seen.status.conditions))
    assert len(await Bench().announce(CLEARED, altered)) == 1


async def test_a_status_without_conditions_said_nothing_yet() -> None:
    assert len(await Bench().announce(CLEARED, observed(status=Status(state=CLEARED.state)))) == 1


# Series.


async def test_the_same_again_is_counted() -> None:
    bench = Bench()
    await bench.announce(CLEARED)
    bench.now += timedelta(minutes=3)
    (event,) = await bench.announce(CLEARED)
    assert event["series"] == {"count": 2, "lastObservedTime": "2026-07-01T12:03:00.000042Z"}
    assert event["eventTime"] == "2026-07-01T12:00:00.000042Z"
    (event,) = await bench.announce(CLEARED)
    assert event["series"]["count"] == 3


async def test_a_restarted_operator_counts_on_the_event_that_is_there() -> None:
    bench = Bench()
    await bench.announce(CLEARED)
    bench.restart()
    (event,) = await bench.announce(CLEARED)
    assert event["series"]["count"] == 2


DIFFERENT: dict[str, tuple[Observed, Finding]] = {
    "another reason": (observed(), AUTHORIZED),
    "another message": (observed(), replace(CLEARED, message="Cleared.")),
    "another Datasource": (observed(name="orders"), CLEARED),
    "another Datasource of that name": (observed(uid="another-uid"), CLEARED),
}


@pytest.mark.parametrize(("seen", "finding"), DIFFERENT.values(), ids=DIFFERENT)
async def test_what_is_different_is_an_event_of_its_own(seen: Observed, finding: Finding) -> None:
    bench = Bench()
    await bench.announce(CLEARED)
    events = await bench.announce(finding, seen)
    assert len(events) == 2
    assert not any("series" in event for event in events)


async def test_an_event_that_ran_out_is_not_counted_on() -> None:
    """The API server keeps Events for an hour."""
    bench = Bench()
    (event,) = await bench.announce(CLEARED)
    await bench.announce(CLEARED)
    bench.kube.remove(EVENTS, NAMESPACE, event["metadata"]["name"])
    await bench.announce(CLEARED)
    (anew,) = await bench.announce(CLEARED)
    assert anew.get("series", {"count": 1})["count"] <= 2


async def test_what_happens_after_its_event_ran_out_is_told_anew() -> None:
    bench = Bench()
    (event,) = await bench.announce(CLEARED)
    bench.kube.remove(EVENTS, NAMESPACE, event["metadata"]["name"])
    assert len(await bench.announce(CLEARED)) == 1


async def test_what_was_told_long_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_recorder, "_REMEMBERED", 2)
    bench = Bench()
    for name in ("a", "b", "a", "c"):
        await bench.announce(CLEARED, observed(name=name))
    bench.kube.calls.clear()
    for name in ("a", "b"):
        await bench.announce(CLEARED, observed(name=name))
    assert bench.kube.verbs == ["merge_patch", "create", "merge_patch"]


# What the API server asks of an Event (events.k8s.io validation).


async def test_an_event_of_the_longest_name_has_a_valid_one() -> None:
    (event,) = await Bench().announce(CLEARED, observed(name="x" * 200))
    assert len(event["metadata"]["name"]) <= 253
    assert event["metadata"]["name"].startswith("x" * 200 + ".")


async def test_a_long_message_is_cut() -> None:
    (event,) = await Bench().announce(replace(CLEARED, message="x" * 5000))
    assert len(event["note"]) == 1024


async def test_a_long_message_in_any_script_is_cut() -> None:
    (event,) = await Bench().announce(replace(CLEARED, message="й" * 5000))
    assert len(event["note"].encode()) <= 1024


# Failures.


@pytest.mark.parametrize(
    "failure", [Forbidden(403, "Forbidden", "no"), Invalid(422, "Invalid", "no"), Unavailable("no answer")]
)
async def test_an_event_that_cannot_be_written_is_logged_and_let_go(failure: Exception) -> None:
    bench = Bench()
    bench.kube.failure = failure
    with capture_logs() as logs:
        assert await bench.announce(CLEARED) == []
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [(entry["event"], entry["datasource"]) for entry in warnings] == [
        ("could not record an Event", "shop/calendar")
    ]
    bench.kube.failure = None
    assert len(await bench.announce(CLEARED)) == 1


async def test_a_count_that_cannot_be_written_is_let_go() -> None:
    bench = Bench()
    await bench.announce(CLEARED)
    bench.kube.failure = Conflict(409, "Conflict", "no")
    await bench.announce(CLEARED)
    bench.kube.failure = None
    (event,) = await bench.announce(CLEARED)
    assert event["series"]["count"] == 2


async def test_a_change_is_logged_with_what_it_was_before() -> None:
    with capture_logs() as logs:
        await Bench().announce(CLEARED, standing(AUTHORIZED))
    assert logs == [
        {
            "event": "state changed",
            "log_level": "info",
            "datasource": "shop/calendar",
            "state": "NOT AUTHORIZED",
            "reason": "CredentialCleared",
            "before": "AUTHORIZED",
            "seconds": 0.012,
        }
    ]


def left_out() -> float:
    return float(LEFT_OUT.labels("Event")._value.get())


async def announce_many(bench: Bench, count: int, finding: Finding) -> int:
    """Announce a finding about so many Datasources; returns how many Events there are then."""
    for number in range(count):
        await bench.announce(finding, observed(uid=f"{finding.reason}-{number}"))
    return len(bench.kube.stored(EVENTS))


async def test_a_crowd_that_changes_at_once_is_not_told_one_by_one() -> None:
    bench, before = Bench(), left_out()
    assert await announce_many(bench, NORMAL_AT_ONCE + 50, AUTHORIZED) == NORMAL_AT_ONCE
    assert left_out() - before == 50


async def test_after_a_crowd_events_are_told_again_bit_by_bit() -> None:
    bench = Bench()
    await announce_many(bench, NORMAL_AT_ONCE, AUTHORIZED)
    bench.now += 3 * THEN_EVERY
    assert await announce_many(bench, 10, CLEARED) == NORMAL_AT_ONCE + 3


async def test_a_crowd_in_one_namespace_keeps_no_event_of_another_out() -> None:
    bench = Bench()
    await announce_many(bench, NORMAL_AT_ONCE + 50, AUTHORIZED)
    events = await bench.announce(AUTHORIZED, observed(namespace="victim", uid="victim"))
    assert "victim" in {event["metadata"]["namespace"] for event in events}


async def test_warnings_of_a_crowd_are_all_told() -> None:
    bench = Bench()
    await announce_many(bench, NORMAL_AT_ONCE, AUTHORIZED)
    assert await announce_many(bench, 150, REJECTED) == NORMAL_AT_ONCE + 150


async def test_a_datasource_that_fails_anew_all_the_time_is_told_a_few_times() -> None:
    bench = Bench()
    for number in range(50):
        await bench.announce(replace(REJECTED, message=f"It says {number}."), observed(uid="one"))
    assert len(bench.kube.stored(EVENTS)) == WARNINGS_OF_AN_OBJECT_AT_ONCE
    assert len(await bench.announce(REJECTED, observed(uid="another"))) == WARNINGS_OF_AN_OBJECT_AT_ONCE + 1


async def test_what_is_warned_of_beside_states_counts_as_well() -> None:
    bench = Bench()
    about = Metadata(name=NAME, namespace=NAMESPACE, uid=UID)
    for number in range(50):
        await bench.recorder.warn(about, is_secret=False, reason="Failed", action="Revoke", note=f"No {number}.")
    assert len(bench.kube.stored(EVENTS)) == WARNINGS_OF_AN_OBJECT_AT_ONCE
