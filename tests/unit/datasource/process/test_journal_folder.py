"""The directory of a journal: ours, for nobody else, and for one process at a time."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from datasource.process.journal import open_journal
from datasource.process.journal_folder import Unusable, taken


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directory_that_others_could_look_into_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir(mode=0o777)
    open_journal(str(tmp_path)).close()
    assert mode_of(tmp_path / "journal") == 0o700


def link_to(path: Path) -> None:
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("make", [link_to, Path.touch], ids=["a link", "a file"])
def test_what_is_no_directory_of_ours_is_no_journal(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "journal")
    with pytest.raises(Unusable, match="cannot be made or opened"):
        open_journal(str(tmp_path))


def test_directory_that_is_not_there_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="cannot be made or opened: No such file"):
        open_journal(str(tmp_path / "missing"))


def test_directory_of_another_user_is_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(Unusable, match="belongs to another user"):
        open_journal(str(tmp_path))


def test_directory_whose_mode_cannot_be_set_is_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_: int, __: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (tmp_path / "journal").mkdir(mode=0o750)
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fchmod", refuses)
    with pytest.raises(Unusable, match="cannot be read: Read-only file system"):
        open_journal(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before


def test_whoever_gave_it_up_leaves_it_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = taken(path)
    for _ in range(2):
        with pytest.raises(Unusable, match="another process has"):
            taken(path)
    os.close(first)
    os.close(taken(path))


def test_nothing_stays_open_of_a_directory_that_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = taken(path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(Unusable):
            open_journal(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(first)
