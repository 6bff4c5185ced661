"""onboard, authorize, storm, growth, fairness: benches of what the operator writes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from bench.bare import IN_FLIGHT, Seen, Watch, in_flight
from bench.figures import Report, at_least, at_most, never_above
from bench.fleet import Fleet, Member
from bench.limit import DRIVER, Spent, attainable
from bench.meter import LINK_KEYS, NOT_OF_OBJECTS, Calls
from bench.world import World, world
from datasource.api.clock import rfc3339

RUNS = 3
PROVIDER_LATENCY = 0.005
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of many objects: how long, what was asked of the API server, what CPU our process used."""

    objects: int
    seconds: float
    calls: Calls
    cpu_seconds: float = 0.0
    spent: Spent | None = None
    """Of all that worked beside our process, and of the machine, where it was measured."""

    @property
    def rate(self) -> float:
        """Objects per second."""
        return self.objects / self.seconds

    @property
    def writes(self) -> float:
        """Writes per object, to Datasources and Secrets."""
        return self.calls.writes(besides=NOT_OF_OBJECTS | {LINK_KEYS}) / self.objects

    @property
    def cpu(self) -> float:
        """Milliseconds of our CPU per object."""
        return 1000 * self.cpu_seconds / self.objects


def has_link(seen: Seen) -> bool:
    """The first state and the link are there."""
    return bool(seen.status.state and seen.status.authorization_link)


def is_authorized(seen: Seen) -> bool:
    """Its token Secret is there, too: the state is written last."""
    return seen.status.state == "AUTHORIZED"


async def onboard(report: Report, *, count: int = 1000, runs: int = RUNS) -> None:
    """Datasources applied at once until all have their first state and link."""
    async with world("onboard", report) as here:
        for _ in range(runs):
            raw = await onboarded_raw(here, await here.fleet(count))
            ours = await onboarded(here, await here.fleet(count))
            _compare(here, ours, raw, ratio=0.7, writes=1)


async def onboarded(here: World, fleet: Fleet) -> Run:
    """One run of ours."""
    async with here.operator(fleet) as operator, Watch(here.load, fleet.namespace, has_link) as watch:
        await _leads(here)
        here.audit.skip()
        cpu, begun = operator.cpu(), time.monotonic()
        await fleet.apply()
        ended = await watch.until(len(fleet))
        used = operator.cpu() - cpu
        await asyncio.sleep(1)  # for what is written after the last status
        return Run(len(fleet), ended - begun, here.calls(raw=False), used)


async def onboarded_raw(here: World, fleet: Fleet) -> Run:
    """One run of the raw driver."""
    async with Watch(here.load, fleet.namespace, has_link) as watch:
        here.audit.skip()
        begun = time.monotonic()
        await _driven(fleet.apply, lambda member: fleet.onboard(here.raw, member))
        ended = await watch.until(len(fleet))
        return Run(len(fleet), ended - begun, here.calls(raw=True))


async def authorize(report: Report, *, count: int = 1000, runs: int = RUNS) -> None:
    """Stored credentials that appear at once until all are AUTHORIZED with token Secrets."""
    async with world("authorize", report) as here:
        for _ in range(runs):
            raw = await authorized_raw(here, await waiting(here, count))
            ours = await authorized(here, await waiting(here, count))
            _compare(here, ours, raw, ratio=0.8, writes=2)


async def waiting(here: World, count: int) -> Fleet:
    """A fleet with links, for which nobody has authorized yet."""
    fleet = await here.fleet(count)
    await fleet.apply()
    await fleet.offer_links()
    return fleet


async def authorized(here: World, fleet: Fleet) -> Run:
    """One run of ours."""
    async with here.operator(fleet) as operator, Watch(here.load, fleet.namespace, is_authorized) as watch:
        await _leads(here)
        await is_quiet(operator.cpu)
        here.audit.skip()
        cpu, begun = operator.cpu(), time.monotonic()
        await fleet.store_credentials()
        ended = await watch.until(len(fleet))
        used = operator.cpu() - cpu
        await asyncio.sleep(1)
        return Run(len(fleet), ended - begun, here.calls(raw=False), used)


async def authorized_raw(here: World, fleet: Fleet) -> Run:
    """One run of the raw driver."""
    async with Watch(here.load, fleet.namespace, is_authorized) as watch:
        here.audit.skip()
        begun = time.monotonic()
        await _driven(
            lambda stored: fleet.store_credentials(stored=stored), lambda member: fleet.authorize(here.raw, member)
        )
        ended = await watch.until(len(fleet))
        return Run(len(fleet), ended - begun, here.calls(raw=True))


async def storm(report: Report, *, count: int = 1000, runs: int = RUNS) -> None:
    """Refreshes that are all due at the moment in which the operator begins to lead, its caches warm."""
    async with world("storm", report, latency=PROVIDER_LATENCY) as here:
        fleet = await _settled(here, count)
        for _ in range(runs):
            raw = await refreshed_raw(here, fleet)
            watched = await watched_raw(here, fleet)
            ours = await refreshed(here, fleet)
            here.add("raw driver that a standby watches, to raw driver", "ratio", watched.rate / raw.rate)
            here.add("CPU an object, of a standby that watches", "ms", watched.cpu)
            _compare(here, ours, raw, ratio=0.75, writes=4, cpu=6)


async def _settled(here: World, count: int) -> Fleet:
    fleet = await here.fleet(count)
    await fleet.settle()
    return fleet


async def refreshed(here: World, fleet: Fleet) -> Run:
    """One run of ours."""
    await fleet.make_due()
    async with here.operator(fleet, stands_by=True) as operator:
        await is_quiet(operator.cpu)
        async with Watch(here.load, fleet.namespace, refreshed_since(datetime.now(UTC))) as watch:
            here.audit.skip()
            cpu, before = operator.cpu(), here.spent()
            begun = await here.let_lead()
            ended = await watch.until(len(fleet))
            used, spent = operator.cpu() - cpu, here.spent(before)
            await asyncio.sleep(1)
            return Run(len(fleet), ended - begun, here.calls(raw=False), used, spent)


async def refreshed_raw(here: World, fleet: Fleet) -> Run:
    """One run of the raw driver."""
    await fleet.make_due()
    return await _raw_storm(here, fleet)


async def watched_raw(here: World, fleet: Fleet) -> Run:
    """One run of the raw driver beside a standby, whose CPU it has: what it costs to watch, and to do nothing else."""
    await fleet.make_due()
    async with here.operator(fleet, stands_by=True) as standby:
        await is_quiet(standby.cpu)
        cpu = standby.cpu()
        run = await _raw_storm(here, fleet)
        await is_quiet(standby.cpu)
        return replace(run, cpu_seconds=standby.cpu() - cpu)


async def _raw_storm(here: World, fleet: Fleet) -> Run:
    async with Watch(here.load, fleet.namespace, refreshed_since(datetime.now(UTC))) as watch:
        here.audit.skip()
        before, begun = here.spent(), time.monotonic()
        await in_flight(partial(fleet.refresh, here.raw, each) for each in fleet.members.values())
        ended, spent = await watch.until(len(fleet)), here.spent(before)
        return Run(len(fleet), ended - begun, here.calls(raw=True), spent.by_process[DRIVER], spent)


def refreshed_since(moment: datetime) -> Callable[[Seen], bool]:
    """It was refreshed at that moment or later."""
    # Both are RFC 3339 in UTC with whole seconds: they sort as text.
    text = rfc3339(moment)
    return lambda seen: seen.status.refreshed_at >= text and seen.status.state == "AUTHORIZED"


async def growth(report: Report, *, sizes: tuple[int, ...] = (250, 1000, 4000), runs: int = RUNS) -> None:
    """Storms of several sizes: whether an object costs more where there are more of them."""
    async with world("growth", report, latency=PROVIDER_LATENCY) as here:
        fleets = {size: await _settled(here, size) for size in sizes}
        for _ in range(runs):
            costs = {}
            for size, fleet in fleets.items():
                run = await refreshed(here, fleet)
                costs[size] = run.cpu
                here.add(f"CPU an object at {size}", "ms", run.cpu)
                here.add(f"requests an object at {size}", "requests", _requests(run))
            raw = await refreshed_raw(here, fleets[min(sizes)])
            here.add(f"raw driver: its CPU an object at {min(sizes)}", "ms", raw.cpu)
            grown = 100 * (costs[max(sizes)] / costs[min(sizes)] - 1)
            here.add(f"cost an object at {max(sizes)} over that at {min(sizes)}", "%", grown, wanted=at_most(10))


def _requests(run: Run) -> float:
    return sum(count for call, count in run.calls.items() if call.resource != "leases") / run.objects


async def fairness(report: Report, *, count: int = 2000, runs: int = RUNS) -> None:
    """One new Datasource in the middle of a storm."""
    async with world("fairness", report, latency=PROVIDER_LATENCY) as here:
        fleet = await _settled(here, count)
        for _ in range(runs):
            here.add("raw driver: first state of a new one", "s", await _first_state_raw(here, fleet))
            here.add("first state of a new one", "s", await _first_state(here, fleet), wanted=at_most(2))


async def _first_state(here: World, fleet: Fleet) -> float:
    await fleet.make_due()
    newcomer = await here.fleet(1)
    async with here.operator(fleet, newcomer, stands_by=True) as operator:
        await is_quiet(operator.cpu)
        async with (
            Watch(here.load, fleet.namespace, refreshed_since(datetime.now(UTC))) as storming,
            Watch(here.load, newcomer.namespace, has_link) as watch,
        ):
            await here.let_lead()
            await storming.until(len(fleet) // 10)
            begun = time.monotonic()
            await newcomer.apply()
            seconds = await watch.until(1) - begun
            _require_storm(len(storming.shown), len(fleet))
            await storming.until(len(fleet))
            return seconds


async def _first_state_raw(here: World, fleet: Fleet) -> float:
    await fleet.make_due()
    newcomer = await here.fleet(1)
    async with (
        Watch(here.load, fleet.namespace, refreshed_since(datetime.now(UTC))) as storming,
        Watch(here.load, newcomer.namespace, has_link) as watch,
    ):
        jobs = (partial(fleet.refresh, here.raw, each) for each in fleet.members.values())
        driving = asyncio.create_task(in_flight(jobs))
        await storming.until(len(fleet) // 10)
        begun = time.monotonic()
        await _driven(newcomer.apply, lambda member: newcomer.onboard(here.raw, member))
        seconds = await watch.until(1) - begun
        await driving
        return seconds


def _require_storm(done: int, count: int) -> None:
    if done >= count:
        raise AssertionError("the storm was over before the new Datasource had its state: nothing was measured")


def _compare(here: World, ours: Run, raw: Run, *, ratio: float, writes: float, cpu: float | None = None) -> None:
    here.add("raw driver", "objects/s", raw.rate)
    here.add("operator", "objects/s", ours.rate)
    here.add("operator to raw driver", "ratio", ours.rate / raw.rate, wanted=at_least(ratio))
    here.add("writes an object", "writes", ours.writes, wanted=never_above(writes))
    most = ours.calls.most_writes()
    here.add("writes of the object that took most", "writes", most, wanted=never_above(writes))
    for (namespace, name), calls in ours.calls.written.items():
        if len(calls) > writes:
            here.report.out(f"      {namespace}/{name} took {len(calls)} writes: {', '.join(calls)}")
    here.add("raw driver: writes an object", "writes", raw.writes)
    here.add("Events an object, besides", "writes", ours.calls.events() / ours.objects)
    if raw.cpu_seconds:
        here.add("raw driver: its CPU an object", "ms", raw.cpu)
    here.add("CPU an object", "ms", ours.cpu, wanted=None if cpu is None else at_most(cpu))
    add_limit(here, ours, raw)
    here.report.out(f"      an object of ours: {ours.calls.told(ours.objects)}")
    here.report.out(f"      an object of the raw driver: {raw.calls.told(raw.objects)}")


def add_limit(here: World, ours: Run, raw: Run) -> None:
    """Add where the CPU of an object goes, and how near to the raw driver that lets ours come, where both were measured."""
    if ours.spent is None or raw.spent is None:
        return
    by_ours, by_raw = ours.spent / ours.objects, raw.spent / raw.objects
    for beside, each in (("", by_ours), ("raw driver: ", by_raw)):
        here.add(f"{beside}CPU an object, of the machine", "ms", 1000 * each.machine)
        for name, seconds in each.by_process.items():
            here.add(f"{beside}CPU an object, of {name}", "ms", 1000 * seconds)
    here.add("cores that work", "cores", ours.spent.machine / ours.seconds)
    here.add("raw driver: cores that work", "cores", raw.spent.machine / raw.seconds)
    here.add("the ratio that our CPU allows", "ratio", attainable(by_raw, by_ours, ours.cpu / 1000))


async def _driven(
    load: Callable[[Callable[[Member], None]], Awaitable[None]], drive: Callable[[Member], Awaitable[None]]
) -> None:
    """Load with 32 in flight, and beside it drive what was loaded with 32 in flight."""
    ready: asyncio.Queue[Member | None] = asyncio.Queue()

    async def work() -> None:
        while (member := await ready.get()) is not None:
            await drive(member)

    async with asyncio.TaskGroup() as workers:
        for _ in range(IN_FLIGHT):
            workers.create_task(work())
        await load(ready.put_nowait)
        for _ in range(IN_FLIGHT):
            ready.put_nowait(None)


async def _leads(here: World) -> None:
    """Wait until the operator holds the Lease."""
    while not await here.is_led():
        await asyncio.sleep(0.1)


async def is_quiet(cpu: Callable[[], float]) -> None:
    """Wait until a process has nothing to do: it has read its lists and looked at everything."""
    before = cpu()
    while True:
        await asyncio.sleep(1)
        now = cpu()
        if now - before < 0.1:
            return
        before = now
