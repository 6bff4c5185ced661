"""What kopf is told: nothing of it may end the process while a reply waits to be stored."""

import asyncio
import sys
from asyncio.subprocess import PIPE

from tests.unit.datasource.api_server import ApiServer

_ENDED_BY_SIGTERM = """
import asyncio, os, signal, sys
import kopf
from datasource_operator.handlers import register
from datasource_operator.kopf_session import DatasourceRequests
from datasource_operator.served_scopes import ServedScopes

async def store_a_reply() -> None:
    await asyncio.sleep(1)
    print("stored", flush=True)

async def main() -> None:
    registry, settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
    # kopf's default is ten minutes, which a test cannot wait for.
    settings.process.ultimate_exiting_timeout = 0.2
    requests = DatasourceRequests(ServedScopes((None,)))
    register(registry, None, requests, sys.argv[1], store_a_reply)
    ready = asyncio.Event()
    operator = asyncio.create_task(
        kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True, ready_flag=ready)
    )
    await ready.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await operator

asyncio.run(main())
"""


async def test_reply_that_cannot_be_stored_yet_outlives_the_patience_of_kopf() -> None:
    """kopf sends SIGKILL to its own process some time after it stopped, whatever is still under way."""
    async with ApiServer() as server:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _ENDED_BY_SIGTERM, str(server.kubeconfig), stdout=PIPE, stderr=PIPE
        )
        told, complaints = await child.communicate()
    assert (child.returncode, told) == (0, b"stored\n"), complaints.decode()
