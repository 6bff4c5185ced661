"""`python -m bench scale`: 100,000 Datasources with their credentials and token Secrets, loaded in parts.

Start to caught up, memory at its peak, what an idle operator uses, the first refresh after a failover with all of them in the
caches, a storm of those that are due, and what etcd keeps of an object. It takes half an hour and 10 GiB, so no other run of
benches does it. SCALE_OBJECTS (100000) and SCALE_DUE (20000) bound it.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bench.bare import Seen, Watch
from bench.figures import Report, at_most, never_above
from bench.fleet import Fleet
from bench.meter import peak_kib, resident_kib
from bench.objects import LIFETIME
from bench.world import Operator, World, caught_up, world
from bench.writing import PROVIDER_LATENCY, refreshed_since
from datasource.api.names import credential_secret_name, default_token_secret_name
from deploy.local.progress import Steps, Ticker
from tests.support import etcd

T = TypeVar("T")

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
        here.add("etcd keeps of a Datasource and its two Secrets", "KB", kept / 1000)
        here.add("etcd keeps of an object: one of these three", "KB", kept / 3000, wanted=at_most(5))
        _values(here, fleets[0])
        steps.next("a start")
        await _start(here, size, empty)
        steps.next("a failover")
        await _failover(here, fleets[0])
        due = fleets[: max(size.due // _PART, 1)]
        steps.next(f"a storm of {sum(map(len, due))} that are due")
        await _storm(here, due)


async def _loaded(here: World, objects: int) -> list[Fleet]:
    fleets: list[Fleet] = []
    begun = time.monotonic()
    for begin in range(0, objects, _PART):
        fleet = await here.fleet(min(_PART, objects - begin))
        await _told(here, fleet.settle(LIFETIME - _LONG_LIFE), f"{begin} of {objects} are loaded".__str__)
        fleets.append(fleet)
    here.report.out(f"      {objects} settled Datasources were loaded in {time.monotonic() - begun:.0f} s")
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
    async with here.operator(ready_within=_PATIENCE) as operator:
        here.add("start to ready: all lists are read", "s", time.monotonic() - begun)
        here.add("start to caught up", "s", await _quiet(here, operator) - begun, wanted=at_most(60))
        here.add("CPU of a start", "s", operator.cpu())
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
    async with here.operator(stands_by=True, ready_within=_PATIENCE) as operator:
        await _quiet(here, operator)
        # The last of its list: it must not be the first by chance.
        name = fleet.names[-1]
        await fleet.make_due(_DUE_AGE, only=name)
        await _quiet(here, operator)
        was_refreshed = refreshed_since(datetime.now(UTC))

        def shows(seen: Seen) -> bool:
            # Those that were loaded seem to be refreshed hours from now.
            return seen.metadata.name == name and was_refreshed(seen)

        async with Watch(here.load, fleet.namespace, shows, patience=_PATIENCE) as watch:
            begun = await here.let_lead()
            ended = await watch.until(1)
            here.add("failover to the first refresh that was due", "s", ended - begun, wanted=at_most(5))


async def _storm(here: World, fleets: list[Fleet]) -> None:
    """All of these become due while an operator stands by, which then leads; the others stand beside them."""
    count = sum(map(len, fleets))
    async with AsyncExitStack() as watching, here.operator(stands_by=True, ready_within=_PATIENCE) as operator:
        await _quiet(here, operator)
        for number, fleet in enumerate(fleets):
            # Not before it stands by: of what their tokens have left, nothing is to go by while it starts.
            await _told(here, fleet.make_due(_DUE_AGE), f"{number * _PART} of {count} are due".__str__)
        await _quiet(here, operator)
        shows = refreshed_since(datetime.now(UTC))
        watches = [
            await watching.enter_async_context(Watch(here.load, fleet.namespace, shows, patience=_PATIENCE))
            for fleet in fleets
        ]
        ends = {
            (fleet.namespace, each.name): fleet.expires_at(each) for fleet in fleets for each in fleet.members.values()
        }
        first = (min(ends.values()) - datetime.now(UTC)).total_seconds()
        here.add("what the oldest token has left at a storm", "s", first)
        cpu, begun = operator.cpu(), await here.let_lead()
        await _told(here, _all_shown(fleets, watches), lambda: f"{sum(len(each.shown) for each in watches)} of {count}")
        ended = max(at for watch in watches for at in watch.shown.values())
        here.add("refreshes in a storm", "objects/s", count / (ended - begun))
        here.add("CPU a refresh in a storm, with looks at all others", "ms", 1000 * (operator.cpu() - cpu) / count)
        here.add("memory at its peak in a storm", "MiB", peak_kib(operator.pid) / 1024, wanted=at_most(400))
    wall = datetime.now(UTC) - timedelta(seconds=time.monotonic())
    expired = sum(
        wall + timedelta(seconds=shown) > ends[fleet.namespace, name]
        for fleet, watch in zip(fleets, watches, strict=True)
        for name, shown in watch.shown.items()
    )
    here.add("tokens that ran out in a storm", "tokens", expired, wanted=never_above(0))


async def _all_shown(fleets: list[Fleet], watches: list[Watch]) -> None:
    for fleet, watch in zip(fleets, watches, strict=True):
        await watch.until(len(fleet))


async def _quiet(here: World, operator: Operator) -> float:
    """As `caught_up`, and says that it waits."""
    async with asyncio.timeout(_PATIENCE):
        return await _told(here, caught_up(operator), lambda: f"catches up, {operator.cpu():.0f} s of CPU so far")


async def _told(here: World, work: Coroutine[Any, Any, T], state: Callable[[], str]) -> T:
    """Do it, and say now and then how far it is."""
    ticker = Ticker(here.report.out)
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=1)
            ticker.tick(state)
        return task.result()
    finally:
        task.cancel()


def _etcd_bytes(here: World) -> float:
    """What etcd keeps, of the newest revision alone."""
    url = here.control_plane.etcd_client_url
    etcd.compact(url)
    return float(etcd.ask(url, "/v3/maintenance/status", {})["dbSizeInUse"])


def _values(here: World, fleet: Fleet) -> None:
    """How long the values are that etcd keeps: its pages are never full, so they take more."""
    url, secrets = here.control_plane.etcd_client_url, f"/registry/secrets/{fleet.namespace}"
    name = fleet.names[0]
    for what, key in (
        ("a Datasource", f"/registry/datasource.dev/datasources/{fleet.namespace}/{name}"),
        ("a credential Secret", f"{secrets}/{credential_secret_name(name)}"),
        ("a token Secret", f"{secrets}/{default_token_secret_name(name)}"),
    ):
        here.add(f"etcd's value of {what}", "KB", len(etcd.value(url, key)) / 1000)
