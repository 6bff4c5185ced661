"""What looks at a provider make of a status, and when that is worth a write."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.objects import Condition, Status
from datasource.api.probe import Probe
from datasource.api.states import ACCEPTED, PROVIDER_REACHABLE
from datasource.outbound.reach import Obstacle, Reach
from datasource_operator.decisions.acceptance import Acceptance, of_status
from datasource_operator.decisions.observed import Observed, Probed
from datasource_operator.decisions.outward_conditions import conditions_are_news, provider_reachable, reach_is_news
from datasource_operator.decisions.status import status_patch
from tests.support.builders import NOW, credential, observed, settled, spec, spec_without_oauth2

WELL = Reach("It was reached.")
REFUSED = Reach("It refuses the connection.", Obstacle.NOT_CONNECTED)
UNNAMED = Reach("Its name has no address.", Obstacle.NAME_NOT_RESOLVED)
LATER = timedelta(hours=1)


def condition(seen: Observed) -> Condition:
    found = seen.status.condition(PROVIDER_REACHABLE)
    assert found is not None
    return found


def test_a_look_makes_a_condition_with_its_words() -> None:
    told = condition(settled(observed(reach=REFUSED)))
    assert (told.status, told.reason, told.message) == ("False", "NotConnected", "It refuses the connection.")
    assert (told.last_transition_time, told.observed_generation) == ("2026-07-01T12:00:00Z", 1)
    assert (condition(settled(observed(reach=WELL))).status, told.type) == ("True", "ProviderReachable")


def test_it_changes_neither_state_nor_link_nor_readiness() -> None:
    without, with_one = settled(observed()), settled(observed(reach=REFUSED))
    stripped = tuple(each for each in with_one.status.conditions or () if each.type != PROVIDER_REACHABLE)
    assert msgspec.structs.replace(with_one.status, conditions=stripped) == without.status


def test_nothing_is_said_of_a_datasource_that_nobody_looked_at() -> None:
    assert provider_reachable(observed()) is None
    assert provider_reachable(observed(wanted=spec_without_oauth2(), reach=WELL)) is None


def test_what_stands_is_kept_until_a_new_process_has_looked() -> None:
    told = settled(observed(reach=REFUSED))
    restarted = replace(told, reach=None, now=NOW + LATER)
    assert provider_reachable(restarted) == condition(told)


def test_what_was_said_of_an_earlier_spec_goes() -> None:
    assert provider_reachable(replace(settled(observed(reach=REFUSED)), reach=None, generation=2)) is None


def test_a_condition_keeps_its_time_while_its_status_stands() -> None:
    told = settled(observed(reach=REFUSED))
    again = settled(replace(told, reach=UNNAMED, now=NOW + LATER))
    assert condition(again).last_transition_time == condition(told).last_transition_time
    mended = settled(replace(told, reach=WELL, now=NOW + LATER))
    assert condition(mended).last_transition_time == "2026-07-01T13:00:00Z"


@pytest.mark.parametrize(
    ("before", "after", "is_written"),
    [
        (None, WELL, False),
        (None, REFUSED, True),
        (WELL, REFUSED, True),
        (REFUSED, WELL, True),
        (REFUSED, UNNAMED, True),
        (REFUSED, replace(REFUSED, message="In other words."), False),
        (WELL, WELL, False),
        (REFUSED, None, False),
    ],
    ids=[
        "well at first",
        "not reachable at first",
        "lost",
        "found again",
        "lost in another way",
        "other words",
        "still well",
        "not looked at",
    ],
)
def test_only_an_outcome_that_changes_is_worth_a_write(
    before: Reach | None, after: Reach | None, is_written: bool
) -> None:
    stood = settled(observed(reach=before))
    now = settled(replace(stood, reach=after, now=NOW + LATER))
    assert (status_patch(stood.status, now.status) is not None) is is_written
    if after is not None:
        assert reach_is_news(stood.status, after) is is_written


def test_a_condition_that_is_no_news_joins_a_write_that_happens_anyway() -> None:
    stood = settled(observed())
    patch = status_patch(stood.status, settled(replace(stood, reach=WELL, generation=2)).status)
    assert patch is not None
    assert [each["type"] for each in patch["status"]["conditions"]] == ["Ready", "ProviderReachable"]


def test_a_condition_that_goes_is_no_news_by_itself() -> None:
    told = settled(observed(reach=REFUSED)).status
    assert not conditions_are_news(told, settled(observed()).status)
    assert conditions_are_news(told, Status())


# spec.probe


def probed(acceptance: Acceptance | None = None, **changes: Any) -> Observed:
    wanted = msgspec.structs.replace(spec(), probe=Probe(path="/me"))
    return observed(credential(), wanted=wanted, probed=Probed(acceptance), **changes)


def accepted_of(seen: Observed) -> tuple[str, str] | None:
    found = seen.status.condition(ACCEPTED)
    return None if found is None else (found.status, found.reason)


GOOD, BAD = of_status(200, "api.example.com"), of_status(401, "api.example.com")


def test_what_a_probe_shows_is_a_condition_and_no_state() -> None:
    ready = settled(probed()).status.condition("Ready")
    for acceptance in (GOOD, BAD, of_status(500, "api.example.com")):
        told = settled(probed(acceptance))
        assert accepted_of(told) == (acceptance.status, acceptance.reason)
        assert (told.status.state, told.status.condition("Ready")) == ("AUTHORIZED", ready)


def test_of_a_token_that_is_not_in_use_nothing_is_said() -> None:
    assert accepted_of(settled(observed(credential(), probed=Probed(GOOD)))) is None, "nobody asks for a probe"
    wanted = msgspec.structs.replace(spec(), probe=Probe())
    assert accepted_of(settled(observed(wanted=wanted, probed=Probed(GOOD)))) is None, "there is no credential"


def test_the_first_answer_is_worth_a_write_since_somebody_asked_for_it() -> None:
    before = settled(probed())
    assert status_patch(before.status, settled(replace(before, probed=Probed(GOOD))).status) is not None
    good = settled(probed(GOOD))
    assert status_patch(good.status, settled(replace(good, now=NOW + LATER)).status) is None
    assert status_patch(good.status, settled(replace(good, probed=Probed(BAD))).status) is not None


def test_what_stands_of_a_probe_is_kept_until_a_new_process_has_asked() -> None:
    told = settled(probed(BAD))
    assert accepted_of(settled(replace(told, probed=Probed(), now=NOW + LATER))) == ("False", "TokenRefused")
    assert accepted_of(settled(replace(told, probed=Probed(), generation=2))) is None
