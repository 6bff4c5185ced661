"""Who gets a place, and when: examples to read, then a slow account of the same rules that has to agree on anything."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.concurrency.fairness import FairBulkhead
from tests.unit.walks import walks


def bulkhead(
    *, in_all: int = 100, per_namespace: int = 100, per_provider: int = 100, reserved: int = 0
) -> FairBulkhead[str]:
    return FairBulkhead(in_all, per_namespace, per_provider, reserved)


def waits(places: FairBulkhead[str], *keys: str, provider: str = "login.example.com", is_urgent: bool = False) -> None:
    """Keys are written namespace/name."""
    for key in keys:
        places.submit(key, namespace=key.partition("/")[0], provider=provider, is_urgent=is_urgent)


def in_turn(places: FairBulkhead[str]) -> list[str]:
    """Who gets a place, one after the other, where each leaves before the next one comes."""
    turns = []
    while admitted := places.admit():
        turns += admitted
        for key in admitted:
            places.leave(key)
    return turns


def test_namespaces_go_round_whatever_the_number_that_waits_in_each() -> None:
    places = bulkhead(in_all=1)
    waits(places, "many/1", "many/2", "many/3", "many/4", "few/1", "few/2", "one/1")
    assert in_turn(places) == ["many/1", "few/1", "one/1", "many/2", "few/2", "many/3", "many/4"]


def test_urgent_ones_go_first_in_their_namespace_and_in_no_other() -> None:
    places = bulkhead(in_all=1)
    waits(places, "a/1", "a/2", "b/1")
    waits(places, "b/asked", "b/asked too", "c/asked", is_urgent=True)
    assert in_turn(places) == ["a/1", "b/asked", "c/asked", "a/2", "b/asked too", "b/1"]


def test_providers_of_a_namespace_go_round() -> None:
    places = bulkhead(in_all=1)
    waits(places, "a/1", "a/2", "a/3", provider="one.example.com")
    waits(places, "a/other", provider="two.example.com")
    assert in_turn(places) == ["a/1", "a/other", "a/2", "a/3"]


def test_no_bound_is_passed() -> None:
    places = bulkhead(in_all=5, per_namespace=3, per_provider=2)
    waits(places, "a/1", "a/2", "a/3", provider="one.example.com")
    assert places.admit() == ["a/1", "a/2"]
    waits(places, "a/4", "a/5", provider="two.example.com")
    assert places.admit() == ["a/4"]
    waits(places, "b/1", "b/2", "b/3", provider="three.example.com")
    assert places.admit() == ["b/1", "b/2"]
    assert places.waiting == 3


def test_the_last_places_are_for_namespaces_that_hold_none() -> None:
    places = bulkhead(in_all=6, reserved=2)
    waits(places, *(f"a/{number}" for number in range(9)))
    assert len(places.admit()) == 4
    waits(places, "b/1", "b/2")
    assert places.admit() == ["b/1"]
    waits(places, "c/1")
    assert places.admit() == ["c/1"]
    for key in ("a/0", "a/1", "a/2"):
        places.leave(key)
    assert places.admit() == ["a/4"], "it had its last turn before b had its own"


def test_a_place_at_a_provider_may_be_left_before_the_others() -> None:
    places = bulkhead(in_all=2, per_provider=1)
    waits(places, "a/1", "a/2", "a/3")
    assert places.admit() == ["a/1"]
    places.leave_provider("a/1")
    places.leave_provider("a/1")
    assert places.admit() == ["a/2"]
    places.leave_provider("a/2")
    assert places.admit() == [], "two hold a place among all"
    places.leave("a/1")
    assert places.admit() == ["a/3"]


def test_whoever_waits_and_is_submitted_elsewhere_waits_there_alone() -> None:
    places = bulkhead(per_provider=1)
    waits(places, "a/first", "a/moved", provider="old.example.com")
    assert places.admit() == ["a/first"]
    waits(places, "a/moved", provider="new.example.com")
    assert places.waiting == 1
    assert places.admit() == ["a/moved"]
    places.leave("a/first")
    assert places.admit() == []


def test_whoever_moves_within_a_line_does_not_lose_the_turn_of_the_namespace() -> None:
    places = bulkhead(in_all=1)
    waits(places, "a/1", provider="old.example.com")
    waits(places, "b/1")
    waits(places, "a/1", provider="new.example.com")
    assert in_turn(places) == ["a/1", "b/1"]


def test_what_was_urgent_stays_so() -> None:
    places = bulkhead(in_all=1)
    waits(places, "a/1", "a/2")
    waits(places, "a/2", is_urgent=True)
    waits(places, "a/2")
    assert in_turn(places) == ["a/2", "a/1"]


def test_whoever_holds_places_is_not_submitted_again() -> None:
    places = bulkhead()
    waits(places, "a/1")
    assert places.admit() == ["a/1"]
    waits(places, "a/1", provider="other.example.com")
    assert (places.waiting, places.admit()) == (0, [])


def test_what_is_forgotten_gets_no_place_and_keeps_what_it_holds() -> None:
    places = bulkhead(in_all=1)
    waits(places, "a/1", "a/2", "b/1")
    assert places.admit() == ["a/1"]
    for key in ("a/1", "a/2", "unknown"):
        places.forget(key)
    assert places.waiting == 1
    places.leave("a/1")
    assert places.admit() == ["b/1"]


def test_nobody_waits_after_all_were_forgotten() -> None:
    places = bulkhead(in_all=1)
    waits(places, "a/1", "b/1")
    places.admit()
    places.forget_waiting()
    places.leave("a/1")
    assert (places.waiting, places.admit()) == (0, [])
    waits(places, "b/1")
    assert places.admit() == ["b/1"]


def test_a_turn_looks_at_few_however_many_namespaces_wait_at_a_full_provider() -> None:
    """Counted, not timed: how often anybody asks whether a provider has room."""
    asked = Counter[str]()

    class Counted(FairBulkhead[str]):
        def _provider_has_room(self, provider: str) -> bool:
            asked[provider] += 1
            return super()._provider_has_room(provider)

    places = Counted(128, 32, 1, 32)
    for number in range(2000):
        waits(places, f"{number}/a", provider="full.example.com")
    assert places.admit() == ["0/a"]
    asked.clear()
    for number in range(100):
        waits(places, f"new {number}/a", provider=f"{number}.example.com")
        assert places.admit() == [f"new {number}/a"]
        places.leave(f"new {number}/a")
    assert asked.total() < 1000
    places.leave("0/a")
    assert places.admit() == ["1/a"], "it stood aside and was called forward"


def test_turns_that_became_void_do_not_pile_up() -> None:
    places = bulkhead(in_all=1, per_provider=1)
    waits(places, "holder/a")
    places.admit()
    for number in range(1000):
        waits(places, f"{number}/a")
        places.admit()
        places.forget(f"{number}/a")
    assert len(places._offered) + sum(map(len, places._aside.values())) < 200
    waits(places, "next/a")
    places.leave("holder/a")
    assert places.admit() == ["next/a"]


def test_whoever_holds_nothing_leaves_nothing() -> None:
    with pytest.raises(KeyError):
        bulkhead().leave("a/1")


@dataclass
class Wish:
    """One who waits; `namespace/number`, a digit for the provider."""

    key: str
    provider: str
    is_urgent: bool
    since: int

    @property
    def namespace(self) -> str:
        return self.key[0]


@dataclass
class Account:
    """The rules once more, by looking through everybody each time."""

    places: FairBulkhead[str]
    waiting: list[Wish] = field(default_factory=list)
    holders: dict[str, Wish] = field(default_factory=dict)
    asking: set[str] = field(default_factory=set)
    namespace_since: dict[str, int] = field(default_factory=dict)
    """When it began to wait, or had its last turn."""
    provider_since: dict[tuple[str, str, bool], int] = field(default_factory=dict)
    time: int = 0

    def submit(self, key: str, provider: str, is_urgent: bool) -> None:
        self.places.submit(key, namespace=key[0], provider=provider, is_urgent=is_urgent)
        if key in self.holders:
            return
        before = next((wish for wish in self.waiting if wish.key == key), None)
        is_urgent = is_urgent or (before is not None and before.is_urgent)
        if before is not None and (before.provider, before.is_urgent) == (provider, is_urgent):
            return
        if not self._wishes(key[0]):
            self.namespace_since[key[0]] = self.time
        if not self._wishes(key[0], provider, is_urgent):
            self.provider_since[key[0], provider, is_urgent] = self.time
        if before is not None:
            self.waiting.remove(before)
        self.waiting.append(Wish(key, provider, is_urgent, self.time))

    def admit(self) -> None:
        for key in self.places.admit():
            self.time += 1
            may = [wish for wish in self.waiting if self.may_have_a_place(wish)]
            assert key in [wish.key for wish in may], "a bound was passed"
            wish = min(may, key=self._turn)
            assert key == wish.key, "it was somebody else's turn"
            self.waiting.remove(wish)
            self.holders[key] = wish
            self.asking.add(key)
            self.namespace_since[wish.namespace] = self.time
            for is_urgent in (True, False):
                self.provider_since[wish.namespace, wish.provider, is_urgent] = self.time
        assert not any(map(self.may_have_a_place, self.waiting)), "somebody waits while a place is free"
        assert self.places.waiting == len(self.waiting)

    def leave(self, key: str) -> None:
        self.places.leave(key)
        del self.holders[key]
        self.asking.discard(key)

    def leave_provider(self, key: str) -> None:
        self.places.leave_provider(key)
        self.asking.discard(key)

    def forget(self, key: str) -> None:
        self.places.forget(key)
        self.waiting = [wish for wish in self.waiting if wish.key != key]

    def may_have_a_place(self, wish: Wish) -> bool:
        free = self.places.in_all - len(self.holders)
        held = Counter(holder.namespace for holder in self.holders.values())[wish.namespace]
        asked = Counter(self.holders[key].provider for key in self.asking)[wish.provider]
        is_newcomer = held == 0
        return (
            free > 0
            and held < self.places.per_namespace
            and asked < self.places.per_provider
            and (is_newcomer or free > self.places.reserved)
        )

    def _turn(self, wish: Wish) -> tuple[int, bool, int, int]:
        provider = self.provider_since[wish.namespace, wish.provider, wish.is_urgent]
        return self.namespace_since[wish.namespace], not wish.is_urgent, provider, wish.since

    def _wishes(self, namespace: str, provider: str | None = None, is_urgent: bool | None = None) -> list[Wish]:
        return [
            wish
            for wish in self.waiting
            if wish.namespace == namespace and provider in {None, wish.provider} and is_urgent in {None, wish.is_urgent}
        ]


KEYS = st.builds("{}{}".format, st.sampled_from("abcd"), st.integers(0, 5))
SUBMIT = st.tuples(st.just("submit"), KEYS, st.sampled_from("xyz"), st.booleans())
OTHERS = st.tuples(st.sampled_from(["leave", "leave", "leave_provider", "forget"]), st.integers(0, 30))


@walks(20, 300)
@given(
    bounds=st.tuples(st.integers(1, 8), st.integers(1, 5), st.integers(1, 4)),
    reserved=st.integers(0, 7),
    happens=st.lists(st.one_of(SUBMIT, SUBMIT, OTHERS), max_size=60),
    admits_each_time=st.booleans(),
)
def test_bounds_hold_turns_are_kept_and_nobody_waits_beside_a_free_place(
    bounds: tuple[int, int, int], reserved: int, happens: list[tuple[object, ...]], admits_each_time: bool
) -> None:
    account = Account(FairBulkhead(*bounds, reserved=min(reserved, bounds[0] - 1)))
    for what, *details in happens:
        account.time += 1
        match what, details:
            case "submit", [str(key), str(provider), bool(is_urgent)]:
                account.submit(key, provider, is_urgent)
            case "forget", [int(number)] if account.waiting:
                account.forget(account.waiting[number % len(account.waiting)].key)
            case "leave", [int(number)] if account.holders:
                account.leave(list(account.holders)[number % len(account.holders)])
            case "leave_provider", [int(number)] if account.holders:
                account.leave_provider(list(account.holders)[number % len(account.holders)])
        if admits_each_time:
            account.admit()
    account.admit()
    # Whoever waits gets a place in the end: each turn frees one.
    while account.holders:
        account.leave(next(iter(account.holders)))
        account.time += 1
        account.admit()
    assert account.waiting == []
