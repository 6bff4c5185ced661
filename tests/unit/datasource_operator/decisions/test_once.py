"""Answers that are kept in an `Observed`."""

from dataclasses import replace

from datasource.records.credential import CredentialFacts
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.once import once
from datasource_operator.decisions.predicates import is_usable
from tests.support.builders import OWNERLESS, credential, observed

asked: list[str] = []


@once
def name_of(seen: Observed) -> str:
    asked.append(seen.name)
    return seen.name


@once
def nothing(facts: CredentialFacts | None, seen: Observed) -> None:
    asked.append(f"{facts is seen.facts}")


def test_answer_is_worked_out_once_for_each_observed() -> None:
    asked.clear()
    seen = observed(credential())
    other = replace(seen, name="other")
    assert [name_of(seen), name_of(other), name_of(seen), name_of(other)] == [seen.name, "other", seen.name, "other"]
    assert asked == [seen.name, "other"]


def test_answer_that_is_none_is_kept_beside_others() -> None:
    asked.clear()
    seen = observed(credential())
    for _ in range(2):
        nothing(seen.facts, seen)
        assert name_of(seen) == seen.name
    assert asked == ["True", seen.name]


def test_copy_with_other_fields_has_no_answers_and_is_still_equal() -> None:
    seen = observed(credential())
    assert seen.facts is not None
    assert is_usable(seen.facts, seen)
    restored = replace(seen, credential=credential(owners=OWNERLESS))
    assert restored.facts is not None
    assert not is_usable(restored.facts, restored)
    assert replace(seen) == seen
