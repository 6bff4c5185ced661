"""The stage of the tests of the Lease: time that passes at once, an API server, candidates."""

import asyncio
import contextlib
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any

from prometheus_client import REGISTRY

from datasource.api.names import FIELD_MANAGER
from datasource.cluster.api_errors import ApiError, NotFound, Unavailable
from datasource.cluster.resources import LEASES
from datasource.process.installation import LEASE_NAME
from datasource_operator.decisions.election import (
    RETRY_PERIOD,
)
from datasource_operator.lease import LeaseElector
from tests.support.api_in_memory import ApiServerInMemory
from tests.support.kube_in_memory import Answer, Call, KubeInMemory

SYSTEM = "datasource-system"
NOW = datetime(2026, 7, 1, 14, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NO_TIME = timedelta(0)

# Issue 4: failover under 3 s after SIGTERM, and under 20 s after SIGKILL.
FAILOVER_AFTER_SIGTERM = timedelta(seconds=3)
FAILOVER_AFTER_SIGKILL = timedelta(seconds=20)


class TimeMachine(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody waits, and then at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(_SkipsWaiting(self))

    def time(self) -> float:
        return self.now


class _SkipsWaiting(selectors.SelectSelector):
    def __init__(self, loop: TimeMachine) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits for ever"
        self._loop.now += timeout
        return super().select(0)


def play(scene: Coroutine[Any, Any, None]) -> None:
    """Run a scene to its end, in no time."""
    with asyncio.Runner(loop_factory=TimeMachine) as runner:
        runner.run(_with_an_end(scene))


async def _with_an_end(scene: Coroutine[Any, Any, None]) -> None:
    try:
        await scene
    finally:
        # Whoever ends may begin something new, such as a release.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others)


def clock() -> float:
    """The time on stage, in seconds."""
    return asyncio.get_running_loop().time()


async def passes(time: timedelta) -> None:
    """Let time pass."""
    await asyncio.sleep(time.total_seconds())


async def until(is_so: Callable[[], object], *, within: timedelta) -> None:
    """Wait until something has come about."""
    async with asyncio.timeout(within.total_seconds()):
        while not is_so():  # noqa: ASYNC110 - nobody tells; time is free here
            await asyncio.sleep(0.01)


class Fate(Enum):
    """What becomes of a request."""

    ANSWERED = auto()
    LOST = auto()
    """It never reached the API server."""
    DONE_UNANSWERED = auto()
    """It was done, and the answer was lost."""
    REFUSED = auto()
    """500: not done."""


@dataclass(frozen=True)
class Trip:
    """How a request fares: how long until it is done, and from then until its answer is there."""

    fate: Fate = Fate.ANSWERED
    there: timedelta = timedelta(milliseconds=5)
    back: timedelta = timedelta(milliseconds=5)


@dataclass
class ApiServer(ApiServerInMemory):
    """The API server where the Lease is; `frozen` it does and answers nothing."""

    _thawed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._thawed.set()

    def freeze(self) -> None:
        """Stop answering; what was asked waits."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Go on."""
        self._thawed.set()

    async def awake(self) -> None:
        """Wait for the end of a freeze."""
        await self._thawed.wait()

    @property
    def spec(self) -> dict[str, Any]:
        """What the Lease says."""
        spec: dict[str, Any] = self.read(LEASES, SYSTEM, LEASE_NAME)["spec"]
        return spec

    def patch_lease(self, patch: Mapping[str, Any]) -> None:
        """`kubectl patch lease`: no compare-and-swap."""
        self.merge_patch(LEASES, SYSTEM, LEASE_NAME, patch)

    def delete_lease(self) -> None:
        """`kubectl delete lease`, whether there is one or not."""
        with contextlib.suppress(NotFound):
            self.delete(LEASES, SYSTEM, LEASE_NAME)


@dataclass
class Line(KubeInMemory):
    """One candidate's connection to the API server."""

    server: ApiServer = field(default_factory=ApiServer)
    trip: Callable[[], Trip] = Trip
    is_cut: bool = False
    _under_way: set[asyncio.Task[Any]] = field(default_factory=set)

    async def requested(self, call: Call, answer: Answer) -> Any:
        assert (call.resource, call.namespace, call.name) == (LEASES, SYSTEM, LEASE_NAME)
        if call.body is not None:
            assert call.manager == FIELD_MANAGER
        if call.verb == "merge_patch":
            assert call.body is not None
            assert call.body["metadata"]["resourceVersion"], "a write that is no compare-and-swap"
        self.calls.append(call)
        # Whoever asked may stop waiting: what is on its way arrives and is done nevertheless.
        task = asyncio.create_task(self._travel(answer, self.trip()))
        self._under_way.add(task)
        task.add_done_callback(self._arrived)
        return await asyncio.shield(task)

    def _arrived(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()

    async def _travel(self, do: Answer, trip: Trip) -> Any:
        await self._pass(trip.there)
        if trip.fate is Fate.LOST:
            raise Unavailable("connection reset")
        if trip.fate is Fate.REFUSED:
            raise ApiError(500, "InternalError", "etcdserver: request timed out")
        answer = do()
        await self._pass(trip.back)
        if trip.fate is Fate.DONE_UNANSWERED:
            raise Unavailable("connection reset")
        return answer

    async def _pass(self, time: timedelta) -> None:
        await passes(time)
        await self.server.awake()
        if self.is_cut:
            await asyncio.Event().wait()  # nothing comes through, and nobody says so


@dataclass
class Stage:
    """Who works when. Two at once are remembered as an overlap."""

    server: ApiServer = field(default_factory=ApiServer)
    working: list[str] = field(default_factory=list)
    overlaps: list[tuple[str, ...]] = field(default_factory=list)
    began: list[tuple[str, float]] = field(default_factory=list)
    candidates: dict[str, "Candidate"] = field(default_factory=dict)

    def begin(self, name: str) -> None:
        """Somebody begins to work."""
        self.working.append(name)
        self.began.append((name, clock()))
        if len(self.working) > 1:
            self.overlaps.append(tuple(self.working))

    def end(self, name: str) -> None:
        """Somebody does nothing any more."""
        if name in self.working:
            self.working.remove(name)

    def enter(self, name: str, **options: Any) -> "Candidate":
        """A process starts."""
        candidate = Candidate(name, self, Line(server=self.server), **options)
        candidate.start()
        self.candidates[name] = candidate
        return candidate

    async def leader(self, *, within: timedelta = FAILOVER_AFTER_SIGKILL) -> "Candidate":
        """Wait until somebody works, and return who."""
        await until(lambda: self.working, within=within)
        return self.candidates[self.working[0]]

    async def leader_and_standby(self) -> tuple["Candidate", "Candidate"]:
        """`a` leads, and `b` has seen that."""
        a = self.enter("a")
        await self.leader()
        b = self.enter("b")
        await passes(3 * RETRY_PERIOD)
        assert self.working == ["a"]
        return a, b


@dataclass
class Candidate:
    """One process: an elector and its work, which takes a while to end."""

    name: str
    stage: Stage
    line: Line
    ending: timedelta = NO_TIME
    clock_offset: float = 0.0
    wall_clock_offset: timedelta = NO_TIME
    elector: LeaseElector = field(init=False)
    task: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.elector = LeaseElector(
            kube=self.line,
            namespace=SYSTEM,
            identity=self.name,
            monotonic=lambda: loop.time() + self.clock_offset,
            now=lambda: NOW + self.wall_clock_offset + timedelta(seconds=loop.time() - started),
        )

    def start(self, lead: Callable[[], Awaitable[None]] | None = None) -> None:
        """Start the process."""
        self.task = asyncio.create_task(self.elector.run(lead or self.work))

    async def work(self) -> None:
        """Work until cancelled, and then until what is begun is finished."""
        self.stage.begin(self.name)
        try:
            await asyncio.Event().wait()
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await passes(self.ending)
            self.stage.end(self.name)

    async def stop(self) -> None:
        """SIGTERM, until the process has ended."""
        self.task.cancel()
        await asyncio.wait({self.task})

    def kill(self) -> None:
        """SIGKILL: it does nothing any more, and nobody hears of it."""
        self.line.is_cut = True
        self.stage.end(self.name)
        self.task.cancel()


def status(candidate: Candidate) -> float | None:
    """What the metric says."""
    return REGISTRY.get_sample_value("leader_election_master_status", {"name": candidate.elector.name})
