"""A reverse proxy between one of our processes and the real API server, that disturbs on request.

    with ApiProxy(control_plane.url, control_plane.ca_file) as proxy:
        process = stack.operator("operator", KUBECONFIG=str(proxy.kubeconfig_of(cluster, OPERATOR, folder)))
        trap = proxy.kill_after_write(2, process_is_killed)

It runs in a thread of its own; every method may be called from the test's thread at any time. What disturbs is a
`Disturbance`: `met` tells how often it was met, so that a test can show that it disturbed anything; `end()` ends it.
"""

import asyncio
import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster

COUNTED = frozenset({"datasources", "datasources/status", "secrets"})
"""What a process can be harmed in by losing a write. Events are let go on purpose, and a Lease is renewed for ever."""

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
_NOT_FORWARDED = {"host", "connection", "transfer-encoding", "content-length", "keep-alive"}
_LOOK = 0.2
"""Seconds after which a watch looks whether anybody still listens."""


@dataclass(frozen=True)
class Call:
    """One request, in the words of RBAC; a subresource stands behind a slash, the name of a create in its body."""

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    dry_run: bool = False
    token: str = field(default="", repr=False)

    @property
    def counts_as_write(self) -> bool:
        """Whether it is to change something that matters."""
        return self.verb in _VERBS.values() and self.resource in COUNTED and not self.dry_run

    def __str__(self) -> str:
        place = "/".join(part for part in (self.namespace, self.name) if part)
        selected = f" [{self.field_selector}]" if self.field_selector else ""
        return f"{self.verb} {self.resource} {place}{selected}{' (dry run)' if self.dry_run else ''}"


@dataclass(frozen=True)
class Write:
    """A write that counts and that the API server carried out, and when its answer came."""

    call: Call
    at: datetime


@dataclass(frozen=True)
class Event:
    """One event of a watch; `resource` is what is watched."""

    type: str
    resource: str
    namespace: str = ""
    name: str = ""
    code: int = 0
    """Of an ERROR."""

    def __str__(self) -> str:
        return f"{self.type} {self.resource} {self.code or f'{self.namespace}/{self.name}'}"


CallIs = Callable[[Call], bool]
EventIs = Callable[[Event], bool]


def everything(_: Call) -> bool:
    """Every call."""
    return True


def nothing(_: Call) -> bool:
    """No call."""
    return False


def is_watch(call: Call) -> bool:
    """A watch that is being opened."""
    return call.verb == "watch"


def is_live_read(call: Call) -> bool:
    """A live read of a Datasource."""
    return call.verb == "get" and call.resource == "datasources"


def is_list_of_many(call: Call) -> bool:
    """A list that fills a cache. One that names an object is how that is read live: the API server asks etcd."""
    return call.verb == "list" and "metadata.name=" not in call.field_selector


def is_read_of_many(call: Call) -> bool:
    """A list or a watch."""
    return call.verb in {"list", "watch"}


@dataclass(eq=False)
class Disturbance:
    """Something that the proxy does to what passes."""

    loop: asyncio.AbstractEventLoop = field(repr=False)
    met: int = field(default=0, init=False)
    ended: bool = field(default=False, init=False)
    over: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)
    """For what waits in the proxy's thread for the end."""

    def end(self) -> None:
        """Let everything pass again."""
        self.ended = True
        self.loop.call_soon_threadsafe(self.over.set)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


@dataclass(eq=False)
class _Delay(Disturbance):
    where: CallIs
    pause: timedelta


@dataclass(eq=False)
class _Answer(Disturbance):
    where: CallIs
    status: int
    times: int | None
    retry_after: timedelta | None


@dataclass(eq=False)
class _StaleLists(Disturbance):
    resource_version: str
    where: CallIs


@dataclass(eq=False)
class _Swallow(Disturbance):
    where: EventIs


@dataclass(eq=False)
class _Hold(Disturbance):
    until: CallIs


class Moment(Enum):
    """When a trap springs: before the API server hears of the write, or after it has answered."""

    BEFORE = auto()
    AFTER = auto()


@dataclass(eq=False)
class Trap(Disturbance):
    """Springs at the `count`-th write that counts; `met` is 1 then."""

    count: int
    where: CallIs
    moment: Moment
    spring: Callable[[], None]
    prepare: Callable[[], None] = lambda: None
    """Called when that write is about to be made."""
    passed: int = field(default=0, init=False)
    """The writes that the API server has carried out since."""


@dataclass(frozen=True)
class _End:
    """How a watch ends: with an ERROR event of that code, or in good order (0), or with the connection."""

    code: int = 0
    is_cut: bool = False


@dataclass(eq=False)
class _OpenWatch:
    call: Call
    incoming: "asyncio.Queue[bytes | _End]"
    is_silent: bool = False


D = TypeVar("D", bound=Disturbance)


class ApiProxy:
    """Listens on 127.0.0.1 while it is entered. It speaks HTTP: kopf and kubernetes.aio send their bearer token over it.

    `calls` and `writes` (what the API server carried out of the writes that count) grow as requests come in; `events`
    are the watch events that passed.
    """

    def __init__(self, upstream: str, ca_file: Path) -> None:
        self.calls: list[Call] = []
        self.writes: list[Write] = []
        self.events: list[Event] = []
        self._upstream = upstream.rstrip("/")
        self._ca_file = ca_file
        self._disturbances: list[Disturbance] = []
        self._watches: set[_OpenWatch] = set()
        self._log: Path | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="api proxy", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._closing: asyncio.Event
        self._session: aiohttp.ClientSession
        self._port = 0

    @property
    def url(self) -> str:
        """What to put into a kubeconfig as server."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def kubeconfig_of(self, cluster: Cluster, service_account: str, folder: Path) -> Path:
        """A kubeconfig of a ServiceAccount that leads through here, beside its token file (`token_file_of`)."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        configuration = json.loads(cluster.kubeconfig_for(SYSTEM_NAMESPACE, service_account).read_text())
        path = folder / "kubeconfig"
        write_secret(token_file_of(path), cluster.service_account_token(SYSTEM_NAMESPACE, service_account))
        configuration["clusters"][0]["cluster"] = {"server": self.url}
        configuration["users"][0]["user"] = {"tokenFile": str(token_file_of(path))}
        write_secret(path, json.dumps(configuration))
        return path

    @contextmanager
    def narrated_in(self, log: Path) -> Iterator[None]:
        """Tell in a file what passes, and what happens to it."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        try:
            yield
        finally:
            self._log = None

    # What it can do to what passes.

    def kill_after_write(self, count: int, kill: Callable[[], None], where: CallIs = everything) -> Trap:
        """Call `kill` right after the API server carried out the `count`-th write; its answer never arrives."""
        return self._add(Trap(self._loop, count, where, Moment.AFTER, kill))

    def kill_before_write(self, count: int, kill: Callable[[], None], where: CallIs = everything) -> Trap:
        """Call `kill` when the `count`-th write is about to be made; the API server never hears of it."""
        return self._add(Trap(self._loop, count, where, Moment.BEFORE, kill))

    def cut_after_write(self, count: int, where: CallIs = everything) -> Trap:
        """Drop the connection instead of answering the `count`-th write, which the API server did carry out."""
        return self._add(Trap(self._loop, count, where, Moment.AFTER, lambda: None))

    def cut_after_write_unseen(self, count: int, where: CallIs = everything) -> Trap:
        """The same, and no watch shows what comes of it before the process tries to write again, or reads it live."""

        def hold() -> None:
            self.hold_watches(until=lambda call: (call.counts_as_write or is_live_read(call)) and where(call))

        return self._add(Trap(self._loop, count, where, Moment.AFTER, lambda: None, prepare=hold))

    def drop_watch_events(self, where: EventIs) -> Disturbance:
        """Swallow watch events."""
        return self._add(_Swallow(self._loop, where))

    def hold_watches(self, until: CallIs = nothing) -> Disturbance:
        """Hold every watch event back, as an API server does whose cache lags; they come when it ends.

        It ends by itself when a call comes that `until` is true of.
        """
        return self._add(_Hold(self._loop, until))

    def stale_lists(self, resource_version: str, where: CallIs = everything) -> Disturbance:
        """Answer LISTs as they were at a resourceVersion: the API server itself remembers the last few minutes."""
        return self._add(_StaleLists(self._loop, resource_version, where))

    def delay(self, where: CallIs, pause: timedelta) -> Disturbance:
        """Let calls wait before they are passed on, but not beyond the end of the delay."""
        return self._add(_Delay(self._loop, where, pause))

    def answer(
        self, status: int, where: CallIs = everything, *, times: int | None = None, retry_after: timedelta | None = None
    ) -> Disturbance:
        """Refuse calls with an HTTP status, `times` times or until it is ended."""
        return self._add(_Answer(self._loop, where, status, times, retry_after))

    def end_watches(self) -> int:
        """End every open watch in good order, as the API server does after timeoutSeconds; returns how many."""
        return self._tell_watches(_End())

    def fail_watches(self, code: int) -> int:
        """End every open watch with an ERROR event; 410: its resourceVersion is too old. Returns how many."""
        return self._tell_watches(_End(code))

    def cut_watches(self) -> int:
        """Drop the connections of every open watch; returns how many."""
        return self._tell_watches(_End(is_cut=True))

    def stall_watches(self) -> int:
        """Never send another byte over the watches that are open now, and leave them open; returns how many."""
        watches = tuple(self._watches)
        for watch in watches:
            watch.is_silent = True
        self._tell(f"{len(watches)} watches fall silent")
        return len(watches)

    def calm(self) -> None:
        """End every disturbance, but for the silence of watches."""
        for disturbance in tuple(self._disturbances):
            disturbance.end()

    @property
    def calls_about_work(self) -> int:
        """How many calls there were besides those of the election, which never end."""
        return sum(call.resource != "leases" for call in self.calls)

    @property
    def open_watches(self) -> tuple[Call, ...]:
        """The watches that are open now and not silent."""
        return tuple(watch.call for watch in tuple(self._watches) if not watch.is_silent)

    def _add(self, disturbance: D) -> D:
        self._disturbances.append(disturbance)
        return disturbance

    def _active(self, kind: type[D]) -> list[D]:
        self._disturbances[:] = [each for each in self._disturbances if not each.ended]
        return [each for each in self._disturbances if isinstance(each, kind)]

    def _tell_watches(self, end: _End) -> int:
        watches = tuple(self._watches)
        for watch in watches:
            watch.is_silent = False
            self._loop.call_soon_threadsafe(watch.incoming.put_nowait, end)
        self._tell(f"{len(watches)} watches end: {end}")
        return len(watches)

    def _tell(self, what: str) -> None:
        if self._log is not None:
            with self._log.open("a") as log:
                log.write(f"{datetime.now(UTC):%H:%M:%S.%f} {what}\n")

    # The thread.

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(self._ca_file)), limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as self._session:
            runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self._port = runner.addresses[0][1]
            self._started.set()
            await self._closing.wait()
            await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        call = call_of(request.method, request.path_qs, request.headers, body)
        self.calls.append(call)
        try:
            await self._wait(call)
            for hold in self._active(_Hold):
                if hold.until(call):
                    hold.end()
            refusal = self._refusal(call)
            if refusal is not None:
                return refusal
            if await self._springs(call, Moment.BEFORE):
                return _cut(request)
            if call.verb == "watch":
                return await self._relay_watch(request, call)
            return await self._relay(request, call, body)
        except (aiohttp.ClientError, OSError) as error:
            self._tell(f"{call}: {type(error).__name__}")
            return _cut(request)

    async def _wait(self, call: Call) -> None:
        for delay in self._active(_Delay):
            if delay.where(call):
                delay.met += 1
                self._tell(f"{call}: waits")
                with suppress(TimeoutError):
                    async with asyncio.timeout(delay.pause.total_seconds()):
                        await delay.over.wait()

    def _refusal(self, call: Call) -> web.Response | None:
        for answer in self._active(_Answer):
            if answer.where(call) and not answer.ended:
                answer.met += 1
                answer.ended = answer.met == answer.times
                self._tell(f"{call}: refused with {answer.status}")
                return _refused(answer.status, answer.retry_after)
        return None

    async def _springs(self, call: Call, moment: Moment) -> bool:
        """Whether the connection is to be dropped, because a trap sprang."""
        sprung = False
        for trap in self._active(Trap):
            if not call.counts_as_write or not trap.where(call) or trap.met:
                continue
            trap.passed += moment is Moment.AFTER
            number = trap.passed if moment is Moment.AFTER else trap.passed + 1
            if number == trap.count and moment is Moment.BEFORE:
                trap.prepare()
            if number == trap.count and moment is trap.moment:
                trap.met, sprung = 1, True
                self._tell(f"{call}: the trap springs {moment.name.lower()} write {trap.count}")
                await self._loop.run_in_executor(None, trap.spring)
        return sprung

    async def _relay(self, request: web.BaseRequest, call: Call, body: bytes) -> web.Response:
        async with self._session.request(
            request.method, self._url_for(request, call), headers=_forwarded(request.headers), data=body or None
        ) as answer:
            content = await answer.read()
        if call.resource != "leases":
            self._tell(f"{call}: {answer.status}")
        if call.counts_as_write and answer.status < 300:
            self.writes.append(Write(call, datetime.now(UTC)))
            if await self._springs(call, Moment.AFTER):
                return _cut(request)
        return web.Response(status=answer.status, headers=_forwarded(answer.headers), body=content)

    def _url_for(self, request: web.BaseRequest, call: Call) -> URL:
        url = URL(self._upstream + request.path_qs, encoded=True)
        for stale in self._active(_StaleLists):
            # A continue token carries its resourceVersion itself.
            if call.verb == "list" and stale.where(call) and "continue" not in url.query:
                stale.met += 1
                self._tell(f"{call}: answered as of {stale.resource_version}")
                return url.update_query(resourceVersion=stale.resource_version, resourceVersionMatch="Exact")
        return url

    async def _relay_watch(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        async with self._session.get(self._url_for(request, call), headers=_forwarded(request.headers)) as upstream:
            self._tell(f"{call}: {upstream.status}")
            if upstream.status >= 300:
                return web.Response(
                    status=upstream.status, headers=_forwarded(upstream.headers), body=await upstream.read()
                )
            response = web.StreamResponse(status=upstream.status, headers=_forwarded(upstream.headers))
            response.enable_chunked_encoding()
            await response.prepare(request)
            watch = _OpenWatch(call, asyncio.Queue())
            self._watches.add(watch)
            pump = self._loop.create_task(_pump(upstream, watch.incoming))
            try:
                await self._stream(request, response, watch)
            finally:
                self._watches.discard(watch)
                pump.cancel()
                with suppress(asyncio.CancelledError):
                    await pump
        return response

    async def _stream(self, request: web.BaseRequest, response: web.StreamResponse, watch: _OpenWatch) -> None:
        while not self._closing.is_set() and not _is_gone(request):
            try:
                line = await asyncio.wait_for(watch.incoming.get(), _LOOK)
            except TimeoutError:
                continue
            if isinstance(line, _End):
                if watch.is_silent:
                    # Half-open: whoever listens does not hear of the end either.
                    continue
                await self._end(request, response, line)
                return
            for hold in self._active(_Hold):
                await hold.over.wait()
            if not watch.is_silent and not self._is_swallowed(watch.call, line):
                with suppress(ConnectionError):
                    await response.write(line + b"\n")

    async def _end(self, request: web.BaseRequest, response: web.StreamResponse, end: _End) -> None:
        with suppress(ConnectionError):
            if end.is_cut:
                _cut(request)
                return
            if end.code:
                await response.write(json.dumps({"type": "ERROR", "object": _status(end.code)}).encode() + b"\n")
            await response.write_eof()

    def _is_swallowed(self, call: Call, line: bytes) -> bool:
        event = _event_of(call, line)
        for swallow in self._active(_Swallow):
            if swallow.where(event):
                swallow.met += 1
                self._tell(f"swallowed: {event}")
                return True
        if event.type != "BOOKMARK":
            self._tell(f"passed: {event}")
            self.events.append(event)
        return False


def token_file_of(kubeconfig: Path) -> Path:
    """Where the token stands that a kubeconfig of `ApiProxy.kubeconfig_of` points to."""
    return kubeconfig.with_name("token")


def call_of(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Call:
    """Read a request as the API server does; what is no resource has an empty `resource`."""
    url = urlsplit(target)
    query = parse_qs(url.query)
    token = headers.get("Authorization", "").removeprefix("Bearer ")
    parts = [part for part in url.path.split("/") if part]
    prefix = 2 if parts[:1] == ["api"] else 3
    if parts[:1] not in (["api"], ["apis"]) or len(parts) <= prefix:
        return Call(method.lower(), "", token=token)
    namespace, rest = "", parts[prefix:]
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest, "", "")[:3]
    return Call(
        verb=_verb(method, name, query),
        resource=f"{resource}/{subresource}" if subresource else resource,
        namespace=namespace,
        name=name or _name_in(body),
        field_selector=query.get("fieldSelector", [""])[0],
        dry_run="dryRun" in query,
        token=token,
    )


def _verb(method: str, name: str, query: Mapping[str, list[str]]) -> str:
    if method != "GET":
        return _VERBS.get(method, method.lower())
    if query.get("watch", [""])[0] in {"true", "1"}:
        return "watch"
    return "get" if name else "list"


def _name_in(body: bytes) -> str:
    try:
        metadata: Any = json.loads(body)["metadata"]
        return str(metadata.get("name", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def _event_of(call: Call, line: bytes) -> Event:
    event = json.loads(line)
    shown = event["object"]
    metadata = shown.get("metadata", {})
    code = shown.get("code", 0) if event["type"] == "ERROR" else 0
    return Event(event["type"], call.resource, metadata.get("namespace", ""), metadata.get("name", ""), code)


async def _pump(upstream: aiohttp.ClientResponse, lines: "asyncio.Queue[bytes | _End]") -> None:
    """Cut a watch into lines; whatever ends it is passed on as it is."""
    pending = b""
    try:
        async for chunk in upstream.content.iter_any():
            *whole, pending = (pending + chunk).split(b"\n")
            for line in whole:
                lines.put_nowait(line)
    except (aiohttp.ClientError, OSError):
        lines.put_nowait(_End(is_cut=True))
    else:
        lines.put_nowait(_End())


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_FORWARDED}


def _cut(request: web.BaseRequest) -> web.Response:
    """Drop the connection; what is returned is only what aiohttp asks for."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _is_gone(request: web.BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _refused(status: int, retry_after: timedelta | None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": str(int(retry_after.total_seconds()))}
    return web.json_response(_status(status), status=status, headers=headers)


def _status(code: int) -> dict[str, Any]:
    """metav1.Status."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": _REASONS[code],
        "message": "disturbed by a test",
        "code": code,
    }


def write_secret(path: Path, text: str) -> None:
    """Write a file for our eyes only, whole or not at all: a process may be reading it."""
    temporary = path.with_suffix(".part")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    os.replace(temporary, path)
