"""The election's decision as a table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from datasource.api.clock import micro_time
from datasource.api.objects import Lease
from datasource_operator.decisions.election import (
    COUNTED_GAP,
    LEASE_DURATION,
    RECREATE_AFTER,
    RELEASED_DURATION,
    RETRY_PERIOD,
    Acquire,
    Decision,
    LeaseRecord,
    Me,
    Recreate,
    Renew,
    Sighting,
    WaitFor,
    claim,
    decide,
    release,
    vacancy,
)

NOW = datetime(2026, 7, 1, 14, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NO_TIME = timedelta(0)

ME = Me("me", frozenset({"mine"}))
HOLDING = replace(ME, holds=True)


def record(holder: str = "other", renewed: str | None = "theirs", **changes: Any) -> LeaseRecord:
    """What the Lease says: somebody else's, unless told otherwise."""
    whole = LeaseRecord(
        holder=holder,
        renew_time=renewed,
        acquire_time="then",
        duration=LEASE_DURATION,
        transitions=3,
        resource_version="7",
    )
    return replace(whole, **changes)


OURS = record("me", "mine")
RELEASED = record("", duration=RELEASED_DURATION)


@pytest.mark.parametrize(
    ("observed", "unchanged", "me", "decision"),
    [
        pytest.param(None, NO_TIME, ME, Acquire(), id="never seen one"),
        pytest.param(OURS, NO_TIME, HOLDING, Renew(), id="ours"),
        pytest.param(OURS, NO_TIME, ME, Renew(), id="ours, after we stepped down"),
        pytest.param(OURS.deleted(), NO_TIME, HOLDING, Renew(), id="ours, deleted"),
        pytest.param(OURS.deleted(), NO_TIME, ME, WaitFor(RETRY_PERIOD), id="ours, deleted after we stepped down"),
        pytest.param(RELEASED, NO_TIME, ME, Acquire(), id="released"),
        pytest.param(RELEASED.deleted(), NO_TIME, ME, WaitFor(RETRY_PERIOD), id="released, then deleted"),
        pytest.param(record(), NO_TIME, ME, WaitFor(RETRY_PERIOD), id="somebody else's"),
        pytest.param(record(), NO_TIME, HOLDING, WaitFor(RETRY_PERIOD), id="taken from us"),
        pytest.param(record(), LEASE_DURATION - SECOND / 4, ME, WaitFor(SECOND / 4), id="about to expire"),
        pytest.param(record(), LEASE_DURATION, ME, Acquire(), id="expired"),
        pytest.param(record().deleted(), RECREATE_AFTER - SECOND, ME, WaitFor(RETRY_PERIOD), id="deleted"),
        pytest.param(record().deleted(), RECREATE_AFTER, ME, Recreate(3), id="deleted for long"),
        pytest.param(
            OURS.deleted(), LEASE_DURATION, ME, Recreate(3), id="ours, deleted after we stepped down for long"
        ),
        pytest.param(record(""), NO_TIME, ME, WaitFor(RETRY_PERIOD), id="emptied by hand"),
        pytest.param(record(""), LEASE_DURATION, ME, Acquire(), id="emptied by hand for long"),
        pytest.param(record("me"), NO_TIME, ME, WaitFor(RETRY_PERIOD), id="given to us by hand"),
        pytest.param(record(renewed="mine"), NO_TIME, ME, WaitFor(RETRY_PERIOD), id="taken by hand in the middle"),
        pytest.param(record(duration=4 * LEASE_DURATION), LEASE_DURATION, ME, WaitFor(RETRY_PERIOD), id="runs longer"),
        pytest.param(record(duration=4 * LEASE_DURATION), 4 * LEASE_DURATION, ME, Acquire(), id="ran longer"),
        pytest.param(record(duration=SECOND), 2 * SECOND, ME, WaitFor(RETRY_PERIOD), id="claims to run shorter"),
    ],
)
def test_what_to_do(observed: LeaseRecord | None, unchanged: timedelta, me: Me, decision: Decision) -> None:
    assert decide(observed, unchanged, me) == decision


def looks(*found: tuple[float, LeaseRecord | None]) -> Sighting:
    """The sighting after looks whose answers came at these times."""
    sighting = Sighting()
    for at, what in found:
        sighting = sighting.then(what, at)
    return sighting


def test_time_adds_up_while_looks_show_the_same() -> None:
    assert looks((10, record()), (11, record()), (12.5, record())).unchanged == 2.5 * SECOND


@pytest.mark.parametrize(
    "changed",
    [
        record("third"),
        record(renewed="later"),
        record(resource_version="8"),
        record(duration=2 * LEASE_DURATION),
        None,
    ],
)
def test_any_change_starts_the_count_again(changed: LeaseRecord | None) -> None:
    assert looks((10, record()), (11, record()), (12, changed)).unchanged == NO_TIME


def test_time_without_answers_hardly_counts() -> None:
    assert looks((10, record()), (11, record()), (500, record())).unchanged == SECOND + COUNTED_GAP


def test_a_lease_that_stays_deleted_counts_from_when_that_was_seen() -> None:
    sighting = looks((10, record()), (11, None), (12, None), (13, None))
    assert sighting.record == record().deleted()
    assert sighting.unchanged == 2 * SECOND


def test_a_lease_that_was_never_there_is_not_a_deleted_one() -> None:
    assert looks((10, None), (11, None)).record is None


def test_a_first_lease_has_had_no_other_holder() -> None:
    assert claim(None, ME, NOW) == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-07-01T14:00:00.000000Z",
        "renewTime": "2026-07-01T14:00:00.000000Z",
        "leaseTransitions": 0,
    }


@pytest.mark.parametrize("before", [record(), RELEASED, record().deleted(), record("me")])
def test_a_takeover_is_counted(before: LeaseRecord) -> None:
    claimed = claim(before, ME, NOW)
    assert claimed["leaseTransitions"] == 4
    assert claimed["acquireTime"] == micro_time(NOW)


@pytest.mark.parametrize("before", [OURS, OURS.deleted()])
def test_a_renewal_keeps_count_and_beginning(before: LeaseRecord) -> None:
    claimed = claim(before, ME, NOW)
    assert claimed["leaseTransitions"] == 3
    assert claimed["acquireTime"] == "then"
    assert claimed["renewTime"] == micro_time(NOW)


def test_times_are_utc_with_microseconds() -> None:
    elsewhere = datetime(2026, 7, 1, 16, 0, 0, 25, tzinfo=timezone(timedelta(hours=2)))
    assert micro_time(elsewhere) == "2026-07-01T14:00:00.000025Z"


def test_a_lease_may_say_nothing() -> None:
    lease = msgspec.convert({"metadata": {"name": "datasource-operator", "resourceVersion": "7"}, "spec": {}}, Lease)
    assert LeaseRecord.of(lease) == LeaseRecord(
        holder="", renew_time=None, acquire_time=None, duration=LEASE_DURATION, transitions=0, resource_version="7"
    )


# What is written into a Lease.


def _lease(spec: dict[str, Any]) -> LeaseRecord:
    raw = {"metadata": {"name": "datasource-operator", "resourceVersion": "9"}, "spec": spec}
    return LeaseRecord.of(msgspec.convert(raw, Lease))


def test_release_is_known_as_one_and_acquired_at_once() -> None:
    written = _lease(release(NOW))
    assert written.is_released
    assert decide(written, NO_TIME, ME) == Acquire()


def test_lease_in_place_of_a_deleted_one_is_no_release_and_keeps_count() -> None:
    """Whoever led may lead still: only time tells."""
    written = _lease(vacancy(41))
    assert not written.is_released
    assert written.transitions == 41
    assert decide(written, NO_TIME, ME) == WaitFor(RETRY_PERIOD)
    assert decide(written, LEASE_DURATION, ME) == Acquire()


def test_claim_is_known_as_ours_by_whoever_made_it() -> None:
    written = _lease(claim(None, ME, NOW))
    assert not written.is_released
    remembers = replace(ME, renew_times=frozenset({micro_time(NOW)}))
    assert decide(written, NO_TIME, remembers) == Renew()
    assert decide(written, NO_TIME, Me("other", remembers.renew_times)) == WaitFor(RETRY_PERIOD)
    assert decide(written, NO_TIME, ME) == WaitFor(RETRY_PERIOD), "one that somebody wrote in our name"
