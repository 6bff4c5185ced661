"""When somebody comes again."""

from dataclasses import replace
from datetime import timedelta

from datasource_operator.decisions.findings import find
from datasource_operator.decisions.predicates import LATE_AFTER
from datasource_operator.decisions.steps import Settle
from datasource_operator.decisions.timing import LONGEST_WAIT, comeback, wake_at
from tests.support.builders import NOW, credential, observed

SECOND = timedelta(seconds=1)


def test_nobody_sleeps_for_longer_than_a_clock_may_be_trusted() -> None:
    """A clock may be set, and a machine that sleeps counts no time."""
    seen = observed(credential(expires_at=NOW + timedelta(days=90)))
    settled = Settle(find(seen), wake_at(seen, find(seen)), False)
    assert settled.wake_at is not None
    assert settled.wake_at > NOW + timedelta(days=30)
    assert comeback(seen, settled).wake_after == LONGEST_WAIT


def test_somebody_comes_when_a_token_becomes_late_though_nothing_else_happens() -> None:
    dead = credential(expires_at=NOW - SECOND, refreshed_at=NOW - timedelta(hours=1))
    seen = observed(dead, first_seen=NOW - SECOND)
    wakes = wake_at(seen, find(seen))
    assert wakes == NOW - SECOND + LATE_AFTER
    later = replace(seen, now=wakes)
    assert find(later).reason is not find(seen).reason
