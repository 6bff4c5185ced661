"""All that people read of states and failed authorizations is in one page, every_text.md, for a reviewer to read at once.

The texts come from the product's own functions. `make docs` writes the page anew after a change.
"""

import pytest

from callback_server.refusals import Kind, Refused
from datasource.api.states import Reason
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Observed
from generators.words.__main__ import RULES, complaints, parse_rules
from tests.words import failures, states
from tests.words.page import PAGE, page


def test_page_is_what_the_product_says() -> None:
    assert PAGE.read_text() == page(), "tests/words/every_text.md is stale: run `make docs`, and read what changed"


def test_every_reason_is_in_it() -> None:
    assert {finding_of(seen).reason for seen in states.SEEN.values()} == set(Reason)


def test_every_kind_of_refusal_is_in_it() -> None:
    assert {refused.kind for refused in failures.REFUSED.values()} == set(Kind)


@pytest.mark.parametrize("refused", failures.REFUSED.values(), ids=failures.REFUSED)
def test_every_page_says_what_the_person_can_do(refused: Refused) -> None:
    assert refused.advice


@pytest.mark.parametrize("seen", states.SEEN.values(), ids=states.SEEN)
def test_message_of_a_state_keeps_the_rule(seen: Observed) -> None:
    """Composed sentences, too: the linter reads their parts alone."""
    assert list(complaints(finding_of(seen).message, parse_rules(RULES.read_text()))) == []


@pytest.mark.parametrize("refused", failures.REFUSED.values(), ids=failures.REFUSED)
def test_page_of_a_refusal_keeps_the_rule(refused: Refused) -> None:
    said = f"{refused.title}. {refused.advice} {refused.message}"
    assert list(complaints(said, parse_rules(RULES.read_text()))) == []
