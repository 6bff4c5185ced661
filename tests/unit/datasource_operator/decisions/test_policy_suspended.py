"""What is decided while `spec.suspend` is true: no refresh, no link, and every token where it is."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.requests import Requests
from datasource.api.spec import Spec
from datasource.api.states import Progress, Reason, State
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.policy import next_step
from datasource_operator.decisions.status import wanted_status
from datasource_operator.decisions.steps import Clear, LookAround, MarkHandled, ReadLive, Settle, WriteTokenSecret
from datasource_operator.decisions.timing import refresh_is_wanted
from tests.support.builders import (
    NOW,
    credential,
    live,
    observed,
    problem,
    settled,
    spec,
    status_settings,
    token_secret,
    tombstone,
    trouble,
)

SUSPENDED = msgspec.structs.replace(spec(), suspend=True)
AN_HOUR = timedelta(hours=1)


def suspended(*arguments: Any, wanted: Spec = SUSPENDED, **changes: Any) -> Observed:
    return observed(*arguments, wanted=wanted, **changes)


def resumed(seen: Observed) -> Observed:
    return replace(seen, spec=spec())


EVERYTHING = [
    suspended(),
    suspended(credential()),
    suspended(credential(requested_scopes=("another",))),
    suspended(credential(), requests=Requests(new_credential="1")),
    suspended(credential(verdict=Reason.GRANT_REVOKED)),
    suspended(credential(verdict=Reason.REFRESH_INTERRUPTED)),
    suspended(credential(fingerprint="another")),
    suspended(credential(has_refresh_token=False, expires_at=NOW - AN_HOUR)),
    suspended(tombstone()),
    suspended(credential(), trouble=trouble(Reason.CLIENT_REJECTED)),
]


@pytest.mark.parametrize("seen", EVERYTHING)
def test_state_and_reason_are_what_they_are_without_it(seen: Observed) -> None:
    assert finding_of(seen).reason is finding_of(resumed(seen)).reason


@pytest.mark.parametrize("seen", EVERYTHING)
def test_nobody_is_sent_to_a_link_and_the_message_says_why(seen: Observed) -> None:
    finding = finding_of(seen)
    assert not finding.needs_person
    assert "spec.suspend is true" in finding.message
    assert "authorizationLink" not in finding.message
    assert wanted_status(seen, finding, status_settings()).authorization_link is None


@pytest.mark.parametrize("seen", EVERYTHING)
def test_nothing_is_refreshed_and_nobody_is_woken_to_do_so(seen: Observed) -> None:
    due = replace(seen, now=NOW + timedelta(minutes=55), requests=Requests(refresh="1"))
    assert not refresh_is_wanted(due)
    step = next_step(live(due))
    assert not isinstance(step, Settle) or step.wake_at in {None, NOW + AN_HOUR}


def test_a_link_that_stood_is_taken_away() -> None:
    offered = settled(observed()).status
    assert offered.authorization_link is not None
    seen = live(suspended(status=offered, generation=2))
    step = next_step(seen)
    assert isinstance(step, Settle)
    assert wanted_status(seen, step.finding, status_settings()).authorization_link is None


def test_resuming_offers_the_link_and_the_refresh_again() -> None:
    waits = live(resumed(suspended()))
    assert finding_of(waits).needs_person
    assert refresh_is_wanted(resumed(suspended(credential(), requests=Requests(refresh="1"))))


def test_the_token_secret_stays_in_order() -> None:
    seen = suspended(credential(), wanted=SUSPENDED)
    assert isinstance(next_step(live(seen)), WriteTokenSecret)
    assert isinstance(next_step(live(replace(seen, token_secrets=(token_secret(),)))), Settle)


def test_a_token_that_runs_out_is_told_and_waits_for_whoever_resumes() -> None:
    seen = suspended(credential(expires_at=NOW), token_secret(credential(expires_at=NOW)))
    finding = finding_of(seen)
    assert (finding.reason, finding.state) == (Reason.REFRESH_FAILING, State.AUTHORIZED)
    assert finding.progress is Progress.WAITING
    conditions = {each.type: each.status for each in wanted_status(seen, finding, status_settings()).conditions or ()}
    assert conditions == {"Ready": "False"}


def test_the_operator_wakes_to_tell_that_a_token_ran_out() -> None:
    seen = suspended(credential(), token_secret())
    step = next_step(live(seen))
    assert isinstance(step, Settle)
    assert step.wake_at == NOW + AN_HOUR


def test_what_was_in_the_way_is_told_all_the_same() -> None:
    seen = live(suspended(), problem=problem())
    assert finding_of(seen).reason is Reason.CLIENT_SECRET_NOT_FOUND
    assert finding_of(seen).progress is Progress.RECONCILING


def test_a_clear_acts() -> None:
    seen = suspended(credential(), requests=Requests(clear_credential="1"))
    assert next_step(seen) == ReadLive()
    assert isinstance(next_step(live(seen)), Clear)


@pytest.mark.parametrize("request_", ["refresh", "new_credential"])
def test_other_requests_wait(request_: str) -> None:
    requests = Requests(**{request_: "1"})
    seen = suspended(credential(has_refresh_token=False), token_secret(), requests=requests)
    step = next_step(live(seen))
    assert isinstance(step, Settle)
    assert wanted_status(seen, step.finding, status_settings()).handled is None


def test_a_refresh_asked_for_in_vain_is_handled_when_resumed() -> None:
    seen = suspended(credential(has_refresh_token=False), requests=Requests(refresh="1"))
    assert isinstance(next_step(live(resumed(seen))), MarkHandled)


def test_surroundings_are_trusted_while_a_suspended_datasource_stands_without_a_link() -> None:
    seen = suspended()
    assert next_step(seen) == LookAround()
    standing = settled(live(seen))
    again = replace(standing, surroundings=None, is_live=False)
    assert isinstance(next_step(again), Settle)
    assert next_step(replace(again, generation=2)) == LookAround()
