"""Work goes on whoever waits for it; who comes again joins it."""

import asyncio

import pytest

from callback_server.long_work import LongWork


class Work:
    """Waits until it may end, and counts how often it was begun."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = 0
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ended = asyncio.Event()
        self._error = error

    async def __call__(self) -> None:
        self.begun += 1
        self.has_begun.set()
        await self.may_end.wait()
        self.ended.set()
        if self._error is not None:
            raise self._error


async def test_work_goes_on_where_nobody_waits_any_more_and_a_reload_joins_it() -> None:
    work, pages = Work(), LongWork(patience=0)
    assert not await pages.has_ended("a flow", work)
    assert not await pages.has_ended("a flow", work)
    assert work.begun == 1
    work.may_end.set()
    await pages.drain()
    assert work.ended.is_set()


async def test_work_that_ends_in_time_is_told() -> None:
    work = Work()
    work.may_end.set()
    assert await LongWork().has_ended("a flow", work)


async def test_work_about_something_else_is_begun() -> None:
    one, other, pages = Work(), Work(), LongWork(patience=0)
    await pages.has_ended("a flow", one)
    await pages.has_ended("another", other)
    assert (one.begun, other.begun) == (1, 1)
    one.may_end.set()
    other.may_end.set()
    await pages.drain()


async def test_whoever_waits_hears_why_it_failed_and_the_next_one_begins_it_again() -> None:
    work, pages = Work(ValueError("no answer")), LongWork()
    work.may_end.set()
    for _ in range(2):
        with pytest.raises(ValueError, match="no answer"):
            await pages.has_ended("a flow", work)
    assert work.begun == 2


async def test_failure_that_nobody_waits_for_harms_nobody() -> None:
    work, pages = Work(ValueError("no answer")), LongWork(patience=0)
    await pages.has_ended("a flow", work)
    work.may_end.set()
    await pages.drain()
    work.may_end.clear()
    assert not await pages.has_ended("a flow", work)
    assert work.begun == 2
    work.may_end.set()
    await pages.drain()


async def test_work_that_is_cancelled_is_forgotten() -> None:
    work, pages = Work(), LongWork(patience=0)
    await pages.has_ended("a flow", work)
    (task,) = pages._under_way.values()
    task.cancel()
    await pages.drain()


async def test_person_who_goes_away_does_not_end_the_work() -> None:
    work, pages = Work(), LongWork()
    page = asyncio.create_task(pages.has_ended("a flow", work))
    await work.has_begun.wait()
    page.cancel()
    with pytest.raises(asyncio.CancelledError):
        await page
    work.may_end.set()
    await pages.drain()
    assert work.ended.is_set()
