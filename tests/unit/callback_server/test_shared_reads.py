"""Reads that are shared: as fresh as one's own, and few however many ask."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from callback_server.limits import Exceeded, RateLimiter
from callback_server.shared_reads import PER_DOOR, SharedReads


def strangers(_: str) -> bool:
    """None of them has the key."""
    return False


def keyholders(_: str) -> bool:
    """All of them have the key."""
    return True


class Door:
    """What is read: says how often it was looked at; a look can be held up."""

    def __init__(self) -> None:
        self.looks: Counter[str] = Counter()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.failure: Exception | None = None
        self.now = 0.0
        self.slept: list[float] = []

    async def read(self, key: str) -> str:
        self.looks[key] += 1
        said = f"{key} {self.looks[key]}"
        await self.may_end.wait()
        if self.failure is not None:
            raise self.failure
        return said

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def shared(self, *, per_second: float = 1000, burst: int = 1000, longest_wait: float = 1) -> SharedReads[str, str]:
        limiter = RateLimiter(lambda: self.now, per_second=per_second, burst=burst, longest_wait=longest_wait)
        return SharedReads(self.read, limiter, monotonic=lambda: self.now, sleep=self.sleep)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_comes_alone_reads_at_once() -> None:
    door = Door()
    assert await door.shared().read("a", strangers) == "a 1"
    assert door.slept == [0]


async def test_a_thousand_who_come_together_cost_one_read() -> None:
    door = Door()
    shared = door.shared()
    assert set(await asyncio.gather(*(shared.read("a", strangers) for _ in range(1000)))) == {"a 1"}
    assert door.looks == {"a": 1}


async def test_nobody_is_told_what_was_read_before_they_asked() -> None:
    door = Door()
    shared = door.shared()
    door.may_end.clear()
    first = asyncio.create_task(shared.read("a", strangers))
    await settle()
    late = [asyncio.create_task(shared.read("a", strangers)) for _ in range(100)]
    await settle()
    door.may_end.set()

    assert await first == "a 1"
    assert set(await asyncio.gather(*late)) == {"a 2"}
    assert door.looks == {"a": 2}


@pytest.mark.parametrize("has_key", [strangers, keyholders])
async def test_one_door_is_looked_at_a_few_times_a_second_at_most(has_key: Callable[[str], bool]) -> None:
    door = Door()
    shared = door.shared()
    per_second, burst = PER_DOOR
    for _ in range(burst + 3):
        await shared.read("a", has_key)
    assert door.slept == pytest.approx([0] * burst + [1 / per_second] * 3)


async def test_doors_do_not_wait_for_each_other() -> None:
    door = Door()
    shared = door.shared()
    await shared.read("a", strangers)
    await shared.read("b", strangers)
    assert door.slept == [0, 0]


async def test_strangers_at_made_up_doors_stand_in_line_and_a_long_line_turns_away() -> None:
    door = Door()
    shared = door.shared(per_second=10, burst=1, longest_wait=0.35)
    outcomes = await asyncio.gather(
        *(shared.read(f"made-up-{number}", strangers) for number in range(50)), return_exceptions=True
    )
    turned_away = [each for each in outcomes if isinstance(each, Exceeded)]
    assert len(outcomes) - len(turned_away) == sum(door.looks.values()) == 4


async def test_who_has_the_key_takes_no_place_from_those_behind() -> None:
    door = Door()
    shared = door.shared(per_second=0.001, burst=1, longest_wait=0)
    for number in range(50):
        await shared.read(f"somebodys-{number}", keyholders)
    await shared.read("made-up-1", strangers)
    with pytest.raises(Exceeded):
        await shared.read("made-up-2", strangers)


async def test_one_read_gives_one_place_back_however_many_shared_it() -> None:
    door = Door()
    shared = door.shared(per_second=0.001, burst=2, longest_wait=0)
    await shared.read("made-up-1", strangers)
    await asyncio.gather(*(shared.read("a", keyholders) for _ in range(100)))
    await shared.read("made-up-2", strangers)
    with pytest.raises(Exceeded):
        await shared.read("made-up-3", strangers)


async def test_joining_a_read_costs_no_place_in_the_line() -> None:
    door = Door()
    shared = door.shared(per_second=1, burst=1, longest_wait=0)
    assert len(await asyncio.gather(*(shared.read("a", strangers) for _ in range(100)))) == 100


async def test_failure_is_told_to_all_who_waited_and_to_nobody_after_them() -> None:
    door = Door()
    shared = door.shared()
    door.failure = OSError("no answer")
    outcomes = await asyncio.gather(*(shared.read("a", strangers) for _ in range(3)), return_exceptions=True)
    assert [str(each) for each in outcomes] == ["no answer"] * 3
    door.failure = None
    assert await shared.read("a", strangers) == "a 2"


async def test_one_who_goes_away_does_not_take_the_others_answer_along() -> None:
    door = Door()
    shared = door.shared()
    door.may_end.clear()
    leaving, staying = (
        asyncio.create_task(shared.read("a", strangers)),
        asyncio.create_task(shared.read("a", strangers)),
    )
    await settle()
    leaving.cancel()
    await settle()
    door.may_end.set()
    assert await staying == "a 1"
    assert leaving.cancelled()


async def test_what_is_over_is_forgotten() -> None:
    door = Door()
    shared = door.shared(burst=5000)
    for number in range(2000):
        await shared.read(f"made-up-{number}", strangers)
    await settle()
    assert not shared._latest
    assert len(shared._doors) <= 1024
