"""A grant that is about to end: what is told of it, and whom."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from datasource.api.spec import Spec
from datasource.api.spec_problems import parse_spec
from datasource.api.states import Reason, State
from datasource.oauth2.identity import expected_identity_hash
from datasource.oauth2.lifetimes import LONGEST_LIFETIME
from datasource.records.grant import GrantEnd, Nearness
from datasource_operator.decisions.expiring_grants import expiring_grant, told_end_of_grant
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.timing import next_refresh, wake_at
from tests.support.builders import NOW, credential, observed, raw_spec, spec, tombstone, trouble

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def ending_in(left: timedelta, *, wanted: Spec | None = None, **changes: Any) -> Observed:
    """A grant of 90 days of which so much is left."""
    usual: dict[str, Any] = {"authorized_at": NOW + left - 90 * DAY, "refreshed_at": NOW - 5 * timedelta(minutes=1)}
    lasting = wanted or spec(grantLifetime="2160h")
    return observed(credential(obtained_with=lasting, **(usual | changes)), wanted=lasting)


def saying(**fields: Any) -> Spec:
    return parse_spec(raw_spec(grantLifetime="2160h") | fields, allow_insecure_http=False)


def message_of(seen: Observed) -> str:
    grant = expiring_grant(seen)
    assert grant is not None
    return grant.message


def test_end_is_told_by_steps_with_what_to_do_and_whom_to_ask() -> None:
    assert expiring_grant(ending_in(10 * DAY)) is None
    near = [expiring_grant(ending_in(left)) for left in (8 * DAY, 2 * DAY, HOUR)]
    assert [each and each.nearness for each in near] == [Nearness.SOON, Nearness.THREE_DAYS, Nearness.ONE_DAY]
    assert message_of(ending_in(2 * DAY)) == (
        "The grant ends at 2026-07-03T12:00:00Z, and refreshing does not move that. Open status.authorizationLink to get a new "
        "credential before; the old one works until then. ada@example.com authorized last; another person may do it."
    )


def test_contact_is_named_where_the_spec_has_one() -> None:
    wanted = saying(display={"contact": "facilities@example.com"})
    assert message_of(ending_in(DAY, wanted=wanted)).endswith("Whom to ask: facilities@example.com.")
    alone = message_of(ending_in(DAY, wanted=wanted, authorized_as=None))
    assert "authorized last" not in alone
    assert alone.endswith("until then. Whom to ask: facilities@example.com.")


def test_another_person_is_not_named_where_the_spec_expects_one() -> None:
    ada = {"email": "ada@example.com"}
    wanted = spec(grantLifetime="2160h", issuer="https://login.example.com", scopes=["openid"], expectedIdentity=ada)
    checked: dict[str, Any] = {"identity_checked": expected_identity_hash(ada), "identity_fits": True}
    assert message_of(ending_in(DAY, wanted=wanted, **checked)).endswith("ada@example.com authorized last.")


def test_while_refreshing_fails_it_is_said_that_a_refresh_would_move_the_end() -> None:
    idle = spec(grantIdleLifetime="2160h")
    seen = observed(credential(obtained_with=idle, refreshed_at=NOW - 89 * DAY, expires_at=None), wanted=idle)
    assert ", and refreshing does not move that" in message_of(seen)
    assert ", unless a refresh moves that, and refreshing fails." in message_of(replace(seen, trouble=trouble()))


def test_while_suspended_no_link_is_promised() -> None:
    seen = ending_in(DAY, wanted=saying(suspend=True))
    said = message_of(seen)
    assert (
        "while spec.suspend is true nothing is refreshed that may move that. Set spec.suspend to false in time." in said
    )
    assert "authorizationLink" not in said
    assert finding_of(seen).needs_person is False


def test_link_is_offered_beside_authorized_while_a_grant_is_expiring() -> None:
    finding = finding_of(ending_in(DAY))
    assert (finding.state, finding.reason, finding.needs_person) == (State.AUTHORIZED, Reason.AUTHORIZED, True)
    assert finding.message == f"A credential is stored. {message_of(ending_in(DAY))}"
    assert finding_of(ending_in(20 * DAY)).needs_person is False


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(observed(None), id="nobody authorized yet"),
        pytest.param(observed(tombstone()), id="cleared"),
        pytest.param(ending_in(DAY, verdict=Reason.GRANT_REVOKED), id="it ended already"),
        pytest.param(ending_in(DAY, has_refresh_token=False), id="there is no refresh token"),
        pytest.param(ending_in(DAY, wanted=spec()), id="nobody tells"),
        pytest.param(ending_in(DAY, fingerprint="of others"), id="of other parameters"),
    ],
)
def test_nothing_is_told_of_a_grant_that_is_not_in_use_or_whose_end_is_not_known(seen: Observed) -> None:
    assert told_end_of_grant(seen) is None
    assert expiring_grant(seen) is None


def test_preset_tells_what_its_provider_says_and_what_is_written_wins() -> None:
    by_preset = spec(provider="linkedin", grantLifetime=None)
    written = spec(provider="linkedin", grantLifetime="24h")
    since: dict[str, Any] = {"authorized_at": NOW - HOUR, "refreshed_at": NOW - HOUR}
    of_preset = told_end_of_grant(observed(credential(obtained_with=by_preset, **since), wanted=by_preset))
    assert of_preset == GrantEnd(NOW - HOUR + 365 * DAY, 365 * DAY)
    mine = told_end_of_grant(observed(credential(obtained_with=written, **since), wanted=written))
    assert mine == GrantEnd(NOW + 23 * HOUR, DAY)


def test_lifetime_longer_than_anybody_means_is_taken_as_ten_years() -> None:
    wanted = spec(grantLifetime="999999999h")
    seen = observed(credential(obtained_with=wanted, authorized_at=NOW), wanted=wanted)
    assert told_end_of_grant(seen) == GrantEnd(NOW + LONGEST_LIFETIME, LONGEST_LIFETIME)


def test_somebody_comes_at_each_step() -> None:
    seen = ending_in(40 * DAY, expires_at=None)
    times = []
    while (wakes := wake_at(seen, finding_of(seen))) is not None:
        times.append(wakes)
        seen = replace(seen, now=wakes + timedelta(microseconds=1))
    steps = [NOW + 40 * DAY - left for left in (9 * DAY, 3 * DAY, DAY)]
    assert set(steps) <= set(times)


def within_an_absolute_end(left: timedelta, **changes: Any) -> Observed:
    """A grant of 90 days with a sliding end of 30 minutes, as Keycloak has both."""
    usual: dict[str, Any] = {"refreshed_at": NOW - timedelta(minutes=5), "expires_at": NOW + timedelta(minutes=5)}
    wanted = spec(grantLifetime="2160h", grantIdleLifetime="30m")
    return ending_in(left, wanted=wanted, **(usual | changes))


def test_end_that_refreshes_move_hides_no_end_that_they_do_not() -> None:
    assert expiring_grant(within_an_absolute_end(10 * DAY)) is None
    near = [expiring_grant(within_an_absolute_end(left)) for left in (8 * DAY, 2 * DAY, HOUR)]
    assert [each and each.nearness for each in near] == [Nearness.SOON, Nearness.THREE_DAYS, Nearness.ONE_DAY]
    assert "The grant ends at 2026-07-03T12:00:00Z" in message_of(within_an_absolute_end(2 * DAY))


def test_end_that_is_told_is_the_one_that_is_near_and_else_the_first() -> None:
    far, near = (told_end_of_grant(within_an_absolute_end(left)) for left in (80 * DAY, DAY))
    assert far == GrantEnd(NOW + timedelta(minutes=25), timedelta(minutes=30))
    assert near == GrantEnd(NOW + DAY, 90 * DAY)


def test_sliding_end_is_told_once_refreshing_has_failed_that_long() -> None:
    seen = within_an_absolute_end(DAY, refreshed_at=NOW - timedelta(minutes=28))
    assert told_end_of_grant(replace(seen, trouble=trouble())) == GrantEnd(
        NOW + timedelta(minutes=2), timedelta(minutes=30)
    )


def test_somebody_comes_at_each_step_of_an_end_that_is_not_the_first() -> None:
    step = NOW + timedelta(minutes=1)
    seen = within_an_absolute_end(3 * DAY + timedelta(minutes=1), expires_at=None, refreshed_at=NOW)
    assert wake_at(seen, finding_of(seen)) == step


def test_grant_of_which_only_the_end_is_known_is_refreshed_at_two_thirds() -> None:
    idle = spec(grantIdleLifetime="720h")
    silent = observed(credential(obtained_with=idle, expires_at=None, refreshed_at=NOW), wanted=idle)
    due = next_refresh(silent)
    assert due is not None
    assert NOW + 19 * DAY <= due <= NOW + 20 * DAY
