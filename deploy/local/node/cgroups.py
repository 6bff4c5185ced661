"""The cgroups of a run: one folder in every hierarchy of the machine, gone with the run.

Nothing of the machine's own is moved. Version 1 has a hierarchy for each controller, and runc also uses version 2 where that is
mounted beside it. Version 2 alone has one hierarchy, in which a folder has the controllers that its parent hands on.
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
_NEEDED_OF_V2 = ("cpu", "cpuset", "memory", "pids")


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
        return _obstacle_in_v2(hierarchies(mounts, {"cgroup2"}))
    return f"there is no cgroup hierarchy of {', '.join(missing)}" if missing else None


def _obstacle_in_v2(roots: list[Path]) -> str | None:
    if not roots:
        return "there are no cgroups"
    # Not changed for a run: it is a setting of the whole machine, and the root of a container cannot while processes are in it.
    handed_on = _words(roots[0] / "cgroup.subtree_control")
    missing = [name for name in _NEEDED_OF_V2 if name not in handed_on]
    return f"the root of cgroup v2 hands on no {', '.join(missing)} (cgroup.subtree_control)" if missing else None


def _words(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


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


def hand_on(cgroup: str, roots: Iterable[Path]) -> None:
    """In version 2, let the folders below it have what it has; in version 1 each hierarchy does so by itself."""
    for root in roots:
        folder = root / cgroup.removeprefix("/")
        for name in _words(folder / "cgroup.controllers"):
            if name in _NEEDED_OF_V2:
                (folder / "cgroup.subtree_control").write_text(f"+{name}")


def create_below(cgroup: str, names: Iterable[str], roots: Iterable[Path]) -> None:
    """Make it, and folders of these names in it."""
    whole = list(roots)
    create(cgroup, whole)
    hand_on(cgroup, whole)
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
