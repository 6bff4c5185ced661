"""I/O: the list of Datasources as a streaming list, for whoever asked for a page of it. kopf asks for pages.

What it shows goes to us; who asked gets an empty list, and the resourceVersion to watch from. A line of it is bounded by what
etcd stores. Whatever goes wrong, the list can still be read in pages.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

import aiohttp
import msgspec
import structlog

from datasource.api.names import API_VERSION, KIND
from datasource.api.objects import Datasource
from datasource.cluster.answers import watch_event
from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.connection import READ_AT_A_TIME, lines_of
from datasource.cluster.kube import STREAMING_LIST

logger = structlog.get_logger(__name__)

_AS_WATCH = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "300"} | STREAMING_LIST
"""Its time is bounded: a proxy may leave out what it does not know, and then this is a watch without an end."""

UNREAD = ("labels", "managedFields", "ownerReferences", "finalizers")
"""Nobody here reads them."""


@dataclass(slots=True)
class StreamedDatasources:
    """Answers the first page of a list with all of it."""

    listed: Callable[[Datasource], None]
    """Told of each that there is, and of what changes meanwhile."""
    gone: Callable[[Datasource], None]
    """Told of each that is deleted meanwhile."""
    patience: timedelta
    """How long the API server may say nothing."""
    _can: bool = True

    async def ask(
        self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse | None:
        """The whole list, as an answer that shows none; None: read it in pages."""
        if not self._can or "continue" in request.url.query:
            return None
        url, response = request.url, None
        request.url = url.without_query_params("limit").update_query(_AS_WATCH)
        try:
            async with asyncio.timeout(self.patience.total_seconds()) as limit:
                response = await send(request)
                if response.status == HTTPStatus.OK:
                    version = await self._read(response.content.iter_chunked(READ_AT_A_TIME), limit)
                    response._body = msgspec.json.encode(_nothing_since(version))
                    return response
                self._can = response.status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}
        except (aiohttp.ClientError, TimeoutError, ApiError, Unavailable) as error:
            logger.info("a list of Datasources was cut short, reading it in pages", error=str(error))
        finally:
            request.url = url
            if response is not None:
                response.close()
        return None

    async def _read(self, chunks: AsyncIterator[bytes], limit: asyncio.Timeout) -> str:
        """Read up to the end of the list; returns the resourceVersion to watch from."""
        async for line in lines_of(_each_renews(limit, self.patience, chunks)):
            event = watch_event(line, Datasource, unread=UNREAD)
            if event.ends_list:
                return event.object.metadata.resource_version
            match event.type:
                case "ADDED" | "MODIFIED":
                    self.listed(event.object)
                case "DELETED":
                    self.gone(event.object)
        raise Unavailable("the API server ended it")


async def _each_renews(
    limit: asyncio.Timeout, patience: timedelta, chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    async for each in chunks:
        limit.reschedule(loop.time() + patience.total_seconds())
        yield each


def _nothing_since(version: str) -> dict[str, object]:
    return {
        "apiVersion": API_VERSION,
        "kind": f"{KIND}List",
        "metadata": {"resourceVersion": version, "continue": ""},
        "items": [],
    }
