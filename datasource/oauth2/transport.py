"""I/O: the one module that knows httpx (its successor should be a one-file change).

Verified TLS, no redirects, no cookies, a cap on the body and a deadline over all, and for every failure the answer to the
question that matters: was the request delivered?
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx

from datasource.metrics import provider_timed
from datasource.oauth2.errors import MalformedTokenResponse, NotDelivered, OutcomeUnknown
from datasource.oauth2.token_request import TokenRequest

LARGEST_BODY = 1024 * 1024
CONNECT_TIMEOUT = timedelta(seconds=5)

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; header names in lower case."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport:
    """Sends requests to providers. Use it as an async context manager."""

    def __init__(self, *, verify: ssl.SSLContext | bool = True) -> None:
        self._client = httpx.AsyncClient(
            verify=verify,
            # Refuses every cookie: clearing the jar would come too late for a request sent while another is under way.
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT.total_seconds(), pool=CONNECT_TIMEOUT.total_seconds()),
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
        )

    async def __aenter__(self) -> "Transport":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, request: TokenRequest, *, deadline: timedelta) -> Reply:
        """POST a request and read the whole reply within the deadline.

        Raises:
            NotDelivered: the provider was not reached.
            OutcomeUnknown: it may have acted on the request.
            MalformedTokenResponse: the reply is whole but compressed although we asked for none.
        """
        host = urlsplit(request.url).hostname
        try:
            with provider_timed(host):
                async with asyncio.timeout(deadline.total_seconds()):
                    return await self._exchange(request)
        except _NEVER_SENT as error:
            raise NotDelivered(f"{host} could not be reached ({type(error).__name__}).") from error
        except (httpx.InvalidURL, UnicodeError) as error:
            # 999.1.1.1 or xn--: names that urlsplit accepts and nobody can connect to.
            raise NotDelivered(f"{host} is no host that can be reached.") from error
        except TimeoutError:
            raise OutcomeUnknown(f"{host} gave no whole answer within {deadline.total_seconds():g} s.") from None
        except (httpx.HTTPError, OSError) as error:
            # OSError: httpx lets ssl.SSLError through where TLS fails after the handshake.
            raise OutcomeUnknown(f"{host} gave no whole answer ({type(error).__name__}).") from error

    async def _exchange(self, request: TokenRequest) -> Reply:
        async with self._client.stream(
            "POST", request.url, headers=dict(request.headers), content=request.body
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
