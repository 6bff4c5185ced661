"""Whose a token Secret is, and what is looked for before a state that must have none."""

from dataclasses import replace

import pytest

from datasource.api.objects import Status
from datasource.api.states import State
from datasource_operator.decisions.findings import finding_of
from datasource_operator.decisions.observed import Observed, Surroundings
from datasource_operator.decisions.policy import next_step
from datasource_operator.decisions.status import wanted_status
from datasource_operator.decisions.steps import (
    DeleteTokenSecret,
    LookForTokenSecret,
    ReadLive,
    Settle,
    WriteTokenSecret,
)
from tests.support.builders import (
    DANGLING,
    NAME,
    OWNERLESS,
    credential,
    invalid_spec,
    live,
    observed,
    settled,
    spec,
    status_settings,
    token_secret,
    tombstone,
)

USUAL_NAME = f"{NAME}-token"
BASIC = {
    "type": "kubernetes.io/basic-auth",
    "name": "registry",
    "template": {"data": {"password": "{{ access_token }}"}},
}
TYPED = spec(token_secret=BASIC)
NOBODY_WROTE = frozenset[str]()


def unlooked(seen: Observed) -> Observed:
    """All was read live but for names."""
    return replace(live(seen), names_looked_at=frozenset())


# Copies.


@pytest.mark.parametrize("usual", [True, False], ids=["our type", "another type"])
def test_a_copy_under_another_name_is_never_deleted(usual: bool) -> None:
    copy = token_secret(name="copied", fields=NOBODY_WROTE, has_usual_type=usual)
    assert isinstance(next_step(live(observed(credential(), token_secret(), copy))), Settle)
    assert isinstance(next_step(live(observed(tombstone(), copy))), Settle)


def test_a_copy_of_another_type_is_never_written_however_it_is_named() -> None:
    copy = token_secret(wanted=TYPED, fields=NOBODY_WROTE, has_usual_type=False)
    step = next_step(live(observed(credential(), copy, wanted=TYPED)))
    assert isinstance(step, WriteTokenSecret)
    assert step.stored is None, "its name is taken: a create tells"


def test_a_secret_of_our_type_under_our_name_comes_back_with_a_restore() -> None:
    restored = token_secret(fields=NOBODY_WROTE, owners=OWNERLESS)
    step = next_step(live(observed(credential(), restored)))
    assert isinstance(step, WriteTokenSecret)
    assert step.stored == restored
    assert next_step(live(observed(tombstone(), restored))) == DeleteTokenSecret(restored)


def test_a_copy_is_no_end_of_a_token_that_the_status_tells() -> None:
    seen = observed(tombstone(), token_secret(name="copied", fields=NOBODY_WROTE))
    assert wanted_status(seen, finding_of(seen), status_settings()).expires_at is None


def test_what_is_whose_is_not_told_of_a_spec_that_cannot_be_read() -> None:
    copy, ours = token_secret(fields=NOBODY_WROTE), token_secret(name="older")
    assert observed(None, copy, ours, wanted=invalid_spec()).own_token_secrets == (ours,)


def test_that_of_an_earlier_namesake_is_left_to_the_garbage_collector() -> None:
    assert observed(None, token_secret(owners=DANGLING)).own_token_secrets == ()


# Types.


def test_the_new_one_stands_before_the_old_one_goes() -> None:
    old, new = token_secret(), token_secret(wanted=TYPED, has_usual_type=False)
    first = next_step(live(observed(credential(), old, wanted=TYPED)))
    assert isinstance(first, WriteTokenSecret)
    assert (first.plan.name, first.plan.type, first.stored) == ("registry", "kubernetes.io/basic-auth", None)
    assert next_step(live(observed(credential(), old, new, wanted=TYPED))) == DeleteTokenSecret(old)


def test_a_label_that_was_taken_off_is_put_back() -> None:
    new = token_secret(wanted=TYPED, has_usual_type=False)
    bare = token_secret(wanted=TYPED, has_usual_type=False, fields=new.fields - {"labels/datasource.dev/role"})
    assert isinstance(next_step(live(observed(credential(), new, wanted=TYPED))), Settle)
    step = next_step(live(observed(credential(), bare, wanted=TYPED)))
    assert isinstance(step, WriteTokenSecret)
    assert step.stored == bare


# Looks.


def authorized(wanted: object = TYPED) -> Observed:
    """AUTHORIZED, with a token Secret of another type, as the status tells."""
    typed = spec(token_secret=BASIC) if wanted is TYPED else spec()
    return settled(observed(credential(), token_secret(wanted=typed, has_usual_type=typed == spec()), wanted=typed))


def test_before_a_state_without_one_the_name_is_looked_at_where_no_watch_shows_it() -> None:
    seen = replace(authorized(), credential=None, token_secrets=())
    assert isinstance(next_step(replace(seen, surroundings=Surroundings())), ReadLive)
    step = next_step(unlooked(seen))
    assert step == LookForTokenSecret("registry")
    assert isinstance(next_step(replace(unlooked(seen), names_looked_at=frozenset({"registry"}))), Settle)


def test_the_name_of_before_is_looked_at_where_it_changed() -> None:
    seen = replace(authorized(), spec=spec(), token_secrets=(token_secret(),))
    assert next_step(unlooked(seen)) == LookForTokenSecret("registry")


def test_one_that_lives_on_after_its_grant_is_looked_for_when_its_token_ends() -> None:
    status = Status(
        state=State.NOT_AUTHORIZED,
        expires_at="2026-07-01T11:59:00Z",
        token_secret_name="registry",
        observed_generation=1,
    )
    seen = observed(credential(fingerprint="another"), wanted=TYPED, status=status)
    assert next_step(unlooked(seen)) == LookForTokenSecret("registry")


NOTHING_TO_LOOK_FOR = {
    "a watch shows it": authorized(),
    "it was never there": observed(wanted=TYPED),
    "the status tells of none": settled(observed(tombstone(), wanted=TYPED)),
    "it is to be made there": replace(authorized(), token_secrets=()),
}


@pytest.mark.parametrize("seen", NOTHING_TO_LOOK_FOR.values(), ids=NOTHING_TO_LOOK_FOR)
def test_nothing_is_looked_for_where_all_is_known(seen: Observed) -> None:
    """A restart over thousands reads lists, and no Secret by itself."""
    assert not isinstance(next_step(unlooked(seen)), LookForTokenSecret)


def test_a_copy_that_a_watch_shows_is_not_looked_for() -> None:
    copy = token_secret(wanted=TYPED, fields=NOBODY_WROTE, has_usual_type=False)
    seen = replace(authorized(), credential=None, token_secrets=(copy,))
    assert isinstance(next_step(unlooked(seen)), Settle)
