"""restart, memory, idle: 10,000 Datasources that are as they should be; they are loaded once for the three."""

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from bench.bare import METADATA, METADATA_LIST, Bare, label_selector, selector
from bench.figures import Report, at_most, never_above
from bench.meter import Calls, cpu_seconds, resident_kib
from bench.world import World, caught_up, world
from bench.writing import RUNS
from datasource.api.names import SecretType
from datasource.process.installation import SYSTEM_NAMESPACE
from datasource_operator.decisions.election import RENEW_EVERY
from deploy.local.cache import REPOSITORY
from deploy.local.processes import StackError
from deploy.local.progress import Ticker
from deploy.local.stack import OPERATOR

SHARING = ("restart", "memory", "idle")

OBJECTS = 10_000
NAMESPACES = 10
IDLE_WINDOW = 180.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of the operator, until it had caught up."""

    seconds: float
    cpu: float
    kib: float
    calls: Calls


async def run(
    report: Report,
    names: tuple[str, ...] = SHARING,
    *,
    objects: int = OBJECTS,
    runs: int = RUNS,
    idle_window: float = IDLE_WINDOW,
) -> None:
    """Run those of the three that `names` holds, on the same objects."""
    async with world("settled", report) as here:
        starts = {"restart", "memory"} & set(names)
        empty = [await _started(here) for _ in range(runs)] if starts else []
        await _load(here, objects)
        for number in range(len(empty)):
            raw = await _listed_raw(here)
            full = await _started(here)
            if "restart" in names:
                _tell_restart(report, full, empty[number], raw, objects)
            if "memory" in names:
                _tell_memory(report, full, empty[number], raw, objects)
        if "idle" in names:
            await _idle(here, runs, idle_window)


async def _load(here: World, objects: int) -> None:
    ticker = Ticker(here.report.out)
    for number in range(NAMESPACES):
        fleet = await here.fleet(objects // NAMESPACES)
        loading = asyncio.create_task(fleet.settle())
        while not loading.done():
            await asyncio.wait({loading}, timeout=1)
            ticker.tick(f"{number} of {NAMESPACES} namespaces are loaded".__str__)
        await loading
    here.report.out(f"      {objects} settled Datasources were loaded in {ticker.elapsed}")


async def _started(here: World) -> Start:
    here.audit.skip()
    begun = time.monotonic()
    async with here.operator() as operator:
        ended = await caught_up(operator)
        return Start(ended - begun, operator.cpu(), resident_kib(operator.pid), here.calls(raw=False))


async def _listed_raw(here: World) -> dict[str, float]:
    """A process of its own, so that its memory is its own."""
    control_plane = here.control_plane
    token = control_plane.cluster.service_account_token(SYSTEM_NAMESPACE, OPERATOR)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.lister",
        control_plane.url,
        str(control_plane.ca_file),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
    )
    printed, _ = await process.communicate(token.encode())
    if process.returncode != 0:
        raise StackError("The raw lister failed.")
    told: dict[str, float] = json.loads(printed)
    return told


def _tell_restart(report: Report, full: Start, empty: Start, raw: dict[str, float], objects: int) -> None:
    add = report.add
    add("restart", "raw driver: lists read and decoded", "s", raw["seconds"])
    add("restart", "start to caught up", "s", full.seconds, at_most(15))
    add("restart", "the same with no objects", "s", empty.seconds)
    add("restart", "raw driver: its CPU an object", "ms", 1000 * raw["cpu"] / objects)
    add("restart", "CPU an object, over the empty process", "ms", 1000 * (full.cpu - empty.cpu) / objects, at_most(1.5))
    add("restart", "writes but the Lease", "writes", full.calls.writes() + full.calls.events(), never_above(0))
    report.out(f"      all of them: {full.calls.told(1)}")


def _tell_memory(report: Report, full: Start, empty: Start, raw: dict[str, float], objects: int) -> None:
    report.add("memory", "raw driver: an object, kept as decoded", "KiB", raw["kib"] / objects)
    report.add("memory", "an object, over the empty process", "KiB", (full.kib - empty.kib) / objects, at_most(10))
    report.add("memory", "the empty process", "MiB", empty.kib / 1024, at_most(100))


async def _idle(here: World, runs: int, window: float) -> None:
    async with here.operator() as operator, _IdleRaw(here.raw):
        await caught_up(operator)
        ticker = Ticker(here.report.out)
        for number in range(runs):
            here.audit.skip()
            cpu, raw_cpu, begun = operator.cpu(), cpu_seconds(os.getpid()), time.monotonic()
            while time.monotonic() < begun + window:
                await asyncio.sleep(min(5.0, window))
                ticker.tick(f"idle, window {number + 1} of {runs}".__str__)
            seconds = time.monotonic() - begun
            raw_share, share = (cpu_seconds(os.getpid()) - raw_cpu) / seconds, (operator.cpu() - cpu) / seconds
            here.report.add("idle", "raw driver: CPU", "% of a core", 100 * raw_share)
            here.report.add("idle", "CPU", "% of a core", 100 * share, at_most(2))
            calls = here.calls(raw=False)
            here.report.add("idle", "writes but the Lease", "writes", calls.writes() + calls.events(), never_above(0))
            here.report.out(f"      in {seconds:.0f} s: {calls.told(1) or 'nothing but the Lease'}")


class _IdleRaw:
    """The same five watches, and a Lease renewed as often, by the bench itself. Use it as an async context manager."""

    def __init__(self, raw: Bare) -> None:
        self._raw = raw
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        collections = ["/apis/datasource.dev/v1alpha1/datasources?"]
        collections += [
            f"/api/v1/secrets?{selector(f'type={each}')}"
            for each in (SecretType.CREDENTIAL, SecretType.TOKEN, SecretType.IMPORT)
        ]
        collections.append(f"/api/v1/secrets?{label_selector('datasource.dev/role=token')}")
        self._tasks = [asyncio.create_task(self._watch(path)) for path in collections]
        self._tasks.append(asyncio.create_task(self._renew()))

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self, path: str) -> None:
        while True:
            listed = json.loads(await self._raw.send("GET", path + "&limit=1", accept=METADATA_LIST))
            response = await self._raw.watch(
                path + "&allowWatchBookmarks=true&timeoutSeconds=300",
                listed["metadata"]["resourceVersion"],
                accept=METADATA,
            )
            async for line in response.content:
                msgspec.json.decode(line)

    async def _renew(self) -> None:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases"
        metadata = {"name": "bench-raw", "namespace": SYSTEM_NAMESPACE}
        await self._raw.post(
            path, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}, dict
        )
        while True:
            await asyncio.sleep(RENEW_EVERY.total_seconds())
            await self._raw.patch(f"{path}/bench-raw", {"spec": {"holderIdentity": str(time.time())}}, dict)
