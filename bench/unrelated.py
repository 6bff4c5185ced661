"""noise: what other people's Secrets cost us."""

import asyncio
import secrets
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from bench.bare import MERGE_PATCH, METADATA, METADATA_LIST, Bare, in_flight, load_json
from bench.figures import Report, never_above
from bench.wiretap import Wiretap
from bench.world import World, world
from bench.writing import RUNS, is_quiet
from deploy.local.stack import OPERATOR

SECRETS = 5000
SIZE = 50 * 1024
"""Bytes of data in each."""

CHANGES_PER_SECOND = 20
WINDOW = 30.0
"""Seconds."""

_MARK = "unrelated-6d1f"
"""Part of each name, and so of every list, event or answer about them."""


async def noise(
    report: Report, *, count: int = 1000, unrelated: int = SECRETS, runs: int = RUNS, window: float = WINDOW
) -> None:
    """Datasources beside many large Secrets of others that change all the time.

    What our process hears is read off the wire in plain text. A watch of all Secrets, as a handler on `secrets` would open
    it, hears the same changes beside it: the raw driver here is what we do not do.
    """
    async with world("noise", report) as here:
        fleet = await here.fleet(count)
        await fleet.settle()
        names = await _make_unrelated(here, unrelated)
        control_plane = here.control_plane
        async with Wiretap(control_plane.url, control_plane.ca_file, _MARK.encode()) as tap:
            kubeconfig = tap.kubeconfig(control_plane.cluster, OPERATOR)
            async with here.operator(KUBECONFIG=str(kubeconfig)) as operator:
                await is_quiet(operator.cpu)
                started = tap.since()
                if not started.bytes:
                    raise AssertionError("the operator does not talk through the wiretap")
                report.out(f"      {started.bytes} bytes reached the operator at its start")
                here.add("bytes of them at our start", "bytes", started.bytes_marked, wanted=never_above(0))
                for _ in range(runs):
                    await _measure(here, tap, names, window)


async def _measure(here: World, tap: Wiretap, names: list[str], window: float) -> None:
    tap.since()
    await asyncio.sleep(window)
    before = tap.since()
    async with _heard_by_raw(here.load) as raw:
        changes = await _change(here, names, window)
        await asyncio.sleep(1)
    during = tap.since()
    here.add("raw driver: events of them a change", "events", raw.events / changes)
    here.add("raw driver: bytes of them a change", "bytes", raw.bytes / changes)
    here.add("watch events", "events", during.events, wanted=never_above(0))
    here.add("bytes of them", "bytes", during.bytes_marked, wanted=never_above(0))
    here.add("bytes that reach us, bookmarks and Lease", "bytes/s", during.bytes / window)
    here.add("the same without changes to them", "bytes/s", before.bytes / window)


class _Heard:
    events = 0
    bytes = 0


@asynccontextmanager
async def _heard_by_raw(api: Bare) -> AsyncIterator[_Heard]:
    heard = _Heard()
    listed = load_json(await api.send("GET", "/api/v1/secrets?limit=1", accept=METADATA_LIST))
    response = await api.watch("/api/v1/secrets?", listed["metadata"]["resourceVersion"], accept=METADATA)

    async def listen() -> None:
        async for line in response.content:
            if _MARK.encode() in line:
                heard.events += 1
                heard.bytes += len(line)

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        task.cancel()
        response.close()


async def _make_unrelated(here: World, count: int) -> list[str]:
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _MARK}}
    await asyncio.to_thread(here.api.create, manifest)
    value = b64encode(secrets.token_bytes(SIZE)).decode()
    names = [f"{_MARK}-{number:05d}" for number in range(count)]

    async def one(name: str) -> None:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"value": value}}
        await here.load.send("POST", _path(), msgspec.json.encode(secret))

    await in_flight(partial(one, name) for name in names)
    return names


async def _change(here: World, names: list[str], window: float) -> int:
    """Change one after the other; returns how many."""
    begun, changes = time.monotonic(), 0
    async with asyncio.TaskGroup() as group:
        while time.monotonic() < begun + window:
            body = msgspec.json.encode({"metadata": {"annotations": {"changed": str(time.time_ns())}}})
            path = f"{_path()}/{names[changes % len(names)]}"
            group.create_task(_sent(here.load, path, body))
            changes += 1
            await asyncio.sleep(max(begun + changes / CHANGES_PER_SECOND - time.monotonic(), 0))
    return changes


async def _sent(api: Bare, path: str, body: bytes) -> None:
    await api.send("PATCH", path, body, kind=MERGE_PATCH)


def _path() -> str:
    return f"/api/v1/namespaces/{_MARK}/secrets"
