"""I/O: /healthz, /readyz and /metrics for kubelet and Prometheus, on a port of their own; both processes serve them."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from datasource.process.stalls import StallWatch

Sign = Callable[[], str | None]
"""Says what is wrong; None while all is well."""


async def serve_probes(host: str, port: int, *, stalled: Sign, unready: Sign) -> web.AppRunner:
    """Serve probes and metrics until the runner is cleaned up; one of the metrics is how long this event loop stood still.

    Args:
        host: where to listen.
        port: where to listen; 0 takes a free one.
        stalled: why a restart would help; answers liveness.
        unready: why no work should be sent here now; answers readiness.
    """

    async def healthz(_: web.Request) -> web.Response:
        return _answer(stalled())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(unready())

    async def metrics(_: web.Request) -> web.Response:
        # In a thread: 10,000 Datasources take a while, and nothing else should wait for it.
        return web.Response(
            body=await asyncio.to_thread(generate_latest), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application()
    app.cleanup_ctx.append(_stalls_watched)
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


async def _stalls_watched(_: web.Application) -> AsyncIterator[None]:
    watch = StallWatch()
    yield
    await watch.aclose()


def _answer(problem: str | None) -> web.Response:
    return web.Response(text="ok") if problem is None else web.Response(text=problem, status=503)
