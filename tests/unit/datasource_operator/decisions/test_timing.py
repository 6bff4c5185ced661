"""When somebody comes again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.requests import Requests
from datasource.api.spec import Spec
from datasource.api.spec_problems import parse_spec
from datasource.api.states import Reason
from datasource.records.contents import Contents
from datasource.records.intent import TokenLife
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Surroundings
from datasource_operator.decisions.predicates import LATE_AFTER
from datasource_operator.decisions.steps import Settle
from datasource_operator.decisions.timing import (
    FORBIDDEN_RECHECK,
    LONGEST_WAIT,
    WAITING_RECHECK,
    Comeback,
    Refresh,
    comeback,
    refresh_is_wanted,
    refresh_meanwhile,
    token_life,
    wake_at,
)
from tests.support.builders import (
    NOW,
    OWNERLESS,
    credential,
    facts,
    handled,
    invalid_spec,
    observed,
    problem,
    raw_spec,
    spec,
    spec_without_oauth2,
    tombstone,
    trouble,
)

SECOND = timedelta(seconds=1)


def test_nobody_sleeps_for_longer_than_a_clock_may_be_trusted() -> None:
    """A clock may be set, and a machine that sleeps counts no time."""
    seen = observed(credential(expires_at=NOW + timedelta(days=90)))
    settled = Settle(finding_of(seen), wake_at(seen, finding_of(seen)), False)
    assert settled.wake_at is not None
    assert settled.wake_at > NOW + timedelta(days=30)
    assert comeback(seen, settled).wake_after == LONGEST_WAIT


def test_somebody_comes_when_a_token_becomes_late_though_nothing_else_happens() -> None:
    dead = credential(expires_at=NOW - SECOND, refreshed_at=NOW - timedelta(hours=1))
    seen = observed(dead, first_seen=NOW - SECOND)
    wakes = wake_at(seen, finding_of(seen))
    assert wakes == NOW - SECOND + LATE_AFTER
    later = replace(seen, now=wakes)
    assert finding_of(later).reason is not finding_of(seen).reason


# A request ends a pause.


@pytest.mark.parametrize(
    ("asked", "pending", "failed", "wanted"),
    [
        pytest.param(None, "1", 60, True, id="asked for after the failure, a minute ago"),
        pytest.param("1", "2", 60, True, id="asked for anew"),
        pytest.param(None, "1", 59, False, id="not sooner than a minute after the failure"),
        pytest.param("1", "1", 7200, False, id="the request that the failure answered"),
        pytest.param(None, None, 7200, False, id="nobody asks"),
    ],
)
def test_request_ends_a_pause_of_a_day_once_a_minute(
    asked: str | None, pending: str | None, failed: int, wanted: bool
) -> None:
    """The instance: after a Retry-After of a day, Refresh now was ignored for that day."""
    before = replace(trouble(try_again_in=timedelta(days=1)), asked=asked, failed_at=NOW - timedelta(seconds=failed))
    seen = observed(credential(), trouble=before, requests=Requests(refresh=pending))
    assert refresh_is_wanted(seen) is wanted
    if not wanted and pending != asked:
        assert wake_at(seen, finding_of(seen)) == NOW - timedelta(seconds=failed) + timedelta(minutes=1)


# When surroundings are looked at again, and what else brings somebody.


@pytest.mark.parametrize(
    ("surroundings", "wanted_trouble", "recheck_after", "watched"),
    [
        pytest.param(None, None, WAITING_RECHECK, None, id="waits for a person, nothing looked at"),
        pytest.param(Surroundings(), None, WAITING_RECHECK, None, id="waits for a person"),
        pytest.param(Surroundings(problem()), None, FORBIDDEN_RECHECK, None, id="nothing to be watched mends it"),
        pytest.param(Surroundings(problem(), "s"), None, WAITING_RECHECK, "s", id="a Secret mends it"),
        pytest.param(Surroundings(None, "s"), None, WAITING_RECHECK, None, id="nothing is to be mended"),
        pytest.param(Surroundings(problem(), "s"), "t", WAITING_RECHECK, "s", id="two Secrets: the one in the way"),
        pytest.param(Surroundings(problem()), "t", WAITING_RECHECK, "t", id="the one that a refresh lacks"),
        pytest.param(None, "t", WAITING_RECHECK, "t", id="only the one that a refresh lacks"),
    ],
)
def test_somebody_looks_again_sooner_where_nothing_that_is_watched_can_mend_it(
    surroundings: Surroundings | None, wanted_trouble: str | None, recheck_after: timedelta, watched: str | None
) -> None:
    failed = None if wanted_trouble is None else replace(trouble(), watched_secret=wanted_trouble)
    seen = observed(surroundings=surroundings, trouble=failed)
    back = comeback(seen, Settle(finding_of(seen)))
    assert (back.recheck_after, back.watched_secret) == (recheck_after, watched)
    assert back.refresh is None


def test_what_is_in_order_brings_nobody_to_look_around() -> None:
    seen = observed(credential(expires_at=None))
    assert comeback(seen, Settle(finding_of(seen), wake_at(seen, finding_of(seen)))) == Comeback()


def test_nobody_comes_before_now() -> None:
    seen = observed(credential())
    assert comeback(seen, Settle(finding_of(seen), NOW - timedelta(days=9))).wake_after == timedelta(0)


# Refreshes.


@pytest.mark.parametrize(
    ("wanted", "provider"),
    [
        pytest.param(spec(), "login.example.com", id="where tokens come from"),
        pytest.param(spec(tokenURL="https://b.example.com:8443/t"), "b.example.com", id="whatever its port"),
        pytest.param(
            spec(tokenURL=None, authorizeURL=None, issuer="https://issuer.example.com/realm"),
            "issuer.example.com",
            id="whoever tells where",
        ),
        pytest.param(spec(provider="google", tokenURL=None, authorizeURL=None), "oauth2.googleapis.com", id="a preset"),
        pytest.param(spec(tokenURL=None, authorizeURL=None), "", id="nobody knows"),
        pytest.param(spec_without_oauth2(), "", id="no parameters"),
    ],
)
def test_refresh_takes_its_turn_among_those_of_the_same_provider(wanted: Spec, provider: str) -> None:
    seen = observed(credential(), wanted=wanted)
    back = comeback(seen, Settle(finding_of(seen), refresh=True))
    assert back.refresh == Refresh(provider, is_urgent=False)


def test_refresh_that_somebody_asked_for_goes_first_and_is_urgent_once() -> None:
    asked = Requests(refresh="1")
    for stored, is_urgent in ((credential(), True), (credential(handled=handled(refresh="1")), False)):
        back = comeback(seen := observed(stored, requests=asked), Settle(finding_of(seen), refresh=True))
        assert back.refresh is not None
        assert back.refresh.is_urgent is is_urgent


@pytest.mark.parametrize("asked", [Requests(), Requests(refresh="1")], ids=["due", "asked for"])
@pytest.mark.parametrize(
    ("stored", "changes", "is_wanted"),
    [
        pytest.param(credential(expires_at=NOW), {}, True, id="dead"),
        pytest.param(credential(expires_at=NOW, has_refresh_token=False), {}, False, id="nothing to send"),
        pytest.param(
            credential(expires_at=NOW, verdict=Reason.GRANT_REVOKED), {}, False, id="nothing to send any more"
        ),
        pytest.param(credential(expires_at=NOW, owners=OWNERLESS), {}, False, id="not ours for sure"),
        pytest.param(tombstone(), {}, False, id="cleared"),
        pytest.param(None, {}, False, id="none"),
        pytest.param(credential(expires_at=NOW), {"trouble": trouble()}, False, id="failed a moment ago"),
        pytest.param(
            credential(expires_at=NOW), {"trouble": trouble(try_again_in=timedelta(0))}, True, id="failed long ago"
        ),
        pytest.param(credential(expires_at=NOW), {"wanted": invalid_spec()}, False, id="nobody knows where to"),
        pytest.param(
            credential(expires_at=NOW),
            {"wanted": parse_spec(raw_spec() | {"suspend": True}, allow_insecure_http=False)},
            False,
            id="suspended",
        ),
    ],
)
def test_refresh_token_is_sent_only_where_it_may_be(
    stored: Contents | None, changes: dict[str, Any], is_wanted: bool, asked: Requests
) -> None:
    assert refresh_is_wanted(observed(stored, requests=asked, **changes)) is is_wanted


def test_what_is_not_due_is_refreshed_for_whoever_asks() -> None:
    assert not refresh_is_wanted(observed(credential()))
    assert refresh_is_wanted(observed(credential(), requests=Requests(refresh="1")))
    assert refresh_is_wanted(observed(credential(expires_at=None), requests=Requests(refresh="1")))
    assert not refresh_is_wanted(observed(credential(expires_at=None)))


def test_where_the_token_secret_cannot_be_written_only_a_wanted_refresh_follows() -> None:
    assert refresh_meanwhile(observed(credential())) is None
    follows = refresh_meanwhile(observed(credential(), requests=Requests(refresh="1")))
    assert follows == Comeback(refresh=Refresh("login.example.com", is_urgent=True))


# Waking.


@given(
    expires_in=st.none() | st.integers(-7200, 7200),
    seen_ago=st.none() | st.integers(0, 7200),
    has_refresh_token=st.booleans(),
    verdict=st.none() | st.sampled_from([Reason.GRANT_REVOKED, Reason.REFRESH_INTERRUPTED]),
    failed=st.none() | st.integers(-60, 3600),
    requests=st.sampled_from([Requests(), Requests(refresh="1")]),
)
def test_between_now_and_the_next_look_nothing_changes(
    expires_in: int | None,
    seen_ago: int | None,
    has_refresh_token: bool,
    verdict: Reason | None,
    failed: int | None,
    requests: Requests,
) -> None:
    """Whoever sleeps until then misses nothing: neither another finding nor a refresh."""
    stored = credential(
        expires_at=None if expires_in is None else NOW + timedelta(seconds=expires_in),
        refreshed_at=NOW - timedelta(hours=3),
        has_refresh_token=has_refresh_token,
        verdict=verdict,
    )
    seen = observed(
        stored,
        requests=requests,
        # A reconciliation sets it before it decides.
        first_seen=NOW if seen_ago is None else NOW - timedelta(seconds=seen_ago),
        trouble=None if failed is None else trouble(try_again_in=timedelta(seconds=failed)),
    )
    wakes = wake_at(seen, finding_of(seen))
    assert wakes is None or wakes > NOW
    later = replace(seen, now=NOW + timedelta(days=2) if wakes is None else wakes - timedelta(microseconds=1))
    assert finding_of(later) == finding_of(seen)
    if seen.trouble is None or not refresh_is_wanted(seen):
        assert refresh_is_wanted(later) == refresh_is_wanted(seen)


@pytest.mark.parametrize(
    "url",
    ["https://login.example.com/token", "https://LOGIN.example.com.:8443/other/token", "https://login.example.com"],
)
def test_a_refresh_is_for_the_provider_that_answers_at_its_token_endpoint(url: str) -> None:
    seen = observed(credential(), wanted=spec(tokenURL=url))
    refresh = comeback(seen, Settle(finding_of(seen), None, True)).refresh
    assert refresh == Refresh("login.example.com", is_urgent=False)


def test_life_of_a_token_is_known_where_somebody_told_it() -> None:
    known = facts(expires_at=NOW + timedelta(minutes=20), refreshed_at=NOW - timedelta(minutes=40))
    assert token_life(known, NOW) == TokenLife(timedelta(minutes=20), timedelta(hours=1))
    assert token_life(msgspec.structs.replace(known, expires_at=None), NOW) is None
    assert token_life(msgspec.structs.replace(known, refreshed_at=None), NOW) is None
