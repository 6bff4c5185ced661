"""Refreshes take turns."""

import asyncio

import pytest

from datasource_operator.cache import Key
from datasource_operator.refresh_pool import IN_ALL, PER_NAMESPACE, PER_PROVIDER, RefreshPool


class Provider:
    """Holds every refresh until it is let go; remembers the order and how many were under way at once."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.most = 0
        self._now = 0
        self._go = asyncio.Event()

    async def refresh(self, key: Key) -> None:
        self.begun.append(key.name)
        self._now += 1
        self.most = max(self.most, self._now)
        await self._go.wait()
        await asyncio.sleep(0)
        self._now -= 1

    def let_go(self) -> None:
        self._go.set()


def key(name: object) -> Key:
    return Key("apps", str(name))


async def test_a_provider_gets_a_few_at_a_time() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=3, in_all=100)
    for number in range(20):
        pool.submit(key(number), "login.example.com")
    await asyncio.sleep(0)

    assert (pool.running, pool.waiting) == (3, 17)
    provider.let_go()
    while pool.running:  # noqa: ASYNC110 - a turn of the loop each, no time passes
        await asyncio.sleep(0)
    assert provider.begun == [str(number) for number in range(20)]
    assert provider.most == 3


async def test_a_provider_that_hangs_holds_up_no_other() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=2, in_all=100)
    for number in range(10):
        pool.submit(key(number), "hangs.example.com")
    pool.submit(key("other"), "login.example.com")
    await asyncio.sleep(0)

    assert "other" in provider.begun
    provider.let_go()
    await pool.drain()


async def test_all_together_are_bounded_and_all_get_their_turn() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=2, in_all=3)
    for number in range(12):
        pool.submit(key(number), f"{number % 4}.example.com")
    await asyncio.sleep(0)

    assert pool.running == 3
    provider.let_go()
    while pool.running:  # noqa: ASYNC110 - a turn of the loop each, no time passes
        await asyncio.sleep(0)
    assert sorted(provider.begun, key=int) == [str(number) for number in range(12)]
    assert provider.most == 3


async def test_who_asked_goes_first() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=1, in_all=100)
    for name in ("running", "routine", "later"):
        pool.submit(key(name), "login.example.com")
    pool.submit(key("asked"), "login.example.com", is_urgent=True)
    provider.let_go()
    while pool.running:  # noqa: ASYNC110 - a turn of the loop each, no time passes
        await asyncio.sleep(0)

    assert provider.begun == ["running", "asked", "routine", "later"]


async def test_a_key_is_refreshed_once_however_often_it_is_submitted() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=1, in_all=100)
    for _ in range(3):
        pool.submit(key("a"), "login.example.com")
        pool.submit(key("b"), "login.example.com")
        await asyncio.sleep(0)
    provider.let_go()
    while pool.running:  # noqa: ASYNC110 - a turn of the loop each, no time passes
        await asyncio.sleep(0)

    assert provider.begun == ["a", "b"]


async def test_drain_waits_for_what_runs_and_starts_nothing_more() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=1, in_all=100)
    pool.submit(key("running"), "login.example.com")
    pool.submit(key("waiting"), "login.example.com")
    await asyncio.sleep(0)
    drained = asyncio.create_task(pool.drain())
    await asyncio.sleep(0)

    assert not drained.done()
    provider.let_go()
    await drained
    assert provider.begun == ["running"]


async def test_a_refresh_that_fails_gives_its_place_back() -> None:
    begun: list[str] = []

    async def refresh(failing: Key) -> None:
        begun.append(failing.name)
        raise ValueError(failing.name)

    pool = RefreshPool(refresh, per_provider=1, in_all=1)
    for name in ("a", "b"):
        pool.submit(key(name), "login.example.com")
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await asyncio.gather(*tasks, return_exceptions=True)
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    await asyncio.gather(*rest, return_exceptions=True)

    assert begun == ["a", "b"]
    assert (pool.running, pool.waiting) == (0, 0)


async def test_a_provider_that_answered_is_asked_the_next_while_the_answer_is_being_stored() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=2, in_all=100)
    for number in range(4):
        pool.submit(key(number), "login.example.com")
    pool.answered(key(0))
    await asyncio.sleep(0)

    assert provider.begun == ["0", "1", "2"]
    pool.answered(key(0))
    assert pool.waiting == 1, "its place was given up already"
    provider.let_go()
    await pool.drain()


async def test_answers_being_stored_count_among_all_that_run() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=1, in_all=2)
    for number in range(4):
        pool.submit(key(number), "login.example.com")
    for number in range(4):
        pool.answered(key(number))
    assert (pool.running, pool.waiting) == (2, 2)
    provider.let_go()
    await pool.drain()


async def test_what_never_told_of_an_answer_gives_up_its_place_at_its_end() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=1, in_all=100)
    for number in range(3):
        pool.submit(key(number), "login.example.com")
    provider.let_go()
    while pool.running:  # noqa: ASYNC110 - a turn of the loop each, no time passes
        await asyncio.sleep(0)
    assert provider.begun == ["0", "1", "2"]


async def test_a_key_that_waits_at_one_provider_and_is_submitted_under_another_runs_once() -> None:
    """Its spec was edited while it waited."""
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=1, in_all=100)
    pool.submit(key("first"), "old.example.com")
    pool.submit(key("moved"), "old.example.com")
    pool.submit(key("moved"), "new.example.com")
    await asyncio.sleep(0)
    assert provider.begun == ["first", "moved"]
    assert (pool.running, pool.waiting) == (2, 0)
    provider.let_go()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
    assert provider.begun == ["first", "moved"]
    assert (pool.running, pool.waiting) == (0, 0)


VICTIM = Key("victim", "calendar")


@pytest.mark.parametrize("hosts", [8, 80])
@pytest.mark.parametrize("namespaces", [1, 4, 30])
async def test_providers_that_hang_keep_no_other_tenant_waiting(hosts: int, namespaces: int) -> None:
    """Whoever owns a domain owns as many hosts as he likes, and often several namespaces."""
    provider = Provider()
    pool = RefreshPool(provider.refresh)
    for host in range(hosts):
        for number in range(2 * PER_NAMESPACE):
            attacker = Key(f"attacker-{number % namespaces}", f"{host}-{number}")
            pool.submit(attacker, f"{host}.hangs.example.net")
    assert 0 < pool.running < IN_ALL

    pool.submit(VICTIM, "login.example.com")
    await asyncio.sleep(0)
    assert VICTIM.name in provider.begun
    provider.let_go()
    await pool.drain()


async def test_a_provider_that_hangs_leaves_places_to_the_others_of_its_namespace() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh)
    for number in range(IN_ALL):
        pool.submit(key(number), "hangs.example.net")
    assert pool.running == PER_PROVIDER
    for number in range(IN_ALL, 2 * IN_ALL):
        pool.submit(key(number), "login.example.com")
    assert pool.running == PER_NAMESPACE == 2 * PER_PROVIDER
    provider.let_go()
    await pool.drain()


async def test_what_is_gone_is_not_refreshed_any_more() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=1, in_all=100)
    for name in ("running", "gone", "later"):
        pool.submit(key(name), "login.example.com")
    for name in ("running", "gone", "unknown"):
        pool.forget(key(name))
    assert (pool.running, pool.waiting) == (1, 1)
    provider.let_go()
    while pool.running:  # noqa: ASYNC110 - a turn of the loop each, no time passes
        await asyncio.sleep(0)
    assert provider.begun == ["running", "later"]


async def test_nothing_is_left_of_a_pool_whose_refreshes_ended() -> None:
    provider = Provider()
    pool = RefreshPool(provider.refresh, per_provider=2, in_all=3)
    for number in range(20):
        pool.submit(Key(f"apps-{number % 3}", str(number)), f"{number % 4}.example.com", is_urgent=number % 2 == 0)
    provider.let_go()
    while pool.running:  # noqa: ASYNC110 - a turn of the loop each, no time passes
        await asyncio.sleep(0)
    assert pool._bulkhead == RefreshPool(provider.refresh, per_provider=2, in_all=3)._bulkhead
