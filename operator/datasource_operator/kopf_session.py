"""I/O: the connection that kopf lists and watches Datasources with. It tells what became of each request, which kopf does not.

kopf watches only after it has listed everything: a watch that is answered says that the list was read.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import msgspec
from kubernetes.aio.client.configuration import Configuration
from yarl import URL

from datasource.api.names import GROUP
from datasource.cluster.login import bearer_token, ssl_context
from datasource.cluster.resources import DATASOURCES
from datasource.outbound.proxies import proxies_in
from datasource_operator.served_scopes import Scope, Source

_REFUSALS = {403, 404}

LISTS_AT_A_TIME = 2
"""Pages of Datasources that are in memory at one time. kopf lists all namespaces that are served at once."""

_UNREAD = ("labels", "managedFields", "ownerReferences", "finalizers")
"""Nobody here reads them. Whoever may edit a Datasource may write a megabyte there."""


class Hears(Protocol):
    """Whoever wants to know which scopes can be read."""

    def listed(self, scope: Scope, source: Source) -> None:
        """Everything was listed."""

    def refused(self, scope: Scope, source: Source, why: str) -> None:
        """The API server refuses."""


@dataclass(slots=True)
class DatasourceRequests:
    """What became of kopf's requests for Datasources."""

    hears: Hears
    monotonic: Callable[[], float] = time.monotonic
    alive_at: float = field(init=False)
    """When one of them last came to anything, by the monotonic clock; before the first, when we began."""
    login_was_refused: bool = False
    """Whether one was answered 401 since the last login."""
    found_no_api: bool = False
    """Whether one was answered 404: the CRD is gone, and kopf ends."""

    def __post_init__(self) -> None:
        self.alive_at = self.monotonic()

    def session(self, configuration: Configuration) -> aiohttp.ClientSession:
        """A session for kopf, which closes it."""
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._answered)
        trace.on_request_exception.append(self._failed)
        token = bearer_token(configuration)
        return aiohttp.ClientSession(
            response_class=_bounded(asyncio.Semaphore(LISTS_AT_A_TIME)),
            # No limit: there is a watch for each namespace that is served.
            connector=aiohttp.TCPConnector(ssl=ssl_context(configuration), limit=0),
            proxy=proxies_in(os.environ).proxy_for(configuration.host),
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            trace_configs=[trace],
        )

    async def _answered(self, _: object, __: object, params: aiohttp.TraceRequestEndParams) -> None:
        self.hear(params.url, params.response.status, params.response.reason)

    async def _failed(self, _: object, __: object, params: aiohttp.TraceRequestExceptionParams) -> None:
        if _is_for_datasources(params.url):
            self.alive_at = self.monotonic()

    def hear(self, url: URL, status: int, reason: str | None) -> None:
        """One request was answered."""
        if status == 401:
            self.login_was_refused = True
        if not _is_for_datasources(url):
            return
        self.alive_at = self.monotonic()
        scope = _scope_in(url)
        if status == 200 and "watch" in url.query:
            self.hears.listed(scope, Source.DATASOURCES)
        elif status in _REFUSALS:
            self.found_no_api = self.found_no_api or status == 404
            self.hears.refused(scope, Source.DATASOURCES, f"{status} {reason}")


class _List(msgspec.Struct, rename="camel"):
    """A page of Datasources, each as it came."""

    metadata: dict[str, Any]
    items: list[msgspec.Raw] | None = None
    kind: str = ""
    api_version: str = ""


def _bounded(places: asyncio.Semaphore) -> type[aiohttp.ClientResponse]:
    """Responses of which a few are read at a time, and lists without what nobody reads.

    kopf keeps a whole page as dictionaries, which take ten times as much memory as it has bytes.
    """

    class BoundedResponse(aiohttp.ClientResponse):
        async def json(self, **options: Any) -> Any:
            if self.status != 200 or not _is_for_datasources(self.url):
                return await super().json(**options)
            async with places:
                body = await self.read()
                try:
                    return lean_list(body)
                except (ValueError, KeyError):
                    # No list: as kopf would take it.
                    return await super().json(**options)
                finally:
                    # Nobody reads it again, and kopf keeps the response while it works on the list.
                    self._body = b""

    return BoundedResponse


def lean_list(body: bytes) -> dict[str, Any]:
    """A LIST of Datasources as kopf wants it. Each is read by itself: what is large of one is gone before the next.

    Raises:
        ValueError, KeyError: it is no list.
    """
    page = msgspec.json.decode(body, type=_List)
    items = [_lean(each) for each in page.items or ()]
    return {"kind": page.kind, "apiVersion": page.api_version, "metadata": page.metadata, "items": items}


def _lean(raw: msgspec.Raw) -> dict[str, Any]:
    item: dict[str, Any] = msgspec.json.decode(raw)
    metadata: dict[str, Any] = item["metadata"]
    for key in _UNREAD:
        metadata.pop(key, None)
    annotations: dict[str, str] = metadata.get("annotations") or {}
    metadata["annotations"] = {key: text for key, text in annotations.items() if key.startswith(f"{GROUP}/")}
    return item


def _is_for_datasources(url: URL) -> bool:
    return f"{DATASOURCES.prefix}/" in url.path and url.path.endswith(f"/{DATASOURCES.plural}")


def _scope_in(url: URL) -> Scope:
    """The namespace of a list or a watch; the API server may stand behind a path of its own."""
    _, _, below = url.path.partition(f"{DATASOURCES.prefix}/")
    parts = below.split("/")
    return parts[1] if len(parts) == 3 else None
