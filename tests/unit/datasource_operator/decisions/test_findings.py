"""What holds, where the chain is asked about one thing."""

from datetime import timedelta

import pytest

from datasource.api.states import Reason
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.predicates import LATE_AFTER
from datasource_operator.decisions.status import wanted_status
from tests.support.builders import NOW, credential, observed, surface

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("first_seen", [NOW - timedelta(hours=1), None], ids=["seen for long", "seen now"])
@pytest.mark.parametrize(
    ("dead_for", "is_late"),
    [
        (-SECOND, False),
        (timedelta(0), False),
        (LATE_AFTER - SECOND, False),
        (LATE_AFTER, True),
        (timedelta(days=9), True),
    ],
)
def test_nothing_is_ready_over_a_token_that_has_been_dead_for_minutes(
    dead_for: timedelta, is_late: bool, first_seen: object
) -> None:
    seen = observed(credential(expires_at=NOW - dead_for), first_seen=first_seen)
    finding = finding_of(seen)
    late = is_late and first_seen is not None
    assert finding.reason is (Reason.REFRESH_FAILING if late else Reason.AUTHORIZED)
    ready = wanted_status(seen, finding, surface()).condition("Ready")
    assert ready is not None
    assert ready.status == ("False" if late else "True")


def test_operator_that_just_began_has_time_to_refresh_what_ran_out_meanwhile() -> None:
    """No write at a restart for what is mended in a moment."""
    seen = observed(credential(expires_at=NOW - timedelta(hours=5)), first_seen=NOW - SECOND)
    assert finding_of(seen).reason is Reason.AUTHORIZED
