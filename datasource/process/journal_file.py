"""Files in the journal: which may be entries, what their names say, and whether they are whole.

A name is found again from what it says.
"""

import errno
import os
import re
import stat
from dataclasses import dataclass

import msgspec

LARGEST_ENTRY = 64 * 1024
"""Bytes."""

_NAME = re.compile(
    r"(?P<sequence>[0-9]{20})\.(?P<namespace>[a-z0-9-]{1,63})\.(?P<place>[0-9a-f]{16,64})\.(?P<id>[0-9a-f]{1,64})"
    r"\.(?P<tries>[0-9]{1,4})\.(?P<kind>entry|aside)"
)
_FARTHEST = 10**19
"""No clock of ours shows a later time: nanoseconds since 1970, in the year 2286. What comes after it still has 20 digits."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """What the name of an entry says."""

    sequence: int
    """Nanoseconds since 1970, and greater than that of every entry written before."""
    namespace: str
    place: str
    """Stands for whatever the reply is for."""
    id: str
    tries: int = 0
    is_aside: bool = False

    @property
    def file_name(self) -> str:
        """Its file."""
        kind = "aside" if self.is_aside else "entry"
        return f"{self.sequence:020d}.{self.namespace}.{self.place}.{self.id}.{self.tries}.{kind}"

    @property
    def written_at(self) -> float:
        """Seconds since 1970."""
        return self.sequence / 1e9

    @classmethod
    def named(cls, file_name: str) -> "Entry | None":
        """The entry in a file; None for a file that is none."""
        match = _NAME.fullmatch(file_name)
        if match is None:
            return None
        is_aside = match["kind"] == "aside"
        entry = cls(
            int(match["sequence"]), match["namespace"], match["place"], match["id"], int(match["tries"]), is_aside
        )
        # It has to be found again under the name that follows from it.
        return entry if entry.file_name == file_name and entry.sequence < _FARTHEST else None


def may_be_entry(found: os.stat_result) -> bool:
    """Not a directory, a link or a pipe, nor so much that to read it would end the process."""
    return stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST_ENTRY


def size_of(name: str, folder: int) -> int | None:
    """Of a file that may be an entry; None where it cannot be one."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    return found.st_size if may_be_entry(found) else None


def read_file(name: str, folder: int) -> bytes:
    """What a file says.

    Raises:
        OSError: it cannot be read, or cannot be an entry.
    """
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not may_be_entry(os.fstat(file)):
            raise OSError(errno.EINVAL, "no entry")
        return b"".join(iter(lambda: os.read(file, LARGEST_ENTRY), b""))
    finally:
        os.close(file)


def is_whole(content: bytes) -> bool:
    """Whether an entry was written to its end: it is a JSON object, and no part of one is."""
    try:
        msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True
