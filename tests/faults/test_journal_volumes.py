"""The journal on volumes that real pods have: small, full, read-only, shared, deleted. With two other pods beside.

The volumes are tmpfs, as an emptyDir in memory is; the processes, the API server and the provider are in memory. It needs root,
since it mounts them.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from datasource.process.journal_folder import Unusable
from datasource.records.intent import JOURNAL_IS_LOST_AFTER
from datasource_operator.refresh_memory import LOOK_GAP
from tests.unit.datasource_operator.journal_world import OperatorProcess, World, journal_world
from tests.unit.datasource_operator.test_replayer import killed, left_behind, replied

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="to mount a tmpfs takes root")

PAGE = 4096


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)  # noqa: S603, S607


@contextmanager
def mounted(path: Path, *, pages: int = 64, inodes: int = 64) -> Iterator[Path]:
    """A tmpfs of so many pages and inodes at a path."""
    path.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={pages * PAGE},nr_inodes={inodes},mode=0700", "tmpfs", str(path))
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)  # noqa: S603, S607


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """That of pod-1."""
    with mounted(tmp_path / "pod-1") as path:
        yield path


def entries(volume: Path) -> list[str]:
    return sorted(each.name for each in (volume / "journal").iterdir())


# What fills it. Each leaves the volume so that another call of a file fails.


def no_inode_is_left(volume: Path) -> None:
    with suppress(OSError):
        for number in count():
            (volume / f"inode-{number}").touch()


def no_page_is_left(volume: Path) -> None:
    fill(volume, leaving=0)


def a_page_is_left(volume: Path) -> None:
    """A part of what is written gets there."""
    fill(volume, leaving=1)


def fill(volume: Path, *, leaving: int) -> None:
    with suppress(OSError), (volume / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * PAGE)
    size = (volume / "filling").stat().st_size
    os.truncate(volume / "filling", size - leaving * PAGE)


def make_room(volume: Path) -> None:
    for each in volume.iterdir():
        if each.is_file():
            each.unlink()


FILLINGS = [no_inode_is_left, no_page_is_left, a_page_is_left]


def replies_are_long(world: World) -> None:
    """Longer than a page: a part of one may be written."""
    world.provider.also = {"padding": "x" * 2 * PAGE}


@pytest.mark.parametrize("fills", FILLINGS)
async def test_full_volume_costs_the_journal_alone_and_only_while_it_is_full(
    tmp_path: Path, volume: Path, fills: Callable[[Path], None]
) -> None:
    async with journal_world(tmp_path) as world:
        replies_are_long(world)
        process, before = world.starts(), replied("unwritable")
        fills(volume)
        await process.refresh()
        assert (world.refresh_token, replied("unwritable")) == ("rt-2", before + 1)
        assert entries(volume) == [], "no part of it stays"
        make_room(volume)
        process.end()
        world.moment += timedelta(hours=1)
        assert await killed(world.starts(dies_at="after rename"), OperatorProcess.refresh)
        await world.starts().replay()
        assert (world.refresh_token, world.is_lost, replied("unwritable")) == ("rt-3", False, before + 1)


@pytest.mark.parametrize("step", ["after write", "after rename"])
@pytest.mark.parametrize("fills", FILLINGS)
async def test_volume_that_fills_up_while_a_reply_lies_there_keeps_it_from_nothing(
    tmp_path: Path, volume: Path, fills: Callable[[Path], None], step: str
) -> None:
    async with journal_world(tmp_path) as world:
        assert await killed(world.starts(dies_at=step), OperatorProcess.refresh)
        fills(volume)
        process = world.starts()
        assert await process.replay() is None
        assert (world.refresh_token, entries(volume)) == ("rt-2", [])


async def test_every_kill_on_a_full_volume_costs_what_it_costs_without_a_journal(tmp_path: Path, volume: Path) -> None:
    """A strict grant where the reply was not stored yet, and no other."""
    for at in count(1):
        folder = tmp_path / str(at)
        with mounted(folder) as root, mounted(root / "pod-1"):
            async with journal_world(root) as world:
                replies_are_long(world)
                process = world.starts(dies_at=at)
                a_page_is_left(root / "pod-1")
                if not await killed(process, OperatorProcess.refresh):
                    break
                steps = process.fate.steps
                is_sent, is_stored = "before open" in steps, steps.count("after merge_patch") == 2
                following = world.starts()
                await following.replay()
                await following.refresh()
                assert world.is_lost is (is_sent and not is_stored), steps
    assert at > 5


# Read-only.


def read_only(volume: Path) -> None:
    mount("-o", "remount,ro", str(volume))


def writable(volume: Path) -> None:
    mount("-o", "remount,rw", str(volume))


@pytest.mark.parametrize("step", ["after write", "before rename", "after rename"])
@pytest.mark.parametrize("is_started_before", [True, False])
async def test_reply_on_a_volume_that_is_read_only_now_is_stored(
    tmp_path: Path, volume: Path, step: str, is_started_before: bool
) -> None:
    async with journal_world(tmp_path) as world:
        assert await killed(world.starts(dies_at=step), OperatorProcess.refresh)
        process = world.starts() if is_started_before else None
        read_only(volume)
        process = process or world.starts()
        assert await process.replay() is None
        assert (world.refresh_token, len(entries(volume))) == ("rt-2", 1)
        # What cannot be removed holds nothing up, in this process and in the next.
        world.moment += timedelta(hours=1)
        await process.refresh()
        process.end()
        following = world.starts()
        await following.replay()
        world.moment += timedelta(hours=1)
        await following.refresh()
        assert (world.refresh_token, world.facts.revision, world.is_lost) == ("rt-4", 4, False)
        writable(volume)
        following.end()
        last = world.starts()
        await last.replay()
        assert (world.refresh_token, entries(volume)) == ("rt-4", [])


async def test_volume_that_was_read_only_from_the_start_is_no_journal(tmp_path: Path, volume: Path) -> None:
    async with journal_world(tmp_path) as world:
        read_only(volume)
        with pytest.raises(Unusable, match="Read-only file system"):
            world.starts()
        await world.starts(has_journal=False).refresh()
        assert world.refresh_token == "rt-2"


# Whose it is.


async def test_two_pods_on_one_volume_never_make_a_reply_void(tmp_path: Path, volume: Path) -> None:
    """The second one gets no lock, so it keeps no journal, and waits for the first as any other does."""
    (tmp_path / "pod-2").symlink_to(volume)
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        with mounted(tmp_path / "pod-3"):
            first, third = world.starts(), world.starts("pod-3")
            with pytest.raises(Unusable, match="another process has"):
                world.starts("pod-2")
            second = world.starts("pod-2", has_journal=False)
            for _ in range(9):
                for process in (second, third):
                    await process.refresh()
                    process.monotonic.advance(LOOK_GAP)
            assert len(world.provider.used) == 1
            await first.replay()
            assert (world.refresh_token, world.is_lost) == ("rt-2", False)
            for process in (second, third, first):
                world.moment += timedelta(hours=1)
                await process.refresh()
            assert (world.refresh_token, world.facts.revision) == ("rt-5", 5)


async def test_volume_that_another_pod_gets_afterwards_brings_its_replies_along(tmp_path: Path, volume: Path) -> None:
    (tmp_path / "pod-2").symlink_to(volume)
    async with journal_world(tmp_path) as world:
        await left_behind(world)
        await world.starts("pod-2").replay()
        assert (world.refresh_token, world.is_lost) == ("rt-2", False)


NOBODY = 65534


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder of somebody who is not root, as whom the test goes on: a process in a pod of ours is not root."""
    with TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)


async def test_rights_that_are_lost_cost_the_journal_alone(nobody: Path) -> None:
    async with journal_world(nobody) as world:
        process, before, journal = world.starts(), replied("unwritable"), nobody / "pod-1" / "journal"
        journal.chmod(0)
        await process.refresh()
        assert (world.refresh_token, replied("unwritable")) == ("rt-2", before + 1)
        process.end()
        with pytest.raises(Unusable, match="Permission denied"):
            world.starts()
        journal.chmod(0o700)
        world.moment += timedelta(hours=1)
        assert await killed(world.starts(dies_at="after rename"), OperatorProcess.refresh)
        (file,) = journal.iterdir()
        file.chmod(0)
        process = world.starts()
        assert await process.replay() == "its file cannot be read: Permission denied"
        await process.refresh()
        assert len(world.provider.used) == 2, "nothing is sent while it lies there"
        (file,) = journal.iterdir()
        file.chmod(0o600)
        await process.replay()
        assert (world.refresh_token, world.is_lost) == ("rt-3", False)


async def test_volume_that_is_lost_with_its_pod_is_given_up_after_its_time(tmp_path: Path, volume: Path) -> None:
    async with journal_world(tmp_path, is_strict=False) as world:
        await left_behind(world)
        with mounted(tmp_path / "pod-2"), mounted(tmp_path / "pod-3"):
            others = [world.starts("pod-2"), world.starts("pod-3")]
            for _ in range(9):
                for process in others:
                    await process.refresh()
                    process.monotonic.advance(LOOK_GAP)
            assert len(world.provider.used) == 1
            world.moment += JOURNAL_IS_LOST_AFTER
            for process in others:
                await process.refresh()
            assert (world.refresh_token, world.facts.revision, len(world.provider.used)) == ("rt-3", 2, 2)
