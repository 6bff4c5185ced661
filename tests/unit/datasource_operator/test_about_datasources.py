"""What the metrics tell of one Datasource."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.clock import rfc3339
from datasource.api.objects import Condition, Datasource, Status
from datasource.api.states import GRANT_EXPIRING, Reason
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
    held = credential(**({"refreshed_at": NOW, "expires_at": NOW + HOUR} | facts))
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
