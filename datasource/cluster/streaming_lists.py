"""I/O: lists that come as a watch: all that there is, an object at a time, and then a bookmark that says so.

The API server answers them from its memory. For each page of a usual list it walks over all objects that are left, or reads
them from etcd. Not each API server has streaming lists, so there are pages, too
(https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists).
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus

import structlog

from datasource.api.objects import Metadata, PartialObject
from datasource.cluster.answers import WatchEvent
from datasource.cluster.api_errors import ApiError, Invalid, Unavailable
from datasource.cluster.connection import TimedOut
from datasource.cluster.kube import Kube
from datasource.cluster.resources import Resource

logger = structlog.get_logger(__name__)

AT_A_TIME = 4
"""There are four lists of Secrets for each namespace that is served, and all of them begin at the start."""

SILENCE = timedelta(seconds=20)
"""How long the API server may say nothing before all was shown."""


class CutShort(Exception):
    """A list ended before all was shown. What it showed counts; the next one comes in pages."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a resource: in a namespace (None: in all), and by what Kubernetes calls selectors."""

    resource: Resource
    namespace: str | None
    fields: str = ""
    labels: str = ""


@dataclass(slots=True)
class StreamingLists:
    """Lists metadata on one connection."""

    kube: Kube
    _can: bool = True
    """False once the API server said that it cannot."""
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_A_TIME))

    async def events(
        self, selection: Selection, *, in_pages: bool = False
    ) -> AsyncGenerator[WatchEvent[PartialObject], None]:
        """All that there is as ADDED, with what changes meanwhile; the last event is a BOOKMARK with `ends_list`.

        Raises:
            CutShort: list again, in pages.
            ApiError: the API server refuses.
            Unavailable: no answer came.
        """
        if self._can and not in_pages:
            try:
                async with self._places, aclosing(self._streamed(selection)) as events:
                    async for event in events:
                        yield event
                return
            except Invalid as error:
                self._can = False
                logger.info("the API server has no streaming lists: lists are read in pages", error=str(error))
        async for event in self._in_pages(selection):
            yield event

    async def _streamed(self, selection: Selection) -> AsyncGenerator[WatchEvent[PartialObject], None]:
        has_begun = False
        watch = self.kube.watch_metadata(
            selection.resource,
            selection.namespace,
            field_selector=selection.fields,
            label_selector=selection.labels,
            resource_version="",
            silence=SILENCE,
        )
        try:
            async with aclosing(watch) as events:
                async for event in events:
                    has_begun = True
                    yield event
                    if event.ends_list:
                        return
        except (ApiError, Unavailable) as error:
            if has_begun or isinstance(error, TimedOut) or _is_of_the_server(error):
                raise CutShort(str(error)) from error
            raise
        raise CutShort("the API server ended it")

    async def _in_pages(self, selection: Selection) -> AsyncIterator[WatchEvent[PartialObject]]:
        version = ""
        async for page, version in self.kube.metadata_pages(  # noqa: B007 - the last one counts
            selection.resource, selection.namespace, field_selector=selection.fields, label_selector=selection.labels
        ):
            for each in page:
                yield WatchEvent("ADDED", each)
        end = PartialObject(Metadata(name="", resource_version=version))
        yield WatchEvent("BOOKMARK", end, ends_list=True)


def _is_of_the_server(error: ApiError | Unavailable) -> bool:
    """It may have failed for what it was asked for: its memory may not be as new as etcd, for example."""
    return isinstance(error, ApiError) and error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
