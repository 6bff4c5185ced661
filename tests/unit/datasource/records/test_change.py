"""What a change of a credential Secret says of what somebody did."""

from datetime import UTC, datetime

import pytest

from datasource.records.change import Change
from datasource.records.credential import CredentialFacts
from datasource.records.history import Act, By, entry_of, read_history

FACTS = CredentialFacts("c1", fingerprint="f", history="before")
ENTRY = entry_of("a2", Act.REFRESH, by=By.ANNOTATION, at=datetime(2026, 11, 27, tzinfo=UTC))


def test_change_of_which_nobody_is_told_leaves_the_history_alone() -> None:
    change = Change(FACTS)
    assert (change.history, change.facts.history) == (None, "before")


@pytest.mark.parametrize("before", [None, "", "{", "[]"])
def test_entry_and_the_annotation_that_names_it_go_together(before: str | None) -> None:
    change = Change(FACTS).with_entry(before, ENTRY)
    assert change.facts.history == "a2"
    assert read_history(change.history) == (ENTRY,)


def test_entry_comes_after_those_that_were_there() -> None:
    first = Change(FACTS).with_entry(None, entry_of("a1", Act.NEW_CREDENTIAL, by=By.IMPORT, at=ENTRY.time))
    second = Change(FACTS).with_entry(first.history, ENTRY)
    assert [entry.id for entry in read_history(second.history)] == ["a1", "a2"]
