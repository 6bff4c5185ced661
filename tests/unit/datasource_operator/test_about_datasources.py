"""What the metrics tell of one Datasource."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.clock import rfc3339
from datasource.api.objects import Condition, Datasource, Status
from datasource.api.states import GRANT_EXPIRING, MEANING, Reason
from datasource.records.credential import Unreadable
from datasource_operator.about_datasources import OVERDUE_AFTER, UNSEEN, About
from tests.support.builders import NOW, credential, datasource

HOUR = timedelta(hours=1)


def condition(type_: str, reason: str) -> Condition:
    return Condition(type=type_, status="True", reason=reason, message="", last_transition_time=rfc3339(NOW))


def authorized(*more: Condition, **changes: Any) -> Datasource:
    ready = condition("Ready", Reason.AUTHORIZED)
    status = Status(state="AUTHORIZED", conditions=(ready, *more), **changes)
    return msgspec.structs.replace(datasource(), status=status)


def about(made: Datasource, **facts: Any) -> About:
    usual: dict[str, Any] = {"refreshed_at": NOW, "expires_at": NOW + HOUR}
    held = credential(**(usual | facts))
    return About.of(made, held, first_seen=NOW, now=NOW)


def test_datasource_that_nobody_looked_at_is_unseen() -> None:
    told = about(msgspec.structs.replace(datasource(), status=Status()))
    assert (told.state, told.reason) == UNSEEN
    assert told.due_at is None


def test_end_of_the_grant_is_what_the_status_says() -> None:
    assert about(authorized(grant_expires_at=rfc3339(NOW + HOUR))).grant_ends_at == NOW + HOUR
    assert about(authorized()).grant_ends_at is None


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_end_that_somebody_else_wrote_breaks_nothing(text: str) -> None:
    told = about(authorized(grant_expires_at=text))
    assert told.grant_ends_at is None
    assert told.due_at is not None


def test_grant_that_ends_before_the_token_makes_the_refresh_due_sooner() -> None:
    soon, usual = about(authorized(grant_expires_at=rfc3339(NOW + HOUR / 6))), about(authorized())
    assert soon.due_at is not None
    assert usual.due_at is not None
    assert soon.due_at <= NOW + HOUR / 9 < usual.due_at


def test_refresh_that_is_late_by_more_than_a_minute_is_overdue() -> None:
    late: dict[str, Any] = {"refreshed_at": NOW - HOUR, "expires_at": NOW + timedelta(minutes=1)}
    held = credential(**late)
    seen = About.of(authorized(), held, first_seen=NOW, now=NOW)
    assert seen.is_overdue
    assert seen.due_at is not None
    assert not About.of(authorized(), held, first_seen=NOW, now=seen.due_at + OVERDUE_AFTER).is_overdue


def test_grant_is_expiring_while_the_condition_is_there() -> None:
    assert about(authorized(condition(GRANT_EXPIRING, "EndsSoon"))).is_grant_expiring
    assert not about(authorized()).is_grant_expiring


def with_reason(reason: Reason, **spec: Any) -> Datasource:
    made = datasource()
    status = Status(state=MEANING[reason].state, conditions=(condition("Ready", reason),))
    return msgspec.structs.replace(made, spec={**made.spec, **spec}, status=status)


@pytest.mark.parametrize(
    "reason", [Reason.REFRESH_FAILING, Reason.GRANT_REVOKED, Reason.REFRESH_INTERRUPTED, Reason.CLIENT_REJECTED]
)
def test_token_that_nobody_took_away_is_owed_and_is_not_valid_where_it_ran_out_or_is_gone(reason: Reason) -> None:
    told = about(with_reason(reason), expires_at=NOW)
    assert (told.is_token_owed, told.is_token_valid) == (True, False)


def test_token_is_valid_until_it_runs_out_and_for_ever_where_no_end_is_known() -> None:
    for expires_at in (NOW + timedelta(seconds=1), None):
        told = about(authorized(), expires_at=expires_at)
        assert (told.is_token_owed, told.is_token_valid) == (True, True)
    assert not about(authorized(), expires_at=NOW).is_token_valid


@pytest.mark.parametrize(
    "reason",
    [Reason.CREDENTIAL_CLEARED, Reason.PARAMETERS_CHANGED, Reason.INVALID_CONFIGURATION, Reason.OAUTH2_MISSING],
)
def test_no_token_is_owed_where_a_person_took_it_away_or_changed_what_it_was_for(reason: Reason) -> None:
    assert not about(with_reason(reason)).is_token_owed


def test_no_token_is_owed_while_refreshing_is_suspended_or_before_anybody_authorized() -> None:
    assert not about(with_reason(Reason.REFRESH_FAILING, suspend=True)).is_token_owed
    never = About.of(with_reason(Reason.CLIENT_SECRET_NOT_FOUND), None, first_seen=NOW, now=NOW)
    assert (never.is_token_owed, never.is_token_valid) == (False, False)


def test_token_is_owed_where_somebody_broke_the_credential() -> None:
    broken = About.of(with_reason(Reason.CREDENTIAL_UNREADABLE), Unreadable("damaged"), first_seen=NOW, now=NOW)
    assert (broken.is_token_owed, broken.is_token_valid) == (True, False)
