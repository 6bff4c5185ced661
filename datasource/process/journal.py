"""I/O: a directory of replies that were read and are not stored yet: a file outlives the process that wrote it.

An entry appears whole or not at all: it is written under another name and renamed. Where the process ended in between, the
next one gives a whole one its name, and removes a part. It is not synced: what it outlives is the process, and the directory is
in memory anyway. Only one process has the directory at a time, by a lock that ends with it. What an entry says is nobody's
business here; its name tells when it was written, for which namespace and place, under which ID, and how often it was tried.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from datasource.process.journal_entries import Entries, Kept
from datasource.process.journal_file import LARGEST_ENTRY, Entry, is_whole, read_file, size_of
from datasource.process.journal_folder import Unusable, taken

logger = structlog.get_logger(__name__)

FOLDER = "journal"
"""What is made in the directory that the settings name: that may be a mount point, and belong to somebody else."""

LARGEST_IN_ALL = 16 * 2**20
"""Bytes."""

MOST_LEFT_PER_NAMESPACE = 16
"""Entries of a namespace that nobody works on: whoever would leave one more keeps its reply in hand."""

MOST_TRIES = 3

KEPT = Gauge(
    "datasource_journal_kept",
    "Whether this process writes replies down before it stores them (1), or has no journal (0).",
)
WANTED = Gauge(
    "datasource_journal_wanted", "Whether DATASOURCE_JOURNAL asks this process for a journal (1) or not (0)."
)
ENTRIES = Gauge(
    "datasource_journal_entries",
    "Replies in the journal: waiting to be stored, or set aside after tries that failed for no reason of the API server's.",
    ["state"],
)
for _state in ("waiting", "set aside"):
    ENTRIES.labels(_state)  # without a journal, too: alerts read them
OLDEST = Gauge(
    "datasource_journal_oldest_seconds", "Seconds since the oldest reply that waits was written down; 0: none waits."
)
REPLIES = Metric(
    "datasource_journal_replies",
    "Replies of the journal by result. Replayed: handled from the journal. Superseded: a newer one is stored. "
    "Dropped: the credential was cleared, deleted or replaced, or the file was deleted. Unwritable: not in a file. "
    "Set aside: not tried again.",
    ["result"],
)
for _result in ("replayed", "superseded", "dropped", "unwritable", "set aside"):
    # There from the start: a rate needs a zero to rise from.
    REPLIES.labels(_result)

T = TypeVar("T")

_TEMPORARY = ".tmp"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def _nothing_happens(_: str) -> None:
    """Where no test arms a fault."""


def _nowhere() -> int:
    raise Unusable("its place is not known")


@dataclass(slots=True)
class Journal:
    """The entries of one directory, which this process has for itself. `open_journal` makes it."""

    folder: int
    """A file descriptor; the lock is on it."""
    fault: Callable[[str], None] = _nothing_happens
    """Called before and after each call that changes a file; a test may end everything there."""
    clock: Callable[[], int] = time.time_ns
    monotonic: Callable[[], float] = time.monotonic
    again: Callable[[], int] = _nowhere
    """Takes the directory once more, where somebody deleted it. Raises Unusable."""
    _entries: Entries = field(default_factory=Entries)

    def __post_init__(self) -> None:
        foreign = [name for name in sorted(os.listdir(self.folder)) if not self._is_taken(name)]
        if foreign:
            logger.warning(
                "files in the journal are no entries of ours; they are left alone", files=len(foreign), first=foreign[0]
            )

    # What lies there.

    @property
    def waiting(self) -> list[Entry]:
        """The entries that wait to be dealt with, the oldest first; those set aside are not among them."""
        return self._entries.waiting

    @property
    def aside(self) -> list[Entry]:
        """Those that nobody tries by itself any more."""
        return self._entries.aside

    @property
    def number_waiting(self) -> int:
        """How many wait."""
        return self._entries.number_waiting

    @property
    def number_aside(self) -> int:
        """How many were set aside."""
        return self._entries.number_aside

    def first_of(self, place: str) -> Entry | None:
        """The oldest entry of a place that waits to be dealt with."""
        return self._entries.first_of(place)

    def has_any(self, place: str) -> bool:
        """Whether anything of a place lies there, one that was set aside included."""
        return self._entries.has_any(place)

    def oldest(self, now: float) -> float:
        """For how many seconds the oldest of those that wait has waited. A clock that was set back hides none: it waits at
        least since this process saw it."""
        waiting = self._entries.seen_at()
        ages = (max(now - entry.written_at, self.monotonic() - seen_at) for entry, seen_at in waiting)
        return max((0.0, *ages))

    def is_in_hand(self, entry: Entry) -> bool:
        """Whether whoever wrote it works on it."""
        return self._entries.is_in_hand(entry)

    def may_leave(self, namespace: str) -> bool:
        """Whether one more entry of a namespace may lie there without anybody at work on it."""
        return self._entries.left_of(namespace) < MOST_LEFT_PER_NAMESPACE

    # What is done with it.

    def write(self, namespace: str, place: str, id_: str, content: bytes) -> Entry | None:
        """Write an entry, in the hand of whoever calls; None where that cannot be done. It never raises an error of a file."""
        entry = Entry(max(self.clock(), self._entries.latest + 1), namespace, place, id_)
        if len(content) > LARGEST_ENTRY or self._entries.size + len(content) > LARGEST_IN_ALL:
            REPLIES.labels("unwritable").inc()
            return None
        if not self._is_written(entry, content) and not (self._is_taken_again() and self._is_written(entry, content)):
            REPLIES.labels("unwritable").inc()
            return None
        self._entries.add(entry, Kept(len(content), self.monotonic(), entry.file_name), in_hand=True)
        return entry

    def read(self, entry: Entry) -> bytes:
        """What an entry says.

        Raises:
            OSError: it cannot be read.
        """
        return read_file(self._file_of(entry), self.folder)

    def leave(self, entry: Entry) -> None:
        """Whoever wrote it works on it no more."""
        self._entries.let_go(entry)

    def counted(self, entry: Entry) -> Entry:
        """Write down that an entry is about to be tried: should it be the end of us, that is known. Returns it as it is now."""
        return self._renamed(entry, replace(entry, tries=entry.tries + 1))

    def not_counted(self, entry: Entry) -> Entry:
        """Write down that a try says nothing about the entry: somebody else was in the way."""
        return self._renamed(entry, replace(entry, tries=max(entry.tries - 1, 0)))

    def set_aside(self, entry: Entry) -> Entry:
        """Let nobody try it any more by itself; it stays to be looked at."""
        REPLIES.labels("set aside").inc()
        return self._renamed(entry, replace(entry, is_aside=True))

    def remove(self, entry: Entry) -> None:
        """All is done. It never raises an error of a file: one that stays keeps nobody from anything while this process lives,
        and the next one deals with it again and finds that it is done."""
        try:
            self._call("unlink", lambda: os.unlink(self._file_of(entry), dir_fd=self.folder))
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.error("an entry of the journal cannot be removed", error=str(error))
        self._entries.remove(entry)

    def close(self) -> None:
        """Give the directory up."""
        os.close(self.folder)

    # Files.

    def _is_written(self, entry: Entry, content: bytes) -> bool:
        temporary = f"{entry.file_name}{_TEMPORARY}"
        try:
            self._create(temporary, content)
            self._rename(temporary, entry.file_name)
        except OSError:
            self._remove_left_over(temporary)
            return False
        return True

    def _is_taken_again(self) -> bool:
        """Whether somebody had deleted the directory, and there is one again. What lay there is lost."""
        if os.fstat(self.folder).st_nlink:
            return False
        try:
            folder = self.again()
        except Unusable as why:
            logger.error("the journal was deleted, and cannot be made again", error=str(why))
            return False
        os.close(self.folder)
        self.folder = folder
        logger.error("the journal was deleted: there is an empty one now")
        return True

    def _create(self, name: str, content: bytes) -> None:
        file = self._call("open", lambda: os.open(name, _NEW_FILE, 0o600, dir_fd=self.folder))
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[self._call("write", lambda: os.write(file, rest)) :]  # noqa: B023
        finally:
            os.close(file)

    def _rename(self, before: str, after: str) -> None:
        self._call("rename", lambda: os.rename(before, after, src_dir_fd=self.folder, dst_dir_fd=self.folder))

    def _file_of(self, entry: Entry) -> str:
        return self._entries[entry].file if entry in self._entries else entry.file_name

    def _renamed(self, before: Entry, after: Entry) -> Entry:
        """Where the file keeps its name, the entry has the new one for this process all the same: a try that is not written
        down still counts, and what is set aside stays aside."""
        if before == after:
            return before
        in_hand = self._entries.is_in_hand(before)
        known = self._entries.remove(before) or Kept(0, self.monotonic(), before.file_name)
        self._entries.add(after, known._replace(file=self._named(known.file, after)), in_hand=in_hand)
        return after

    def _named(self, name: str, entry: Entry) -> str:
        """Where an entry is once it was to be renamed."""
        try:
            self._rename(name, entry.file_name)
        except OSError as error:
            logger.error("an entry of the journal cannot be renamed", error=str(error))
            return name
        return entry.file_name

    def _is_taken(self, name: str) -> bool:
        """Take what another process left in a file, if that is an entry."""
        entry, size = Entry.named(name.removesuffix(_TEMPORARY)), size_of(name, self.folder)
        if entry is None or size is None:
            return False
        if name.endswith(_TEMPORARY):
            try:
                whole = entry not in self._entries and is_whole(read_file(name, self.folder))
            except OSError:
                return False
            if not whole:
                self._remove_left_over(name)
                return True
            # It was written to its end: a reply that was read is in no other place.
            name = self._named(name, entry)
        self._entries.add(entry, Kept(size, self.monotonic(), name), in_hand=False)
        return True

    def _remove_left_over(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self.folder)
        except OSError:
            return  # it was not made, or goes at the next start

    def _call(self, step: str, call: Callable[[], T]) -> T:
        self.fault(f"before {step}")
        result = call()
        self.fault(f"after {step}")
        return result


def open_journal(
    directory: str, *, fault: Callable[[str], None] = _nothing_happens, clock: Callable[[], int] = time.time_ns
) -> Journal:
    """Take the journal in a directory for this process.

    Raises:
        Unusable: it cannot be made or read, is not ours, or another process has it.
    """
    path = Path(directory, FOLDER)
    folder = taken(path)
    try:
        return Journal(folder, fault, clock, again=partial(taken, path))
    except OSError as error:
        os.close(folder)
        raise Unusable(f"{path} cannot be read: {error.strerror}") from None
    except BaseException:
        os.close(folder)
        raise


def journal_in(directory: str | None, now: Callable[[], float] = time.time) -> Journal | None:
    """The journal of this process, for as long as it lives, and shown in its metrics; None: it has none, and says why."""
    KEPT.set(0)
    WANTED.set(directory is not None)
    if directory is None:
        return None
    try:
        journal = open_journal(directory)
    except Unusable as why:
        logger.error("no journal: a crash between a provider's reply and its store can lose a grant", error=str(why))
        return None
    KEPT.set(1)
    ENTRIES.labels("waiting").set_function(lambda: journal.number_waiting)
    ENTRIES.labels("set aside").set_function(lambda: journal.number_aside)
    OLDEST.set_function(lambda: journal.oldest(now()))
    logger.info("keeps a journal", directory=directory, waiting=journal.number_waiting, set_aside=journal.number_aside)
    return journal
