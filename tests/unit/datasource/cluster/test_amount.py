"""What a task reads is measured for that task alone."""

import asyncio

from datasource.cluster import amount


async def test_each_task_is_measured_by_itself() -> None:
    async def reads(times: int) -> int:
        with amount.measured() as read:
            for _ in range(times):
                amount.add(10)
                await asyncio.sleep(0)
        return read.of_bytes

    assert await asyncio.gather(*map(reads, (1, 5, 3))) == [10, 50, 30]


def test_the_innermost_block_counts() -> None:
    with amount.measured() as outer:
        amount.add(1)
        with amount.measured() as inner:
            amount.add(2)
        amount.add(4)
    assert (outer.of_bytes, inner.of_bytes) == (5, 2)


def test_where_nobody_measures_nothing_is_counted() -> None:
    amount.add(1)
