"""Words for a Datasource that changed while a person was away: each says what became of the code."""

import pytest

from callback_server import refusals
from callback_server.refusals import Refused

BEFORE_THE_CODE_WAS_USED = [
    refusals.suspended_meanwhile(),
    refusals.flow_has_expired(),
    refusals.datasource_is_gone(),
    refusals.parameters_changed_meanwhile(),
    refusals.cleared_meanwhile(),
    refusals.imported_meanwhile(),
]


@pytest.mark.parametrize("refused", BEFORE_THE_CODE_WAS_USED, ids=lambda refused: refused.kind)
def test_code_that_was_not_used_is_said_to_be_unused(refused: Refused) -> None:
    assert "The code was not used and nothing was stored." in " ".join(refused.message.split())


@pytest.mark.parametrize("refused", [refusals.another_was_first(), refusals.dropped_after_exchange()])
def test_tokens_that_were_dropped_are_said_to_be_dropped(refused: Refused) -> None:
    assert "dropped" in refused.message
    assert "stays" in refused.message


def test_a_suspended_datasource_is_told_with_where_the_link_will_stand() -> None:
    assert refusals.suspended().command == refusals.link_has_ended().command
