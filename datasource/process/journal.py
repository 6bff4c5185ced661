"""I/O: the journal, a directory of replies that were read and are not stored yet. A file outlives the process that wrote it.

An entry appears whole or not at all, because it is written under a temporary name and then renamed. If the process ends in
between, the next one renames a whole file and removes an incomplete one. Files are not synced: they have to outlive the process
and not the machine, and the directory is in memory anyway. Only one process has the directory at a time, by a lock that ends
with the process. This module does not read the content of an entry. The name of the file has the time of writing, the
namespace, the place (a hash of namespace and name), the ID and the number of tries.
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
"""The folder that is made in the directory of the settings. That directory may be a mount point of another owner."""

LARGEST_IN_ALL = 16 * 2**20
"""Bytes of all entries."""

MOST_UNCLAIMED_PER_NAMESPACE = 16
"""Unclaimed entries of one namespace. A task whose entry would be one more keeps it claimed, and goes on trying."""

MOST_TRIES = 3
"""Tries of one entry that may fail for another reason than the API server. After them the entry is set aside."""

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
    """The fault of a process in which no test injects one."""


def _nowhere() -> int:
    raise Unusable("its place is not known")


@dataclass(slots=True)
class Journal:
    """The entries of one directory that this process has locked. `open_journal` makes it.

    An entry is claimed while a task of this process works on it. It is set aside when it is not to be tried again.
    """

    folder: int
    """The file descriptor of the directory, with the lock on it."""
    fault: Callable[[str], None] = _nothing_happens
    """Called before and after each call that changes a file. A test may end the process there."""
    clock: Callable[[], int] = time.time_ns
    monotonic: Callable[[], float] = time.monotonic
    again: Callable[[], int] = _nowhere
    """Makes and locks the directory again after it was deleted. Raises Unusable."""
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
        """The entries that are not set aside, the oldest first."""
        return self._entries.waiting

    @property
    def aside(self) -> list[Entry]:
        """The entries that are set aside."""
        return self._entries.aside

    @property
    def number_waiting(self) -> int:
        """The number of entries that are not set aside."""
        return self._entries.number_waiting

    @property
    def number_aside(self) -> int:
        """The number of entries that are set aside."""
        return self._entries.number_aside

    def first_of(self, place: str) -> Entry | None:
        """The oldest entry of a place that is not set aside; None: there is none."""
        return self._entries.first_of(place)

    def has_any(self, place: str) -> bool:
        """Whether there is an entry of a place, set aside or not."""
        return self._entries.has_any(place)

    def oldest(self, now: float) -> float:
        """How many seconds the oldest entry has waited that is not set aside; 0 where there is none.

        Each has waited at least since this process first saw it. So a clock that was set back hides no entry.
        """
        waiting = self._entries.seen_at()
        ages = (max(now - entry.written_at, self.monotonic() - seen_at) for entry, seen_at in waiting)
        return max((0.0, *ages))

    def is_claimed(self, entry: Entry) -> bool:
        """Whether a task of this process works on the entry."""
        return self._entries.is_claimed(entry)

    def may_leave(self, namespace: str) -> bool:
        """Whether one more entry of a namespace may be unclaimed."""
        return self._entries.unclaimed_in(namespace) < MOST_UNCLAIMED_PER_NAMESPACE

    # What is done with it.

    def write(self, namespace: str, place: str, id_: str, content: bytes) -> Entry | None:
        """Write an entry and claim it. Returns None where it cannot be written; it never raises an OSError."""
        entry = Entry(max(self.clock(), self._entries.latest + 1), namespace, place, id_)
        if len(content) > LARGEST_ENTRY or self._entries.size + len(content) > LARGEST_IN_ALL:
            REPLIES.labels("unwritable").inc()
            return None
        if not self._is_written(entry, content) and not (self._is_taken_again() and self._is_written(entry, content)):
            REPLIES.labels("unwritable").inc()
            return None
        self._entries.add(entry, Kept(len(content), self.monotonic(), entry.file_name), claimed=True)
        return entry

    def read(self, entry: Entry) -> bytes:
        """Read the content of an entry.

        Raises:
            OSError: the file cannot be read.
        """
        return read_file(self._file_of(entry), self.folder)

    def leave(self, entry: Entry) -> None:
        """End the claim: no task works on the entry any more."""
        self._entries.release(entry)

    def counted(self, entry: Entry) -> Entry:
        """Record a try before it is made, in case the try ends this process. Returns the entry with its new count."""
        return self._renamed(entry, replace(entry, tries=entry.tries + 1))

    def not_counted(self, entry: Entry) -> Entry:
        """Undo the count of a try that failed for a reason outside of the entry. Returns the entry with its new count."""
        return self._renamed(entry, replace(entry, tries=max(entry.tries - 1, 0)))

    def set_aside(self, entry: Entry) -> Entry:
        """Set the entry aside: it is kept for a person to look at, and not tried again. Returns it with its new name."""
        REPLIES.labels("set aside").inc()
        return self._renamed(entry, replace(entry, is_aside=True))

    def remove(self, entry: Entry) -> None:
        """Remove an entry that is done. It never raises an OSError.

        A file that cannot be removed does no harm: this process ignores it, and the next one finds that it is done.
        """
        try:
            self._call("unlink", lambda: os.unlink(self._file_of(entry), dir_fd=self.folder))
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.error("an entry of the journal cannot be removed", error=str(error))
        self._entries.remove(entry)

    def close(self) -> None:
        """Release the directory and its lock."""
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
        """If the directory was deleted, make it again. Returns whether that was done. The old entries are lost."""
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
        """Rename an entry. If the file cannot be renamed, this process still uses the new name.

        So a try that could not be recorded still counts, and an entry that is set aside stays so.
        """
        if before == after:
            return before
        claimed = self._entries.is_claimed(before)
        known = self._entries.remove(before) or Kept(0, self.monotonic(), before.file_name)
        self._entries.add(after, known._replace(file=self._named(known.file, after)), claimed=claimed)
        return after

    def _named(self, name: str, entry: Entry) -> str:
        """Rename a file for an entry. Returns the name that the file has after that: the old one if the rename failed."""
        try:
            self._rename(name, entry.file_name)
        except OSError as error:
            logger.error("an entry of the journal cannot be renamed", error=str(error))
            return name
        return entry.file_name

    def _is_taken(self, name: str) -> bool:
        """Take over a file that an earlier process left. Returns whether it is an entry, or was part of one."""
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
            # The file is complete, and the reply may be in no other place.
            name = self._named(name, entry)
        self._entries.add(entry, Kept(size, self.monotonic(), name), claimed=False)
        return True

    def _remove_left_over(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self.folder)
        except OSError:
            return  # it was never made, or the next start removes it

    def _call(self, step: str, call: Callable[[], T]) -> T:
        self.fault(f"before {step}")
        result = call()
        self.fault(f"after {step}")
        return result


def open_journal(
    directory: str, *, fault: Callable[[str], None] = _nothing_happens, clock: Callable[[], int] = time.time_ns
) -> Journal:
    """Open the journal in a directory, and lock it for this process.

    Raises:
        Unusable: the folder cannot be made or read, has another owner, or is locked by another process.
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
    """Open the journal of this process and show it in the metrics. Without one, log the reason and return None."""
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
