"""What is kept for whom in a cache that tenants share, and who forgets what once it is full."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.concurrency.fair_cache import CLAIM, FairCache

COST = 1000
ONE = COST + CLAIM
"""What one entry costs whoever claims it."""


def cache(in_all: int = 100 * ONE, per_namespace: int = 4 * ONE) -> FairCache[str, str]:
    return FairCache(in_all, per_namespace)


def fill(kept: FairCache[str, str], namespace: str, names: str) -> None:
    for name in names.split():
        kept.put(name, name.upper(), namespace, cost=COST)


def those_in(kept: FairCache[str, str], names: str) -> str:
    return " ".join(name for name in names.split() if kept.peek(name) is not None)


def test_what_is_kept_is_found_by_everybody() -> None:
    kept = cache()
    fill(kept, "apps", "a")
    assert (kept.get("a", "apps"), kept.get("a", "shop"), kept.get("b", "apps")) == ("A", "A", None)


def test_a_namespace_that_is_full_forgets_what_it_used_longest_ago() -> None:
    kept = cache()
    fill(kept, "apps", "a b c d")
    kept.get("a", "apps")
    fill(kept, "apps", "e")
    assert those_in(kept, "a b c d e") == "a c d e"


def test_a_look_is_no_use() -> None:
    kept = cache()
    fill(kept, "apps", "a b c d")
    kept.peek("a")
    fill(kept, "apps", "e")
    assert those_in(kept, "a b c d e") == "b c d e"


def test_nobody_pushes_out_what_somebody_else_uses() -> None:
    kept = cache()
    fill(kept, "attacker", "shared")
    assert kept.get("shared", "victim") == "SHARED"
    fill(kept, "attacker", "a b c d e f")
    assert those_in(kept, "shared a b c d e f") == "shared c d e f"
    assert kept.held_in("victim") == ONE


def test_nobody_pushes_out_what_he_did_not_put_there() -> None:
    kept = cache(in_all=8 * ONE)
    fill(kept, "victim", "mine")
    for number in range(50):
        fill(kept, "attacker", f"a{number}")
    assert kept.get("mine", "victim") == "MINE"
    assert len(kept) == 5


def test_whoever_holds_most_forgets_where_all_is_full() -> None:
    kept = cache(in_all=6 * ONE)
    fill(kept, "small", "s")
    fill(kept, "large", "l1 l2 l3 l4")
    fill(kept, "other", "o1 o2")
    assert those_in(kept, "s l1 l2 l3 l4 o1 o2") == "s l3 l4 o1 o2"


def test_many_namespaces_of_one_tenant_stay_within_all_of_it() -> None:
    kept = cache(in_all=8 * ONE)
    for number in range(1000):
        fill(kept, f"attacker-{number}", f"a{number}")
    assert kept.held <= 8 * ONE


def test_namespaces_that_only_use_what_is_there_stay_within_all_of_it() -> None:
    kept = cache(in_all=8 * ONE)
    fill(kept, "apps", "shared")
    for number in range(1000):
        kept.get("shared", f"attacker-{number}")
    assert kept.held <= 8 * ONE


def test_what_costs_more_than_a_namespace_may_hold_is_not_kept_and_pushes_nothing_out() -> None:
    kept = cache()
    fill(kept, "apps", "a b")
    kept.put("huge", "HUGE", "apps", cost=4 * ONE)
    assert those_in(kept, "huge a b") == "a b"


def test_what_took_the_place_of_another_is_used_by_whoever_used_that() -> None:
    kept = cache()
    fill(kept, "apps", "a")
    kept.get("a", "shop")
    kept.put("a", "NEWER", "blog", cost=2 * COST)
    assert kept.peek("a") == "NEWER"
    assert [kept.held_in(each) for each in ("apps", "shop", "blog")] == [2 * COST + CLAIM] * 3
    assert kept.held == 2 * COST + 3 * CLAIM


def test_what_grew_too_large_is_gone_for_all() -> None:
    kept = cache()
    fill(kept, "apps", "a")
    kept.get("a", "shop")
    kept.put("a", "HUGE", "apps", cost=4 * ONE)
    assert (kept.peek("a"), kept.held, kept.held_in("apps"), kept.held_in("shop")) == (None, 0, 0, 0)


class Use(NamedTuple):
    key: str
    namespace: str
    cost: int | None
    """None: it is asked for."""


USES = st.builds(
    Use,
    key=st.sampled_from("abcdefgh"),
    namespace=st.sampled_from(["n", "m", "o"]),
    cost=st.none() | st.integers(0, 5 * COST),
)


@given(st.lists(USES, max_size=60))
def test_bounds_hold_whatever_is_kept_and_used(uses: list[Use]) -> None:
    kept: FairCache[str, int] = FairCache(6 * ONE, 4 * ONE)
    for number, use in enumerate(uses):
        if use.cost is None:
            kept.get(use.key, use.namespace)
        else:
            kept.put(use.key, number, use.namespace, cost=use.cost)
        assert 0 <= kept.held <= 6 * ONE
        assert all(0 <= kept.held_in(each) <= 4 * ONE for each in "nmo")
        assert (kept.held == 0) == (len(kept) == 0)


@pytest.mark.parametrize("namespace", ["attacker", "victim"])
def test_one_who_stays_within_his_share_is_forgotten_for_nobody(namespace: str) -> None:
    """Of two, where a share is less than half of all."""
    kept = cache(in_all=9 * ONE)
    fill(kept, namespace, "a b c d")
    fill(kept, "greedy", " ".join(f"g{number}" for number in range(100)))
    assert those_in(kept, "a b c d") == "a b c d"
