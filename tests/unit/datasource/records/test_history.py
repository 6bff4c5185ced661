"""What people did: five entries at most, of bounded size, read whatever another version or somebody else wrote there."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.records.history import (
    ENTRIES,
    LONGEST_TEXT,
    Act,
    By,
    HistoryEntry,
    appended,
    by_user,
    entry_of,
    read_history,
)
from datasource.records.link_keys import LENIENCE, MARK_LENGTH, LinkKeys
from tests.unit.datasource.builders import NOW


def entry(number: int = 0, *, by: str = "ada@example.com") -> HistoryEntry:
    return entry_of(f"act-{number}", Act.CLEAR, by=by, at=NOW + timedelta(minutes=number))


def told(count: int) -> str | None:
    text = None
    for number in range(count):
        text = appended(text, entry(number))
    return text


def test_entry_is_read_as_it_was_written() -> None:
    assert read_history(appended(None, entry())) == (entry(),)
    assert msgspec.json.decode(appended(None, entry()))[0] == {
        "id": "act-0",
        "time": "2026-07-01T12:00:00Z",
        "what": "ClearCredential",
        "by": "ada@example.com",
        "result": "Succeeded",
    }


def test_five_are_kept_and_the_oldest_go_first() -> None:
    assert [each.id for each in read_history(told(ENTRIES + 2))] == ["act-2", "act-3", "act-4", "act-5", "act-6"]


def test_entry_that_is_written_again_is_there_once() -> None:
    assert [each.id for each in read_history(appended(told(2), entry(0)))] == ["act-1", "act-0"]


@pytest.mark.parametrize("name", ["a" * 5000, "\u202eada" * 400, "ada\r\n\x00" * 999, "\U0001f600" * 5000])
def test_texts_of_any_size_are_cut_and_have_no_control_characters(name: str) -> None:
    text = None
    for number in range(ENTRIES):
        text = appended(text, entry(number, by=name))
    assert all(len(each.by) <= LONGEST_TEXT and each.by.isprintable() for each in read_history(text))
    assert len(text or "") < ENTRIES * 2048


@pytest.mark.parametrize("name", list(By))
def test_user_who_is_called_as_an_annotation_is_told_from_one(name: str) -> None:
    assert by_user(name) == f"user {name}"
    assert by_user("ada") == "ada"


@pytest.mark.parametrize(
    "text", [None, "", "{", "{}", "null", "[" * 20_000, '["' + "a" * 70_000 + '"]', '"text"', "\ud800"]
)
def test_what_cannot_be_read_is_no_history_and_no_error(text: str | None) -> None:
    assert read_history(text) == ()


@pytest.mark.parametrize(
    "foreign",
    [
        "1",
        '{"id":"x"}',
        '{"id":"x","time":"yesterday","what":"a","by":"b"}',
        '{"id":"x","time":"2026-07-01T12:00:00","what":"a","by":"b"}',
        '{"id":1,"time":"2026-07-01T12:00:00Z","what":"a","by":"b"}',
    ],
)
def test_entries_that_cannot_be_read_are_left_out_and_others_stay(foreign: str) -> None:
    own = msgspec.json.encode(entry()).decode()
    assert read_history(f"[{foreign},{own}]") == (entry(),)


def test_what_a_later_version_adds_is_read_past() -> None:
    later = '[{"id":"x","time":"2026-07-01T12:00:00Z","what":"Exported","by":"b","result":"Perhaps","why":["new"]}]'
    (read,) = read_history(later)
    assert (read.what, read.result) == ("Exported", "Perhaps")


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    assert len(read_history(text)) <= ENTRIES


# Whose an entry is.

KEYS = LinkKeys().renewed(NOW, lambda size: b"k" * size)
PLACE, LATER = ("shop", "sales"), NOW + 2 * LENIENCE


def test_entry_of_ours_is_known_after_it_was_stored() -> None:
    (read,) = read_history(appended(None, entry().marked(KEYS, PLACE)))
    assert read.is_ours(KEYS, PLACE, LATER)


@pytest.mark.parametrize("changes", [{"by": "eve"}, {"what": "Refresh"}, {"result": ""}, {"id": "x"}, {"mark": ""}])
def test_altered_entry_is_nobodys(changes: dict[str, str]) -> None:
    altered = msgspec.structs.replace(entry().marked(KEYS, PLACE), **changes)
    assert not altered.is_ours(KEYS, PLACE, LATER)


def test_entry_is_of_one_datasource_and_needs_a_key() -> None:
    assert not entry().marked(KEYS, PLACE).is_ours(KEYS, ("shop", "calendar"), LATER)
    assert not entry().marked(LinkKeys(), PLACE).is_ours(LinkKeys(), PLACE, NOW)


def test_mark_of_any_length_is_bounded() -> None:
    (read,) = read_history(appended(None, msgspec.structs.replace(entry(), mark="m" * 5000)))
    assert len(read.mark) == MARK_LENGTH
