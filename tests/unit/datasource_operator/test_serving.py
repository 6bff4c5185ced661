"""The operator waits for the CRD, and can be stopped meanwhile; what it does once the CRD is there, a real cluster shows."""

import asyncio
import os
import signal
from datetime import timedelta

from datasource.outbound.egress import EgressPolicy
from datasource.process.settings import Settings
from datasource.providers.transport import Transport
from datasource_operator.serving import NO_API, Serving
from tests.unit.datasource.api_server import ApiServer, json_reply

NO_GROUP = json_reply({"groups": [{"name": "apps"}]})
SETTINGS = Settings(external_url="https://connect.example.com", system_namespace="datasource-system")


async def told_while_waiting(server: ApiServer) -> str | None:
    """What an operator says until it is sent SIGTERM, at which it ends."""
    async with server, server.kube() as kube, Transport(EgressPolicy()) as transport:
        serving = Serving(kube, kube, transport, SETTINGS, pause=timedelta(milliseconds=1))
        running = asyncio.create_task(serving.run())
        # It has understood the first answer once it asks again.
        while len(server.requests) < 2:  # noqa: ASYNC110 - the stand-in tells nobody
            await asyncio.sleep(0.01)
        told = serving.unready()
        assert serving.stalled() is None
        os.kill(os.getpid(), signal.SIGTERM)
        await running
    return told


async def test_an_operator_without_its_crd_says_so_and_ends_at_sigterm() -> None:
    assert await told_while_waiting(ApiServer(NO_GROUP)) == NO_API


async def test_an_operator_that_may_not_look_for_its_crd_tells_what_the_api_server_says() -> None:
    refusal = json_reply({"kind": "Status", "reason": "Forbidden", "message": "not for you"}, status=403)
    told = await told_while_waiting(ApiServer(refusal))
    assert told is not None
    assert told.endswith("403 Forbidden: not for you")
