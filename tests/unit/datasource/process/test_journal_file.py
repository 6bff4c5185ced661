"""Names of files in the journal: one for each entry, and no other file is taken for one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.process.journal_file import Entry, is_whole

PLACE = "a" * 32


@given(
    st.builds(
        Entry,
        st.integers(0, 10**19 - 1),
        st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True),
        st.just(PLACE),
        st.from_regex(r"[0-9a-f]{1,64}", fullmatch=True),
        st.integers(0, 9_999),
        st.booleans(),
    )
)
def test_entry_is_found_again_by_its_name(entry: Entry) -> None:
    assert Entry.named(entry.file_name) == entry


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1.shop." + PLACE + ".01.0.entry",
        f"{7:020d}.shop.{PLACE}.01.0.other",
        f"{7:020d}.Shop.{PLACE}.01.0.entry",
        f"{7:020d}.shop.{PLACE}.01.0.entry.tmp",
        f"{7:020d}.shop/../x.{PLACE}.01.0.entry",
        f"{7:020d}.shop.{PLACE}.01.0003.entry",
        f"{10**20 - 1}.shop.{PLACE}.01.0.entry",
        f"{7:020d}.shop.{PLACE}.01.0.entry\n",
        f"{7:020d}.sh\udcff.{PLACE}.01.0.entry",
        "\u0660" * 19 + f"\u0667.shop.{PLACE}.01.0.entry",
    ],
)
def test_other_names_are_no_entries(name: str) -> None:
    assert Entry.named(name) is None


def test_sequence_tells_when_it_was_written() -> None:
    assert Entry(1_500_000_000, "shop", PLACE, "01").written_at == 1.5


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.text() | st.integers(), st.lists)), st.integers(0))
def test_entry_is_whole_and_no_part_of_it_is(said: dict[str, object], end: int) -> None:
    content = msgspec.json.encode(said)
    assert is_whole(content)
    assert not is_whole(content[: end % len(content)])
