"""The words in which the policy speaks: all of them known, none of them alterable, none of them able to carry a token."""

import dataclasses
import inspect
from types import ModuleType
from typing import get_args, get_type_hints

import pytest

from datasource.records.credential import CredentialData
from datasource_operator.decisions import steps
from datasource_operator.decisions.observed import Finding
from datasource_operator.decisions.steps import Step
from tests.unit.datasource_operator.decisions.samples import STEPS

VOCABULARY = get_args(Step)


def _classes_of(module: ModuleType) -> set[type]:
    return {each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == module.__name__}


def test_every_word_belongs_to_the_vocabulary() -> None:
    """Whoever carries steps out matches that union: a word beside it would be carried out by nobody."""
    assert _classes_of(steps) == set(VOCABULARY)
    assert {type(step) for step in STEPS} == set(VOCABULARY), "the samples of these tests know every word"


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_decided_step_cannot_be_altered_on_its_way_to_whoever_takes_it(step: Step) -> None:
    for name in [field.name for field in dataclasses.fields(step)] or ["anything"]:
        # An attribute that a slotted dataclass does not know at all is a TypeError in Python 3.11.
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            setattr(step, name, None)


@pytest.mark.parametrize("word", VOCABULARY, ids=lambda word: word.__name__)
def test_step_has_no_place_for_tokens(word: type) -> None:
    """Steps are logged: what they say of a credential are its facts."""
    hints = get_type_hints(word)
    assert not [name for name, hint in hints.items() if CredentialData in (hint, *get_args(hint))]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_step_is_equal_to_one_that_says_the_same(step: Step) -> None:
    """A policy that is asked twice must be seen to answer the same."""
    same = dataclasses.replace(step)
    assert same == step
    assert [other for other in STEPS if other == step] == [step]


def test_settling_asks_for_nothing_unless_it_is_said() -> None:
    settle = steps.Settle(next(step.finding for step in STEPS if isinstance(step, steps.Settle)))
    assert (settle.wake_at, settle.refresh) == (None, False)
    assert isinstance(settle.finding, Finding)
