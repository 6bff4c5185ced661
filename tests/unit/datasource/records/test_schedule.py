"""When a credential is due for its refresh: early enough, never twice at once, and not all together."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.records.credential import CredentialFacts
from datasource.records.grant import GrantEnd, grant_ends
from datasource.records.schedule import KUBELET_DELAY, LARGEST_JITTER, SHORTEST_PAUSE, refresh_due
from tests.unit.datasource.builders import NOW, facts

HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


def lasting(lifetime: timedelta, **changes: Any) -> CredentialFacts:
    return facts(**({"refreshed_at": NOW, "expires_at": NOW + lifetime} | changes))


def age_when_due(
    given_facts: CredentialFacts, *, refresh_before: timedelta | None = None, first_seen: timedelta = timedelta(0)
) -> timedelta:
    grant = next(iter(grant_ends(given_facts, lifetime=None, idle=None)), None)
    due = refresh_due(given_facts, refresh_before=refresh_before, first_seen=NOW + first_seen, grant=grant)
    assert due is not None
    return due - NOW


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"expires_at": None}, id="of unknown lifetime"),
        pytest.param({"refreshed_at": None}, id="of unknown age"),
        pytest.param({"has_refresh_token": False}, id="without a refresh token"),
    ],
)
def test_credential_is_never_due(changes: dict[str, Any]) -> None:
    assert refresh_due(lasting(HOUR, **changes), refresh_before=None, first_seen=NOW) is None


@pytest.mark.parametrize(
    ("default", "hint", "latest"),
    [
        pytest.param(None, HOUR, 40 * MINUTE, id="by what the token says of itself"),
        pytest.param(2 * HOUR, None, 80 * MINUTE, id="by what the spec says by now"),
        pytest.param(2 * HOUR, HOUR, 80 * MINUTE, id="by the spec rather than by the token"),
    ],
)
def test_token_of_which_nobody_tells_a_lifetime_is_due_all_the_same(
    default: timedelta | None, hint: timedelta | None, latest: timedelta
) -> None:
    untold = lasting(HOUR, expires_at=None, expiry_hint=None if hint is None else NOW + hint)
    due = refresh_due(untold, refresh_before=None, first_seen=NOW, default_lifetime=default)
    assert due is not None
    assert latest * 0.8 <= due - NOW <= latest


def test_refresh_token_that_runs_out_first_is_used_at_two_thirds() -> None:
    """Keycloak tells refresh_expires_in 1800 beside expires_in 3600."""
    age = age_when_due(lasting(HOUR, grant_expires_at=NOW + 30 * MINUTE))
    assert 16 * MINUTE <= age <= 20 * MINUTE
    assert (
        16 * MINUTE <= age_when_due(lasting(HOUR, expires_at=None, grant_expires_at=NOW + 30 * MINUTE)) <= 20 * MINUTE
    )
    assert age_when_due(lasting(HOUR, grant_expires_at=NOW + 9 * HOUR)) == age_when_due(lasting(HOUR))


def test_end_of_a_grant_that_no_refresh_moves_makes_no_storm() -> None:
    assert age_when_due(lasting(HOUR, grant_expires_at=NOW + SECOND)) == MINUTE
    assert age_when_due(lasting(HOUR, grant_expires_at=NOW - HOUR)) == age_when_due(lasting(HOUR))
    past = refresh_due(lasting(HOUR), refresh_before=None, first_seen=NOW, grant=GrantEnd(NOW - HOUR, HOUR))
    assert past == NOW + MINUTE


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_due_time_leaves_a_third_of_whatever_ends_first(access: int, grant: int) -> None:
    """An outage of a third of it costs nothing."""
    ends = min(access, grant) * SECOND
    given_facts = lasting(access * SECOND, grant_expires_at=NOW + grant * SECOND)
    assert age_when_due(given_facts) <= max(ends * 2 / 3, MINUTE)


@pytest.mark.parametrize(
    ("lifetime", "latest"),
    [
        pytest.param(HOUR, 40 * MINUTE, id="two thirds of an hour"),
        pytest.param(90 * timedelta(days=1), 60 * timedelta(days=1), id="two thirds of three months"),
        pytest.param(5 * MINUTE, 3 * MINUTE, id="two minutes before the end, for kubelet"),
        pytest.param(4 * MINUTE, 160 * SECOND, id="two thirds where kubelet would come too late anyway"),
        pytest.param(30 * SECOND, 20 * SECOND, id="two thirds of half a minute"),
    ],
)
def test_credential_is_due_at_two_thirds_or_up_to_a_jitter_earlier(lifetime: timedelta, latest: timedelta) -> None:
    due = age_when_due(lasting(lifetime))
    assert latest - min(lifetime / 10, LARGEST_JITTER) <= due <= latest


@pytest.mark.parametrize(
    ("refresh_before", "latest"),
    [
        pytest.param(10 * MINUTE, 50 * MINUTE, id="before the end"),
        pytest.param(1 * MINUTE, 59 * MINUTE, id="shortly before the end, as asked"),
        pytest.param(HOUR, 20 * MINUTE, id="and never sooner than at a third"),
        pytest.param(100 * HOUR, 20 * MINUTE, id="though it be longer than the lifetime"),
    ],
)
def test_spec_may_say_how_long_before_its_end_it_is_due(refresh_before: timedelta, latest: timedelta) -> None:
    due = age_when_due(lasting(HOUR), refresh_before=refresh_before)
    assert max(latest - 6 * MINUTE, 20 * MINUTE) <= due <= latest


@pytest.mark.parametrize("lifetime", [timedelta(0), SECOND, -HOUR], ids=["nothing", "a second", "less than nothing"])
def test_shortest_lifetime_makes_no_storm(lifetime: timedelta) -> None:
    assert age_when_due(lasting(lifetime, revision=1)) == SHORTEST_PAUSE


@pytest.mark.parametrize("lifetime", [timedelta(0), SECOND])
def test_pause_grows_to_a_minute_where_no_refresh_can_keep_up(lifetime: timedelta) -> None:
    ages = [age_when_due(lasting(lifetime, revision=revision)) for revision in (1, 2, 3, 4, 5, 6, 1_000_000)]
    assert ages == [each * SECOND for each in (5, 10, 20, 40, 60, 60, 60)]


def test_lifetime_that_refreshes_can_keep_up_with_is_kept_up_with() -> None:
    assert age_when_due(lasting(SHORTEST_PAUSE, revision=1000)) == SHORTEST_PAUSE


@pytest.mark.parametrize("refresh_before", [None, 10 * MINUTE])
def test_clock_that_ran_ahead_where_it_was_stored_makes_nothing_late(refresh_before: timedelta | None) -> None:
    ahead = lasting(HOUR, refreshed_at=NOW + 5 * MINUTE, expires_at=NOW + HOUR + 5 * MINUTE)
    assert age_when_due(ahead, refresh_before=refresh_before) == age_when_due(
        lasting(HOUR), refresh_before=refresh_before
    )


@pytest.mark.parametrize("skew", [-5 * MINUTE, 5 * MINUTE], ids=["5 minutes behind", "5 minutes ahead"])
def test_clocks_that_differ_by_five_minutes_make_neither_a_storm_nor_a_late_refresh(skew: timedelta) -> None:
    """Whoever stored the credential had another clock; the provider counts an hour from when it answered."""
    skewed = lasting(HOUR, refreshed_at=NOW + skew, expires_at=NOW + HOUR + skew)
    assert 20 * MINUTE <= age_when_due(skewed) <= 40 * MINUTE


def test_seeing_it_late_does_not_put_it_off() -> None:
    assert age_when_due(lasting(HOUR), first_seen=30 * MINUTE) == age_when_due(lasting(HOUR))


def test_due_time_is_the_same_at_every_look() -> None:
    assert age_when_due(lasting(HOUR)) == age_when_due(lasting(HOUR))


def test_tokens_issued_together_do_not_fall_due_together() -> None:
    due = sorted(age_when_due(lasting(HOUR, credential_id=f"cred-{number}")) for number in range(1000))
    # 1000 over 6 minutes: no tenth of them within less than half a tenth of that time.
    assert min(later - earlier for earlier, later in zip(due, due[100:], strict=False)) > 18 * SECOND


def test_each_revision_is_due_at_another_moment() -> None:
    assert len({age_when_due(lasting(HOUR, revision=revision)) for revision in range(10)}) == 10


@given(
    seconds=st.integers(15, 10**9),
    before=st.none() | st.integers(30, 10**9),
    revision=st.integers(1, 10**6),
    seen=st.integers(-(10**6), 10**6),
)
def test_credential_is_due_between_a_third_and_the_end_of_its_lifetime(
    seconds: int, before: int | None, revision: int, seen: int
) -> None:
    lifetime = timedelta(seconds=seconds)
    refresh_before = None if before is None else timedelta(seconds=before)
    due = age_when_due(
        lasting(lifetime, revision=revision), refresh_before=refresh_before, first_seen=timedelta(seconds=seen)
    )
    since = due - min(timedelta(0), timedelta(seconds=seen))
    assert lifetime / 3 <= since + SECOND
    assert since < lifetime
    if refresh_before is None and lifetime > 2 * KUBELET_DELAY:
        assert since <= lifetime - KUBELET_DELAY


def test_grant_that_is_to_be_proved_is_due_at_once_however_long_its_token_lives() -> None:
    to_be_proved = lasting(timedelta(days=30), expiry_hint=NOW)
    assert refresh_due(to_be_proved, refresh_before=None, first_seen=NOW) == NOW + SHORTEST_PAUSE
