"""I/O: lists and watches of Datasources as kopf gets them: bounded, and without what nobody reads.

kopf asks for the same page again for as long as none comes in time. Whoever may edit a Datasource may write a megabyte into its
metadata. What a list has is shown to us and not to kopf: for each object that would make dictionaries, a queue, a task and a
timer, which is most of what a start over 100,000 costs. kopf gets the list without its items, and watches from there.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from datasource.api.objects import Datasource
from datasource.cluster.kube import FEWER, LARGEST_PAGE
from datasource.cluster.lean import USUAL, lean
from datasource_operator.streamed_datasources import UNREAD, StreamedDatasources

LISTS_AT_A_TIME = 4
"""Lists of Datasources, or pages of them, that are read at one time. kopf lists all namespaces that are served at once."""

FIRST_PAGE = 25
"""Of how many the first page of a list is asked for: the API server prepares a whole page, however large its objects are."""

PATIENCE = timedelta(seconds=20)
"""How long one page may take, once it is its turn."""

_IN_ONE_PIECE = 32 * 1024
"""Bytes of a page that are read before others have their turn."""


class _List(msgspec.Struct, rename="camel"):
    """A page of Datasources, each as it came."""

    metadata: dict[str, Any]
    items: list[msgspec.Raw] | None = None
    kind: str = ""
    api_version: str = ""


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


@dataclass(slots=True)
class BoundedLists:
    """What a session of kopf is made with."""

    is_for_datasources: Callable[[URL], bool]
    listed: Callable[[Datasource], None]
    """Told of each Datasource of a list."""
    gone: Callable[[Datasource], None] = lambda _: None
    """Told of each that is deleted while a list is read."""
    patience: timedelta = PATIENCE
    _streamed: StreamedDatasources = field(init=False)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LISTS_AT_A_TIME))
    _sizes: dict[str, int] = field(default_factory=dict)
    """By path: of how many the next page of a list is asked for, by how large those before were."""
    _most: dict[str, int] = field(default_factory=dict)
    """By path, where pages did not come in time: of how many the next one may be."""

    def __post_init__(self) -> None:
        self._streamed = StreamedDatasources(self.listed, self.gone, self.patience)

    async def ask(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """A middleware of aiohttp: has each list answered in its turn, with the body read, and as much of it as is bounded."""
        if "watch" in request.url.query:
            return await send(request)
        if not self.is_for_datasources(request.url):
            async with asyncio.timeout(self.patience.total_seconds()):
                return await send(request)
        async with self._places:
            if (streamed := await self._streamed.ask(request, send)) is not None:
                return streamed
            response = await self._page(request, send)
            if response.status == HTTPStatus.GONE and "continue" in request.url.query:
                # A list that lasts until etcd's next compaction. kopf would end at a 410; after this error it lists again.
                raise aiohttp.ClientPayloadError("a list took too long: its continue token has expired")
            if response.status == HTTPStatus.OK:
                response._body = await read_list(await response.read(), self.listed)
            return response

    @property
    def response_class(self) -> type[aiohttp.ClientResponse]:
        """The responses of the session."""
        is_for_datasources = self.is_for_datasources

        class LeanResponse(aiohttp.ClientResponse):
            async def start(self, connection: Any) -> "LeanResponse":
                await super().start(connection)
                if self.status == 200 and is_for_datasources(self.url) and "watch" in self.url.query:
                    # kopf takes lines from here, and nothing else.
                    self.content = _LeanLines(self.content)  # type: ignore[assignment]
                return self

        return LeanResponse

    async def _page(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        path, wanted = request.url.path, int(request.url.query.get("limit", "0"))
        if "continue" not in request.url.query:
            self._sizes.pop(path, None)
        size = min(wanted, self._sizes.get(path, FIRST_PAGE), self._most.get(path, wanted))
        while True:
            if size != wanted:
                request.url = request.url.update_query(limit=str(size))
            response: aiohttp.ClientResponse | None = None
            try:
                async with asyncio.timeout(self.patience.total_seconds()):
                    response = await send(request)
                    if not await _is_read(response, LARGEST_PAGE if size > 1 else math.inf):
                        # The API server prepares a whole page, however little of it is read: large ones stand together.
                        size = self._sizes[path] = max(size // FEWER, 1)
                        continue
                if response.status != HTTPStatus.GATEWAY_TIMEOUT or size <= 1:
                    self._grow(path, size, wanted)
                    return response
            except TimeoutError as error:
                if response is not None:
                    response.close()
                if size <= 1 or isinstance(error, aiohttp.ClientError):
                    raise
            # Not more again soon: each try takes as long as we wait.
            size = self._most[path] = max(size // FEWER, 1)

    def _grow(self, path: str, size: int, wanted: int) -> None:
        """A page came: the next one may have twice as many, or one more than what came in time."""
        self._sizes[path] = 2 * size
        most = self._most.get(path)
        if most is not None and size >= most:
            self._most[path] = most + 1
            if most + 1 >= wanted:
                del self._most[path]


async def _is_read(response: aiohttp.ClientResponse, most_bytes: float) -> bool:
    """Read the body; False where it has more, and the rest of it is left."""
    read = bytearray()
    async for piece in response.content.iter_any():
        read += piece
        if len(read) > most_bytes:
            response.close()
            return False
    response._body = bytes(read)
    return True


async def read_list(body: bytes, listed: Callable[[Datasource], None]) -> bytes:
    """A LIST of Datasources as kopf gets it, after `listed` was told of each. What is large of one is gone before the next."""
    try:
        page, read = msgspec.json.decode(body, type=_List), 0
        for each in page.items or ():
            listed(msgspec.json.decode(lean(each, unread=UNREAD), type=Datasource))
            read += memoryview(each).nbytes
            if read >= _IN_ONE_PIECE:
                # A tenant may have made each as large as it can be.
                await asyncio.sleep(0)
                read = 0
    except ValueError:
        # No list, or one with something that is no Datasource: kopf has its own words for that.
        return body
    page.items = []
    return msgspec.json.encode(page)


@dataclass(slots=True)
class _LeanLines:
    """The body of a watch, of which large lines come without what nobody reads."""

    content: aiohttp.StreamReader

    def __getattr__(self, name: str) -> Any:
        return getattr(self.content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Whole lines, as many as came together; `size` is how much is read at a time."""
        pending = bytearray()
        async for piece in self.content.iter_chunked(size):
            end = piece.rfind(b"\n") + 1
            if not end:
                pending += piece
                continue
            pending += piece[:end]
            yield b"".join(_lean_event(line) + b"\n" for line in bytes(pending[:-1]).split(b"\n"))
            pending = bytearray(piece[end:])
        if pending:
            yield bytes(pending)


def _lean_event(line: bytes) -> bytes:
    if len(line) <= USUAL:
        return line
    try:
        event = msgspec.json.decode(line, type=_Event)
        return msgspec.json.encode({"type": event.type, "object": msgspec.Raw(lean(event.object, unread=UNREAD))})
    except ValueError:
        # Not for us to judge.
        return line
