"""What is known of a journal's entries: whatever is added, altered and removed, it is as if all had been looked at."""

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from datasource.process.journal_entries import Entries, Kept
from datasource.process.journal_file import Entry
from tests.unit.walks import walks

PLACES = ("a" * 32, "b" * 32, "c" * 32)
NAMESPACES = ("shop", "sales")


class Account(RuleBasedStateMachine):
    """Everything there is, beside a plain dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = Entries()
        self.known: dict[Entry, tuple[Kept, bool]] = {}
        self.latest = 0

    @rule(
        sequence=st.integers(1, 30),
        place=st.sampled_from(PLACES),
        namespace=st.sampled_from(NAMESPACES),
        is_aside=st.booleans(),
        size=st.integers(0, 9),
        claimed=st.booleans(),
    )
    def add(self, sequence: int, place: str, namespace: str, is_aside: bool, size: int, claimed: bool) -> None:
        entry = Entry(sequence, namespace, place, "01", is_aside=is_aside)
        kept = Kept(size, float(sequence), entry.file_name)
        self.entries.add(entry, kept, claimed=claimed)
        self.known[entry] = (kept, claimed)
        self.latest = max(self.latest, sequence)

    @rule(data=st.data())
    def remove(self, data: Any) -> None:
        entry = data.draw(st.sampled_from([*self.known, Entry(99, "shop", PLACES[0], "02")]))
        kept, _ = self.known.pop(entry, (None, False))
        assert self.entries.remove(entry) == kept

    @rule(data=st.data(), is_aside=st.booleans())
    def alter(self, data: Any, is_aside: bool) -> None:
        entry = data.draw(st.sampled_from([*self.known, None]))
        if entry is None:
            return
        after = replace(entry, tries=entry.tries + 1, is_aside=is_aside)
        kept, claimed = self.known.pop(entry)
        assert self.entries.remove(entry) == kept
        self.entries.add(after, kept, claimed=claimed)
        self.known[after] = (kept, claimed)

    @rule(data=st.data())
    def release(self, data: Any) -> None:
        entry = data.draw(st.sampled_from([*self.known, Entry(99, "shop", PLACES[0], "02")]))
        self.entries.release(entry)
        if entry in self.known:
            self.known[entry] = (self.known[entry][0], False)

    @invariant()
    def tells_what_there_is(self) -> None:
        waiting = sorted(entry for entry in self.known if not entry.is_aside)
        aside = sorted(entry for entry in self.known if entry.is_aside)
        assert (self.entries.waiting, self.entries.aside) == (waiting, aside)
        assert (self.entries.number_waiting, self.entries.number_aside) == (len(waiting), len(aside))
        assert self.entries.size == sum(kept.size for kept, _ in self.known.values())
        assert self.entries.latest == self.latest
        assert sorted(self.entries.seen_at()) == [(entry, self.known[entry][0].seen_at) for entry in waiting]

    @invariant()
    def finds_each(self) -> None:
        for entry, (kept, claimed) in self.known.items():
            assert entry in self.entries
            assert self.entries[entry] == kept
            assert self.entries.is_claimed(entry) is claimed
        for place in PLACES:
            of_place = sorted(entry for entry in self.known if entry.place == place)
            assert self.entries.first_of(place) == next((entry for entry in of_place if not entry.is_aside), None)
            assert self.entries.has_any(place) is bool(of_place)
        for namespace in NAMESPACES:
            left = [entry for entry, (_, claimed) in self.known.items() if entry.namespace == namespace and not claimed]
            assert self.entries.unclaimed_in(namespace) == len(left)


def test_it_is_always_as_if_all_had_been_looked_at() -> None:
    run_state_machine_as_test(Account, settings=settings(walks(20, 100), stateful_step_count=30))
