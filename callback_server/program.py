"""The callback server as a program: settings, then everything that runs, until a signal ends it."""

import asyncio
import contextlib
import gc
import os
import signal
import sys

import structlog
import uvloop

from callback_server.app import create_app, services
from callback_server.server import server_of
from callback_server.signed_in.wiring import egress_to_issuer
from datasource.cluster.kube import Kube
from datasource.cluster.login import UnusableLogin
from datasource.outbound.json_text import DEEPEST
from datasource.process.journal import journal_in
from datasource.process.logs import configure_logging
from datasource.process.metrics import show_build
from datasource.process.probes import serve_probes
from datasource.process.settings import InvalidSettings, Settings, listen_address, settings_in
from datasource.process.sign_in import UnusableSignIn
from datasource.providers.transport import Transport

logger = structlog.get_logger(__name__)


def main() -> None:
    """Run until SIGTERM or SIGINT; authorizations under way are finished first."""
    try:
        settings = settings_in(os.environ)
        pages = listen_address(os.environ, "DATASOURCE_LISTEN", default="0.0.0.0:8080")
        probes = listen_address(os.environ, "DATASOURCE_HEALTH_LISTEN", default="0.0.0.0:8081")
        if settings.sign_in is not None:
            settings.sign_in.check_files()
    except (InvalidSettings, UnusableSignIn) as error:
        sys.exit(f"datasource-callback-server: {error}")
    configure_logging(settings.log_format)
    sys.setrecursionlimit(DEEPEST)
    # What the imports made stays. A collection that went through those 100,000 objects stopped the event loop for 60 ms.
    gc.freeze()
    try:
        uvloop.run(run(settings, pages, probes))
    except UnusableLogin as error:
        sys.exit(f"datasource-callback-server: {error}")


async def run(settings: Settings, pages: tuple[str, int], probes: tuple[str, int]) -> None:
    """Serve in this event loop; uvicorn takes the signals and waits for the requests under way.

    Raises:
        UnusableLogin: no login for the API server was found, or it cannot be read.
    """
    # Before anything else, and without the API server.
    journal = journal_in(settings.journal)
    async with (
        Kube(settings.kubeconfig, user_agent="datasource-callback-server") as kube,
        Transport(settings.egress, settings.proxies) as transport,
        _transport_to_issuer(settings) as to_issuer,
    ):
        served = services(kube, transport, settings, journal, to_issuer)
        # Once before the first request, so that it is not looked up what could be told.
        await served.link_keys.read()
        tasks = [asyncio.create_task(served.link_keys.keep_reading(), name="link keys")]
        if served.replays is not None:
            tasks.append(asyncio.create_task(served.replays.run(), name="replays"))
        app = create_app(served)
        host, port = pages
        server = server_of(app, host, port)
        show_build("callback-server")
        runner = await serve_probes(
            *probes,
            stalled=lambda: None,
            unready=lambda: None if server.started and not server.should_exit else "not serving",
        )
        # uvicorn takes the signals while it serves, and afterwards hands them to whoever had them before: not to the
        # default, which would end the process before it has cleaned up.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        logger.info("callback server starts", external_url=settings.external_url, listen=f"{host}:{port}")
        try:
            await server.serve()
            # Codes of people who were told that it takes longer.
            await served.callback.long_work.drain()
            if served.replays is not None:
                # A pod that ends takes its journal with it.
                await served.replays.drain()
        finally:
            for task in tasks:
                task.cancel()
            await runner.cleanup()
    logger.info("callback server ended")


def _transport_to_issuer(settings: Settings) -> contextlib.AbstractAsyncContextManager[Transport | None]:
    """One of its own: the issuer's host is open for sign-in, and for no Datasource."""
    if settings.sign_in is None:
        return contextlib.nullcontext()
    return Transport(egress_to_issuer(settings.egress, settings.sign_in), settings.proxies)
