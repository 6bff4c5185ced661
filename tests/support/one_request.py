"""One token request in a process of its own: `python -m tests.support.one_request URL SECONDS`, what came of it as a line."""

import asyncio
import sys
from datetime import timedelta

import uvloop

from datasource.oauth2.errors import OAuth2Error
from datasource.outbound.provider_request import ProviderRequest
from datasource.providers.transport import Transport
from tests.support.hostile_provider import ON_LOOPBACK


async def main(url: str, seconds: float) -> None:
    """Send it, and print the reply's status, or the class of the failure."""
    async with Transport(ON_LOOPBACK) as transport:
        request = ProviderRequest(url=url, headers={}, body=b"grant_type=refresh_token&refresh_token=rt-1")
        try:
            reply = await transport.send(request, deadline=timedelta(seconds=seconds), tenant="apps")
        except OAuth2Error as error:
            print(type(error).__name__)
        else:
            print(reply.status, asyncio.get_running_loop().__class__.__module__)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], float(sys.argv[2])))
