"""The work queue: one key at a time, none lost, the urgent first."""

import asyncio
import math
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from datasource.concurrency.fair_turns import FairTurns
from datasource_operator.queue import FIRST_DELAY, LONGEST_DELAY, Priority, WorkQueue
from tests.unit.datasource_operator.stand_ins import Clock
from tests.unit.walks import walks

T = TypeVar("T")

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def namespace_of(key: str) -> str:
    """Keys may be written namespace/name."""
    return key.rpartition("/")[0]


def queue_at(clock: Clock, *, random: float = 1.0) -> WorkQueue[str]:
    """A queue that reads this clock; jitter is taken as told."""
    return WorkQueue(clock, lambda: random, FairTurns(1000, 1000), namespace_of)


async def take_now(queue: WorkQueue[str]) -> str | None:
    """Take a key if one is due now."""
    taking = asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    if taking.done():
        return taking.result()
    taking.cancel()
    await asyncio.wait([taking])
    return None


async def take_all(queue: WorkQueue[str]) -> list[str]:
    """Take what is due now, in order; all of it is then being worked on."""
    taken: list[str] = []
    while (key := await take_now(queue)) is not None:
        assert key not in taken, f"{key} was handed out twice at a time"
        taken.append(key)
    return taken


# Adding.


async def test_what_was_added_first_comes_first() -> None:
    queue = queue_at(Clock())
    for key in ("b", "a", "c"):
        queue.add(key)
    assert await take_all(queue) == ["b", "a", "c"]


async def test_a_key_added_twice_is_worked_on_once() -> None:
    queue = queue_at(Clock())
    queue.add("a")
    queue.add("a")
    assert len(queue) == 1
    assert await take_all(queue) == ["a"]
    queue.done("a")
    assert await take_now(queue) is None


async def test_somebody_who_waits_goes_before_routine() -> None:
    queue = queue_at(Clock())
    queue.add("routine", Priority.ROUTINE)
    queue.add("waits", Priority.SOMEBODY_WAITS)
    assert await take_all(queue) == ["waits", "routine"]


async def test_routine_that_somebody_comes_to_wait_for_goes_first() -> None:
    queue = queue_at(Clock())
    queue.add("a", Priority.ROUTINE)
    queue.add("b", Priority.ROUTINE)
    queue.add("b", Priority.SOMEBODY_WAITS)
    assert await take_all(queue) == ["b", "a"]


async def test_routine_does_not_push_back_what_somebody_waits_for() -> None:
    queue = queue_at(Clock())
    queue.add("a", Priority.ROUTINE)
    queue.add("b", Priority.SOMEBODY_WAITS)
    queue.add("b", Priority.ROUTINE)
    assert await take_all(queue) == ["b", "a"]


async def test_urgency_is_kept_when_it_is_brought_forward() -> None:
    clock = Clock()
    queue = queue_at(clock)
    queue.add("a", Priority.ROUTINE)
    queue.add("b", Priority.SOMEBODY_WAITS, delay=MINUTE)
    queue.add("b", Priority.ROUTINE)
    assert await take_all(queue) == ["b", "a"]


async def test_a_place_that_a_key_gave_up_for_a_better_one_is_void() -> None:
    """Both are due already; the old place must not hand the key out again while it is worked on."""
    queue = queue_at(Clock())
    queue.add("a", Priority.ROUTINE)
    queue.add("b", Priority.ROUTINE)
    assert await take_now(queue) == "a"
    queue.add("b", Priority.SOMEBODY_WAITS)
    assert await take_now(queue) == "b"
    queue.add("b", delay=MINUTE)
    assert await take_now(queue) is None


# Turns; more of them with `FairTurns`.


async def test_edits_in_one_namespace_hold_up_neither_others_nor_what_is_due() -> None:
    """Ten edits for each key that is taken, as long as it lasts."""
    clock = Clock()
    queue = queue_at(clock)
    queue.add("victim/due", Priority.ROUTINE, delay=SECOND)
    clock.advance(SECOND)
    taken: list[str] = []
    for number in range(8):
        for edit in range(10):
            queue.add(f"attacker/{number}-{edit}", Priority.SOMEBODY_WAITS)
        if number == 1:
            queue.add("neighbour/new", Priority.SOMEBODY_WAITS)
        key = await take_now(queue)
        assert key is not None
        taken.append(key)
        queue.done(key)
    assert taken.index("victim/due") == 3
    assert taken.index("neighbour/new") <= 3


async def test_a_namespace_whose_work_hangs_leaves_places_to_others() -> None:
    queue: WorkQueue[str] = WorkQueue(Clock(), lambda: 1.0, FairTurns(4, 3), namespace_of)
    for number in range(9):
        queue.add(f"hangs/{number}")
    assert await take_all(queue) == ["hangs/0", "hangs/1", "hangs/2"]
    queue.add("other/a", Priority.ROUTINE)
    assert await take_now(queue) == "other/a"
    waiting = asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    queue.done("hangs/1")
    assert await soon(waiting) == "hangs/3"


# Due times.


async def test_a_delayed_key_waits_until_it_is_due() -> None:
    clock = Clock()
    queue = queue_at(clock)
    queue.add("a", delay=MINUTE)
    clock.advance(MINUTE - SECOND)
    assert await take_now(queue) is None
    assert len(queue) == 1
    clock.advance(SECOND)
    assert await take_now(queue) == "a"


async def test_an_earlier_due_time_brings_a_key_forward() -> None:
    clock = Clock()
    queue = queue_at(clock)
    queue.add("a", delay=MINUTE)
    queue.add("a", delay=SECOND)
    clock.advance(SECOND)
    assert await take_now(queue) == "a"
    queue.done("a")
    clock.advance(MINUTE)
    assert await take_now(queue) is None


async def test_a_later_due_time_pushes_nothing_back() -> None:
    clock = Clock()
    queue = queue_at(clock)
    queue.add("a", delay=SECOND)
    queue.add("a", delay=MINUTE)
    clock.advance(SECOND)
    assert await take_now(queue) == "a"
    queue.done("a")
    clock.advance(MINUTE)
    assert await take_now(queue) is None


async def test_a_due_time_that_is_past_means_now() -> None:
    queue = queue_at(Clock())
    queue.add("a", delay=-MINUTE)
    queue.add("b")
    assert await take_all(queue) == ["a", "b"]


# Working.


async def test_a_key_that_is_worked_on_is_not_handed_out_again() -> None:
    queue = queue_at(Clock())
    queue.add("a")
    assert await take_now(queue) == "a"
    queue.add("a")
    assert await take_now(queue) is None


async def test_a_key_added_while_it_is_worked_on_is_worked_on_once_more() -> None:
    queue = queue_at(Clock())
    queue.add("a")
    await take_now(queue)
    queue.add("a")
    queue.add("a")
    queue.done("a")
    assert await take_now(queue) == "a"
    queue.done("a")
    assert await take_now(queue) is None


async def test_a_key_that_falls_due_while_it_is_worked_on_is_worked_on_once_more() -> None:
    clock = Clock()
    queue = queue_at(clock)
    queue.add("a")
    await take_now(queue)
    queue.add("a", delay=SECOND)
    clock.advance(MINUTE)
    assert await take_now(queue) is None
    queue.done("a")
    assert await take_now(queue) == "a"


async def test_a_key_delayed_while_it_is_worked_on_waits_after_that_too() -> None:
    clock = Clock()
    queue = queue_at(clock)
    queue.add("a")
    await take_now(queue)
    queue.add("a", delay=MINUTE)
    queue.done("a")
    assert await take_now(queue) is None
    clock.advance(MINUTE)
    assert await take_now(queue) == "a"


async def test_once_more_is_as_urgent_as_the_most_urgent_who_asked() -> None:
    queue = queue_at(Clock())
    queue.add("a")
    await take_now(queue)
    queue.add("a", Priority.SOMEBODY_WAITS)
    queue.add("a", Priority.ROUTINE)
    queue.add("b", Priority.ROUTINE)
    queue.done("a")
    assert await take_all(queue) == ["a", "b"]


async def test_once_more_for_routine_is_routine() -> None:
    queue = queue_at(Clock())
    queue.add("a")
    await take_now(queue)
    queue.add("a", Priority.ROUTINE)
    queue.done("a")
    queue.add("b", Priority.SOMEBODY_WAITS)
    assert await take_all(queue) == ["b", "a"]


async def test_the_longest_running_work_is_told() -> None:
    clock = Clock(now=10)
    queue = queue_at(clock)
    assert queue.oldest_work() is None
    queue.add("a")
    queue.add("b")
    await take_now(queue)
    clock.advance(MINUTE)
    await take_now(queue)
    assert queue.oldest_work() == 10
    queue.done("a")
    assert queue.oldest_work() == 70
    queue.done("b")
    assert queue.oldest_work() is None


async def test_a_key_that_nobody_takes_is_told_since_it_was_due() -> None:
    clock = Clock(now=10)
    queue = queue_at(clock)
    assert queue.overdue_since() is None
    queue.add("later", delay=MINUTE)
    assert queue.overdue_since() is None
    queue.add("a", delay=SECOND)
    clock.advance(MINUTE * 2)
    assert queue.overdue_since() == 11
    assert sorted(await take_all(queue)) == ["a", "later"]
    assert queue.overdue_since() is None


async def test_a_key_asked_for_once_more_is_not_overdue_while_it_is_worked_on() -> None:
    clock = Clock()
    queue = queue_at(clock)
    queue.add("a")
    await take_now(queue)
    queue.add("a")
    clock.advance(MINUTE)
    assert queue.overdue_since() is None


async def test_what_is_gone_is_dropped_wherever_it_waits() -> None:
    queue = queue_at(Clock())
    queue.add("waits")
    queue.add("worked on")
    queue.forget("waits")
    assert await take_now(queue) == "worked on"
    queue.add("worked on")
    queue.forget("worked on")
    queue.done("worked on")
    assert await take_now(queue) is None
    assert len(queue) == 0


async def test_what_is_gone_may_come_back() -> None:
    queue = queue_at(Clock())
    queue.add("a")
    queue.forget("a")
    queue.add("a")
    assert await take_all(queue) == ["a"]


def test_done_and_forget_of_an_unknown_key_do_nothing() -> None:
    queue = queue_at(Clock())
    queue.done("a")
    queue.forget("a")
    queue.succeeded("a")
    assert len(queue) == 0


# Retries.


def delays(queue: WorkQueue[str], count: int) -> list[float]:
    """The delays of so many failures in a row, in seconds."""
    return [queue.retry("a").total_seconds() for _ in range(count)]


def test_retries_come_at_growing_distances_up_to_a_minute() -> None:
    assert delays(queue_at(Clock(), random=1.0), 8) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_jitter_takes_up_to_half_of_the_delay_away() -> None:
    assert delays(queue_at(Clock(), random=0.0), 8) == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_thousand_failures_are_no_overflow() -> None:
    assert delays(queue_at(Clock()), 1000)[-1] == LONGEST_DELAY.total_seconds()


def test_a_success_starts_over_with_short_delays() -> None:
    queue = queue_at(Clock())
    delays(queue, 5)
    queue.succeeded("a")
    assert queue.retry("a") == FIRST_DELAY


def test_an_object_that_comes_back_starts_over_with_short_delays() -> None:
    queue = queue_at(Clock())
    delays(queue, 5)
    queue.forget("a")
    assert queue.retry("a") == FIRST_DELAY


def test_failures_are_counted_for_each_key() -> None:
    queue = queue_at(Clock())
    delays(queue, 5)
    assert queue.retry("b") == FIRST_DELAY


def test_a_retry_waits_as_long_as_the_api_server_asks() -> None:
    queue = queue_at(Clock())
    assert queue.retry("a", at_least=MINUTE * 5) == MINUTE * 5
    assert queue.retry("a", at_least=SECOND) == SECOND * 2


async def test_a_retry_is_due_after_its_delay_and_is_routine() -> None:
    clock = Clock()
    queue = queue_at(clock)
    delay = queue.retry("a")
    assert await take_now(queue) is None
    clock.advance(delay)
    queue.add("b", Priority.SOMEBODY_WAITS)
    assert await take_all(queue) == ["b", "a"]


# Waiting: these sleep for real, on the event loop's own clock.


@pytest.fixture
def real_queue() -> WorkQueue[str]:
    """A queue on the clock of the running event loop."""
    return WorkQueue(lambda: asyncio.get_running_loop().time(), lambda: 0.0, FairTurns(1000, 1000), namespace_of)


async def soon(waiting: Awaitable[T]) -> T:
    """What is waited for; 10 s is a bound against hanging."""
    async with asyncio.timeout(10):
        return await waiting


async def test_whoever_waits_is_woken_by_an_addition(real_queue: WorkQueue[str]) -> None:
    taking = asyncio.create_task(real_queue.take())
    await asyncio.sleep(0)
    assert not taking.done()
    real_queue.add("a")
    assert await soon(taking) == "a"


async def test_whoever_waits_is_woken_when_a_key_falls_due(real_queue: WorkQueue[str]) -> None:
    real_queue.add("a", delay=timedelta(milliseconds=5))
    assert await soon(real_queue.take()) == "a"


async def test_whoever_waits_for_a_due_time_is_woken_earlier_by_an_addition(real_queue: WorkQueue[str]) -> None:
    real_queue.add("later", delay=timedelta(days=1))
    taking = asyncio.create_task(real_queue.take())
    await asyncio.sleep(0)
    real_queue.add("now")
    assert await soon(taking) == "now"


async def test_whoever_waits_is_woken_when_work_asked_for_meanwhile_may_begin(real_queue: WorkQueue[str]) -> None:
    real_queue.add("a")
    await soon(real_queue.take())
    taking = asyncio.create_task(real_queue.take())
    await asyncio.sleep(0)
    real_queue.add("a")
    await asyncio.sleep(0)
    assert not taking.done()
    real_queue.done("a")
    assert await soon(taking) == "a"


async def test_many_who_wait_each_get_a_key_of_their_own(real_queue: WorkQueue[str]) -> None:
    taking = [asyncio.create_task(real_queue.take()) for _ in range(8)]
    await asyncio.sleep(0)
    for number in range(8):
        real_queue.add(str(number), delay=timedelta(milliseconds=number % 2))
    assert sorted(await soon(asyncio.gather(*taking))) == [str(number) for number in range(8)]


async def test_a_key_wakes_one_of_those_who_wait_and_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each who is woken in vain costs CPU for each of 100,000 keys."""
    turns: FairTurns[str] = FairTurns(1000, 1000)
    queue = WorkQueue(Clock(), lambda: 1.0, turns, namespace_of)
    looks = 0
    take = FairTurns.take

    def counted(of: FairTurns[str]) -> str | None:
        nonlocal looks
        looks += 1
        return take(of)

    waiting = [asyncio.ensure_future(queue.take()) for _ in range(10)]
    await asyncio.sleep(0)
    monkeypatch.setattr(FairTurns, "take", counted)
    queue.add("a")
    for _ in range(10):
        await asyncio.sleep(0)
    assert [each.result() for each in waiting if each.done()] == ["a"]
    # That one, and one more: others may have become due with it.
    assert looks <= 3
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)


async def test_keys_that_fall_due_at_one_time_are_taken_by_as_many_as_wait() -> None:
    clock = Clock()
    queue = queue_at(clock)
    waiting = [asyncio.ensure_future(queue.take()) for _ in range(3)]
    await asyncio.sleep(0)
    for key in ("a", "b", "c"):
        queue.add(key, delay=SECOND)
    for _ in range(10):
        await asyncio.sleep(0)
    clock.advance(SECOND)
    queue.wake_one()
    assert sorted(await asyncio.wait_for(asyncio.gather(*waiting), 5)) == ["a", "b", "c"]


async def test_who_is_woken_and_ends_at_once_hands_the_key_on(real_queue: WorkQueue[str]) -> None:
    first, second = (asyncio.ensure_future(real_queue.take()) for _ in range(2))
    await asyncio.sleep(0)
    real_queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 5) == "a"


async def test_each_key_is_taken_when_it_is_due_whoever_waits_and_whatever_was_added_before(
    real_queue: WorkQueue[str],
) -> None:
    taken: list[str] = []

    async def takes() -> None:
        taken.append(await real_queue.take())

    takers = [asyncio.create_task(takes()) for _ in range(3)]
    for name, milliseconds in (("last", 60), ("first", 20), ("forgotten", 5), ("second", 40)):
        await asyncio.sleep(0)
        real_queue.add(name, delay=timedelta(milliseconds=milliseconds))
    real_queue.forget("forgotten")
    await asyncio.wait_for(asyncio.gather(*takers), 5)
    assert taken == ["first", "second", "last"]


async def test_keys_that_another_look_found_due_are_taken_by_all_who_wait(real_queue: WorkQueue[str]) -> None:
    takers = [asyncio.ensure_future(real_queue.take()) for _ in range(3)]
    await asyncio.sleep(0)
    for name in "abc":
        real_queue.add(name, delay=timedelta(milliseconds=5))
    while real_queue.ready < 3:
        # The takeover looks so, too, and nobody else has a turn meanwhile.
        pass
    assert sorted(await asyncio.wait_for(asyncio.gather(*takers), 5)) == ["a", "b", "c"]


async def test_nothing_is_kept_or_taken_in_while_nobody_would_take_it_out() -> None:
    queue = queue_at(Clock())
    queue.add("first")
    queue.add("later", delay=timedelta(hours=1))
    assert queue.ready == 1
    queue.close()
    queue.add("a")
    assert (len(queue), queue.ready, queue.depth) == (0, 0, 0)
    queue.begin_anew()
    queue.add("b")
    assert await take_all(queue) == ["b"]


async def test_whoever_stops_waiting_takes_no_key_along(real_queue: WorkQueue[str]) -> None:
    taking = asyncio.create_task(real_queue.take())
    await asyncio.sleep(0)
    real_queue.add("a")
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert await soon(real_queue.take()) == "a"


# Anything in any order.

KEYS = st.sampled_from("abc")
DELAYS = st.sampled_from([timedelta(0), SECOND, 5 * SECOND, MINUTE])


class QueueMachine(RuleBasedStateMachine):
    """The queue against a model: for each key, when it is due and how urgent; and which are being worked on."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.queue = queue_at(self.clock)
        self.due: dict[str, float] = {}
        self.priority: dict[str, Priority] = {}
        self.working: set[str] = set()

    def owe(self, key: str, priority: Priority, delay: timedelta) -> None:
        """The model of an addition."""
        self.due[key] = min(self.due.get(key, math.inf), self.clock() + delay.total_seconds())
        self.priority[key] = min(self.priority.get(key, priority), priority)

    def takeable(self) -> set[str]:
        """What may be handed out now."""
        return {key for key, due in self.due.items() if due <= self.clock()} - self.working

    @rule(key=KEYS, priority=st.sampled_from(Priority), delay=DELAYS)
    def add(self, key: str, priority: Priority, delay: timedelta) -> None:
        self.queue.add(key, priority, delay=delay)
        self.owe(key, priority, delay)

    @rule(key=KEYS, at_least=DELAYS)
    def retry(self, key: str, at_least: timedelta) -> None:
        delay = self.queue.retry(key, at_least=at_least)
        assert at_least <= delay <= max(LONGEST_DELAY, at_least)
        self.owe(key, Priority.ROUTINE, delay)

    @rule(key=KEYS)
    def succeed(self, key: str) -> None:
        self.queue.succeeded(key)

    @rule(key=KEYS)
    def forget(self, key: str) -> None:
        self.queue.forget(key)
        self.due.pop(key, None)
        self.priority.pop(key, None)

    @rule(by=DELAYS)
    def wait(self, by: timedelta) -> None:
        self.clock.advance(by)

    @rule()
    def take(self) -> None:
        takeable = self.takeable()
        key = self.runner.run(take_now(self.queue))
        if not takeable:
            assert key is None
            return
        assert key in takeable, f"{key} was handed out, {takeable} were due"
        del self.due[key], self.priority[key]
        self.working.add(key)

    @precondition(lambda self: self.working)
    @rule(last=st.booleans())
    def finish(self, last: bool) -> None:
        key = max(self.working) if last else min(self.working)
        self.queue.done(key)
        self.working.discard(key)

    @invariant()
    def work_is_told_exactly_while_there_is_some(self) -> None:
        assert (self.queue.oldest_work() is None) is (not self.working)

    def teardown(self) -> None:
        """Whatever was added and not forgotten comes out in the end."""
        for key in tuple(self.working):
            self.queue.done(key)
        self.working.clear()
        self.clock.advance(timedelta(days=1))
        assert sorted(self.runner.run(take_all(self.queue))) == sorted(self.due)
        self.runner.close()


def test_no_key_is_lost_and_none_is_handed_out_twice_at_a_time() -> None:
    run_state_machine_as_test(QueueMachine, settings=settings(walks(10, 60), stateful_step_count=40))


async def test_depth_counts_what_is_due_and_not_what_waits_for_its_time() -> None:
    clock = Clock()
    queue = queue_at(clock)
    queue.add("now")
    queue.add("later", delay=MINUTE)
    assert (len(queue), queue.depth, queue.working) == (2, 1, 0)
    assert await take_now(queue) == "now"
    assert (queue.depth, queue.working) == (0, 1)


async def test_adds_and_retries_are_counted_and_waiting_is_timed() -> None:
    clock, waited = Clock(), list[float]()
    queue = queue_at(clock)
    queue.taken = waited.append
    queue.add("a")
    clock.advance(3 * SECOND)
    assert await take_now(queue) == "a"
    queue.done("a")
    queue.retry("a")
    assert (queue.added, queue.retried) == (2, 1)
    assert waited == [3.0]


async def test_a_key_is_in_the_queue_while_it_waits_and_while_it_is_worked_on() -> None:
    queue = queue_at(Clock())
    assert "a" not in queue
    queue.add("a", delay=MINUTE)
    assert "a" in queue
    queue.add("a")
    assert await take_now(queue) == "a"
    assert "a" in queue
    queue.done("a")
    assert "a" not in queue


async def test_places_that_were_given_up_do_not_pile_up() -> None:
    """Each edit of a Datasource brings it forward and leaves the place of its expiry, which may be months away."""
    clock = Clock()
    queue = queue_at(clock)
    for key in ("edited", "at rest"):
        queue.add(key, Priority.ROUTINE, delay=1000 * MINUTE)
    for _ in range(2000):
        queue.add("edited")
        assert await take_now(queue) == "edited"
        queue.done("edited")
        queue.add("edited", Priority.ROUTINE, delay=1000 * MINUTE)
    assert len(queue._later) < 100
    clock.advance(1000 * MINUTE)
    assert sorted(await take_all(queue)) == ["at rest", "edited"]


async def test_whoever_begins_anew_knows_no_place_and_no_turn_of_before() -> None:
    queue = queue_at(Clock())
    for key in ("first", "second"):
        queue.add(key)
    # The first has a turn by now, not only a place.
    taken = await queue.take()
    queue.done(taken)
    queue.add("later", delay=MINUTE)
    queue.begin_anew()
    assert (len(queue), queue.depth, queue.overdue_since()) == (0, 0, None)
    queue.add("routine", Priority.ROUTINE)
    queue.add("second", Priority.ROUTINE)
    queue.add("urgent")
    assert await take_all(queue) == ["urgent", "routine", "second"]
