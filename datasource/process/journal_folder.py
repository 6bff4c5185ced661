"""I/O: the directory of a journal, which one process has at a time, by a lock that ends with it."""

import contextlib
import fcntl
import os
import stat
from pathlib import Path


class Unusable(Exception):
    """There is no journal; says why."""


def taken(path: Path) -> int:
    """A file descriptor of the directory, for this process alone.

    Raises:
        Unusable: it cannot be made, is not ours, or another process has it.
    """
    try:
        folder = _opened(path)
    except OSError as error:
        raise Unusable(f"{path} cannot be made or opened: {error.strerror}") from None
    try:
        _require_ours(folder, path)
    except OSError as error:
        os.close(folder)
        raise Unusable(f"{path} cannot be read: {error.strerror}") from None
    except Unusable:
        os.close(folder)
        raise
    return folder


def _opened(path: Path) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _require_ours(folder: int, path: Path) -> None:
    found = os.fstat(folder)
    if found.st_uid != os.geteuid():
        raise Unusable(f"{path} belongs to another user")
    if stat.S_IMODE(found.st_mode) != 0o700:
        # Whatever the umask, or whoever made it before us. One that is as it should be may be read-only, and have entries.
        os.fchmod(folder, 0o700)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Unusable(f"another process has {path}") from None
