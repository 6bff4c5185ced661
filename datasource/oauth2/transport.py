"""I/O: the one module that knows httpx and httpcore below it (their successors should be a one-file change).

Verified TLS, no redirects, no cookies, a cap on the body and a deadline over all, and for every failure the answer to the
question that matters: was the request delivered?

A name is resolved once, what it leads to is judged, and what was judged is connected to: a second look at the DNS would be a
second answer. Through a proxy only what is written can be judged; the proxy itself was named by whoever installed us.
"""

import asyncio
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

from datasource.metrics import provider_timed
from datasource.oauth2.egress import EgressPolicy, read_host
from datasource.oauth2.errors import EgressDenied, MalformedTokenResponse, NotDelivered, OutcomeUnknown
from datasource.oauth2.proxies import Proxies
from datasource.oauth2.token_request import TokenRequest
from datasource.oauth2.trust import add_bundle

# httpcore asks for sniffio at every lock that it makes, and a module that is not there is searched for in every folder, each
# time: a third of what a request took. None ends the search at once (Python reference, section 5.3.1).
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

LARGEST_BODY = 1024 * 1024
CONNECT_TIMEOUT = timedelta(seconds=5)
STAGGER = timedelta(milliseconds=250)
"""How long one address may take before the next is tried beside it (RFC 8305 section 5)."""

_ADDRESSES_TRIED = 8
_CONNECTIONS = 100
_IDLE_CONNECTIONS = _CONNECTIONS  # httpcore counts those in use among them, so fewer would be closed after each request
_IDLE_SECONDS = 5.0

_NEVER_SENT = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    httpcore.UnsupportedProtocol,
    httpcore.ProxyError,
    httpx.UnsupportedProtocol,
)
_NO_WHOLE_ANSWER = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpx.HTTPError,
    OSError,  # ssl.SSLError comes through where TLS fails after the handshake.
)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(name: str, port: int) -> Sequence[str]:
    """The addresses of a name, in the order in which they are to be tried.

    Raises:
        OSError: it has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; header names in lower case."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport:
    """Sends requests to providers. Use it as an async context manager.

    Args:
        egress: where requests may go.
        proxies: through which proxies they go.
        verify: certificate authorities in place of the system's; True for those.
        resolve: how names are resolved.
    """

    def __init__(
        self,
        egress: EgressPolicy,
        proxies: Proxies | None = None,
        *,
        verify: ssl.SSLContext | bool = True,
        resolve: Resolve = resolve,
    ) -> None:
        self._egress = egress
        self._proxies = proxies or Proxies()
        self._resolve = resolve
        self._shared = self._client(httpx.create_ssl_context(verify))
        # What many Datasources of one company name is read once.
        self._trusting = lru_cache(maxsize=16)(_context_trusting)

    async def __aenter__(self) -> "Transport":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._shared.aclose()

    async def send(self, request: TokenRequest, *, deadline: timedelta, ca_bundle: str | None = None) -> Reply:
        """Send a request and read the whole reply within the deadline.

        Args:
            request: what to send.
            deadline: for all of it.
            ca_bundle: certificate authorities, in PEM, that are trusted beside the system's for this request only.

        Raises:
            EgressDenied: no request may go there.
            NotDelivered: the provider was not reached.
            OutcomeUnknown: it may have acted on the request.
            MalformedTokenResponse: the reply is whole but compressed although we asked for none.
        """
        host = _host(request.url)
        denied = self._egress.host_denial(host)
        if denied is not None:
            raise EgressDenied(host, denied)
        try:
            with provider_timed(host):
                async with asyncio.timeout(deadline.total_seconds()), self._client_for(ca_bundle) as client:
                    return await _exchange(client, request)
        except _NEVER_SENT as error:
            raise NotDelivered(f"{host} could not be reached ({type(error).__name__}).") from error
        except UnicodeError as error:
            # Names that a resolver cannot even be asked for.
            raise NotDelivered(f"{host} is no host that can be reached.") from error
        except TimeoutError:
            raise OutcomeUnknown(f"{host} gave no whole answer within {deadline.total_seconds():g} s.") from None
        except _NO_WHOLE_ANSWER as error:
            raise OutcomeUnknown(f"{host} gave no whole answer ({type(error).__name__}).") from error

    @asynccontextmanager
    async def _client_for(self, ca_bundle: str | None) -> AsyncIterator[httpx.AsyncClient]:
        if ca_bundle is None:
            yield self._shared
            return
        # Connections of its own, for one request: one that was made under this trust must serve nobody else.
        async with self._client(self._trusting(ca_bundle)) as client:
            yield client

    def _client(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=_Pools(context, self._egress, self._proxies, self._resolve),
            # Refuses every cookie: clearing the jar would come too late for a request sent while another is under way.
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT.total_seconds(), pool=CONNECT_TIMEOUT.total_seconds()),
        )


def _host(url: str) -> str:
    """The host as the request will name it: another reader of URLs might see another one.

    Raises:
        NotDelivered: it is none.
    """
    try:
        return httpx.URL(url).raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError):
        raise NotDelivered("The URL has no host that can be reached.") from None


def _context_trusting(ca_bundle: str) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    add_bundle(context, ca_bundle)
    return context


async def _exchange(client: httpx.AsyncClient, request: TokenRequest) -> Reply:
    async with client.stream(
        request.method, request.url, headers=dict(request.headers), content=request.body or None
    ) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if headers.get("content-encoding", "identity").lower() != "identity":
            if not response.is_success:
                return Reply(status=response.status_code, headers=headers, body=b"")
            raise MalformedTokenResponse("The reply is compressed although that was not asked for.")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise OutcomeUnknown("The reply is larger than 1 MiB.")
        return Reply(status=response.status_code, headers=headers, body=bytes(body))


@dataclass(slots=True)
class _Pool:
    """Connections to one provider, or to one proxy. httpcore looks at all connections of a pool at every request."""

    connections: httpcore.AsyncConnectionPool
    under_way: int = 0
    used_at: float = 0.0

    async def handle(self, request: httpcore.Request) -> httpcore.Response:
        self.under_way += 1
        try:
            return await self.connections.handle_async_request(request)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """A reply was read, or there was none."""
        self.under_way -= 1
        self.used_at = time.monotonic()

    @property
    def is_left(self) -> bool:
        """Whether nobody has used it for as long as an idle connection is kept."""
        return not self.under_way and time.monotonic() - self.used_at > _IDLE_SECONDS


class _Pools(httpx.AsyncBaseTransport):
    """Connections under one trust: to checked addresses, or through proxies."""

    def __init__(self, context: ssl.SSLContext, egress: EgressPolicy, proxies: Proxies, resolve: Resolve) -> None:
        self._context = context
        self._proxies = proxies
        self._network = _CheckedBackend(egress, resolve)
        self._direct: dict[bytes, _Pool] = {}
        self._through: dict[str, _Pool] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        pool = await self._pool_for(request.url)
        reply = await pool.handle(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            reply.status, headers=reply.headers, stream=_Stream(reply, pool), extensions=reply.extensions
        )

    async def aclose(self) -> None:
        for pool in (*self._direct.values(), *self._through.values()):
            await pool.connections.aclose()

    async def _pool_for(self, url: httpx.URL) -> _Pool:
        proxy_url = self._proxies.proxy_for(str(url))
        return await self._direct_to(url) if proxy_url is None else self._through_proxy(proxy_url)

    async def _direct_to(self, url: httpx.URL) -> _Pool:
        provider = url.raw_scheme + b"://" + url.netloc
        if provider not in self._direct:
            await self._close_those_left()
            connections = httpcore.AsyncConnectionPool(
                ssl_context=self._context, network_backend=self._network, **_LIMITS
            )
            self._direct.setdefault(provider, _Pool(connections, used_at=time.monotonic()))
        return self._direct[provider]

    async def _close_those_left(self) -> None:
        """Otherwise a pool would stay for every provider that was ever named."""
        for provider in [provider for provider, pool in self._direct.items() if pool.is_left]:
            await self._direct.pop(provider).connections.aclose()

    def _through_proxy(self, proxy_url: str) -> _Pool:
        if proxy_url not in self._through:
            proxy = httpx.Proxy(proxy_url)
            connections = httpcore.AsyncHTTPProxy(
                proxy_url=str(proxy.url), proxy_auth=proxy.raw_auth, ssl_context=self._context, **_LIMITS
            )
            self._through[proxy_url] = _Pool(connections)
        return self._through[proxy_url]


_LIMITS: dict[str, Any] = {
    "max_connections": _CONNECTIONS,
    "max_keepalive_connections": _IDLE_CONNECTIONS,
    "keepalive_expiry": _IDLE_SECONDS,
}


class _Stream(httpx.AsyncByteStream):
    """The body of a reply of httpcore, as httpx wants it."""

    def __init__(self, reply: httpcore.Response, pool: _Pool) -> None:
        self._reply = reply
        self._pool = pool

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._reply.aiter_stream():
            yield part

    async def aclose(self) -> None:
        self._pool.release()
        await self._reply.aclose()


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once and connects to nothing but addresses that may be connected to."""

    def __init__(self, egress: EgressPolicy, resolve: Resolve) -> None:
        self._egress = egress
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async def connect(address: str) -> httpcore.AsyncNetworkStream:
            return await self._network.connect_tcp(
                address, port, local_address=local_address, socket_options=socket_options
            )

        try:
            async with asyncio.timeout(timeout):
                return await first_connected(await self._checked_addresses(host, port), connect)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None

    async def _checked_addresses(self, host: str, port: int) -> Sequence[str]:
        found = await self._addresses(host, port)
        denials = [self._egress.address_denial(host, address) for address in found]
        allowed = [address for address, denial in zip(found, denials, strict=True) if denial is None]
        if allowed:
            return allowed[:_ADDRESSES_TRIED]
        denied = next((denial for denial in denials if denial is not None), None)
        if denied is None:
            raise httpcore.ConnectError("the name has no address")
        raise EgressDenied(host, denied)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        read = read_host(host)
        if read is not None and not isinstance(read, str):
            return (str(read),)
        # With a dot at its end a name is whole: the search list of the pod would make a Service of payments.shop. A name that
        # the platform team allowed is meant as they wrote it, and may stand in /etc/hosts.
        name = host if self._egress.allows_name(host) or host.endswith(".") else f"{host}."
        try:
            return await self._resolve(name, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error


async def first_connected(
    addresses: Sequence[str], connect: Callable[[str], Awaitable[httpcore.AsyncNetworkStream]]
) -> httpcore.AsyncNetworkStream:
    """The first connection that stands; an address that takes long gets company from the next (RFC 8305 section 5).

    Raises:
        httpcore.ConnectError: there is none; the last failure.
    """
    waiting = list(addresses)
    racing: set[asyncio.Future[httpcore.AsyncNetworkStream]] = set()
    failure: BaseException = httpcore.ConnectError()
    try:
        while waiting or racing:
            if waiting:
                racing.add(asyncio.ensure_future(connect(waiting.pop(0))))
            pause = STAGGER.total_seconds() if waiting else None
            done, _ = await asyncio.wait(racing, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                racing.discard(attempt)
                if attempt.exception() is None:
                    return attempt.result()
                failure = attempt.exception() or failure
        raise failure
    finally:
        await _abandon(racing)


async def _abandon(attempts: Iterable[asyncio.Future[httpcore.AsyncNetworkStream]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for stream in await asyncio.gather(*attempts, return_exceptions=True):
        if not isinstance(stream, BaseException):
            await stream.aclose()
