"""When somebody comes again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.predicates import LATE_AFTER
from datasource_operator.decisions.steps import Settle
from datasource_operator.decisions.timing import LONGEST_WAIT, Refresh, comeback, wake_at
from tests.support.builders import NOW, credential, observed, spec

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


@pytest.mark.parametrize(
    "url",
    ["https://login.example.com/token", "https://LOGIN.example.com.:8443/other/token", "https://login.example.com"],
)
def test_a_refresh_is_for_the_provider_that_answers_at_its_token_endpoint(url: str) -> None:
    seen = observed(credential(), wanted=spec(tokenURL=url))
    refresh = comeback(seen, Settle(finding_of(seen), None, True)).refresh
    assert refresh == Refresh("login.example.com", is_urgent=False)
