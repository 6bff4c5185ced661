"""`python -m bench scale`: 100,000 Datasources with their credentials and token Secrets, loaded in parts.

Start to caught up, memory at its peak, what an idle operator uses, the first refresh after a failover with all of them in the
caches, a storm of those that are due, and what etcd keeps of an object. It takes an hour or more and 10 GiB, so no other run of
benches does it. SCALE_OBJECTS (100000) and SCALE_DUE (20000) bound it.
"""

import asyncio
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.bare import Watch
from bench.figures import Report, at_most, never_above
from bench.fleet import Fleet
from bench.meter import peak_kib, resident_kib
from bench.objects import LIFETIME
from bench.world import World, caught_up, world
from bench.writing import PROVIDER_LATENCY, refreshed_since
from deploy.local.progress import Steps, Ticker
from tests.support import etcd

_PART = 2_500
"""Datasources in a namespace."""

_IDLE_WINDOW = 60.0
"""Seconds."""

_LONG_LIFE = timedelta(hours=12)
"""Of the tokens that are loaded: none of them becomes due while others are."""

_DUE_AGE = LIFETIME * 2 / 3
"""Of those of the storm: as old as a token is when it becomes due. A third of its life is left."""

_PATIENCE = 3600.0
"""Seconds until a wait gives up: a bound against hanging."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many there are, and how many of them become due."""

    objects: int
    due: int

    @classmethod
    def of(cls, environ: dict[str, str]) -> "Size":
        """Read it from the environment."""
        return cls(int(environ.get("SCALE_OBJECTS", "100000")), int(environ.get("SCALE_DUE", "20000")))


async def scale(report: Report) -> None:
    """Everything from an empty cluster on."""
    size = Size.of(dict(os.environ))
    async with world("scale", report, latency=PROVIDER_LATENCY, lifetime=int(LIFETIME.total_seconds())) as here:
        steps = Steps(5, report.out)
        steps.next("a start without any")
        empty = await _empty(here)
        steps.next(f"loading {size.objects} Datasources, each with two Secrets")
        before = _etcd_bytes(here)
        fleets = await _loaded(here, size.objects)
        kept = (_etcd_bytes(here) - before) / size.objects
        here.add("etcd keeps of a Datasource and its two Secrets", "KB", kept / 1000, wanted=at_most(15))
        steps.next("a start")
        await _start(here, size, empty)
        steps.next("a failover")
        await _failover(here, fleets[0])
        due = fleets[: max(size.due // _PART, 1)]
        steps.next(f"a storm of {sum(map(len, due))} that are due")
        await _storm(here, due)


async def _loaded(here: World, objects: int) -> list[Fleet]:
    ticker = Ticker(here.report.out)
    fleets = []
    for begin in range(0, objects, _PART):
        fleet = await here.fleet(min(_PART, objects - begin))
        loading = asyncio.create_task(fleet.settle(LIFETIME - _LONG_LIFE))
        while not loading.done():
            await asyncio.wait({loading}, timeout=1)
            ticker.tick(f"{begin} of {objects} are loaded".__str__)
        await loading
        fleets.append(fleet)
    here.report.out(f"      {objects} settled Datasources were loaded in {ticker.elapsed}")
    return fleets


async def _empty(here: World) -> float:
    """Memory (KiB) of an operator that has nothing to do; what an installation needs once is made, too."""
    async with here.operator() as operator:
        await caught_up(operator)
        return resident_kib(operator.pid)


async def _start(here: World, size: Size, empty: float) -> None:
    """One start over all of them, and a minute in which nothing happens."""
    here.audit.skip()
    begun = time.monotonic()
    async with here.operator() as operator:
        here.add("start to caught up", "s", await caught_up(operator) - begun, wanted=at_most(60))
        here.add("memory at its peak", "MiB", peak_kib(operator.pid) / 1024, wanted=at_most(400))
        here.add("memory at rest", "MiB", resident_kib(operator.pid) / 1024)
        here.add("an object, over the empty process", "KiB", (resident_kib(operator.pid) - empty) / size.objects)
        calls = here.calls(raw=False)
        here.add("writes of a start but the Lease", "writes", calls.writes() + calls.events(), wanted=never_above(0))
        cpu, begun = operator.cpu(), time.monotonic()
        await asyncio.sleep(_IDLE_WINDOW)
        share = (operator.cpu() - cpu) / (time.monotonic() - begun)
        here.add("CPU of an idle operator", "% of a core", 100 * share)
        calls = here.calls(raw=False)
        here.add("writes of an idle operator", "writes", calls.writes() + calls.events(), wanted=never_above(0))


async def _failover(here: World, fleet: Fleet) -> None:
    """A standby with all of them in its caches takes over while one is due."""
    async with here.operator(stands_by=True) as operator:
        await caught_up(operator)
        await fleet.make_due(_DUE_AGE, count=1)
        await caught_up(operator)
        async with Watch(here.load, fleet.namespace, refreshed_since(datetime.now(UTC)), patience=_PATIENCE) as watch:
            begun = await here.let_lead()
            ended = await watch.until(1)
            here.add("failover to the first refresh that was due", "s", ended - begun, wanted=at_most(5))


async def _storm(here: World, fleets: list[Fleet]) -> None:
    """All of these are due when the operator begins to lead; the others stand beside them."""
    count = sum(map(len, fleets))
    for fleet in fleets:
        await fleet.make_due(_DUE_AGE)
    ends = {(fleet.namespace, each.name): fleet.expires_at(each) for fleet in fleets for each in fleet.members.values()}
    async with AsyncExitStack() as watching, here.operator(stands_by=True) as operator:
        await caught_up(operator)
        shows = refreshed_since(datetime.now(UTC))
        watches = [
            await watching.enter_async_context(Watch(here.load, fleet.namespace, shows, patience=_PATIENCE))
            for fleet in fleets
        ]
        cpu, begun = operator.cpu(), await here.let_lead()
        ended = max([await watch.until(len(fleet)) for fleet, watch in zip(fleets, watches, strict=True)])
        here.add("refreshes in a storm", "objects/s", count / (ended - begun))
        here.add("CPU a refresh in a storm", "ms", 1000 * (operator.cpu() - cpu) / count)
        here.add("memory at its peak in a storm", "MiB", peak_kib(operator.pid) / 1024, wanted=at_most(400))
    wall = datetime.now(UTC) - timedelta(seconds=time.monotonic())
    expired = sum(
        wall + timedelta(seconds=shown) > ends[fleet.namespace, name]
        for fleet, watch in zip(fleets, watches, strict=True)
        for name, shown in watch.shown.items()
    )
    here.add("tokens that ran out in a storm", "tokens", expired, wanted=never_above(0))


def _etcd_bytes(here: World) -> float:
    """What etcd keeps, of the newest revision alone."""
    url = here.control_plane.etcd_client_url
    etcd.compact(url)
    return float(etcd.ask(url, "/v3/maintenance/status", {})["dbSizeInUse"])
