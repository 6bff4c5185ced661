"""A pool that ends: what runs is cancelled, and what waits is forgotten. How turns are taken is in test_refresh_pool.py."""

import asyncio

from datasource_operator.cache import Key
from datasource_operator.fair_pool import FairPool


async def test_a_pool_that_stops_ends_what_runs_and_starts_nothing_more() -> None:
    begun, ended = list[str](), list[str]()

    async def job(key: Key) -> None:
        begun.append(key.name)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(key.name)

    pool = FairPool(job, per_provider=1, in_all=10, per_namespace=5, name="look")
    for name in ("a", "b"):
        pool.submit(Key("apps", name), "login.example.com")
    await asyncio.sleep(0)
    await pool.stop()
    assert (begun, ended, pool.running, pool.waiting) == (["a"], ["a"], 0, 0)
