"""When a grant ends: told, absolute, idle; what a refresh moves; and how near that is."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.records.credential import CredentialFacts
from datasource.records.grant import (
    LONGEST_WINDOW,
    GrantEnd,
    Nearness,
    grant_ends,
    near_end,
    nearness,
    next_step_towards,
    told_end,
    told_life,
)
from datasource.records.schedule import refresh_due
from tests.unit.datasource.builders import NOW, facts

DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


def first(ends: tuple[GrantEnd, ...]) -> GrantEnd | None:
    return next(iter(ends), None)


def granted(**changes: Any) -> CredentialFacts:
    """Authorized ten days ago, refreshed now."""
    usual: dict[str, Any] = {"refreshed_at": NOW, "expires_at": NOW + HOUR, "authorized_at": NOW - 10 * DAY}
    return facts(**(usual | changes))


@pytest.mark.parametrize(
    ("changes", "lifetime", "idle", "expected"),
    [
        pytest.param({}, None, None, None, id="nobody tells"),
        pytest.param({"grant_expires_at": NOW + DAY}, None, None, GrantEnd(NOW + DAY, DAY), id="told"),
        pytest.param(
            {"grant_expires_at": NOW + DAY, "grant_lifetime": 90 * DAY},
            None,
            None,
            GrantEnd(NOW + DAY, 90 * DAY),
            id="told, and how long it was in whole",
        ),
        pytest.param({}, 90 * DAY, None, GrantEnd(NOW + 80 * DAY, 90 * DAY), id="absolute, from the authorization on"),
        pytest.param({}, None, 30 * DAY, GrantEnd(NOW + 30 * DAY, 30 * DAY), id="idle, from the refresh on"),
        pytest.param(
            {}, 90 * DAY, 30 * DAY, GrantEnd(NOW + 30 * DAY, 30 * DAY), id="whichever comes first, the idle one"
        ),
        pytest.param(
            {}, 11 * DAY, 30 * DAY, GrantEnd(NOW + DAY, 11 * DAY), id="whichever comes first, the absolute one"
        ),
        pytest.param(
            {"grant_expires_at": NOW + 60 * DAY},
            None,
            30 * DAY,
            GrantEnd(NOW + 60 * DAY, 60 * DAY),
            id="what is told replaces the idle end",
        ),
        pytest.param(
            {"grant_expires_at": NOW + 60 * DAY},
            40 * DAY,
            None,
            GrantEnd(NOW + 30 * DAY, 40 * DAY),
            id="what is told does not move the absolute end",
        ),
        pytest.param(
            {"grant_expires_at": NOW - SECOND}, None, None, None, id="an end that was none: refreshed after it"
        ),
        pytest.param(
            {"grant_expires_at": NOW - SECOND},
            None,
            DAY,
            GrantEnd(NOW + DAY, DAY),
            id="an end that was none leaves the idle one",
        ),
        pytest.param({}, 9 * DAY, None, None, id="an absolute end that was none"),
        pytest.param({"authorized_at": None}, 90 * DAY, None, None, id="v0.1.0 does not say when it was authorized"),
        pytest.param({"has_refresh_token": False}, 90 * DAY, DAY, None, id="without a refresh token"),
        pytest.param({"refreshed_at": None}, 90 * DAY, DAY, None, id="of unknown age"),
    ],
)
def test_first_end_that_is_known_is_told(
    changes: dict[str, Any], lifetime: timedelta | None, idle: timedelta | None, expected: GrantEnd | None
) -> None:
    assert first(grant_ends(granted(**changes), lifetime=lifetime, idle=idle)) == expected


def test_altered_time_at_the_end_of_all_days_is_no_crash() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    altered = granted(authorized_at=last, refreshed_at=last - DAY)
    assert first(grant_ends(altered, lifetime=DAY, idle=2 * DAY)) == GrantEnd(last, 2 * DAY)


@pytest.mark.parametrize(
    ("lifetime", "left", "expected"),
    [
        pytest.param(365 * DAY, 14 * DAY, None, id="a year, two weeks left"),
        pytest.param(365 * DAY, 14 * DAY - SECOND, Nearness.SOON, id="a year, less than that"),
        pytest.param(365 * DAY, 3 * DAY, Nearness.SOON, id="three days left"),
        pytest.param(365 * DAY, 3 * DAY - SECOND, Nearness.THREE_DAYS, id="less than three days"),
        pytest.param(365 * DAY, DAY, Nearness.THREE_DAYS, id="a day left"),
        pytest.param(365 * DAY, DAY - SECOND, Nearness.ONE_DAY, id="less than a day"),
        pytest.param(365 * DAY, -DAY, Nearness.ONE_DAY, id="it should have ended"),
        pytest.param(60 * DAY, 6 * DAY, None, id="two months: a tenth is left"),
        pytest.param(60 * DAY, 6 * DAY - SECOND, Nearness.SOON, id="two months: less than a tenth"),
        pytest.param(20 * DAY, DAY + SECOND, Nearness.SOON, id="twenty days: three days are more than a tenth"),
        pytest.param(20 * DAY, DAY - SECOND, Nearness.ONE_DAY, id="twenty days: a day is less"),
        pytest.param(10 * HOUR, HOUR - SECOND, Nearness.SOON, id="ten hours: there is one step only"),
        pytest.param(10 * HOUR, -SECOND, Nearness.SOON, id="ten hours: and no further one at the end"),
    ],
)
def test_end_is_near_by_steps(lifetime: timedelta, left: timedelta, expected: Nearness | None) -> None:
    assert nearness(GrantEnd(NOW + left, lifetime), NOW) is expected


@given(st.timedeltas(MINUTE, 3650 * DAY), st.timedeltas(-DAY, 3650 * DAY))
def test_whoever_comes_at_the_next_step_finds_it_nearer(lifetime: timedelta, left: timedelta) -> None:
    end = GrantEnd(NOW + left, lifetime)
    step = next_step_towards(end, NOW)
    if step is None:
        assert nearness(end, NOW) is not None
        assert nearness(end, NOW) is nearness(end, NOW + 4000 * DAY)
    else:
        assert step > NOW
        assert nearness(end, step - timedelta(microseconds=1)) is nearness(end, NOW)
        assert nearness(end, step + timedelta(microseconds=1)) is not nearness(end, NOW)


# A grant over its whole life: what replies tell, each refresh when it is due.


def lived(
    access: timedelta | None,
    told: Any,
    *,
    lifetime: timedelta | None = None,
    idle: timedelta | None = None,
    until: timedelta,
    outage: tuple[timedelta, timedelta] | None = None,
) -> list[tuple[timedelta, Nearness | None]]:
    """How near the end was told to be, just before each refresh; ages are since the authorization.

    Args:
        access: how long an access token lasts.
        told: what a reply at an age tells of the grant; None: nothing.
        lifetime: grantLifetime.
        idle: grantIdleLifetime.
        until: the age at which to stop.
        outage: between which ages the provider does not answer.
    """
    found = CredentialFacts("c-1", has_refresh_token=True, authorized_at=NOW)
    age, seen = timedelta(0), list[tuple[timedelta, Nearness | None]]()
    while age <= until:
        now = NOW + age
        left = told(age)
        end = None if left is None else now + left
        found = msgspec.structs.replace(
            found,
            revision=found.revision + 1,
            grant_lifetime=told_life(found, end, now),
            grant_expires_at=told_end(found, end),
            refreshed_at=now,
            expires_at=None if access is None else now + access,
        )
        ends = grant_ends(found, lifetime=lifetime, idle=idle)
        due = refresh_due(found, refresh_before=None, first_seen=now, grant=first(ends))
        if due is None:
            break
        age = due - NOW
        if outage is not None and outage[0] <= age < outage[1]:
            age = outage[1]
        near = near_end(ends, NOW + age)
        seen.append((age, None if near is None else nearness(near, NOW + age)))
    return seen


def nothing_told(_: timedelta) -> None:
    """Most providers."""


def told_once(left: timedelta) -> Any:
    return lambda age: left if age == timedelta(0) else None


def sliding(left: timedelta) -> Any:
    return lambda _: left


def told_each_time(end: timedelta) -> Any:
    """An end that no refresh moves, told as what is left of it in whole seconds."""
    return lambda age: timedelta(seconds=max(0, int((end - age).total_seconds()))) or None


@pytest.mark.parametrize(
    ("access", "told", "options"),
    [
        pytest.param(HOUR, sliding(30 * DAY), {}, id="told by each reply, and moved"),
        pytest.param(HOUR, sliding(30 * MINUTE), {}, id="Keycloak: idle shorter than the access token"),
        pytest.param(None, sliding(30 * MINUTE), {}, id="only the end of the grant is told"),
        pytest.param(HOUR, nothing_told, {"idle": 60 * DAY}, id="grantIdleLifetime"),
        pytest.param(
            2 * HOUR, nothing_told, {"idle": 30 * MINUTE}, id="grantIdleLifetime shorter than the access token"
        ),
        pytest.param(HOUR, nothing_told, {}, id="silent"),
    ],
)
def test_end_that_refreshing_moves_is_never_told_as_near(access: Any, told: Any, options: dict[str, Any]) -> None:
    steps = lived(access, told, until=2 * DAY, **options)
    assert len(steps) > 3
    assert {near for _, near in steps} == {None}


@pytest.mark.parametrize(
    ("access", "told", "options"),
    [
        pytest.param(6 * HOUR, told_once(60 * DAY), {}, id="told once"),
        pytest.param(6 * HOUR, told_each_time(60 * DAY), {}, id="told by each reply, and not moved"),
        pytest.param(6 * HOUR, nothing_told, {"lifetime": 60 * DAY}, id="grantLifetime"),
        pytest.param(6 * HOUR, sliding(30 * DAY), {"lifetime": 60 * DAY}, id="a sliding end within an absolute one"),
        pytest.param(6 * HOUR, sliding(10 * HOUR), {"lifetime": 60 * DAY}, id="a sliding end of hours, told"),
        pytest.param(
            6 * HOUR, nothing_told, {"lifetime": 60 * DAY, "idle": 2 * DAY}, id="grantIdleLifetime of two days"
        ),
        pytest.param(
            6 * HOUR,
            lambda age: min(10 * HOUR, 60 * DAY - age),
            {"lifetime": 60 * DAY},
            id="Keycloak: what is left of either, told",
        ),
    ],
)
def test_end_that_refreshing_does_not_move_is_told_step_by_step(
    access: Any, told: Any, options: dict[str, Any]
) -> None:
    steps = lived(access, told, until=60 * DAY - MINUTE, **options)
    early = {near for age, near in steps if age < 54 * DAY - HOUR}
    assert early == {None}
    late = [near for age, near in steps if 54 * DAY < age < 60 * DAY]
    assert list(dict.fromkeys(late)) == [Nearness.SOON, Nearness.THREE_DAYS, Nearness.ONE_DAY]


@pytest.mark.parametrize(
    ("told", "options"),
    [pytest.param(sliding(9 * HOUR), {}, id="told"), pytest.param(nothing_told, {"idle": 9 * HOUR}, id="idle")],
)
@pytest.mark.parametrize("access", [HOUR, 20 * HOUR])
def test_outage_of_a_third_of_the_grant_costs_nothing(access: timedelta, told: Any, options: dict[str, Any]) -> None:
    begins = 2 * DAY
    steps = lived(access, told, until=3 * DAY, outage=(begins, begins + 3 * HOUR), **options)
    ages = [age for age, _ in steps]
    assert all(later - earlier <= 9 * HOUR for earlier, later in pairwise(ages))


def test_grant_that_outlives_its_told_end_is_refreshed_as_ever_and_not_every_minute() -> None:
    steps = lived(HOUR, told_once(5 * HOUR), until=3 * DAY)
    after = [age for age, _ in steps if age > 6 * HOUR]
    assert {near for age, near in steps if age > 6 * HOUR} == {None}
    assert all(later - earlier >= 30 * MINUTE for earlier, later in pairwise(after))


def test_shorter_limit_that_the_provider_sets_later_is_told_as_near_only_until_a_refresh_moves_it() -> None:
    steps = lived(HOUR, lambda age: 30 * DAY if age < DAY else 2 * HOUR, until=3 * DAY)
    near = [age for age, told in steps if told is not None]
    assert len(near) <= 1


@pytest.mark.parametrize(
    ("before", "told_end", "expected"),
    [
        pytest.param({}, None, None, id="nothing, ever"),
        pytest.param({"grant_lifetime": DAY}, None, DAY, id="nothing this time"),
        pytest.param({}, NOW + DAY, DAY, id="for the first time"),
        pytest.param({"grant_expires_at": NOW + HOUR}, NOW + DAY, DAY, id="moved"),
        pytest.param(
            {"grant_expires_at": NOW + HOUR, "grant_lifetime": 9 * DAY}, NOW + HOUR, 9 * DAY, id="the same end"
        ),
        pytest.param(
            {"grant_expires_at": NOW + HOUR, "grant_lifetime": 9 * DAY},
            NOW + HOUR + 20 * SECOND,
            9 * DAY,
            id="the same end, told in another second",
        ),
        pytest.param({"grant_expires_at": NOW + HOUR}, NOW + HOUR, HOUR, id="of a version that did not keep it"),
        pytest.param({}, NOW - DAY, SECOND, id="past when it was told"),
    ],
)
def test_life_of_a_grant_is_kept_while_the_same_end_is_told(
    before: dict[str, Any], told_end: datetime | None, expected: timedelta | None
) -> None:
    usual: dict[str, Any] = {"grant_expires_at": None, "grant_lifetime": None}
    assert told_life(facts(**(usual | before)), told_end, NOW) == expected


@pytest.mark.parametrize(
    ("stood", "told", "expected"),
    [
        pytest.param(None, None, None, id="nothing, ever"),
        pytest.param(NOW + DAY, None, NOW + DAY, id="nothing this time"),
        pytest.param(None, NOW + DAY, NOW + DAY, id="for the first time"),
        pytest.param(NOW + DAY, NOW + DAY + 30 * SECOND, NOW + DAY, id="the same end, told a bit later"),
        pytest.param(NOW + DAY, NOW + DAY - 30 * SECOND, NOW + DAY, id="the same end, told a bit earlier"),
        pytest.param(NOW + DAY, NOW + DAY + 31 * SECOND, NOW + DAY + 31 * SECOND, id="a later one"),
        pytest.param(NOW + DAY, NOW + HOUR, NOW + HOUR, id="an earlier one"),
    ],
)
def test_end_stays_as_it_was_told_until_another_one_is(
    stood: datetime | None, told: datetime | None, expected: datetime | None
) -> None:
    assert told_end(facts(grant_expires_at=stood), told) == expected


@pytest.mark.parametrize("each", [20 * SECOND, HOUR])
def test_end_that_slides_is_moved_by_and_by(each: timedelta) -> None:
    """However little each refresh moves it, the end that is kept is never more than half a minute behind."""
    kept = facts(grant_expires_at=None)
    for refresh in range(100):
        told = NOW + refresh * each + DAY
        kept = msgspec.structs.replace(kept, grant_expires_at=told_end(kept, told))
        assert kept.grant_expires_at is not None
        assert abs(told - kept.grant_expires_at) <= 30 * SECOND


def test_first_end_that_is_near_is_told_though_another_comes_before() -> None:
    sliding, absolute, later = (
        GrantEnd(NOW + HOUR, 2 * HOUR),
        GrantEnd(NOW + DAY, 60 * DAY),
        GrantEnd(NOW + 2 * DAY, 60 * DAY),
    )
    assert near_end((sliding, absolute, later), NOW) == absolute
    assert near_end((sliding,), NOW) is None


def test_window_is_a_tenth_and_at_most_two_weeks() -> None:
    assert GrantEnd(NOW, 365 * DAY).window == LONGEST_WINDOW
    assert GrantEnd(NOW, 10 * DAY).window == DAY
