"""However a job ends, its key comes again when it should, and somebody hears of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from datasource.cluster.api_errors import ApiError, Conflict, Unavailable
from datasource.cluster.connection import TimedOut
from datasource.cluster.credential_secrets import Stale
from datasource.concurrency.fair_turns import FairTurns
from datasource_operator.cache import Key
from datasource_operator.metrics import ReconcileResult
from datasource_operator.queue import FIRST_DELAY, WorkQueue
from datasource_operator.worker import BUG_PAUSE, Done, Ending, LookAgain, TryAgain, Worker
from tests.unit.datasource_operator.stand_ins import Clock

KEY = Key("shop", "calendar")
SECOND = timedelta(seconds=1)
THROTTLED = ApiError(429, "TooManyRequests", "slow down", timedelta(seconds=17))

How = Ending | Exception


@dataclass
class Bench:
    """A worker whose jobs end as told, one after the other; the last one waits for ever."""

    endings: list[How]
    clock: Clock = field(default_factory=Clock)
    queue: WorkQueue[Key] = field(init=False)
    counted: list[tuple[ReconcileResult, float]] = field(default_factory=list)
    given_back: list[Key] = field(default_factory=list)
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        self.queue = WorkQueue(self.clock, lambda: 1.0, FairTurns(8, 8), lambda key: key.namespace)
        self.worker = Worker("reconcile", self.queue, self.job, self._is_back, self._count, self.clock)

    async def job(self, key: Key) -> Ending:
        assert key == KEY
        if not self.endings:
            await asyncio.Event().wait()
        ending = self.endings.pop(0)
        self.clock.advance(2 * SECOND)
        if isinstance(ending, Exception):
            raise ending
        return ending

    async def run(self, ends_when: Callable[[], object]) -> None:
        """Let one worker take what is due until something holds."""
        task = asyncio.create_task(self.worker.run())
        for _ in range(20):
            await asyncio.sleep(0)
            if ends_when():
                break
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    async def comes_again_after(self) -> timedelta | None:
        """How long after the job's end the key is due; None where it never is."""
        if not len(self.queue):
            return None
        began = self.clock.now
        while not self.queue.depth:
            self.clock.advance(SECOND / 4)
        return timedelta(seconds=self.clock.now - began)

    def _is_back(self, key: Key) -> None:
        assert self.queue.working == 0, "told before it was"
        self.given_back.append(key)

    def _count(self, result: ReconcileResult, seconds: float) -> None:
        self.counted.append((result, seconds))


async def after(ending: How) -> Bench:
    """One job ended like that."""
    bench = Bench([ending])
    bench.queue.add(KEY)
    await bench.run(lambda: bench.given_back)
    return bench


@pytest.mark.parametrize(
    ("ending", "comes_again_after", "result", "level"),
    [
        pytest.param(Done(), None, ReconcileResult.SUCCESS, None, id="done"),
        pytest.param(Done(comes_again=True), None, ReconcileResult.REQUEUE_AFTER, None, id="done until later"),
        pytest.param(TryAgain(), FIRST_DELAY, ReconcileResult.REQUEUE, None, id="try again"),
        pytest.param(TryAgain(30 * SECOND), 30 * SECOND, ReconcileResult.REQUEUE, None, id="come again after"),
        pytest.param(Stale("newer"), FIRST_DELAY, ReconcileResult.REQUEUE, "debug", id="somebody wrote meanwhile"),
        pytest.param(Conflict(409, "Conflict", ""), FIRST_DELAY, ReconcileResult.ERROR, "warning", id="refused"),
        pytest.param(THROTTLED, 17 * SECOND, ReconcileResult.ERROR, "warning", id="told to wait"),
        pytest.param(Unavailable("down"), FIRST_DELAY, ReconcileResult.ERROR, "warning", id="no answer"),
        pytest.param(ZeroDivisionError("a bug"), BUG_PAUSE, ReconcileResult.ERROR, "error", id="a bug"),
    ],
)
async def test_every_ending_has_its_own_consequence(
    ending: How, comes_again_after: timedelta | None, result: ReconcileResult, level: str | None
) -> None:
    with capture_logs() as logs:
        bench = await after(ending)
    assert bench.counted == [(result, 2.0)]
    assert bench.given_back == [KEY]
    assert await bench.comes_again_after() == comes_again_after
    assert [entry["log_level"] for entry in logs] == ([] if level is None else [level])
    assert all((entry["job"], entry["datasource"]) == ("reconcile", "shop/calendar") for entry in logs)


@dataclass
class Noted(FairTurns[Key]):
    """Notes which namespaces were given fewer places, and which more."""

    fewer: list[str] = field(default_factory=list)
    more: list[str] = field(default_factory=list)

    def narrow(self, namespace: str) -> None:
        self.fewer.append(namespace)

    def widen(self, namespace: str) -> None:
        self.more.append(namespace)


@pytest.mark.parametrize(
    ("ending", "fewer", "more"),
    [
        (TimedOut("no answer in time"), ["shop"], []),
        (ApiError(504, "Timeout", "the request did not complete"), ["shop"], []),
        (Unavailable("connection refused"), [], []),
        (Conflict(409, "Conflict", ""), [], []),
        (TryAgain(), [], []),
        (Done(), [], ["shop"]),
        (Done(comes_again=True), [], ["shop"]),
    ],
    ids=repr,
)
async def test_what_takes_too_long_takes_places_from_its_namespace_and_what_goes_well_gives_one(
    ending: How, fewer: list[str], more: list[str]
) -> None:
    bench = Bench([ending])
    bench.queue.turns = turns = Noted(8, 8)
    bench.queue.add(KEY)
    await bench.run(lambda: bench.given_back)
    assert (turns.fewer, turns.more) == (fewer, more)


async def test_what_was_changed_for_others_is_looked_at_at_once() -> None:
    bench = Bench([LookAgain(), Done()])
    bench.queue.add(KEY)
    await bench.run(lambda: len(bench.given_back) == 2)
    assert [result for result, _ in bench.counted] == [ReconcileResult.REQUEUE, ReconcileResult.SUCCESS]


@pytest.mark.parametrize("failure", [TryAgain(), Stale("newer"), Unavailable("down"), ZeroDivisionError()], ids=repr)
async def test_pauses_grow_with_each_failure_and_start_over_when_all_is_done(failure: How) -> None:
    bench = Bench([failure] * 5 + [Done(), failure])
    pauses = []
    bench.queue.add(KEY)
    for finished in range(1, 8):
        await bench.run(lambda: len(bench.given_back) == finished)  # noqa: B023 - run ends before the next turn
        pauses.append(await bench.comes_again_after())
        bench.queue.add(KEY)
    least = BUG_PAUSE if isinstance(failure, ZeroDivisionError) else FIRST_DELAY
    assert pauses[0] == least
    assert pauses[4] == 16 * FIRST_DELAY
    assert pauses[5:] == [None, least]


async def test_a_bug_takes_no_worker_down() -> None:
    bench = Bench([ZeroDivisionError(), Done()])
    bench.queue.add(KEY)
    with capture_logs() as logs:
        await bench.run(lambda: bench.given_back)
    assert await bench.comes_again_after() == BUG_PAUSE
    await bench.run(lambda: len(bench.given_back) == 2)
    assert [result for result, _ in bench.counted] == [ReconcileResult.ERROR, ReconcileResult.SUCCESS]
    assert [entry["exc_info"] for entry in logs] == [True]


async def test_a_key_that_was_in_work_when_the_worker_ended_is_given_back_and_not_counted() -> None:
    bench = Bench([])
    bench.queue.add(KEY)
    await bench.run(lambda: bench.queue.working)
    assert bench.given_back == [KEY]
    assert bench.counted == []
    assert KEY not in bench.queue, "whoever leads next adds every key"


async def test_what_was_asked_for_while_it_was_worked_on_is_done_once_more() -> None:
    bench = Bench([Done(), Done()])
    original = bench.job

    async def asked_meanwhile(key: Key) -> Ending:
        if len(bench.endings) == 2:
            bench.queue.add(key)
        return await original(key)

    bench.worker.job = asked_meanwhile
    bench.queue.add(KEY)
    await bench.run(lambda: len(bench.given_back) == 2)
    assert len(bench.counted) == 2


async def test_several_workers_do_several_keys_at_a_time() -> None:
    begun: list[Key] = []
    queue: WorkQueue[Key] = WorkQueue(Clock(), lambda: 1.0, FairTurns(8, 8), lambda key: key.namespace)

    async def hangs(key: Key) -> Ending:
        begun.append(key)
        await asyncio.Event().wait()
        return Done()

    worker = Worker("revoke", queue, hangs)
    keys = [Key("shop", str(number)) for number in range(5)]
    for key in keys:
        queue.add(key)
    running: list[Awaitable[None]] = [asyncio.create_task(worker.run()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert begun == keys[:3]
    for task in running:
        assert isinstance(task, asyncio.Task)
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_key_that_was_not_taken_from_the_queue_comes_again_through_it() -> None:
    """A refresh is handed out by the pool."""
    bench = Bench([Unavailable("down"), LookAgain()])
    await bench.worker.work_on(KEY)
    assert await bench.comes_again_after() == FIRST_DELAY
    await bench.worker.work_on(KEY)
    assert bench.queue.depth == 1
    assert bench.given_back == [], "nobody took it"


async def test_work_that_waits_for_nobody_leaves_turns_to_all_else() -> None:
    """At a takeover a hundred thousand looks find nothing to do; a refresh and the Lease must go on meanwhile."""
    clock, done, seen_by_others = Clock(), [], []
    queue: WorkQueue[Key] = WorkQueue(clock, lambda: 1.0, FairTurns(8, 8), lambda key: key.namespace)

    async def job(key: Key) -> Ending:
        done.append(key)
        return Done()

    async def another() -> None:
        while len(done) < 100:
            seen_by_others.append(len(done))
            await asyncio.sleep(0)

    for number in range(100):
        queue.add(Key("shop", str(number)))
    task = asyncio.create_task(Worker("reconcile", queue, job).run())
    await another()
    task.cancel()
    await asyncio.wait([task])
    # One at a time.
    assert seen_by_others == list(range(100))
