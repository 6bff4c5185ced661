"""Lookups on a machine of its own (`unshare --mount --net`): prints what came of them as JSON.

What the machine is told, it is told in files: a network without any way out, with resolv.conf and hosts bound over its own.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from datasource.oauth2.errors import OAuth2Error
from datasource.outbound.provider_request import ProviderRequest
from datasource.providers.resolver import NameServers
from datasource.providers.transport import Transport
from tests.support.hostile_provider import LOOPBACK, ON_LOOPBACK, HostileProvider, replies
from tests.support.name_server import NameServer

PATIENT = timedelta(seconds=10)
SILENT_NAMES = 12


def settle_in() -> None:
    """Bring loopback up, and tell the machine who its name server is."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607
    folder = Path(tempfile.mkdtemp())
    files = {
        "resolv.conf": f"nameserver {LOOPBACK}\nsearch apps.svc.cluster.local svc.cluster.local\noptions ndots:5\n",
        "hosts": f"{LOOPBACK} localhost\n192.0.2.44 keycloak.corp.example\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        subprocess.run(["mount", "--bind", folder / name, f"/etc/{name}"], check=True)  # noqa: S603, S607


async def send(transport: Transport, host: str, port: int, tenant: str) -> int:
    """Send a token request; returns the status."""
    request = ProviderRequest(url=f"http://{host}:{port}/token", headers={}, body=b"grant_type=refresh_token")
    return (await transport.send(request, deadline=PATIENT, tenant=tenant)).status


async def victims_request(server: NameServer) -> int:
    """What a request of one tenant gets while names of another one are silent."""
    async with HostileProvider(replies(200)) as provider, Transport(ON_LOOPBACK) as transport:

        async def hangs(number: int) -> None:
            with suppress(OAuth2Error):
                await send(transport, f"n{number}.d{number}.silent.example", provider.port, "attacker")

        hanging = [asyncio.create_task(hangs(number)) for number in range(SILENT_NAMES)]
        await server.hears_of(2)
        status = await send(transport, "login.victim.example", provider.port, "victim")
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        return status


async def main() -> None:
    """Look up, send, print."""
    known = {"keycloak.auth.svc.cluster.local": ["10.0.0.9"], "login.victim.example": [LOOPBACK]}
    async with NameServer(known, port=53) as server:
        names = NameServers()
        seen = {
            "a name of the hosts file": await names("keycloak.corp.example", 443),
            "a Service through the search list": await names("keycloak.auth", 443),
            f"a victim's request beside {SILENT_NAMES} silent names": await victims_request(server),
        }
        await names.aclose()
    print(json.dumps(seen))


if __name__ == "__main__":
    settle_in()
    uvloop.run(main())
