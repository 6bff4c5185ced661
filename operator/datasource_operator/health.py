"""I/O: /healthz, /readyz and /metrics for kubelet and Prometheus."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

STALLED_AFTER = timedelta(minutes=2)
"""A step takes 20 s at the very most: a worker on one key for longer is stuck."""

SILENT_AFTER = timedelta(minutes=3)
"""Bookmarks come every minute: an API server silent for longer is out of reach."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What tells whether the operator works."""

    is_synced: Callable[[], bool]
    oldest_work: Callable[[], float | None]
    answered_at: Callable[[], float]
    monotonic: Callable[[], float] = time.monotonic

    def stalled(self) -> str | None:
        """Why a restart would help; None while all is well."""
        since = self.oldest_work()
        if since is not None and self.monotonic() - since > STALLED_AFTER.total_seconds():
            return "a worker has been on one Datasource for too long"
        return None

    def unready(self) -> str | None:
        """Why it cannot work now; None while it can."""
        if not self.is_synced():
            return "the lists of Secrets have not been read yet"
        if self.monotonic() - self.answered_at() > SILENT_AFTER.total_seconds():
            return "the API server does not answer"
        return None


async def serve(signs: Signs, host: str, port: int) -> web.AppRunner:
    """Serve probes and metrics until the runner is cleaned up."""

    async def healthz(_: web.Request) -> web.Response:
        return _answer(signs.stalled())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(signs.unready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def _answer(problem: str | None) -> web.Response:
    return web.Response(text="ok") if problem is None else web.Response(text=problem, status=503)
