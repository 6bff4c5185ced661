"""The metric of the event loop's longest stall."""

import asyncio
import time

import pytest
from prometheus_client import REGISTRY

from datasource.process.stalls import WINDOW, Stalls, StallWatch


def told(clock: str) -> float:
    value = REGISTRY.get_sample_value("datasource_event_loop_stall_seconds", {"clock": clock})
    assert value is not None
    return value


def test_the_longest_is_told() -> None:
    stalls = Stalls(100.0)
    for seconds in (0.1, 0.3, 0.2):
        stalls.add(101.0, seconds)
    assert stalls.longest(102.0) == 0.3


@pytest.mark.parametrize(
    ("later", "longest"),
    [
        pytest.param(WINDOW - 1.0, 0.3, id="in the same window"),
        pytest.param(WINDOW, 0.3, id="in the next one"),
        pytest.param(2 * WINDOW, 0.0, id="after a whole one"),
        pytest.param(2.5 * WINDOW, 0.0, id="nobody asked in between"),
    ],
)
def test_a_stall_is_forgotten_after_a_whole_window(later: float, longest: float) -> None:
    stalls = Stalls(100.0)
    stalls.add(100.0, 0.3)
    assert stalls.longest(100.0 + later) == longest


def test_a_shorter_one_in_the_next_window_does_not_hide_it() -> None:
    stalls = Stalls(100.0)
    stalls.add(100.0, 0.3)
    stalls.add(100.0 + WINDOW, 0.1)
    assert stalls.longest(101.0 + WINDOW) == 0.3
    assert stalls.longest(101.0 + 2 * WINDOW) == 0.1


async def test_whoever_waits_without_await_is_told_of_by_the_clock_on_the_wall_alone() -> None:
    watch = StallWatch(cpu_time=lambda: 0.0)
    await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251 - the very thing that is to be seen
    await asyncio.sleep(0.01)
    await watch.aclose()
    assert told("wall") >= 0.17
    assert told("cpu") == 0.0


async def test_whoever_computes_for_long_is_told_of_by_both_clocks() -> None:
    watch = StallWatch()
    await asyncio.sleep(0)
    begun = time.thread_time()
    while time.thread_time() < begun + 0.2:
        pass
    await asyncio.sleep(0.01)
    await watch.aclose()
    assert told("wall") >= told("cpu") >= 0.17


async def test_who_only_awaits_stalls_nothing() -> None:
    watch = StallWatch(monotonic=lambda: 0.0)
    await asyncio.sleep(0.05)
    await watch.aclose()
    assert (told("wall"), told("cpu")) == (0.0, 0.0)
