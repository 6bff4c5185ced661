"""I/O: the connection that kopf lists and watches Datasources with. It tells what became of each request, which kopf does not.

kopf watches only after it has listed everything: a watch that is answered says that the list was read.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import structlog
from kubernetes.aio.client.configuration import Configuration
from yarl import URL

from datasource.api.objects import Datasource
from datasource.cluster.login import bearer_token, ssl_context
from datasource.cluster.resources import DATASOURCES
from datasource.outbound.proxies import proxies_in
from datasource_operator.bounded_lists import BoundedLists
from datasource_operator.served_scopes import Scope, Source

logger = structlog.get_logger(__name__)

_REFUSALS = {403, 404}


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
    listed: Callable[[Datasource], None] = lambda _: None
    """Told of each Datasource that a list shows; kopf tells only of those that change later."""
    gone: Callable[[Datasource], None] = lambda _: None
    """Told of each that is deleted while a list is read."""
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
        lists = BoundedLists(_is_for_datasources, self._listed, self._gone)
        return aiohttp.ClientSession(
            middlewares=[lists.ask],
            response_class=lists.response_class,
            # No limit: there is a watch for each namespace that is served.
            connector=aiohttp.TCPConnector(ssl=ssl_context(configuration), limit=0),
            proxy=proxies_in(os.environ).proxy_for(configuration.host),
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            trace_configs=[trace],
        )

    def _listed(self, datasource: Datasource) -> None:
        self._tell(self.listed, datasource)

    def _gone(self, datasource: Datasource) -> None:
        self._tell(self.gone, datasource)

    def _tell(self, of: Callable[[Datasource], None], datasource: Datasource) -> None:
        """Whatever a tenant may write into one, all others are seen."""
        # A list may take longer than a watch may be silent before it counts as stalled.
        self.alive_at = self.monotonic()
        try:
            of(datasource)
        except Exception:
            where = f"{datasource.metadata.namespace}/{datasource.metadata.name}"
            logger.exception("a Datasource is passed over: what it says cannot be dealt with", datasource=where)

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


def _is_for_datasources(url: URL) -> bool:
    return f"{DATASOURCES.prefix}/" in url.path and url.path.endswith(f"/{DATASOURCES.plural}")


def _scope_in(url: URL) -> Scope:
    """The namespace of a list or a watch; the API server may stand behind a path of its own."""
    _, _, below = url.path.partition(f"{DATASOURCES.prefix}/")
    parts = below.split("/")
    return parts[1] if len(parts) == 3 else None
