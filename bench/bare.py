"""I/O: a bare aiohttp session on the API server, with none of our code in it, for loading, watching and the raw driver.

It stays bare where everything else here uses the official client (tests/support/api.py). The raw driver is there to be the
fastest that anybody could be. Loading and watching take their CPU from the process that is measured.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
from yarl import URL

from deploy.local.processes import StackError

IN_FLIGHT = 32
"""Requests in flight: etcd's throughput comes from concurrency, not from low latency."""

PATIENCE = 300.0
"""Seconds until a wait gives up: a bound against hanging, not a measure of anything."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

T = TypeVar("T")
Job = Callable[[], Awaitable[None]]


class Refused(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(f"{status}: {content[:300].decode(errors='replace')}")
        self.status = status


class Bare:
    """A session under one identity and User-Agent. Use it as an async context manager."""

    def __init__(self, url: str, ca_file: Path, token: str, agent: str) -> None:
        self._url = url.rstrip("/")
        self._context = ssl.create_default_context(cafile=str(ca_file))
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": agent}
        self.session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._context, limit=128),
            headers=self._headers,
            read_bufsize=2**18,
            timeout=aiohttp.ClientTimeout(total=60),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    async def send(
        self, method: str, path: str, body: bytes | None = None, *, kind: str = JSON, accept: str = JSON
    ) -> bytes:
        """One request; the path carries its query.

        Raises:
            Refused: the answer is an error.
        """
        headers = {"Content-Type": kind, "Accept": accept}
        async with self.session.request(
            method, URL(self._url + path, encoded=True), data=body, headers=headers
        ) as answer:
            content = await answer.read()
        if answer.status >= 300:
            raise Refused(answer.status, content)
        return content

    async def post(self, path: str, manifest: object, type_: type[T]) -> T:
        """Create an object."""
        return msgspec.json.decode(await self.send("POST", path, msgspec.json.encode(manifest)), type=type_)

    async def patch(self, path: str, patch: object, type_: type[T]) -> T:
        """Merge patch."""
        content = await self.send("PATCH", path, msgspec.json.encode(patch), kind=MERGE_PATCH)
        return msgspec.json.decode(content, type=type_)

    async def watch(self, path: str, resource_version: str, *, accept: str = JSON) -> aiohttp.ClientResponse:
        """Open a watch; the path carries a query, or a `?` at least."""
        url = URL(f"{self._url}{path}&watch=true&resourceVersion={resource_version}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=None)
        for _ in range(20):
            response = await self.session.get(url, headers={"Accept": accept}, timeout=timeout)
            if response.status == 200:
                return response
            # Right after its CRD was applied, a resource may not be served yet.
            refused = Refused(response.status, await response.read())
            await asyncio.sleep(0.5)
        raise refused


async def in_flight(jobs: Iterable[Job], limit: int = IN_FLIGHT) -> None:
    """Do all jobs, `limit` at a time."""
    left = iter(jobs)

    async def work() -> None:
        for job in left:
            await job()

    workers = [asyncio.create_task(work()) for _ in range(limit)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    state: str = ""
    authorization_link: str = ""
    refreshed_at: str = ""


class Seen(msgspec.Struct):
    """As much of a Datasource as a bench waits for."""

    metadata: _Metadata
    status: _Status = _Status()


class _SeenEvent(msgspec.Struct):
    type: str
    object: Seen


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str


class _List(msgspec.Struct):
    metadata: _ListMetadata


class Watch:
    """Watches the Datasources of a namespace until enough of them show something. Use it as an async context manager.

    It notices the end of a run, of ours and of the raw driver's alike.
    """

    def __init__(self, api: Bare, namespace: str, shows: Callable[[Seen], bool], *, patience: float = PATIENCE) -> None:
        self._api = api
        self._patience = patience
        self._path = f"/apis/datasource.dev/v1alpha1/namespaces/{namespace}/datasources"
        self._shows = shows
        self._changed = asyncio.Event()
        self.shown: dict[str, float] = {}
        """When (monotonic) each first showed it."""

    async def __aenter__(self) -> Self:
        listed = msgspec.json.decode(await self._api.send("GET", self._path + "?limit=1"), type=_List)
        self._response = await self._api.watch(self._path + "?", listed.metadata.resource_version)
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._response.close()

    async def until(self, count: int) -> float:
        """Wait until `count` show it; returns when (monotonic) the last of them did.

        Raises:
            StackError: it took longer than any machine should need.
        """
        deadline = time.monotonic() + self._patience
        while len(self.shown) < count:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._changed.wait()
            if self._task.done():
                await self._task
                raise StackError("The watch of a bench ended.")
            if time.monotonic() > deadline:
                raise StackError(f"Only {len(self.shown)} of {count} Datasources came to it in {self._patience:.0f} s.")
        return max(self.shown.values())

    async def _read(self) -> None:
        pending = b""
        async for chunk in self._response.content.iter_any():
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                event = msgspec.json.decode(line, type=_SeenEvent)
                if self._shows(event.object):
                    self.shown.setdefault(event.object.metadata.name, time.monotonic())
            self._changed.set()


def selector(text: str) -> str:
    """A field selector, ready for a query."""
    return "fieldSelector=" + _quoted(text)


def label_selector(text: str) -> str:
    """A label selector, ready for a query."""
    return "labelSelector=" + _quoted(text)


def _quoted(text: str) -> str:
    return text.replace("=", "%3D").replace(",", "%2C").replace("!", "%21").replace("/", "%2F")


def load_json(content: bytes) -> Any:
    """Decode without a type."""
    return json.loads(content)
