"""I/O: the one module that knows httpx. What lies below its public seam is httpcore's: `connecting`, `connections`, `wire`.

Verified TLS, no redirects, no cookies, a cap on the body and a deadline over all, and for every failure the answer to the
question that matters: was the request delivered?

A name is resolved once, what it leads to is judged, and what was judged is connected to: a second look at the DNS would be a
second answer. Through a proxy only what is written can be judged; the proxy itself was named by whoever installed us.
"""

import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import cast

import httpcore
import httpx

from datasource.concurrency.fair_cache import FairCache
from datasource.oauth2.errors import EgressDenied, NotDelivered
from datasource.outbound.egress import EgressPolicy
from datasource.outbound.provider_request import ProviderRequest, Reply
from datasource.outbound.proxies import Proxies
from datasource.outbound.reach import Hindrance
from datasource.outbound.trust import add_bundle, leave_out_costly_ciphers
from datasource.process.metrics import provider_timed
from datasource.providers.connecting import CheckedBackend
from datasource.providers.connections import CONNECT_TIMEOUT, IDLE_SECONDS, Connection, ProviderConnections
from datasource.providers.deadline import NO_EXTENSION, Extension, deadline_of
from datasource.providers.progress import FAILURES, Connected, OnlyConnecting, Progress, Record, failure, hindrance_of
from datasource.providers.resolver import Lookups, NameServers, Resolve
from datasource.providers.wire import Wire, WiredBackend

TRUST_IN_ALL = 24 * 2**20
"""Bytes of what is kept ready to trust a CA bundle by: to make it anew costs 20 ms of CPU at each request."""

TRUST_PER_NAMESPACE = 4 * 2**20
"""Room for three bundles, or four small ones."""

_TRUST_COST = 2**20
"""The system's authorities, which each bundle comes on top of."""

_BUNDLE_GROWTH = 4

_NO_LOGIN = httpx.Auth()
"""Not even what a URL would carry."""

_ACTED_ON = frozenset({b"location", b"set-cookie"})
"""Headers by which an httpx client would build a redirect, or keep a cookie: nothing of a reply is to be acted on."""


class Transport:
    """Sends requests to providers. Use it as an async context manager.

    Args:
        egress: where requests may go.
        proxies: through which proxies they go.
        verify: certificate authorities in place of the system's; True for those.
        resolve: how names are resolved; None: by the name servers of this machine.
    """

    def __init__(
        self,
        egress: EgressPolicy,
        proxies: Proxies | None = None,
        *,
        verify: ssl.SSLContext | bool = True,
        resolve: Resolve | None = None,
    ) -> None:
        self._egress = egress
        self._proxies = proxies or Proxies()
        self._name_servers = NameServers()
        self._lookups = Lookups(resolve or self._name_servers)
        self._context = _context(verify)
        self._shared = self._client(self._context)
        # What many Datasources of one company name is read once.
        self._trust: FairCache[bytes, ssl.SSLContext] = FairCache(TRUST_IN_ALL, TRUST_PER_NAMESPACE)

    async def __aenter__(self) -> "Transport":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._shared.aclose()
        await self._name_servers.aclose()

    async def send(
        self,
        request: ProviderRequest,
        *,
        deadline: timedelta,
        tenant: str,
        ca_bundle: str | None = None,
        record: Record | None = None,
        extension: Extension = NO_EXTENSION,
    ) -> Reply:
        """Send a request and read the whole reply within the deadline.

        Args:
            request: what to send.
            deadline: for all of it.
            tenant: the namespace on whose behalf it is sent: what its hosts keep waiting takes from its share alone.
            ca_bundle: certificate authorities, in PEM, that are trusted beside the system's for this request only.
            record: called with a reply that may grant something (2xx), before anything else is done with it and before anybody
                is waited for; and whether it is whole. What it raises is raised here.
            extension: of the deadline, for the reply to a request that was written, as the provider may have it.

        Raises:
            EgressDenied: no request may go there.
            NotDelivered: the provider was not reached.
            OutcomeUnknown: it may have acted on the request; ReplyTooLarge where its answer could not be read. What can be read
                of an answer stands in it.
            UnusableReply: the reply is coded in a way that is not read.
        """
        progress = Progress(tenant, request.largest_reply, record=record)
        http_request, host = _http_request(request, progress)
        denied = self._egress.host_denial(host)
        if denied is not None:
            raise EgressDenied(host, denied)
        longer = extension.where(lambda: progress.is_written)
        try:
            with provider_timed(host):
                async with deadline_of(deadline, longer) as ticks, self._trusting(ca_bundle, tenant) as client:
                    return await _exchange(client, http_request, progress)
        except FAILURES as error:
            readable = progress.reply or progress.readable()
            # Where the status says that nothing was granted, it says enough, whole or not.
            if readable is not None and (progress.reply is not None or not readable.is_success):
                return readable
            if readable is not None:
                progress.hand_out(readable, is_whole=False)
            raise failure(error, host, progress, timedelta(seconds=ticks.limit)) from error

    async def connect(
        self, url: str, *, deadline: timedelta, tenant: str, ca_bundle: str | None = None
    ) -> Hindrance | None:
        """Connect as `send` would, TLS included, and send nothing; what hinders it, or None. Arguments are those of `send`.

        Raises:
            EgressDenied: no request may go there.
            TooManyLookups: the tenant has no room to look up the name.
            NotDelivered: no request can go to such a URL.
        """
        progress = OnlyConnecting(tenant, largest_reply=0, is_secure=url.lower().startswith("https:"))
        request, host = _http_request(ProviderRequest(url, {}, b"", method="GET"), progress)
        denied = self._egress.host_denial(host)
        if denied is not None:
            raise EgressDenied(host, denied)
        context = self._context if ca_bundle is None else self._context_trusting(ca_bundle, tenant)
        # One of its own: what is kept for requests says nothing about now.
        to_providers = _ToProviders(context, self._egress, self._proxies, self._lookups)
        found = None
        try:
            async with deadline_of(deadline):
                await to_providers.handle_async_request(request)
        except Connected:
            pass
        except FAILURES as error:
            found = hindrance_of(error, progress)
        finally:
            await to_providers.aclose()
        return found

    @asynccontextmanager
    async def _trusting(self, ca_bundle: str | None, tenant: str) -> AsyncIterator[httpx.AsyncClient]:
        if ca_bundle is None:
            yield self._shared
            return
        # Connections of its own, for one request: one that was made under this trust must serve nobody else.
        async with self._client(self._context_trusting(ca_bundle, tenant)) as client:
            yield client

    def _context_trusting(self, ca_bundle: str, tenant: str) -> ssl.SSLContext:
        digest = hashlib.sha256(ca_bundle.encode()).digest()
        context = self._trust.get(digest, tenant)
        if context is None:
            context = _context_trusting(ca_bundle)
            self._trust.put(digest, context, tenant, cost=_TRUST_COST + _BUNDLE_GROWTH * len(ca_bundle))
        return context

    def _client(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        to_providers = _ToProviders(context, self._egress, self._proxies, self._lookups)
        return httpx.AsyncClient(transport=to_providers, trust_env=False)


async def _exchange(client: httpx.AsyncClient, request: httpx.Request, progress: Progress) -> Reply:
    """Send a request and read the whole reply; raises what httpcore raises, ReplyTooLarge and UnusableReply."""
    answer = await client.send(request, stream=True, auth=_NO_LOGIN, follow_redirects=False)
    try:
        progress.status, progress.headers = answer.status_code, dict(answer.headers.items())
        # aiter_raw would put the connection away before the reply is known to be whole.
        async for part in cast(httpx.AsyncByteStream, answer.stream):
            progress.body += part
        progress.reply = progress.received()
        # Here the end of the message was seen. Whatever is done next may fail, or take its time.
        progress.hand_out(progress.reply, is_whole=True)
        return progress.reply
    finally:
        await answer.aclose()


def _http_request(request: ProviderRequest, progress: Progress) -> tuple[httpx.Request, str]:
    """The request, and its host as the request names it: another reader of URLs might see another one.

    Raises:
        NotDelivered: no request can go to such a URL.
    """
    seconds = CONNECT_TIMEOUT.total_seconds()
    try:
        made = httpx.Request(
            request.method,
            request.url,
            headers=dict(request.headers),
            content=request.body or None,
            extensions={"timeout": {"connect": seconds, "pool": seconds}, "progress": progress},
        )
        host = made.url.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError):
        raise NotDelivered("The URL has no host that can be reached.") from None
    if made.url.scheme not in {"https", "http"}:
        raise NotDelivered("The URL is neither https nor http.")
    return made, host


def _context_trusting(ca_bundle: str) -> ssl.SSLContext:
    context = _context()
    add_bundle(context, ca_bundle)
    return context


def _context(verify: ssl.SSLContext | bool = True) -> ssl.SSLContext:
    context = httpx.create_ssl_context(verify)
    leave_out_costly_ciphers(context)
    return context


class _ToProviders(httpx.AsyncBaseTransport):
    """What an httpx client sends through, under one trust: to checked addresses, or through proxies."""

    def __init__(self, context: ssl.SSLContext, egress: EgressPolicy, proxies: Proxies, lookups: Lookups) -> None:
        self._context = context
        self._egress = egress
        self._proxies = proxies
        self._lookups = lookups
        self._providers: dict[tuple[str, str | None], ProviderConnections] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises what httpcore raises, and ReplyTooLarge."""
        progress: Progress = request.extensions["progress"]
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        sent = httpcore.Request(
            method=request.method,
            url=url,
            headers=request.headers.raw,
            content=request.stream,
            extensions={"timeout": request.extensions["timeout"]},
        )
        proxy_url = self._proxies.proxy_for(str(request.url))
        progress.is_proxied = proxy_url is not None
        provider = await self._provider(url.origin, proxy_url)
        async with AsyncExitStack() as until_read:
            connection = await until_read.enter_async_context(provider.connection(progress.tenant))
            connection.wire.begin(largest_body=progress.largest_reply, on_write=progress.write)
            answer = await connection.handle(sent)
            until_read.push_async_callback(answer.aclose)
            stream = _Body(answer, connection.wire, until_read.pop_all())
        headers = [header for header in answer.headers if header[0].lower() not in _ACTED_ON]
        return httpx.Response(answer.status, headers=headers, stream=stream)

    async def aclose(self) -> None:
        """Close what is kept."""
        for provider in self._providers.values():
            await provider.aclose()

    async def _provider(self, origin: httpcore.Origin, proxy_url: str | None) -> "ProviderConnections":
        key = (str(origin), proxy_url)
        if key not in self._providers:
            await self._close_those_left()
            self._providers.setdefault(key, ProviderConnections(partial(self._new_connection, origin, proxy_url)))
        return self._providers[key]

    async def _close_those_left(self) -> None:
        """Otherwise something would stay for every provider that was ever named."""
        keys = [key for key, provider in self._providers.items() if provider.is_left]
        # All are taken out before the first is closed: somebody else may be here meanwhile.
        for provider in [self._providers.pop(key) for key in keys]:
            await provider.aclose()

    def _new_connection(self, origin: httpcore.Origin, proxy_url: str | None, tenant: str) -> "Connection":
        wire = Wire()
        if proxy_url is None:
            checked = WiredBackend(CheckedBackend(self._egress, self._lookups, tenant), wire)
            direct = httpcore.AsyncHTTPConnection(
                origin, ssl_context=self._context, keepalive_expiry=IDLE_SECONDS, network_backend=checked
            )
            return Connection(wire, direct.handle_async_request, direct.aclose, lambda: direct)
        proxy = httpx.Proxy(proxy_url)
        through = httpcore.AsyncHTTPProxy(
            proxy_url=str(proxy.url),
            proxy_auth=proxy.raw_auth,
            ssl_context=self._context,
            max_connections=1,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=WiredBackend(httpcore.AnyIOBackend(), wire),
        )
        return Connection(
            wire, through.handle_async_request, through.aclose, lambda: next(iter(through.connections), None)
        )


class _Body(httpx.AsyncByteStream):
    """The body of an answer; once that is closed its connection is for others."""

    def __init__(self, answer: httpcore.Response, wire: Wire, until_read: AsyncExitStack) -> None:
        self._answer = answer
        self._wire = wire
        self._until_read = until_read

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._answer.aiter_stream():
            self._wire.parsed(len(part))
            yield part

    async def aclose(self) -> None:
        await self._until_read.aclose()
