"""Looking again for Secrets that are not ours to watch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from datasource.cluster.api_errors import Forbidden, Unavailable
from datasource.cluster.resources import SECRETS
from datasource_operator import secret_poller
from datasource_operator.cache import Key
from datasource_operator.secret_poller import FIRST_PAUSE, LONGEST_PAUSE, LOOKS_PER_NAMESPACE, SecretPoller
from tests.support.kube_in_memory import Answer, Call, KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock

CALENDAR = Key("shop", "calendar")
ORDERS = Key("shop", "orders")
ELSEWHERE = Key("other", "calendar")


@dataclass
class Bench:
    """A poller that runs on a clock of its own, and whom it told."""

    clock: Clock = field(default_factory=Clock)
    kube: KubeInMemory = field(default_factory=KubeInMemory)
    told: list[Key] = field(default_factory=list)
    poller: SecretPoller = field(init=False)

    def __post_init__(self) -> None:
        self.poller = SecretPoller(self.kube, self.told.append, self.clock)

    async def look(self) -> int:
        """Let the poller look at whatever is due; returns at how many Secrets it looked."""
        before = len(self.kube.calls)
        for _ in range(10):
            await asyncio.sleep(0)
        return len(self.kube.calls) - before

    async def pass_time(self, by: timedelta) -> list[Key]:
        """Let time pass and the poller look; returns whom it told."""
        self.told.clear()
        self.clock.advance(by)
        await self.look()
        return sorted(self.told)

    async def pauses(self, count: int) -> list[float]:
        """After how many seconds each the next so many looks come, in steps of half a second."""
        found: list[float] = []
        waited = 0.0
        while len(found) < count:
            self.clock.advance(timedelta(seconds=0.5))
            waited += 0.5
            if await self.look():
                found.append(waited)
                waited = 0.0
        return found


@pytest.fixture(autouse=True)
def _without_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests move the clock; the poller may look at it all the time."""
    monkeypatch.setattr(secret_poller, "_TICK", 0)


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    """A bench whose poller runs; it must not have ended by itself."""
    bench = Bench()
    task = asyncio.create_task(bench.poller.run())
    yield bench
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


async def test_nobody_looks_while_nobody_waits() -> None:
    async with running() as bench:
        assert await bench.pass_time(timedelta(days=1)) == []
        assert bench.kube.calls == []


async def test_a_secret_is_looked_for_by_metadata_alone() -> None:
    """A foreign value stays where it is."""
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        await bench.pass_time(FIRST_PAUSE)
        assert bench.kube.calls == [Call("get", SECRETS, "shop", "my-app", metadata_only=True)]


async def test_nobody_looks_before_the_first_pause_is_over() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        assert await bench.pass_time(FIRST_PAUSE - timedelta(milliseconds=1)) == []
        assert bench.kube.calls == []


async def test_whoever_waits_is_told_when_the_secret_appears() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        await bench.pass_time(LONGEST_PAUSE)
        assert await bench.pass_time(LONGEST_PAUSE) == []
        bench.kube.put(SECRETS, "shop", "my-app")
        assert await bench.pass_time(LONGEST_PAUSE) == [CALENDAR]
        assert await bench.pass_time(LONGEST_PAUSE) == []


async def test_whoever_waits_is_told_when_the_secret_changes_or_goes() -> None:
    async with running() as bench:
        bench.kube.put(SECRETS, "shop", "my-app")
        bench.poller.wait_for(CALENDAR, "my-app")
        await bench.pass_time(LONGEST_PAUSE)
        bench.kube.put(SECRETS, "shop", "my-app")
        assert await bench.pass_time(LONGEST_PAUSE) == [CALENDAR]
        bench.kube.remove(SECRETS, "shop", "my-app")
        assert await bench.pass_time(LONGEST_PAUSE) == [CALENDAR]
        assert await bench.pass_time(LONGEST_PAUSE) == []


async def test_the_first_look_is_always_told() -> None:
    """Between the last live read and the first look the Secret may have come: nobody can tell."""
    async with running() as bench:
        bench.kube.put(SECRETS, "shop", "my-app")
        bench.poller.wait_for(CALENDAR, "my-app")
        assert await bench.pass_time(FIRST_PAUSE) == [CALENDAR]


async def test_pauses_grow_from_two_seconds_to_a_minute() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        found = await bench.pauses(12)
    assert found[0] == 2
    assert found == sorted(found)
    assert found[-2:] == [60, 60]
    assert all(later <= 1.5 * earlier + 0.5 for earlier, later in pairwise(found))


async def test_one_look_serves_all_who_wait_for_a_secret() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        bench.poller.wait_for(ORDERS, "my-app")
        assert await bench.pass_time(FIRST_PAUSE) == [CALENDAR, ORDERS]
        assert len(bench.kube.calls) == 1


async def test_secrets_of_one_name_in_two_namespaces_are_two() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        bench.poller.wait_for(ELSEWHERE, "my-app")
        await bench.pass_time(FIRST_PAUSE)
        bench.kube.put(SECRETS, "other", "my-app")
        assert await bench.pass_time(LONGEST_PAUSE) == [ELSEWHERE]


async def test_whoever_is_new_starts_over_with_short_pauses() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        await bench.pauses(12)
        bench.poller.wait_for(ORDERS, "my-app")
        assert await bench.pauses(3) == [2, 2, 3]
        assert ORDERS in bench.told


async def test_whoever_is_new_does_not_put_off_a_look_that_is_nearer() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        bench.clock.advance(timedelta(seconds=1.5))
        bench.poller.wait_for(ORDERS, "my-app")
        assert await bench.pauses(1) == [0.5]


async def test_waiting_for_the_same_again_changes_nothing() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        await bench.pauses(6)
        bench.poller.wait_for(CALENDAR, "my-app")
        bench.told.clear()
        assert (await bench.pauses(1))[0] > 10
        assert bench.told == []


async def test_whoever_waits_no_more_is_not_told() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        bench.poller.wait_for(ORDERS, "my-app")
        bench.poller.wait_for(CALENDAR, None)
        assert await bench.pass_time(FIRST_PAUSE) == [ORDERS]


async def test_a_secret_that_nobody_waits_for_any_more_is_not_looked_for() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        bench.poller.wait_for(CALENDAR, None)
        bench.poller.wait_for(CALENDAR, None)
        await bench.pass_time(LONGEST_PAUSE)
        assert bench.kube.calls == []


async def test_a_datasource_waits_for_one_secret_at_a_time() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")
        bench.poller.wait_for(CALENDAR, "renamed")
        await bench.pass_time(FIRST_PAUSE)
        assert [call.name for call in bench.kube.calls] == ["renamed"]


async def test_whoever_leaves_during_a_look_is_not_told() -> None:
    async with running() as bench:
        bench.poller.wait_for(CALENDAR, "my-app")

        class Leaving(KubeInMemory):
            """Answers only after whoever asked has left."""

            async def requested(self, call: Call, answer: Answer) -> Any:
                bench.poller.wait_for(CALENDAR, None)
                return await super().requested(call, answer)

        bench.poller.kube = Leaving()
        assert await bench.pass_time(FIRST_PAUSE) == []


@pytest.mark.parametrize("failure", [Unavailable("no answer"), Forbidden(403, "Forbidden", "no")])
async def test_an_answer_that_says_nothing_is_no_change(failure: Exception) -> None:
    async with running() as bench:
        bench.kube.put(SECRETS, "shop", "my-app")
        bench.poller.wait_for(CALENDAR, "my-app")
        await bench.pass_time(FIRST_PAUSE)
        bench.kube.failure = failure
        assert await bench.pass_time(LONGEST_PAUSE) == []
        bench.kube.failure = None
        assert await bench.pass_time(LONGEST_PAUSE) == []
        bench.kube.put(SECRETS, "shop", "my-app")
        assert await bench.pass_time(LONGEST_PAUSE) == [CALENDAR]


async def test_failures_lengthen_the_pauses_too() -> None:
    async with running() as bench:
        bench.kube.failure = Unavailable("no answer")
        bench.poller.wait_for(CALENDAR, "my-app")
        assert (await bench.pauses(12))[-1] == 60


async def test_whoever_waits_for_very_many_secrets_keeps_nobody_else_waiting() -> None:
    async with running() as bench:
        for number in range(500):
            bench.poller.wait_for(Key("greedy", f"ds-{number}"), f"missing-{number}")
        bench.poller.wait_for(ELSEWHERE, "my-app")
        bench.clock.advance(FIRST_PAUSE)
        first_round = bench.poller._due()
        assert ("other", "my-app") in first_round
        assert len(first_round) == LOOKS_PER_NAMESPACE + 1


async def test_of_very_many_secrets_each_is_looked_for_in_its_turn() -> None:
    async with running() as bench:
        for number in range(3 * LOOKS_PER_NAMESPACE):
            bench.poller.wait_for(Key("greedy", f"ds-{number}"), f"missing-{number}")
        bench.clock.advance(FIRST_PAUSE)
        for _ in range(30):
            await bench.look()
        assert len({call.name for call in bench.kube.calls}) == 3 * LOOKS_PER_NAMESPACE


async def test_with_however_many_namespaces_somebody_waits_for_very_many_secrets_the_others_come_first() -> None:
    async with running() as bench:
        for number in range(500):
            bench.poller.wait_for(Key(f"greedy-{number % 50}", f"ds-{number}"), f"missing-{number}")
        bench.poller.wait_for(ELSEWHERE, "my-app")
        bench.clock.advance(FIRST_PAUSE)
        assert bench.poller._due().index(("other", "my-app")) <= 50


async def test_a_look_that_takes_long_keeps_nobody_else_waiting() -> None:
    answered = asyncio.Event()

    class Slow(KubeInMemory):
        """Answers about one Secret when it is told to."""

        async def requested(self, call: Call, answer: Answer) -> Any:
            if call.name == "slow":
                await answered.wait()
            return await super().requested(call, answer)

    async with running() as bench:
        bench.poller.kube = Slow()
        bench.poller.wait_for(CALENDAR, "slow")
        bench.poller.wait_for(ELSEWHERE, "my-app")
        assert await bench.pass_time(FIRST_PAUSE) == [ELSEWHERE]
        answered.set()
        await bench.look()
        assert sorted(bench.told) == [ELSEWHERE, CALENDAR]
