"""A run has a folder in every cgroup hierarchy, and none of it is left."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.node import cgroups

MOUNTS = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0
cgroup /sys/fs/cgroup/devices cgroup rw,devices 0 0
cgroup /sys/fs/cgroup/freezer cgroup rw,freezer 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
"""


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    """Two hierarchies; that of processors says which there are."""
    found = [tmp_path / "cpuset", tmp_path / "memory"]
    for root in found:
        root.mkdir()
    return found


def test_both_versions_are_cleared_up_for_runc_uses_both() -> None:
    assert Path("/sys/fs/cgroup/unified") in cgroups.hierarchies(MOUNTS)


def test_machine_with_every_hierarchy_can() -> None:
    assert cgroups.obstacle(MOUNTS) is None


@pytest.mark.parametrize(
    ("mounts", "why"),
    [
        ("", "there are no cgroups"),
        (MOUNTS.replace("cgroup /sys/fs/cgroup/memory cgroup", "cgroup2 /x cgroup2"), "no cgroup hierarchy of memory"),
    ],
)
def test_machine_that_cannot_is_told_why(mounts: str, why: str) -> None:
    assert why in (cgroups.obstacle(mounts) or "")


def test_version_2_alone_will_do_where_the_root_hands_on_what_pods_need(tmp_path: Path) -> None:
    mounts = f"cgroup2 {tmp_path} cgroup2 rw 0 0\n"
    handed_on = tmp_path / "cgroup.subtree_control"
    assert "no cpu, cpuset, memory, pids" in (cgroups.obstacle(mounts) or "")
    handed_on.write_text("cpuset cpu io pids")
    assert "no memory (" in (cgroups.obstacle(mounts) or "")
    handed_on.write_text("cpuset cpu io memory hugetlb pids rdma misc")
    assert cgroups.obstacle(mounts) is None


@pytest.mark.parametrize(("controllers", "asked"), [("hugetlb", ""), ("cpuset cpu io memory pids", "+pids")])
def test_only_controllers_of_version_2_are_handed_on(tmp_path: Path, controllers: str, asked: str) -> None:
    """Beside version 1 there are none that pods need. The kernel's file takes a word at a time; here the last one stays."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "cgroup.controllers").write_text(controllers)
    (folder / "cgroup.subtree_control").write_text("")
    cgroups.hand_on("/run", [tmp_path])
    assert (folder / "cgroup.subtree_control").read_text() == asked


def test_folders_of_a_run_are_made_and_removed(roots: list[Path]) -> None:
    cgroups.create_below("/datasource-node-1-2", ["node-1", "node-2"], roots)
    assert all((root / "datasource-node-1-2" / name).is_dir() for root in roots for name in ("node-1", "node-2"))

    assert cgroups.remove("/datasource-node-1-2", roots)
    assert [path for root in roots for path in root.iterdir()] == []
    # Twice: a run that is stopped twice, or whose sweeper was faster.
    assert cgroups.remove("/datasource-node-1-2", roots)


def test_what_still_has_a_process_is_said_to_be_left(roots: list[Path]) -> None:
    """A folder with a file stands for it: rmdir refuses both."""
    cgroups.create_below("/datasource-node-1-2", ["node-1"], roots)
    (roots[0] / "datasource-node-1-2" / "node-1" / "busy").touch()
    assert not cgroups.remove("/datasource-node-1-2", roots)
    assert not (roots[1] / "datasource-node-1-2").exists()


def test_end_of_a_process_is_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.communicate(b"\n")
        assert cgroups.remove_after(process.pid, "/datasource-node-there-is-none")
