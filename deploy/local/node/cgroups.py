"""The cgroups of a run: one folder in every hierarchy of the machine, gone with the run.

Nothing of the machine's own is moved. Only machines with cgroup v1 were ever tried; where v2 is
mounted beside it, runc uses both.
"""

import contextlib
import os
import select
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path

_PREFIX = "datasource-node-"
_GONE_WITHIN = 15.0

NEEDED = ("cpu", "cpuset", "memory", "pids", "devices", "freezer")


def hierarchies(mounts: str, types: Collection[str] = ("cgroup", "cgroup2")) -> list[Path]:
    """Where cgroup hierarchies are mounted, from /proc/self/mounts.

    >>> hierarchies("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0", {"cgroup"})
    [PosixPath('/sys/fs/cgroup/cpu')]
    """
    lines = (line.split() for line in mounts.splitlines())
    return [Path(words[1]) for words in lines if words[2] in types]


def obstacle(mounts: str) -> str | None:
    """Why pods cannot have cgroups here; None where they can."""
    names = {name for path in hierarchies(mounts, {"cgroup"}) for name in path.name.split(",")}
    missing = [name for name in NEEDED if name not in names]
    if not names:
        return "there are no cgroups of version 1, and this was never tried with others"
    return f"there is no cgroup hierarchy of {', '.join(missing)}" if missing else None


def name_of(pid: int) -> str:
    """The cgroup of the run that this process began, from the root of a hierarchy."""
    return f"/{_PREFIX}{pid}"


def create(cgroup: str, roots: Iterable[Path]) -> None:
    """Make it in every hierarchy."""
    for root in roots:
        folder = root / cgroup.removeprefix("/")
        folder.mkdir()
        # A cpuset without processors takes no process, and a new one has none.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (folder / file).exists():
                (folder / file).write_text((root / file).read_text())


def create_below(cgroup: str, names: Iterable[str], roots: Iterable[Path]) -> None:
    """Make it, and folders of these names in it."""
    whole = list(roots)
    create(cgroup, whole)
    for name in names:
        for root in whole:
            parent = root / cgroup.removeprefix("/")
            create(f"/{name}", [parent])


def remove(cgroup: str, roots: Iterable[Path]) -> bool:
    """Remove it with everything in it; whether it is gone, which takes that no process is left."""
    folders = [root / cgroup.removeprefix("/") for root in roots]
    for folder in folders:
        for path, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)
    return not any(folder.exists() for folder in folders)


def remove_after(pid: int, cgroup: str) -> bool:
    """Wait until a process has ended, and then until what it left in the cgroup has; whether the cgroup is gone."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        select.select([descriptor], [], [])
        os.close(descriptor)
    roots = hierarchies(Path("/proc/self/mounts").read_text())
    deadline = time.monotonic() + _GONE_WITHIN
    while not remove(cgroup, roots):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


if __name__ == "__main__":
    remove_after(int(sys.argv[1]), sys.argv[2])
