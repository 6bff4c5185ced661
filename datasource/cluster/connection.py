"""I/O: the sessions with the API server: logged in, bounded, through the proxy that the environment names.

aiohttp carries them. The API classes of kubernetes.aio are not used: they cost more than twice the CPU of a bare session
(docs/decisions.md#kubernetes-client).
"""

import asyncio
import logging
import math
import os
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import aiohttp
import msgspec
from kubernetes.aio.client.configuration import Configuration

from datasource.cluster import amount
from datasource.cluster.api_errors import Unavailable, refusal
from datasource.cluster.login import UnusableLogin, credentials, login, login_problems, ssl_context
from datasource.cluster.patience import PATIENCE
from datasource.outbound.proxies import proxies_in

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = timedelta(seconds=5)
SILENCE_TIMEOUT = timedelta(seconds=90)
"""How long a watch may say nothing: the API server sends a bookmark about once a minute."""

READ_AT_A_TIME = 2**16
"""Bytes of a watch. Larger ones, between what is kept of them, fragment the memory."""

REQUESTS_IN_FLIGHT = 64
"""Connections for requests. Watches have others: there are two for each namespace that is served."""

_TOKEN_LIFETIME = 60.0


class TooLarge(Exception):
    """An answer was larger than was asked for; the rest of it was not read."""


class TimedOut(Unavailable):
    """No answer came in time; a smaller one may."""


class Connection:
    """Requests and watches on the API server that a login leads to. Use it as an async context manager.

    Every method raises ApiError (or a subclass of it) for a refusal, and Unavailable where no answer came. To enter it raises
    UnusableLogin where nobody could log in with what the kubeconfig says.
    """

    def __init__(self, kubeconfig: str | None, user_agent: str) -> None:
        self._kubeconfig = kubeconfig
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession
        self._watches: aiohttp.ClientSession
        self._configuration: Configuration
        self._credentials: dict[str, str]
        self._token_read_at = -math.inf
        self.answered_at = 0.0
        """When the API server last answered, by the monotonic clock."""

    async def __aenter__(self) -> "Connection":
        self._configuration = await login(self._kubeconfig)
        self._credentials = credentials(self._configuration)
        self._token_read_at = time.monotonic()
        # A watch holds its connection for minutes: it has a session of its own, so that it takes none from requests.
        with login_problems(self._kubeconfig):
            tls = ssl_context(self._configuration)
        self._session, self._watches = self._new_session(tls, REQUESTS_IN_FLIGHT), self._new_session(tls, 0)
        return self

    def _new_session(self, tls: ssl.SSLContext, connections: int) -> aiohttp.ClientSession:
        """A session with at most so many connections; 0 stands for no limit."""
        return aiohttp.ClientSession(
            base_url=self._configuration.host.rstrip("/") + "/",
            connector=aiohttp.TCPConnector(ssl=tls, limit=connections),
            # Not trust_env: aiohttp would look into the environment, and for a netrc, in a thread for every request.
            proxy=proxies_in(os.environ).proxy_for(self._configuration.host),
            read_bufsize=2**18,
            headers={"User-Agent": self._user_agent},
            # Not `connect`: that would end a request that waits for others to give their connections back.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT.total_seconds()),
        )

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(self._session.close(), self._watches.close())

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        most_bytes: float = math.inf,
    ) -> bytes:
        """Send one request; returns the body of the answer.

        Raises:
            TooLarge: the answer has more than `most_bytes`.
        """
        send = partial(self._send, method, path, params=params, headers=headers, body=body, most_bytes=most_bytes)
        response, content = await send()
        if response.status == 401:
            # The token ran out under us; the file may hold a new one by now.
            self._token_read_at = -math.inf
            response, content = await send()
        if response.status >= 300:
            raise refusal(response.status, content, response.headers.get("Retry-After"))
        return content

    async def watch(
        self, path: str, *, params: Mapping[str, str], headers: Mapping[str, str], silence: timedelta = SILENCE_TIMEOUT
    ) -> AsyncGenerator[memoryview, None]:
        """Begin a watch; returns line after line until the API server ends it, or says nothing for as long as `silence`."""
        all_headers = {**headers, **await self._authorization()}
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT.total_seconds(), sock_read=silence.total_seconds()
        )
        try:
            async with self._watches.get(
                path.lstrip("/"), params=params, headers=all_headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status == 401:
                    # As for a request; who watches tries again.
                    self._token_read_at = -math.inf
                if response.status >= 300:
                    raise refusal(response.status, await response.read(), response.headers.get("Retry-After"))
                async for line in lines_of(response.content.iter_chunked(READ_AT_A_TIME)):
                    self.answered_at = time.monotonic()
                    yield line
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            kind = TimedOut if isinstance(error, aiohttp.SocketTimeoutError) else Unavailable
            raise kind(f"watch of {path.rpartition('/')[2]}: {type(error).__name__}: {error}") from error

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        most_bytes: float,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        all_headers = {"Content-Type": "application/json", **(headers or {}), **await self._authorization()}
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with (
                self._patience(),
                self._session.request(
                    method, path.lstrip("/"), params=params, headers=all_headers, data=data, allow_redirects=False
                ) as response,
            ):
                content = await _content(response, most_bytes)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            is_late = isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError)
            kind = TimedOut if is_late else Unavailable
            raise kind(f"{method} {path}: {type(error).__name__}: {error}") from error
        self.answered_at = time.monotonic()
        amount.add(len(content))
        return response, content

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        """Ends the block with a TimeoutError once whoever asks has waited long enough."""
        patience, began, loop = PATIENCE.get(), time.monotonic(), asyncio.get_running_loop()

        def look() -> None:
            # Both bounds may be the same, and then both are reached at once.
            if self.answered_at <= began and not limit.expired():
                limit.reschedule(loop.time())

        async with asyncio.timeout(patience.in_all.total_seconds()) as limit:
            silence = loop.call_later(patience.of_silence.total_seconds(), look)
            try:
                yield
            finally:
                silence.cancel()

    async def _authorization(self) -> dict[str, str]:
        if time.monotonic() - self._token_read_at > _TOKEN_LIFETIME:
            try:
                self._configuration = await login(self._kubeconfig)
            except UnusableLogin as error:
                # The file may be empty or half written at this moment. The login of before stays.
                logger.warning("could not read the API server login again: %s", error)
            self._token_read_at = time.monotonic()
            self._credentials = credentials(self._configuration)
        return self._credentials


async def _content(response: aiohttp.ClientResponse, most_bytes: float) -> bytes:
    if most_bytes == math.inf:
        return await response.read()
    read = bytearray()
    async for piece in response.content.iter_any():
        read += piece
        if len(read) > most_bytes:
            raise TooLarge
    return bytes(read)


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[memoryview]:
    """Lines of any length, without their ends: a StreamReader's own iteration gives up at its buffer's size.

    Those that came together are views of what came: a copy of each, between what is kept of them, would fragment the memory.
    Others have their turn after them: there may be more at once, for as long as the API server is faster than we are.
    """
    pending = bytearray()
    async for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if not end:
            pending += chunk
            continue
        whole = bytes(pending) + chunk[:end]
        pending = bytearray(chunk[end:])
        for line in _lines_in(whole):
            yield line
        await asyncio.sleep(0)


def _lines_in(text: bytes) -> Iterator[memoryview]:
    whole, start = memoryview(text), 0
    while (stop := text.find(b"\n", start)) >= 0:
        if stop > start:
            yield whole[start:stop]
        start = stop + 1
