"""How much strangers may cost, and that they cannot use it up for others."""

import asyncio
import contextlib

import pytest

from callback_server import app
from callback_server.limits import Bulkhead, Clicks, Exceeded, JunkLimit, RateLimiter


class Clock:
    """Goes forward when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def counted(junk: JunkLimit, namespace: str | None, name: str | None, times: int) -> int:
    """How many of so many are counted before the limit says no."""
    for done in range(times):
        try:
            junk.count(namespace, name)
        except Exceeded:
            return done
    return times


def test_line_is_stood_in_by_turns() -> None:
    limiter = RateLimiter(Clock(), per_second=10, burst=2, longest_wait=0.25)
    assert [limiter.reserve() for _ in range(4)] == pytest.approx([0, 0, 0.1, 0.2])


def test_line_that_is_too_long_turns_away_and_does_not_grow() -> None:
    clock = Clock()
    limiter = RateLimiter(clock, per_second=10, burst=1, longest_wait=0.25)
    for _ in range(3):
        limiter.reserve()
    for _ in range(100):
        with pytest.raises(Exceeded):
            limiter.reserve()
    clock.seconds += 0.2
    assert limiter.reserve() <= 0.25


def test_misses_of_a_datasource_are_bounded_whoever_sends_them() -> None:
    clock = Clock()
    junk = JunkLimit(clock)
    assert counted(junk, "shop", "calendar", 100) == 20
    clock.seconds += 3
    assert counted(junk, "shop", "calendar", 100) == 3


def test_misses_of_one_datasource_leave_others_alone() -> None:
    junk = JunkLimit(Clock())
    counted(junk, "shop", "calendar", 100)
    assert counted(junk, "shop", "mail", 5) == 5
    assert counted(junk, "sales", "calendar", 5) == 5


def test_misses_of_a_namespace_and_in_all_are_bounded_whatever_the_names() -> None:
    junk = JunkLimit(Clock())
    assert sum(counted(junk, "shop", f"made-up-{number}", 1) for number in range(200)) == 60
    assert sum(counted(junk, f"made-up-{number}", "x", 1) for number in range(500)) == 140
    assert counted(junk, None, None, 1) == 0


def test_whoever_goes_on_hammering_does_not_prolong_it() -> None:
    clock = Clock()
    junk = JunkLimit(clock)
    counted(junk, "shop", "calendar", 20)
    for _ in range(10_000):
        with pytest.raises(Exceeded) as caught:
            junk.count("shop", "calendar")
    assert caught.value.retry_after <= 1
    clock.seconds += 1
    junk.count("shop", "calendar")


def test_made_up_names_do_not_fill_the_memory() -> None:
    clock = Clock()
    junk = JunkLimit(clock)
    for number in range(20_000):
        clock.seconds += 1
        junk.count(f"made-up-{number}", f"made-up-{number}")
    assert len(junk._buckets) <= 4096


def test_what_is_beyond_the_bound_is_not_remembered() -> None:
    junk = JunkLimit(Clock())
    for number in range(10_000):
        counted(junk, f"made-up-{number}", "x", 1)
    assert len(junk._buckets) <= 400


def test_link_begins_so_many_authorizations_and_no_link_uses_up_what_is_for_another() -> None:
    clock = Clock()
    clicks = Clicks(clock)

    def begun(link: str, times: int) -> int:
        taken = 0
        for _ in range(times):
            with contextlib.suppress(Exceeded):
                clicks.count(link)
                taken += 1
        return taken

    assert begun("one", 100) == 20
    assert begun("another", 5) == 5
    clock.seconds += 10
    assert begun("one", 100) == 5


NOBODY_WAITS = 0.0
ONE_HANGS = 3600.0


async def hang(bulkhead: Bulkhead, release: asyncio.Event) -> None:
    async with bulkhead.one("shop"):
        await release.wait()


async def test_one_namespace_does_not_take_every_place() -> None:
    bulkhead = Bulkhead(in_all=3, per_namespace=2, longest_wait=NOBODY_WAITS, longest_line=1)
    async with bulkhead.one("shop"), bulkhead.one("shop"):
        with pytest.raises(Exceeded) as caught:
            async with bulkhead.one("shop"):
                pass
        assert caught.value.retry_after == NOBODY_WAITS
        async with bulkhead.one("sales"):
            with pytest.raises(Exceeded):
                async with bulkhead.one("support"):
                    pass
    async with bulkhead.one("shop"):
        pass


async def test_who_finds_no_place_waits_until_one_is_free() -> None:
    bulkhead = Bulkhead(in_all=8, per_namespace=2, longest_wait=ONE_HANGS, longest_line=48)
    at_once, most, served = 0, 0, 0

    async def person() -> None:
        nonlocal at_once, most, served
        async with bulkhead.one("shop"):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1
            served += 1

    await asyncio.gather(*(person() for _ in range(50)))
    assert (served, most) == (50, 2)


async def test_line_that_is_too_long_is_not_joined() -> None:
    bulkhead = Bulkhead(in_all=8, per_namespace=1, longest_wait=ONE_HANGS, longest_line=2)
    release = asyncio.Event()

    crowd = [asyncio.create_task(hang(bulkhead, release)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Exceeded):
        async with bulkhead.one("shop"):
            pass
    release.set()
    await asyncio.gather(*crowd)
    async with bulkhead.one("shop"):
        pass


async def test_crowd_of_one_namespace_does_not_stand_in_the_way_of_another() -> None:
    bulkhead = Bulkhead(in_all=3, per_namespace=2, longest_wait=ONE_HANGS, longest_line=48)
    release = asyncio.Event()

    crowd = [asyncio.create_task(hang(bulkhead, release)) for _ in range(20)]
    await asyncio.sleep(0)
    async with bulkhead.one("sales"):
        release.set()
    await asyncio.gather(*crowd)


async def test_place_is_given_back_whatever_happens() -> None:
    bulkhead = Bulkhead(in_all=1, per_namespace=1, longest_wait=NOBODY_WAITS, longest_line=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="a mishap"):
            async with bulkhead.one("shop"):
                raise ValueError("a mishap")


async def test_namespaces_in_which_nobody_is_are_not_remembered() -> None:
    bulkhead = Bulkhead(in_all=1, per_namespace=1, longest_wait=NOBODY_WAITS, longest_line=1)
    async with bulkhead.one("shop"):
        with pytest.raises(Exceeded):
            async with bulkhead.one("sales"):
                pass
    assert not bulkhead._people
    assert not bulkhead._waiting


@pytest.mark.parametrize("per_namespace", [app.EXCHANGES_PER_NAMESPACE, app.LOOKS_PER_NAMESPACE])
@pytest.mark.parametrize("namespaces", [4, 34, 190])
async def test_namespaces_of_one_tenant_leave_places_to_others(namespaces: int, per_namespace: int) -> None:
    """The instances: four, and then 34 namespaces whose services hang, with more people in each than it has places."""
    bulkhead = app.bulkhead(per_namespace=per_namespace)
    release = asyncio.Event()

    async def hang_in(namespace: str) -> None:
        async with bulkhead.one(namespace):
            await release.wait()

    each = per_namespace + 1
    crowd = [asyncio.create_task(hang_in(f"tenant-{number // each}")) for number in range(each * namespaces)]
    await asyncio.sleep(0)
    # Not one after another: they do not leave before others come.
    async with contextlib.AsyncExitStack() as stays:
        for number in range(2):
            await stays.enter_async_context(bulkhead.one(f"other-{number}"))
    release.set()
    # On a slow machine some of the crowd have waited for too long by now, as they should.
    await asyncio.gather(*crowd, return_exceptions=True)


async def test_namespaces_have_their_turns_one_after_another_whatever_the_number_of_people_in_each() -> None:
    bulkhead = Bulkhead(in_all=1, per_namespace=1, longest_wait=ONE_HANGS, longest_line=48)
    served: list[str] = []

    async def person(namespace: str) -> None:
        async with bulkhead.one(namespace):
            served.append(namespace)
            await asyncio.sleep(0)

    await asyncio.gather(*(person(namespace) for namespace in ["crowd"] * 20 + ["shop"] + ["sales"] * 2))
    assert served[:6] == ["crowd", "crowd", "shop", "sales", "crowd", "sales"]
    assert len(served) == 23


@pytest.mark.parametrize("moment", ["while waiting", "as the turn comes"])
async def test_place_of_whoever_goes_away_is_given_on(moment: str) -> None:
    bulkhead = Bulkhead(in_all=1, per_namespace=1, longest_wait=ONE_HANGS, longest_line=48)
    release = asyncio.Event()

    async def hold() -> None:
        async with bulkhead.one("shop"):
            await release.wait()
        # The turn of the next one has come by now, and its task has not.
        if moment == "as the turn comes":
            gone.cancel()

    holder = asyncio.create_task(hold())
    await asyncio.sleep(0)
    gone = asyncio.create_task(hang(bulkhead, release))
    next_one = asyncio.create_task(hang(bulkhead, release))
    await asyncio.sleep(0)
    if moment == "while waiting":
        gone.cancel()
    release.set()
    await asyncio.gather(holder, next_one)
    with pytest.raises(asyncio.CancelledError):
        await gone
    async with bulkhead.one("sales"):
        pass
    assert not bulkhead._people
    assert not bulkhead._waiting
