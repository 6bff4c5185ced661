"""Who gives up a token Secret first where several want each other's."""

import pytest

from datasource.api.states import Reason
from datasource_operator.decisions.observed import Finding, Observed
from datasource_operator.decisions.policy import next_step
from datasource_operator.decisions.renames import name_it_moves_to, stands_in_ring
from datasource_operator.decisions.steps import DeleteTokenSecret, ReadLive
from tests.support.builders import credential, invalid_spec, live, observed, spec, token_secret

RENAMED = spec(token_secret={"name": "renamed"})


def ring(moves: dict[str, str], held: dict[str, str], key: str) -> bool:
    """`moves`: which name each wants; `held`: who holds a name."""
    return stands_in_ring(key, moves.get, held.get)


HELD = {"s1": "a", "s2": "b", "s3": "c"}


@pytest.mark.parametrize("key", ["a", "b"])
def test_two_that_want_each_others_stand_in_a_ring(key: str) -> None:
    assert ring({"a": "s2", "b": "s1"}, HELD, key)


@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_three_that_want_the_next_ones_stand_in_a_ring(key: str) -> None:
    assert ring({"a": "s2", "b": "s3", "c": "s1"}, HELD, key)


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param({"a": "free"}, id="the name is free"),
        pytest.param({"a": "s2"}, id="its holder stays"),
        pytest.param({"a": "s2", "b": "free"}, id="its holder moves to a free name"),
        pytest.param({"a": "s2", "b": "s3"}, id="it is held by one that waits for one that stays"),
        pytest.param({"a": "s2", "b": "s3", "c": "s2"}, id="others stand in a ring that it only waits for"),
        pytest.param({"b": "s1"}, id="it does not move itself"),
    ],
)
def test_one_whose_turn_comes_or_never_comes_stands_in_none(moves: dict[str, str]) -> None:
    assert not ring(moves, HELD, "a")


def test_the_name_that_it_moves_to_is_told_where_it_has_another_one() -> None:
    assert name_it_moves_to(observed(credential(), token_secret(), wanted=RENAMED)) == "renamed"


CANNOT: dict[str, Observed] = {
    "it has the name": observed(credential(), token_secret()),
    "it has both": observed(credential(), token_secret(), token_secret(wanted=RENAMED), wanted=RENAMED),
    "it has none": observed(credential(), wanted=RENAMED),
    "it is being deleted": observed(credential(), token_secret(), wanted=RENAMED, being_deleted=True),
    "its spec cannot be used": observed(credential(), token_secret(), wanted=invalid_spec()),
    "it has no credential": observed(None, token_secret(), wanted=RENAMED),
    "its template cannot be used": observed(
        credential(),
        token_secret(),
        wanted=spec(token_secret={"name": "renamed", "template": {"data": {"x": "{{ nobody }}"}}}),
    ),
}


@pytest.mark.parametrize("seen", CANNOT.values(), ids=CANNOT)
def test_one_that_could_not_be_written_moves_nowhere(seen: Observed) -> None:
    """Who waits for it would give up a token for nothing."""
    assert name_it_moves_to(seen) is None


def test_what_stands_in_the_way_of_the_name_does_not_count() -> None:
    conflict = Finding(Reason.SECRET_CONFLICT, "taken")
    seen = live(observed(credential(), token_secret(), wanted=RENAMED), problem=conflict)
    assert name_it_moves_to(seen) == "renamed"


def test_one_in_a_ring_gives_up_its_old_secret_once_all_was_read_live() -> None:
    old = token_secret()
    seen = observed(credential(), old, wanted=RENAMED, stands_in_ring=True)
    assert isinstance(next_step(seen), ReadLive)
    assert next_step(live(seen)) == DeleteTokenSecret(old)
