"""A directory of entries: each whole or not there, ours alone, bounded, and never a reason for an exception at a reply."""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from datasource.process import journal as journals
from datasource.process.journal import (
    KEPT,
    MOST_UNCLAIMED_PER_NAMESPACE,
    REPLIES,
    WANTED,
    Journal,
    journal_in,
    open_journal,
)
from datasource.process.journal_file import LARGEST_ENTRY, Entry
from datasource.process.journal_folder import Unusable

PLACE, OTHER = "a" * 32, "b" * 32
SENTINEL = b'{"refresh_token":"sentinel"}'
STEPS = ("before open", "after open", "before write", "after write", "before rename", "after rename")
WHOLE = {"after write", "before rename", "after rename"}
"""Steps from which on the file has all of an entry, though perhaps not yet its name."""


class Killed(BaseException):
    """The process is dead: nothing of it does anything any more."""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "journal").iterdir())


def count_of(result: str) -> float:
    return float(REPLIES.labels(result)._value.get())


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = open_journal(str(tmp_path))
    yield opened
    opened.close()


def write(
    journal: Journal, id_: str = "01", place: str = PLACE, namespace: str = "shop", content: bytes = SENTINEL
) -> Entry:
    entry = journal.write(namespace, place, id_, content)
    assert entry is not None
    return entry


def test_directory_and_entries_are_for_nobody_else_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal = open_journal(str(tmp_path))
        write(journal)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "journal") == 0o700
    assert [mode_of(each) for each in files(tmp_path)] == [0o600]
    journal.close()


def test_entry_is_read_as_it_was_written_by_the_next_process(tmp_path: Path) -> None:
    first = open_journal(str(tmp_path))
    entry = write(first)
    assert first.read(entry) == SENTINEL
    assert first.is_claimed(entry)
    first.close()
    second = open_journal(str(tmp_path))
    assert second.waiting == [entry]
    assert second.first_of(PLACE) == entry
    assert second.first_of(OTHER) is None
    assert second.read(entry) == SENTINEL
    assert not second.is_claimed(entry)
    second.remove(entry)
    assert (second.waiting, files(tmp_path)) == ([], [])
    second.close()


def test_only_one_process_has_it_at_a_time(tmp_path: Path, journal: Journal) -> None:
    with pytest.raises(Unusable, match="another process has"):
        open_journal(str(tmp_path))
    assert journal.waiting == []


def test_process_that_does_not_get_it_runs_without_and_says_so(tmp_path: Path, journal: Journal) -> None:
    assert journal_in(str(tmp_path)) is None
    assert KEPT._value.get() == 0
    assert journal_in(None) is None
    assert journal.waiting == []


def test_metrics_tell_that_a_journal_is_wanted_and_there_is_none(tmp_path: Path, journal: Journal) -> None:
    for directory, wanted in ((None, 0), (str(tmp_path), 1)):
        assert journal_in(directory) is None
        assert (WANTED._value.get(), KEPT._value.get()) == (wanted, 0)


def test_metrics_tell_how_many_wait_and_since_when(tmp_path: Path) -> None:
    journal = journal_in(str(tmp_path), now=lambda: 1_000_000_060.0)
    assert journal is not None
    assert KEPT._value.get() == 1
    journal.clock = lambda: 1_000_000_000 * 10**9
    assert [sample.value for metric in journals.OLDEST.collect() for sample in metric.samples] == [0]
    journal.set_aside(write(journal, "01"))
    write(journal, "02")
    shown = {
        sample.labels.get("state", "oldest"): sample.value
        for gauge in (journals.ENTRIES, journals.OLDEST)
        for metric in gauge.collect()
        for sample in metric.samples
    }
    assert shown == {"waiting": 1, "set aside": 1, "oldest": pytest.approx(60, abs=1)}
    journal.close()


@pytest.mark.parametrize("step", STEPS)
def test_entry_is_whole_or_not_there_wherever_the_process_is_killed(tmp_path: Path, step: str) -> None:
    def fault(at: str) -> None:
        if at == step:
            raise Killed

    journal = open_journal(str(tmp_path), fault=fault)
    with pytest.raises(Killed):
        journal.write("shop", PLACE, "01", SENTINEL)
    journal.close()
    after = open_journal(str(tmp_path))
    assert [after.read(each) for each in after.waiting] == ([SENTINEL] if step in WHOLE else [])
    assert [each.name for each in files(tmp_path)] == [each.file_name for each in after.waiting]
    after.close()


FIRST = Entry(7, "shop", PLACE, "01")


def left_over(tmp_path: Path, content: bytes, entry: Entry = FIRST) -> Path:
    """What a process left that was killed before the rename."""
    folder = tmp_path / "journal"
    folder.mkdir(exist_ok=True, mode=0o700)
    file = folder / f"{entry.file_name}.tmp"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("size", range(len(SENTINEL)))
def test_part_of_an_entry_goes_wherever_it_ends(tmp_path: Path, size: int) -> None:
    left_over(tmp_path, SENTINEL[:size])
    journal = open_journal(str(tmp_path))
    assert (journal.waiting, files(tmp_path)) == ([], [])
    journal.close()


@pytest.mark.parametrize("content", [SENTINEL + b"\x00", b"\x00" * 28, b"[1]", b"\xff", b'{"a":' * 20_000])
def test_what_no_process_of_ours_wrote_to_its_end_goes(tmp_path: Path, content: bytes) -> None:
    left_over(tmp_path, content[:LARGEST_ENTRY])
    journal = open_journal(str(tmp_path))
    assert (journal.waiting, files(tmp_path)) == ([], [])
    journal.close()


def test_whole_entry_without_its_name_takes_its_place_among_the_others(tmp_path: Path) -> None:
    before, after = Entry(6, "shop", PLACE, "01"), Entry(9, "shop", PLACE, "03")
    for entry in (after, before):
        left_over(tmp_path, SENTINEL, entry).rename(tmp_path / "journal" / entry.file_name)
    left_over(tmp_path, SENTINEL, Entry(7, "shop", PLACE, "02"))
    journal = open_journal(str(tmp_path))
    assert [each.id for each in journal.waiting] == ["01", "02", "03"]
    assert write(journal).sequence > 9
    journal.close()


def test_copy_of_an_entry_that_was_tried_less_often_gives_way(tmp_path: Path) -> None:
    """No process of ours makes one."""
    for tries in (0, 1):
        entry = replace(FIRST, tries=tries)
        left_over(tmp_path, SENTINEL, entry).rename(tmp_path / "journal" / entry.file_name)
    journal = open_journal(str(tmp_path))
    tried = journal.counted(FIRST)
    assert (journal.waiting, journal.read(tried), len(files(tmp_path))) == ([tried], SENTINEL, 1)
    journal.remove(tried)
    assert (journal.waiting, journal.may_leave("shop"), files(tmp_path)) == ([], True, [])
    journal.close()


def test_whole_entry_is_there_once_where_it_has_its_name_already(tmp_path: Path) -> None:
    left_over(tmp_path, SENTINEL).rename(tmp_path / "journal" / FIRST.file_name)
    left_over(tmp_path, b'{"refresh_token":"another"}')
    journal = open_journal(str(tmp_path))
    assert (journal.waiting, journal.read(FIRST)) == ([FIRST], SENTINEL)
    assert len(files(tmp_path)) == 1
    journal.close()


@pytest.mark.parametrize("step", ["before rename", "after rename"])
def test_no_kill_while_it_is_given_its_name_loses_it(tmp_path: Path, step: str) -> None:
    left_over(tmp_path, SENTINEL)

    def fault(at: str) -> None:
        if at == step:
            raise Killed

    with pytest.raises(Killed):
        open_journal(str(tmp_path), fault=fault)
    following = open_journal(str(tmp_path))
    assert [following.read(each) for each in following.waiting] == [SENTINEL]
    following.close()


def test_whole_entry_is_dealt_with_where_it_cannot_be_given_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = left_over(tmp_path, SENTINEL)
    read_only(monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", lambda *_, **__: (_ for _ in ()).throw(FileExistsError()))
        journal = open_journal(str(tmp_path))
    (entry,) = journal.waiting
    assert (journal.read(entry), files(tmp_path)) == (SENTINEL, [file])
    monkeypatch.undo()
    assert journal.read(journal.counted(entry)) == SENTINEL
    journal.remove(journal.waiting[0])
    assert files(tmp_path) == []
    journal.close()


def test_what_cannot_be_read_is_not_taken_for_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = left_over(tmp_path, SENTINEL)
    with monkeypatch.context() as patched:

        def broken(*_: object) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        patched.setattr(os, "read", broken)
        first = open_journal(str(tmp_path))
    assert (first.waiting, files(tmp_path)) == ([], [file])
    first.close()
    following = open_journal(str(tmp_path))
    assert [following.read(each) for each in following.waiting] == [SENTINEL]
    following.close()


def test_entry_is_written_whole_however_little_a_call_takes(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, content: whole(file, content[:5]))
    entry = write(journal)
    monkeypatch.undo()
    assert journal.read(entry) == SENTINEL


@pytest.mark.parametrize("call", ["open", "write", "rename"])
def test_directory_that_is_full_or_read_only_costs_the_entry_alone(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = count_of("unwritable")
    monkeypatch.setattr(os, call, full)
    assert journal.write("shop", PLACE, "01", SENTINEL) is None
    monkeypatch.undo()
    assert count_of("unwritable") == before + 1
    assert (journal.waiting, files(tmp_path)) == ([], [])
    assert write(journal) in journal.waiting


def test_one_entry_and_all_together_are_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    before = count_of("unwritable")
    assert journal.write("shop", PLACE, "01", b"x" * (LARGEST_ENTRY + 1)) is None
    monkeypatch.setattr(journals, "LARGEST_IN_ALL", 100)
    write(journal, content=b"x" * 60)
    assert journal.write("shop", OTHER, "02", b"x" * 60) is None
    assert count_of("unwritable") == before + 2


def test_namespace_may_leave_so_many_beyond_what_is_in_hand(tmp_path: Path, journal: Journal) -> None:
    entries = [write(journal, f"{number:02x}") for number in range(MOST_UNCLAIMED_PER_NAMESPACE + 1)]
    assert journal.may_leave("shop")
    for entry in entries[:MOST_UNCLAIMED_PER_NAMESPACE]:
        journal.leave(entry)
    assert not journal.may_leave("shop")
    assert journal.may_leave("sales")
    journal.remove(entries[0])
    assert journal.may_leave("shop")


def test_older_entries_of_a_place_come_first_whatever_the_clock_says(tmp_path: Path) -> None:
    times = count(1_000, -1)
    journal = open_journal(str(tmp_path), clock=lambda: next(times))
    entries = [write(journal, id_) for id_ in ("0c", "0b", "0a")]
    assert journal.waiting == entries
    assert journal.first_of(PLACE) == entries[0]
    journal.close()


def test_name_counts_tries_and_so_does_the_next_process(tmp_path: Path) -> None:
    journal = open_journal(str(tmp_path))
    entry = journal.counted(write(journal))
    assert entry.tries == 1
    assert journal.is_claimed(entry)
    assert journal.read(entry) == SENTINEL
    journal.close()
    after = open_journal(str(tmp_path))
    assert after.waiting == [entry]
    assert after.not_counted(entry).tries == 0
    assert after.not_counted(after.waiting[0]).tries == 0
    after.close()


def test_entry_that_is_set_aside_waits_for_nobody_and_stays(tmp_path: Path) -> None:
    journal = open_journal(str(tmp_path))
    before = count_of("set aside")
    aside = journal.set_aside(write(journal))
    assert (journal.waiting, journal.first_of(PLACE), journal.aside) == ([], None, [aside])
    assert count_of("set aside") == before + 1
    journal.close()
    after = open_journal(str(tmp_path))
    assert (after.waiting, after.aside) == ([], [aside])
    after.close()


def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the directory takes no change: its disk had an error, and is mounted read-only."""

    def denied(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    for call in ("rename", "unlink", "mkdir", "fchmod"):
        monkeypatch.setattr(os, call, denied)


def test_what_lies_in_a_directory_that_became_read_only_is_read_by_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(str(tmp_path))
    entry = write(journal)
    (tmp_path / "journal" / f"{entry.file_name}.tmp").write_bytes(SENTINEL[:9])
    journal.close()
    read_only(monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", lambda *_, **__: (_ for _ in ()).throw(FileExistsError()))
        after = open_journal(str(tmp_path))
    assert (after.waiting, after.read(entry)) == ([entry], SENTINEL)
    after.close()


def test_try_that_cannot_be_written_down_counts_in_this_process_and_the_entry_is_still_read(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write(journal)
    read_only(monkeypatch)
    entry = journal.counted(journal.counted(written))
    assert (entry.tries, journal.waiting, journal.is_claimed(entry)) == (2, [entry], True)
    assert journal.read(entry) == SENTINEL
    aside = journal.set_aside(entry)
    assert (journal.waiting, journal.aside, journal.read(aside)) == ([], [aside], SENTINEL)
    monkeypatch.undo()
    assert journal.read(journal.counted(aside)) == SENTINEL


def test_entry_that_is_done_keeps_nobody_waiting_where_its_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(str(tmp_path))
    entry = write(journal)
    read_only(monkeypatch)
    journal.remove(entry)
    assert (journal.waiting, journal.is_claimed(entry), journal.first_of(PLACE)) == ([], False, None)
    monkeypatch.undo()
    journal.close()
    following = open_journal(str(tmp_path))
    assert following.waiting == [entry], "the next process finds out that it is done"
    following.remove(entry)
    following.remove(entry)
    assert files(tmp_path) == []
    following.close()


def test_what_is_no_entry_is_left_alone_and_half_written_files_go(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    foreign, half = folder / "notes.txt", folder / f"{Entry(7, 'shop', PLACE, '01').file_name}.tmp"
    foreign.write_bytes(b"?")
    half.write_bytes(SENTINEL[:9])
    journal = open_journal(str(tmp_path))
    assert journal.waiting == []
    assert files(tmp_path) == [foreign]
    journal.close()


def directory(path: Path) -> None:
    path.mkdir()


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)


def somewhere_else(path: Path) -> None:
    path.symlink_to(path.parent)


@pytest.mark.parametrize("make", [directory, sparse, somewhere_else, os.mkfifo])
def test_what_only_bears_the_name_of_an_entry_is_left_alone_and_keeps_no_reply_from_its_file(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    for suffix in ("", ".tmp"):
        make(folder / f"{Entry(7, 'shop', PLACE, '01').file_name}{suffix}")
    journal = open_journal(str(tmp_path))
    assert (journal.waiting, journal.first_of(PLACE), len(files(tmp_path))) == ([], None, 2)
    assert journal.read(write(journal)) == SENTINEL
    journal.close()


def test_file_that_grew_beyond_all_bounds_is_not_read(tmp_path: Path, journal: Journal) -> None:
    entry = write(journal)
    sparse(tmp_path / "journal" / entry.file_name)
    with pytest.raises(OSError, match="no entry"):
        journal.read(entry)


def test_file_that_cannot_be_looked_at_keeps_no_other_from_being_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(str(tmp_path))
    first, second = write(journal, "01"), write(journal, "02")
    journal.close()
    looked_at = os.stat

    def broken(name: Any, **how: Any) -> os.stat_result:
        if name == first.file_name:
            raise OSError(errno.EIO, "Input/output error")
        return looked_at(name, **how)

    monkeypatch.setattr(os, "stat", broken)
    after = open_journal(str(tmp_path))
    assert after.waiting == [second]
    after.close()


def test_names_that_are_no_text_are_told_in_one_line_however_many(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    names = [os.fsencode(folder) + b"/%d \xff\x1b[31m\n" % number for number in range(1_000)]
    for name in (*names, os.fsencode(folder) + b"/\xff.tmp"):
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    with capture_logs() as lines:
        journal = open_journal(str(tmp_path))
    assert (journal.waiting, len(files(tmp_path))) == ([], 1_001)
    assert [(line["log_level"], line["files"]) for line in lines] == [("warning", 1_001)]
    journal.close()


def test_whatever_lies_there_of_a_place_is_known_also_what_was_set_aside(journal: Journal) -> None:
    entry = journal.set_aside(write(journal))
    assert (journal.has_any(PLACE), journal.has_any(OTHER)) == (True, False)
    journal.remove(entry)
    assert not journal.has_any(PLACE)


def test_clock_that_was_set_back_hides_no_reply_that_waits(tmp_path: Path) -> None:
    passed = [10.0]
    journal = open_journal(str(tmp_path), clock=lambda: 2_000_000_000 * 10**9)
    journal.monotonic = lambda: passed[0]
    entry = journal.counted(write(journal))
    passed[0] = 410.0
    assert journal.oldest(now=1_999_990_000.0) == 400
    assert journal.oldest(now=2_000_000_900.0) == 900
    journal.remove(entry)
    assert journal.oldest(now=1_999_990_000.0) == 0
    journal.close()


def test_directory_that_cannot_be_listed_is_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: int) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", denied)
    with pytest.raises(Unusable, match="cannot be read"):
        open_journal(str(tmp_path))


def test_link_in_the_place_of_an_entry_is_not_followed(tmp_path: Path, journal: Journal) -> None:
    entry, elsewhere = write(journal), tmp_path / "elsewhere"
    elsewhere.write_bytes(b"somebody's")
    file = tmp_path / "journal" / entry.file_name
    file.unlink()
    file.symlink_to(elsewhere)
    with pytest.raises(OSError, match="Too many levels"):
        journal.read(entry)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(OSError, match="no entry"):
        journal.read(entry)


def test_directory_that_somebody_deletes_is_made_again_at_the_next_reply(tmp_path: Path, journal: Journal) -> None:
    lost = write(journal, "01")
    shutil.rmtree(tmp_path / "journal")
    before = count_of("unwritable")
    entry = write(journal, "02")
    assert (journal.read(entry), mode_of(tmp_path / "journal")) == (SENTINEL, 0o700)
    assert [each.name for each in files(tmp_path)] == [entry.file_name]
    assert count_of("unwritable") == before
    with pytest.raises(FileNotFoundError):
        journal.read(lost)
    journal.remove(lost)
    with pytest.raises(Unusable, match="another process has"):
        open_journal(str(tmp_path))


def volume_is_gone(tmp_path: Path) -> None:
    tmp_path.rename(tmp_path.with_name("elsewhere"))


def another_process_has_it(tmp_path: Path) -> None:
    OTHERS.append(open_journal(str(tmp_path)))


OTHERS: list[Journal] = []


@pytest.mark.parametrize("happens", [volume_is_gone, another_process_has_it])
def test_directory_that_cannot_be_made_again_costs_the_entry_alone(
    tmp_path: Path, happens: Callable[[Path], None]
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    journal = open_journal(str(volume))
    shutil.rmtree(volume / "journal")
    happens(volume)
    before = count_of("unwritable")
    assert journal.write("shop", PLACE, "01", SENTINEL) is None
    assert count_of("unwritable") == before + 1
    assert journal.waiting == []
    for each in (journal, *OTHERS):
        each.close()
    OTHERS.clear()


def test_file_that_is_taken_away_under_its_first_name_is_no_deleted_directory(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "rename", gone)
    assert journal.write("shop", PLACE, "01", SENTINEL) is None
    monkeypatch.undo()
    assert write(journal) in journal.waiting


def test_whoever_makes_a_journal_of_a_descriptor_has_none_again(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    journal = Journal(os.open(folder, os.O_RDONLY))
    folder.rmdir()
    assert journal.write("shop", PLACE, "01", SENTINEL) is None
    journal.close()
