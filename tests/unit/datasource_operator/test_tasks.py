"""Tasks that run for as long as the process works."""

import asyncio
from types import SimpleNamespace

import pytest

from datasource_operator import tasks
from datasource_operator.tasks import cancel, spawn


async def test_work_that_fails_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    tries = 0

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ValueError("a bug")
        await asyncio.Event().wait()

    monkeypatch.setattr(tasks, "asyncio", SimpleNamespace(create_task=asyncio.create_task, sleep=pause))
    task = spawn("test", work)
    while tries < 3:  # noqa: ASYNC110 - a turn of the loop each
        await asyncio.sleep(0)

    assert pauses == [1, 1]
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_whoever_cancels_waits_until_all_have_ended() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("a")

    running = [spawn(str(number), work) for number in range(3)]
    await asyncio.sleep(0)
    await cancel(running)

    assert ended == ["a"] * 3
    assert all(task.cancelled() for task in running)
