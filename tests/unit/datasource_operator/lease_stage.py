"""The stage of the tests of the Lease: time that passes at once, an API server, candidates."""

import asyncio
import contextlib
import itertools
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, TypeVar

import msgspec
from prometheus_client import REGISTRY

from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import Lease
from datasource.cluster.api_errors import ApiError, Conflict, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import LEASES, Resource
from datasource_operator.decisions.election import (
    LOOK_EVERY,
)
from datasource_operator.lease import LEASE_NAME, LeaseElector
from tests.unit.datasource_operator.merge_patch import merge_patched

T = TypeVar("T")

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
class ApiServer:
    """One Lease, with the API server's resourceVersions and conflicts; `frozen` it does and answers nothing."""

    lease: dict[str, Any] | None = None
    writes: list[dict[str, Any]] = field(default_factory=list)
    """The spec after each write."""
    _versions: Iterator[int] = field(default_factory=lambda: itertools.count(101))
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
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec

    def read(self) -> Lease:
        """GET."""
        if self.lease is None:
            raise NotFound(404, "NotFound", "no such Lease")
        return msgspec.convert(self.lease, Lease)

    def create(self, manifest: Mapping[str, Any]) -> Lease:
        """POST."""
        if self.lease is not None:
            raise Conflict(409, "AlreadyExists", "it exists")
        return self._store(dict(manifest))

    def patch(self, patch: Mapping[str, Any]) -> Lease:
        """PATCH; without a resourceVersion, as people do it, it always succeeds."""
        if self.lease is None:
            raise NotFound(404, "NotFound", "no such Lease")
        wanted = patch.get("metadata", {}).get("resourceVersion")
        if wanted not in {None, self.lease["metadata"]["resourceVersion"]}:
            raise Conflict(409, "Conflict", "somebody wrote meanwhile")
        return self._store(merge_patched(self.lease, patch))

    def delete(self) -> None:
        """`kubectl delete lease`."""
        self.lease = None

    def _store(self, lease: dict[str, Any]) -> Lease:
        assert lease["spec"]["leaseDurationSeconds"] > 0, "as the API server's validation has it"
        self.lease = {**lease, "metadata": {**lease["metadata"], "resourceVersion": str(next(self._versions))}}
        self.writes.append(self.spec)
        return self.read()


@dataclass
class Line(Kube):
    """One candidate's connection to the API server."""

    server: ApiServer
    trip: Callable[[], Trip] = Trip
    is_cut: bool = False
    calls: list[str] = field(default_factory=list)
    _under_way: set[asyncio.Task[Lease]] = field(default_factory=set)

    async def get(
        self, resource: Resource, namespace: str, name: str, type_: type[T], *, metadata_only: bool = False
    ) -> T:
        assert (resource, namespace, name, metadata_only) == (LEASES, SYSTEM, LEASE_NAME, False)
        return await self._call("get", self.server.read, type_)

    async def create(
        self,
        resource: Resource,
        namespace: str,
        manifest: Mapping[str, Any],
        type_: type[T],
        *,
        manager: str,
        dry_run: bool = False,
    ) -> T:
        assert (resource, namespace, manager, dry_run) == (LEASES, SYSTEM, FIELD_MANAGER, False)
        assert (manifest["apiVersion"], manifest["kind"]) == ("coordination.k8s.io/v1", "Lease")
        return await self._call("create", lambda: self.server.create(manifest), type_)

    async def merge_patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        type_: type[T],
        *,
        manager: str,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> T:
        assert (resource, namespace, name, manager, dry_run) == (LEASES, SYSTEM, LEASE_NAME, FIELD_MANAGER, False)
        assert patch["metadata"]["resourceVersion"], "a write that is no compare-and-swap"
        return await self._call("merge_patch", lambda: self.server.patch(patch), type_)

    async def _call(self, verb: str, do: Callable[[], Lease], type_: type[T]) -> T:
        self.calls.append(verb)
        # Whoever asked may stop waiting: what is on its way arrives and is done nevertheless.
        task = asyncio.create_task(self._travel(do, self.trip()))
        self._under_way.add(task)
        task.add_done_callback(self._arrived)
        answer = await asyncio.shield(task)
        assert isinstance(answer, type_)
        return answer

    def _arrived(self, task: asyncio.Task[Lease]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()

    async def _travel(self, do: Callable[[], Lease], trip: Trip) -> Lease:
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
        candidate = Candidate(name, self, Line(self.server), **options)
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
        await passes(3 * LOOK_EVERY)
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
