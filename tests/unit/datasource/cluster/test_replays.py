"""When what lies in the journal is dealt with, how often, and what becomes of an entry that nobody can deal with."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from datasource.cluster.api_errors import Forbidden, Unavailable
from datasource.cluster.replays import (
    AT_ONE_TIME,
    LONGEST_PAUSE,
    LONGEST_PAUSE_AT_THE_END,
    LONGEST_PAUSE_OF_AN_OUTAGE,
    Later,
    Replays,
)
from datasource.process.journal import MOST_TRIES, Journal, open_journal
from datasource.process.journal_file import Entry

PLACE, OTHER = "a" * 32, "b" * 32
REFUSED = Forbidden(403, "Forbidden", "exceeded quota: secrets")


@dataclass
class Desk:
    """What is dealt with, and what comes of it the next times."""

    journal: Journal
    results: list[Exception] = field(default_factory=list)
    dealt_with: list[bytes] = field(default_factory=list)
    now: float = 1000.0
    replays: Replays = field(init=False)

    def __post_init__(self) -> None:
        self.replays = Replays(self.journal, self.deal_with, lambda: self.now, lambda: 1.0)

    async def deal_with(self, content: bytes) -> None:
        self.dealt_with.append(content)
        await asyncio.sleep(0)
        if self.results:
            raise self.results.pop(0)

    def lies(self, id_: str = "01", place: str = PLACE) -> Entry:
        entry = self.journal.write("shop", place, id_, id_.encode())
        assert entry is not None
        self.replays.leave(entry)
        return entry

    async def try_again(self, place: str = PLACE) -> timedelta:
        """Let its time come, and deal with it once more; returns for how long it is left alone then."""
        self.now += LONGEST_PAUSE.total_seconds()
        rest = await self.replays.replay(place)
        return timedelta(0) if rest is None else timedelta(seconds=rest.until - self.now)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    journal = open_journal(str(tmp_path))
    yield Desk(journal)
    journal.close()


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 - other tasks bring it about
            await asyncio.sleep(0)


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_entry_is_removed_once_it_was_dealt_with(desk: Desk) -> None:
    desk.lies()
    assert desk.replays.lies_there(PLACE)
    assert await desk.replays.replay(PLACE) is None
    assert (desk.dealt_with, desk.journal.waiting) == ([b"01"], [])
    assert not desk.replays.lies_there(PLACE)
    assert await desk.replays.replay(PLACE) is None
    assert desk.dealt_with == [b"01"]


async def test_what_lies_there_at_the_start_and_what_comes_later_is_dealt_with(desk: Desk) -> None:
    desk.lies()
    running = asyncio.create_task(desk.replays.run())
    await until(lambda: desk.dealt_with == [b"01"])
    desk.lies("02")
    await until(lambda: desk.dealt_with == [b"01", b"02"] and not desk.journal.waiting)
    await stopped(running)


async def test_entry_in_the_hand_of_whoever_wrote_it_is_left_to_it(desk: Desk) -> None:
    entry = desk.journal.write("shop", PLACE, "01", b"01")
    assert entry is not None
    running = asyncio.create_task(desk.replays.run())
    await desk.replays.replay(PLACE)
    assert desk.replays.lies_there(PLACE)
    assert desk.dealt_with == []
    desk.replays.leave(entry)
    await until(lambda: desk.dealt_with == [b"01"])
    await stopped(running)


async def test_entries_of_a_place_are_dealt_with_one_after_the_other_the_oldest_first(desk: Desk) -> None:
    for id_ in ("0b", "0a", "0c"):
        desk.lies(id_)
    running = asyncio.create_task(desk.replays.run())
    await until(lambda: not desk.journal.waiting)
    assert desk.dealt_with == [b"0b", b"0a", b"0c"]
    await stopped(running)


async def test_so_many_are_dealt_with_at_one_time_and_all_in_the_end(desk: Desk) -> None:
    at_work, most, go = 0, 0, asyncio.Event()

    async def deal_with(_: bytes) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await go.wait()
        at_work -= 1

    desk.replays.deal_with = deal_with
    for number in range(3 * AT_ONE_TIME):
        desk.lies(f"{number:02x}", f"{number:032x}")
    running = asyncio.create_task(desk.replays.run())
    await until(lambda: at_work == AT_ONE_TIME)
    go.set()
    await until(lambda: not desk.journal.waiting)
    assert most == AT_ONE_TIME
    await stopped(running)


async def test_whoever_asks_twice_at_once_has_it_dealt_with_once(desk: Desk) -> None:
    desk.lies()
    await asyncio.gather(desk.replays.replay(PLACE), desk.replays.replay(PLACE))
    assert desk.dealt_with == [b"01"]


@pytest.mark.parametrize(
    ("result", "longest"),
    [
        (REFUSED, LONGEST_PAUSE),
        (Later("it has to wait"), LONGEST_PAUSE),
        (Unavailable("no answer"), LONGEST_PAUSE_OF_AN_OUTAGE),
    ],
)
async def test_what_is_in_the_way_is_tried_less_and_less_and_never_counts(
    desk: Desk, result: Exception, longest: timedelta
) -> None:
    desk.lies()
    desk.results = [result] * 12
    pauses = [await desk.try_again() for _ in range(12)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (timedelta(seconds=1), longest)
    (entry,) = desk.journal.waiting
    assert entry.tries == 0
    assert await desk.try_again() == timedelta(0)
    assert desk.journal.waiting == []


async def test_entry_is_left_alone_until_its_time(desk: Desk) -> None:
    desk.lies()
    desk.results = [Later("it has to wait", timedelta(seconds=5))]
    rest = await desk.replays.replay(PLACE)
    assert rest is not None
    assert (rest.why, rest.until) == ("it has to wait", desk.now + 5)
    desk.now += 4.9
    assert await desk.replays.replay(PLACE) is rest
    assert len(desk.dealt_with) == 1
    desk.now += 0.1
    assert await desk.replays.replay(PLACE) is None
    assert len(desk.dealt_with) == 2


async def test_one_that_waits_keeps_no_other_waiting(desk: Desk) -> None:
    desk.lies()
    desk.results = [Later("it has to wait", timedelta(hours=1))]
    running = asyncio.create_task(desk.replays.run())
    await until(lambda: len(desk.dealt_with) == 1)
    desk.lies("02", OTHER)
    await until(lambda: [entry.place for entry in desk.journal.waiting] == [PLACE])
    assert desk.dealt_with == [b"01", b"02"]
    await stopped(running)


async def test_reply_for_a_place_that_rests_waits_behind_the_one_before(desk: Desk) -> None:
    desk.lies()
    desk.results = [Later("it has to wait", timedelta(hours=1))]
    running = asyncio.create_task(desk.replays.run())
    await until(lambda: len(desk.dealt_with) == 1)
    desk.lies("02")
    desk.lies("03", OTHER)
    await until(lambda: b"03" in desk.dealt_with)
    assert desk.dealt_with == [b"01", b"03"]
    desk.now += 3600
    desk.lies("04", OTHER)
    await until(lambda: not desk.journal.waiting)
    assert [each for each in desk.dealt_with if each in {b"01", b"02"}] == [b"01", b"01", b"02"]
    await stopped(running)


async def test_entry_that_fails_each_time_for_a_reason_of_its_own_is_set_aside(desk: Desk) -> None:
    desk.lies()
    desk.results = [RuntimeError("a bug")] * 9
    for _ in range(MOST_TRIES + 1):
        await desk.try_again()
    assert len(desk.dealt_with) == MOST_TRIES
    assert (desk.journal.waiting, len(desk.journal.aside)) == ([], 1)
    assert not desk.replays.lies_there(PLACE)


async def test_entry_that_ends_the_process_each_time_is_set_aside_after_the_third(tmp_path: Path) -> None:
    class Killed(BaseException):
        """Nothing of the process does anything any more."""

    tries = 0

    async def ends_the_process(_: bytes) -> None:
        nonlocal tries
        tries += 1
        raise Killed

    for start in range(MOST_TRIES + 2):
        journal = open_journal(str(tmp_path))
        replays = Replays(journal, ends_the_process)
        if start == 0:
            Desk(journal).lies()
        await asyncio.wait({replays._begin(PLACE)})
        journal.close()
    assert tries == MOST_TRIES
    last = open_journal(str(tmp_path))
    assert (last.waiting, len(last.aside)) == ([], 1)
    last.close()


async def test_journal_that_became_read_only_is_dealt_with_once_and_blocks_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk had an error: no entry can be renamed or removed any more."""

    def denied(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    desk.lies("01")
    desk.lies("02", OTHER)
    monkeypatch.setattr(os, "rename", denied)
    monkeypatch.setattr(os, "unlink", denied)
    await desk.try_again()
    desk.results = [RuntimeError("a bug")] * 9
    for _ in range(MOST_TRIES + 1):
        await desk.try_again(OTHER)
    assert desk.dealt_with == [b"01"] + [b"02"] * MOST_TRIES
    assert not desk.replays.lies_there(PLACE)
    assert not desk.replays.lies_there(OTHER)
    await desk.replays.drain()


async def test_process_that_is_told_to_end_in_a_try_does_not_count_it(desk: Desk) -> None:
    desk.lies()
    begun = asyncio.Event()

    async def waits(_: bytes) -> None:
        begun.set()
        await asyncio.sleep(3600)

    desk.replays.deal_with = waits
    task = desk.replays._begin(PLACE)
    await begun.wait()
    assert desk.journal.waiting[0].tries == 1
    await stopped(task)
    assert desk.journal.waiting[0].tries == 0


@pytest.mark.parametrize("error", [msgspec.ValidationError("sentinel"), UnicodeDecodeError("utf-8", b"", 0, 1, "x")])
async def test_entry_that_cannot_be_read_is_set_aside_at_once(desk: Desk, error: Exception) -> None:
    desk.lies()
    desk.results = [error]
    assert await desk.try_again() == timedelta(0)
    assert (desk.journal.waiting, len(desk.journal.aside)) == ([], 1)


async def test_entry_whose_file_cannot_be_read_is_tried_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Journal, __: Entry) -> bytes:
        raise OSError(5, "Input/output error")

    desk.lies()
    monkeypatch.setattr(Journal, "read", fails)
    await desk.try_again()
    monkeypatch.undo()
    assert desk.replays.lies_there(PLACE)
    await desk.try_again()
    assert desk.dealt_with == [b"01"]


async def test_entry_whose_file_can_never_be_read_is_set_aside(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Journal, __: Entry) -> bytes:
        raise PermissionError(13, "Permission denied")

    desk.lies()
    monkeypatch.setattr(Journal, "read", denied)
    for _ in range(MOST_TRIES + 1):
        await desk.try_again()
    assert (desk.journal.waiting, len(desk.journal.aside), desk.dealt_with) == ([], 1, [])


async def test_entry_whose_file_was_deleted_keeps_nobody_waiting(desk: Desk, tmp_path: Path) -> None:
    entry = desk.lies()
    desk.lies("02")
    (tmp_path / "journal" / entry.file_name).unlink()
    running = asyncio.create_task(desk.replays.run())
    await until(lambda: not desk.journal.waiting)
    assert (desk.dealt_with, desk.journal.aside) == ([b"02"], [])
    await stopped(running)


async def test_place_of_which_nothing_is_left_is_passed_over(desk: Desk) -> None:
    desk.lies()
    assert await desk.replays.replay(PLACE) is None
    running = asyncio.create_task(desk.replays.run())
    desk.lies("02", OTHER)
    await until(lambda: not desk.journal.waiting)
    assert desk.dealt_with == [b"01", b"02"]
    await stopped(running)


async def test_process_that_ends_waits_for_no_reply_that_is_gone(desk: Desk) -> None:
    desk.lies()
    desk.results = [Later("it has to wait", timedelta(seconds=1))]
    ending = asyncio.create_task(desk.replays.drain())
    await until(lambda: desk.journal.waiting[0].tries == 0 and desk.dealt_with == [b"01"])
    desk.journal.remove(desk.journal.waiting[0])
    desk.now += 10
    desk.replays._news.set()
    async with asyncio.timeout(10):
        await ending
    assert desk.dealt_with == [b"01"]


async def test_process_that_ends_deals_with_all_that_lies_there_before(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that ends takes its journal with it."""
    real: Callable[..., Awaitable[object]] = asyncio.wait
    pauses: list[float | None] = []

    async def wait(tasks: object, *, timeout: float | None = None, **options: object) -> object:
        pauses.append(timeout)
        if timeout is not None:
            desk.now += timeout
            timeout = 0
        return await real(tasks, timeout=timeout, **options)

    monkeypatch.setattr(asyncio, "wait", wait)
    desk.lies()
    desk.results = [REFUSED] * 3
    await desk.try_again()
    await desk.replays.drain()
    assert len(desk.dealt_with) == 4
    assert desk.journal.waiting == []
    assert max(pause for pause in pauses if pause is not None) <= LONGEST_PAUSE_AT_THE_END.total_seconds()
    await desk.replays.drain()


OF_FILES = ("listdir", "stat", "fstat", "open", "read", "rename", "unlink", "close")


async def calls_to_deal_with(tmp_path: Path, entries: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[str], int]:
    """Calls on files, and calls of any function, until what a dead process left is done by the next one."""
    folder = tmp_path / str(entries)
    folder.mkdir()
    first = open_journal(str(folder))
    for number in range(entries):
        assert first.write(f"team-{number % 50}", f"{number % (entries - 10):032x}", f"{number:x}", b"{}") is not None
    first.close()
    files: Counter[str] = Counter()
    total = 0

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            files[name] += 1
            return call(*arguments, **named)

        return counted

    def count(_frame: object, event: str, _of: object) -> None:
        nonlocal total
        total += event in {"call", "c_call"}

    with monkeypatch.context() as patched:
        for name in OF_FILES:
            patched.setattr(os, name, counting(name, getattr(os, name)))
        sys.setprofile(count)
        try:
            journal = open_journal(str(folder))
            desk = Desk(journal)
            # The API server is away once for each of them.
            desk.results = [Unavailable("no answer")] * entries
            while not journal.number_waiting == len(desk.results) == 0:
                desk.now += LONGEST_PAUSE_OF_AN_OUTAGE.total_seconds()
                desk.replays._begin_what_is_due()
                await desk.replays._news_or_time()
        finally:
            sys.setprofile(None)
        journal.close()
    assert not any((folder / "journal").iterdir())
    return files, total


async def test_ten_times_as_many_replies_take_ten_times_the_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was a look at all the others."""
    few, of_few = await calls_to_deal_with(tmp_path, 100, monkeypatch)
    many, of_many = await calls_to_deal_with(tmp_path, 1_000, monkeypatch)
    assert few["listdir"] == many["listdir"] == 1
    for name in OF_FILES[1:]:
        assert many[name] <= 10 * few[name], name
    assert of_many < 12 * of_few
