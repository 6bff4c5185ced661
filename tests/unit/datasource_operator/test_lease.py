"""Several electors on one Lease, in time that passes at once."""

import asyncio
import contextlib
import itertools
import random
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import Lease
from datasource.cluster.kube import LEASES, ApiError, Conflict, Forbidden, Kube, NotFound, Resource, Unavailable
from datasource_operator.decisions.election import (
    LEASE_DURATION,
    LOOK_EVERY,
    RECREATE_AFTER,
    RENEW_EVERY,
    REQUEST_DEADLINE,
)
from datasource_operator.lease import LEASE_NAME, RELEASE_DEADLINE, RENEW_DEADLINE, LeaseElector
from tests.unit.datasource_operator.merge_patch import merge_patched

T = TypeVar("T")

SYSTEM = "datasource-system"
NOW = datetime(2026, 7, 1, 14, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NO_TIME = timedelta(0)

# Issue 4: failover under 3 s after SIGTERM, and under 20 s after SIGKILL.
FAILOVER_AFTER_SIGTERM = timedelta(seconds=3)
FAILOVER_AFTER_SIGKILL = timedelta(seconds=20)


# The stage: time, an API server, candidates


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


# One leads, the others stand by


def test_the_first_one_leads_at_once() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        assert not a.elector.is_leading
        await stage.leader(within=LOOK_EVERY)
        assert a.elector.is_leading
        assert stage.server.spec == {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "acquireTime": stage.server.spec["renewTime"],
            "renewTime": stage.server.spec["renewTime"],
            "leaseTransitions": 0,
        }

    play(scene())


def test_of_two_that_start_together_one_leads() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = stage.enter("a"), stage.enter("b")
        await passes(timedelta(minutes=1))
        assert a.elector.is_leading != b.elector.is_leading
        assert len(stage.began) == 1

    play(scene())


def test_a_leader_goes_on_and_a_standby_writes_nothing() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        await passes(timedelta(minutes=5))
        assert stage.began == [("a", stage.began[0][1])]
        assert set(b.line.calls) == {"get"}
        assert set(a.line.calls[2:]) == {"merge_patch"}, "a renewal is one request"
        assert stage.server.spec["leaseTransitions"] == 0
        assert stage.server.spec["acquireTime"] < stage.server.spec["renewTime"]

    play(scene())


@pytest.mark.parametrize("offset", [timedelta(days=-400), timedelta(days=400)])
def test_wall_clocks_do_not_matter(offset: timedelta) -> None:
    async def scene() -> None:
        stage = Stage()
        stage.enter("a")
        await stage.leader()
        stage.enter("b", wall_clock_offset=offset, clock_offset=offset.total_seconds())
        await passes(timedelta(minutes=5))
        assert stage.working == ["a"]
        stage.candidates["a"].kill()
        assert (await stage.leader()).name == "b"

    play(scene())


def test_the_metric_says_who_leads() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        await passes(NO_TIME)
        assert status(a) == 0
        await stage.leader()
        assert status(a) == 1
        await a.stop()
        assert status(a) == 0

    play(scene())


def test_every_process_has_a_name_of_its_own() -> None:
    names = {LeaseElector(Line(ApiServer()), SYSTEM).identity for _ in range(2)}
    assert len(names) == 2


# The end of a leader


def test_after_sigterm_the_next_one_leads_at_once() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        await a.stop()
        assert a.task.cancelled()
        assert stage.server.spec["holderIdentity"] == ""
        assert (await stage.leader(within=FAILOVER_AFTER_SIGTERM)).name == "b"
        assert stage.server.spec["leaseTransitions"] == 1

    play(scene())


def test_after_sigkill_the_next_one_leads_when_the_lease_has_expired() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        killed_at = clock()
        a.kill()
        assert (await stage.leader(within=FAILOVER_AFTER_SIGKILL)).name == "b"
        # The last renewal may be RENEW_EVERY old at the kill.
        assert clock() - killed_at >= (LEASE_DURATION - RENEW_EVERY).total_seconds()

    play(scene())


def test_the_lease_is_held_until_the_work_has_ended() -> None:
    """A refresh under way at SIGTERM may take longer than a Lease lasts."""

    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        a.ending = 3 * LEASE_DURATION
        a.task.cancel()
        await passes(2 * LEASE_DURATION)
        assert not a.elector.is_leading
        assert status(a) == 0
        assert stage.working == ["a"]
        assert (await stage.leader(within=2 * LEASE_DURATION)).name == "a"
        await until(lambda: stage.working == ["b"], within=LEASE_DURATION + FAILOVER_AFTER_SIGTERM)
        assert stage.overlaps == []

    play(scene())


def test_cancelled_twice_it_leaves_the_lease_to_expire() -> None:
    """Work that goes on must not be joined by somebody else's at once."""

    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        a.ending = SECOND
        a.task.cancel()
        await passes(SECOND / 10)
        await a.stop()
        assert a.task.cancelled()
        assert stage.working == ["a"]
        assert stage.server.spec["holderIdentity"] == "a"
        await passes(SECOND)
        assert stage.working == []
        assert (await stage.leader(within=FAILOVER_AFTER_SIGKILL)).name == "b"

    play(scene())


def test_work_that_ends_by_itself_releases_the_lease() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        await a.stop()
        a.start(lambda: passes(SECOND))
        await a.task
        assert not a.elector.is_leading
        assert stage.server.spec["holderIdentity"] == ""

    play(scene())


def test_what_the_work_raises_is_raised_after_the_release() -> None:
    async def work() -> None:
        await passes(SECOND)
        raise RuntimeError("broken")

    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        await a.stop()
        a.start(work)
        with pytest.raises(RuntimeError, match="broken"):
            await a.task
        assert stage.server.spec["holderIdentity"] == ""

    play(scene())


def test_work_that_fails_while_it_is_ended_is_logged_and_the_lease_released() -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("broken")

    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        await a.stop()
        a.start(work)
        await until(lambda: a.elector.is_leading, within=LOOK_EVERY)
        with capture_logs() as logs:
            await a.stop()
        assert a.task.cancelled()
        assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["work failed while it was ended"]
        assert stage.server.spec["holderIdentity"] == ""

    play(scene())


def test_an_elector_that_is_run_again_holds_nothing_any_more() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        await stage.leader()
        await a.stop()
        stage.server.freeze()
        a.start()
        await passes(RENEW_DEADLINE)
        assert len(stage.began) == 1
        stage.server.thaw()
        await stage.leader()

    play(scene())


def test_a_standby_that_ends_writes_nothing() -> None:
    async def scene() -> None:
        stage = Stage()
        _, b = await stage.leader_and_standby()
        await b.stop()
        assert set(b.line.calls) == {"get"}

    play(scene())


@pytest.mark.parametrize("there", [SECOND / 10, NO_TIME], ids=["not done yet", "done"])
def test_a_process_that_ends_while_it_acquires_releases_what_it_may_have_got(there: timedelta) -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        a.line.trip = lambda: Trip(there=there, back=SECOND / 5 - there)
        await passes(SECOND / 4)
        assert a.line.calls == ["get", "create"]
        await a.stop()
        assert stage.server.spec["holderIdentity"] == ""

    play(scene())


def test_a_release_that_nobody_answers_does_not_hold_up_the_end() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        stage.server.freeze()
        cancelled_at = clock()
        with capture_logs() as logs:
            await a.stop()
        assert clock() - cancelled_at <= RELEASE_DEADLINE.total_seconds() + 0.01
        assert logs[-1]["event"] == "could not release the lease, it is left to expire"

    play(scene())


def test_a_release_is_tried_again() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        fates = iter([Fate.REFUSED, Fate.ANSWERED, Fate.LOST])
        a.line.trip = lambda: Trip(next(fates, Fate.ANSWERED))
        await a.stop()
        assert stage.server.spec["holderIdentity"] == ""
        assert (await stage.leader(within=FAILOVER_AFTER_SIGTERM)).name == "b"

    play(scene())


def test_a_release_without_an_answer_does_not_take_the_lease_from_the_next_one() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        fates = iter([Fate.ANSWERED, Fate.DONE_UNANSWERED])
        a.line.trip = lambda: Trip(next(fates, Fate.ANSWERED))
        a.task.cancel()
        assert (await stage.leader(within=NO_TIME)).name == "a"
        await until(lambda: stage.working == ["b"], within=FAILOVER_AFTER_SIGTERM)
        await until(a.task.done, within=RELEASE_DEADLINE)
        await passes(timedelta(minutes=1))
        assert b.elector.is_leading
        assert len(stage.began) == 2

    play(scene())


# An API server that does not answer


def test_a_leader_that_is_cut_off_ends_before_the_next_one_begins() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        a.ending = (LEASE_DURATION - RENEW_DEADLINE) * 0.99
        a.line.is_cut = True
        cut_at = clock()
        await until(lambda: not a.elector.is_leading, within=RENEW_DEADLINE + SECOND / 10)
        assert status(a) == 0
        await until(lambda: stage.working == ["b"], within=FAILOVER_AFTER_SIGKILL)
        assert clock() - cut_at <= FAILOVER_AFTER_SIGKILL.total_seconds()
        assert stage.overlaps == []
        a.line.is_cut = False
        await passes(timedelta(minutes=1))
        assert stage.working == ["b"]
        assert not a.elector.is_leading

    play(scene())


@pytest.mark.parametrize("frozen_for", [SECOND, RENEW_DEADLINE / 2, 2 * LEASE_DURATION, timedelta(hours=1)])
def test_a_frozen_api_server_changes_no_leader(frozen_for: timedelta) -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        stage.server.freeze()
        await passes(frozen_for)
        assert a.elector.is_leading == (frozen_for < RENEW_DEADLINE)
        stage.server.thaw()
        # An attempt that just began is waited for, and then comes the pause.
        await passes(REQUEST_DEADLINE + 2 * LOOK_EVERY)
        assert a.elector.is_leading
        assert not b.elector.is_leading
        assert stage.overlaps == []
        assert stage.server.spec["leaseTransitions"] == 0

    play(scene())


@pytest.mark.parametrize("each", [REQUEST_DEADLINE * 0.54, REQUEST_DEADLINE * 0.97])
def test_an_api_server_whose_every_answer_is_slow_has_a_leader_and_keeps_it(each: timedelta) -> None:
    """A look and a write together may take longer than one request may."""

    async def scene() -> None:
        stage = Stage()
        a, b = stage.enter("a"), stage.enter("b")
        for candidate in (a, b):
            candidate.line.trip = lambda: Trip(there=each / 2, back=each / 2)
        first = await stage.leader(within=4 * each + 4 * LOOK_EVERY)
        await passes(timedelta(minutes=5))
        assert stage.working == [first.name]
        first.kill()
        (other,) = {"a", "b"} - {first.name}
        # Between two slow looks only COUNTED_GAP counts, so it takes longer than elsewhere.
        await until(lambda: stage.working == [other], within=3 * LEASE_DURATION)
        assert [name for name, _ in stage.began] == [first.name, other]
        assert stage.overlaps == []

    play(scene())


def test_a_short_outage_does_not_interrupt_the_work() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        a.line.is_cut = True
        await passes(RENEW_DEADLINE - RENEW_EVERY - REQUEST_DEADLINE)
        a.line.is_cut = False
        await passes(timedelta(minutes=1))
        assert len(stage.began) == 1

    play(scene())


def test_a_leader_whose_holder_died_in_an_outage_is_replaced_after_it() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        stage.server.freeze()
        a.kill()
        await passes(timedelta(minutes=5))
        stage.server.thaw()
        await passes(LEASE_DURATION / 2)
        assert stage.working == [], "time without answers counted"
        assert (await stage.leader()).name == "b"

    play(scene())


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.DONE_UNANSWERED, Fate.REFUSED])
def test_a_renewal_without_a_clear_answer_is_looked_up(fate: Fate) -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        before = len(a.line.calls)
        fates = iter([fate])
        a.line.trip = lambda: Trip(next(fates, Fate.ANSWERED))
        await until(lambda: len(a.line.calls) >= before + 4, within=timedelta(minutes=1))
        assert a.line.calls[before : before + 4] == ["merge_patch", "get", "merge_patch", "merge_patch"]
        assert len(stage.began) == 1
        assert a.elector.is_leading

    play(scene())


def test_an_acquisition_without_an_answer_is_found_to_be_ours() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        fates = iter([Fate.ANSWERED, Fate.DONE_UNANSWERED])
        a.line.trip = lambda: Trip(next(fates, Fate.ANSWERED))
        await stage.leader(within=3 * LOOK_EVERY)
        assert a.line.calls == ["get", "create", "get", "merge_patch"]

    play(scene())


def test_an_acquisition_that_is_done_long_after_we_gave_it_up_is_found_to_be_ours() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        a.kill()
        await until(lambda: "merge_patch" in b.line.calls, within=FAILOVER_AFTER_SIGKILL)
        stage.server.freeze()
        await passes(timedelta(minutes=1))
        assert stage.working == []
        stage.server.thaw()
        assert (await stage.leader(within=REQUEST_DEADLINE + 2 * LOOK_EVERY)).name == "b"
        assert stage.server.spec["leaseTransitions"] == 1

    play(scene())


def test_a_process_that_was_stopped_knows_at_once_that_it_leads_no_more() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        a.clock_offset += RENEW_DEADLINE.total_seconds()
        assert not a.elector.is_leading
        await until(lambda: a.elector.is_leading, within=FAILOVER_AFTER_SIGKILL)
        assert stage.overlaps == []

    play(scene())


def test_an_answer_that_comes_too_late_makes_nobody_leader() -> None:
    """The process was stopped between a request and its answer."""

    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a")
        a.line.trip = lambda: Trip(back=SECOND)
        await until(lambda: a.line.calls == ["get", "create"], within=3 * SECOND)
        a.clock_offset += RENEW_DEADLINE.total_seconds()
        a.line.trip = Trip
        await passes(SECOND * 1.5)
        assert stage.server.spec["holderIdentity"] == "a"
        assert stage.working == []
        await stage.leader(within=2 * RENEW_EVERY)

    play(scene())


def test_a_leader_whose_work_takes_long_to_end_is_no_candidate_before() -> None:
    async def scene() -> None:
        stage = Stage()
        a = stage.enter("a", ending=2 * LEASE_DURATION)
        await stage.leader()
        a.line.is_cut = True
        await passes(RENEW_DEADLINE)
        with capture_logs() as logs:
            await passes(LEASE_DURATION)
        assert "work takes long to end; we are no candidate before" in [entry["event"] for entry in logs]
        a.line.is_cut = False
        await passes(LEASE_DURATION / 3)
        assert not a.elector.is_leading
        assert stage.working == ["a"]
        await until(lambda: a.elector.is_leading, within=LEASE_DURATION)
        assert [name for name, _ in stage.began] == ["a", "a"]
        assert stage.overlaps == []

    play(scene())


def test_trouble_is_logged_once_and_again_after_it_was_over() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        with capture_logs() as logs:
            for _ in range(2):
                a.line.trip = lambda: Trip(Fate.REFUSED)
                await passes(RENEW_DEADLINE / 2)
                a.line.trip = Trip
                await passes(RENEW_DEADLINE / 2)
        warnings = [entry for entry in logs if entry["log_level"] == "warning"]
        assert len(warnings) == 2
        assert "etcdserver: request timed out" in warnings[0]["error"]

    play(scene())


def test_a_standby_logs_each_outage_once() -> None:
    async def scene() -> None:
        stage = Stage()
        _, b = await stage.leader_and_standby()
        with capture_logs() as logs:
            for _ in range(2):
                b.line.is_cut = True
                await passes(timedelta(minutes=1))
                b.line.is_cut = False
                await passes(timedelta(minutes=1))
        assert [entry["error"] for entry in logs] == ["no answer in time"] * 2

    play(scene())


def test_whoever_may_not_read_leases_stands_by_until_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        stage = Stage()
        with monkeypatch.context() as forbidden, capture_logs() as logs:
            refusal = Forbidden(403, "Forbidden", "leases is forbidden")

            def refuse() -> Lease:
                raise refusal

            forbidden.setattr(stage.server, "read", refuse)
            stage.enter("a")
            await passes(timedelta(minutes=1))
            assert stage.working == []
        assert [entry["error"] for entry in logs if "error" in entry] == ["403 Forbidden: leases is forbidden"]
        await stage.leader(within=2 * LOOK_EVERY)

    play(scene())


# People


def test_a_label_does_not_interrupt_the_work() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        with capture_logs() as logs:
            for _ in range(10):
                stage.server.patch({"metadata": {"labels": {"looked-at": str(clock())}}})
                await passes(RENEW_EVERY * 1.5)
        assert logs == []
        assert a.elector.is_leading
        assert len(stage.began) == 1

    play(scene())


def test_a_deleted_lease_is_made_anew_by_its_holder() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        acquired_at = stage.server.spec["acquireTime"]
        stage.server.delete()
        await passes(timedelta(minutes=1))
        assert a.elector.is_leading
        assert len(stage.began) == 1
        assert set(b.line.calls) == {"get"}
        assert stage.server.spec["acquireTime"] == acquired_at

    play(scene())


def test_a_deleted_lease_whose_holder_died_is_made_anew_by_another() -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        stage.server.patch({"spec": {"leaseTransitions": 6}})
        await passes(2 * RENEW_EVERY)
        stage.server.delete()
        a.kill()
        deleted_at = clock()
        assert (await stage.leader(within=RECREATE_AFTER + FAILOVER_AFTER_SIGKILL)).name == "b"
        assert clock() - deleted_at >= LEASE_DURATION.total_seconds()
        assert stage.server.spec["leaseTransitions"] == 7

    play(scene())


def test_a_lease_that_comes_and_goes_while_nobody_looks_is_not_taken_for_one_that_is_gone() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        c = stage.enter("c")
        await passes(3 * LOOK_EVERY)
        stage.server.delete()
        a.kill()
        await passes(RECREATE_AFTER - 2 * LOOK_EVERY)
        c.line.is_cut = True
        await until(lambda: b.elector.is_leading, within=RECREATE_AFTER + FAILOVER_AFTER_SIGKILL)
        stage.server.delete()
        b.line.is_cut, c.line.is_cut = True, False
        await passes(timedelta(minutes=1))
        assert stage.working == ["c"]
        assert stage.overlaps == []

    play(scene())


def handed_over(server: ApiServer) -> None:
    """To the one that stands by."""
    server.patch({"spec": {"holderIdentity": "b"}})


def handed_to_nobody_known(server: ApiServer) -> None:
    server.patch({"spec": {"holderIdentity": "somebody"}})


def emptied(server: ApiServer) -> None:
    server.patch({"spec": {"holderIdentity": ""}})


def wiped(server: ApiServer) -> None:
    server.patch({"spec": {"holderIdentity": None, "renewTime": None, "acquireTime": None, "leaseTransitions": None}})


@pytest.mark.parametrize("alter", [handed_over, handed_to_nobody_known, emptied, wiped])
@pytest.mark.parametrize("is_cut", [False, True], ids=["in touch", "cut off"])
def test_a_lease_that_was_altered_by_hand_has_never_two_leaders(
    alter: Callable[[ApiServer], None], is_cut: bool
) -> None:
    async def scene() -> None:
        stage = Stage()
        a, _ = await stage.leader_and_standby()
        alter(stage.server)
        altered_at = clock()
        a.line.is_cut = is_cut
        # In touch, it learns it at the next renewal, and by a look after that.
        await until(lambda: not stage.working, within=RENEW_DEADLINE if is_cut else RENEW_EVERY + 2 * LOOK_EVERY)
        assert not a.elector.is_leading
        await until(lambda: len(stage.began) == 2, within=FAILOVER_AFTER_SIGKILL)
        assert clock() - altered_at >= LEASE_DURATION.total_seconds()
        await passes(timedelta(minutes=1))
        assert len(stage.began) == 2
        assert len(stage.working) == 1
        assert stage.overlaps == []

    play(scene())


def test_an_old_copy_that_is_restored_by_hand_gives_nobody_the_lease() -> None:
    async def scene() -> None:
        stage = Stage()
        a, b = await stage.leader_and_standby()
        copy = dict(stage.server.spec)
        await passes(2 * RENEW_EVERY)
        a.line.is_cut = True
        await until(lambda: stage.working == ["b"], within=FAILOVER_AFTER_SIGKILL)
        a.line.is_cut = False
        await passes(2 * REQUEST_DEADLINE)
        b.line.is_cut = True
        stage.server.patch({"spec": copy})
        await passes(timedelta(minutes=1))
        assert len(stage.began) == 3
        assert stage.working == ["a"]
        assert stage.overlaps == []

    play(scene())


# Never two, whatever happens


class Trouble(Enum):
    """What can happen to the API server, or to one of the candidates."""

    FREEZE = auto()
    CUT_OFF = auto()
    SLOW = auto()
    UNCLEAR = auto()
    SIGTERM = auto()
    SIGKILL = auto()
    DELETE = auto()
    HAND_OVER = auto()
    EMPTY = auto()
    LABEL = auto()


FAULTS = (Trouble.FREEZE, Trouble.CUT_OFF, Trouble.SLOW, Trouble.UNCLEAR, Trouble.LABEL)
RESTARTS = (Trouble.SIGTERM, Trouble.SIGKILL)
# Not together with restarts: a process that has never seen the Lease takes a deleted one for a first installation.
BY_HAND = (Trouble.DELETE, Trouble.HAND_OVER, Trouble.EMPTY)


@dataclass(frozen=True)
class Event:
    """A trouble that begins so long after the one before."""

    after: timedelta
    trouble: Trouble
    whom: int
    lasts: timedelta


def seconds(most: float) -> st.SearchStrategy[timedelta]:
    return st.integers(0, int(most * 4)).map(lambda quarters: timedelta(seconds=quarters / 4))


def events(troubles: tuple[Trouble, ...]) -> st.SearchStrategy[list[Event]]:
    return st.lists(
        st.builds(Event, seconds(20), st.sampled_from(troubles), st.integers(0, 2), seconds(30)), max_size=10
    )


@dataclass
class Play:
    """Three candidates, and what happens to them."""

    seed: int
    stage: Stage = field(default_factory=Stage)
    cast: list[Candidate] = field(default_factory=list)
    _random: random.Random = field(init=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _troubles: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - delays, not secrets
        self.cast = [self._newcomer() for _ in range(3)]

    async def run(self, events: list[Event]) -> None:
        """Let it all happen, and wait until it is over."""
        await passes(3 * LOOK_EVERY)  # everybody has seen the Lease
        for event in events:
            await passes(event.after)
            self._troubles.add(asyncio.create_task(self._happen(event)))
        if self._troubles:
            await asyncio.wait(self._troubles)

    async def _happen(self, event: Event) -> None:
        candidate = self.cast[event.whom]
        match event.trouble:
            case Trouble.FREEZE:
                self.stage.server.freeze()
                await passes(event.lasts)
                self.stage.server.thaw()
            case Trouble.CUT_OFF:
                candidate.line.is_cut = True
                await passes(event.lasts)
                candidate.line.is_cut = candidate is not self.cast[event.whom]
            case Trouble.SLOW:
                candidate.line.trip = self._slow
                await passes(event.lasts)
                candidate.line.trip = self._quick
            case Trouble.UNCLEAR:
                candidate.line.trip = self._unclear
                await passes(event.lasts)
                candidate.line.trip = self._quick
            case Trouble.SIGTERM:
                self.cast[event.whom] = self._newcomer()
                await candidate.stop()
            case Trouble.SIGKILL:
                self.cast[event.whom] = self._newcomer()
                candidate.kill()
            case Trouble.DELETE:
                self.stage.server.delete()
            case Trouble.HAND_OVER:
                self._patch({"spec": {"holderIdentity": candidate.name}})
            case Trouble.EMPTY:
                self._patch({"spec": {"holderIdentity": ""}})
            case Trouble.LABEL:
                self._patch({"metadata": {"labels": {"a": "b"}}})

    def _patch(self, patch: Mapping[str, Any]) -> None:
        with contextlib.suppress(NotFound):
            self.stage.server.patch(patch)

    def _newcomer(self) -> Candidate:
        newcomer = self.stage.enter(
            f"candidate-{next(self._numbers)}",
            # As long as it may take; beyond that only the Secrets' resourceVersions help.
            ending=self._up_to((LEASE_DURATION - RENEW_DEADLINE) * 0.99),
            clock_offset=self._random.uniform(-1e6, 1e6),
            wall_clock_offset=self._up_to(timedelta(days=3)),
        )
        newcomer.line.trip = self._quick
        return newcomer

    def _quick(self) -> Trip:
        return Trip(there=self._up_to(SECOND / 5), back=self._up_to(SECOND / 5))

    def _slow(self) -> Trip:
        return Trip(there=self._up_to(SECOND * 20), back=self._up_to(SECOND * 4))

    def _unclear(self) -> Trip:
        return replace(self._slow(), fate=self._random.choice(tuple(Fate)))

    def _up_to(self, most: timedelta) -> timedelta:
        return most * self._random.random()


def plays_well(seed: int, happens: list[Event]) -> None:
    """Never two at work, and one at work when all is well again."""

    async def scene() -> None:
        played = Play(seed)
        await played.run(happens)
        # The last trouble may have cost the Lease twice over.
        await passes(4 * LEASE_DURATION)
        assert played.stage.overlaps == []
        assert len(played.stage.working) == 1
        assert [each.elector.is_leading for each in played.cast].count(True) == 1

    play(scene())


@settings(max_examples=40)
@given(st.integers(0, 2**16), events(FAULTS + RESTARTS))
def test_never_two_work_at_once_through_faults_and_restarts(seed: int, happens: list[Event]) -> None:
    plays_well(seed, happens)


@settings(max_examples=40)
@given(st.integers(0, 2**16), events(FAULTS + BY_HAND))
def test_never_two_work_at_once_through_faults_and_alterations_by_hand(seed: int, happens: list[Event]) -> None:
    plays_well(seed, happens)
