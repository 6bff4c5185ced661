"""The operator as a program: settings, then everything that runs, until a signal ends it."""

import gc
import os
import sys

import structlog
import uvloop

from datasource.cluster.kube import Kube
from datasource.cluster.login import UnusableLogin
from datasource.outbound.json_text import DEEPEST
from datasource.process.journal import journal_in
from datasource.process.logs import configure_logging
from datasource.process.metrics import show_build
from datasource.process.probes import serve_probes
from datasource.process.settings import InvalidSettings, Settings, listen_address, settings_in
from datasource.providers.transport import Transport
from datasource_operator.kubernetes_version import ClusterTooOld, require_supported_cluster
from datasource_operator.serving import Serving

logger = structlog.get_logger(__name__)

GC_THRESHOLDS = (20_000, 20, 20)
"""For gc.set_threshold. Nearly all that a start allocates is kept: to look through it after every 700 objects finds nothing."""


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    try:
        settings = settings_in(os.environ)
        health = listen_address(os.environ, "DATASOURCE_HEALTH_LISTEN", default="0.0.0.0:8081")
    except InvalidSettings as error:
        sys.exit(f"datasource-operator: {error}")
    configure_logging(settings.log_format)
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setrecursionlimit(DEEPEST)
    try:
        uvloop.run(run(settings, *health))
    except (ClusterTooOld, UnusableLogin) as error:
        sys.exit(f"datasource-operator: {error}")


async def run(settings: Settings, health_host: str, health_port: int) -> None:
    """Run the operator in this event loop.

    Raises:
        ClusterTooOld: before anything else is done.
        UnusableLogin: no login for the API server was found, or it cannot be read.
    """
    # Before anything else, and without the API server: what lies there must not be made void.
    journal = journal_in(settings.journal)
    async with (
        Kube(settings.kubeconfig, user_agent="datasource-operator") as kube,
        # Connections of its own: a renewal must not wait behind the workers' requests.
        Kube(settings.kubeconfig, user_agent="datasource-operator-lease") as lease_kube,
        Transport(settings.egress, settings.proxies) as transport,
    ):
        await require_supported_cluster(kube)
        show_build("operator")
        serving = Serving(kube, lease_kube, transport, settings, journal)
        runner = await serve_probes(health_host, health_port, stalled=serving.stalled, unready=serving.unready)
        logger.info("operator starts", namespaces=settings.namespaces or "all", external_url=settings.external_url)
        try:
            await serving.run()
        finally:
            await runner.cleanup()
    logger.info("operator ended")
