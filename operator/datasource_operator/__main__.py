"""`python -m datasource_operator`: start the operator."""

import asyncio
import gc
import os
import sys

import kopf
import structlog
import uvloop
from prometheus_client import REGISTRY

from datasource.cluster.kube import Kube
from datasource.process.logs import configure_logging
from datasource.process.metrics import show_build
from datasource.process.probes import serve_probes
from datasource.process.settings import InvalidSettings, Settings, listen_address, settings_in
from datasource.providers.transport import Transport
from datasource_operator.controller import Controller
from datasource_operator.handlers import register
from datasource_operator.health import Signs
from datasource_operator.kubernetes_version import ClusterTooOld, require_supported_cluster
from datasource_operator.lease import LeaseElector
from datasource_operator.metrics import OperatorCollector

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
    try:
        uvloop.run(run(settings, *health))
    except ClusterTooOld as error:
        sys.exit(f"datasource-operator: {error}")


async def run(settings: Settings, health_host: str, health_port: int) -> None:
    """Run the operator in this event loop; kopf takes the signals.

    Raises:
        ClusterTooOld: before anything else is done.
    """
    async with (
        Kube(settings.kubeconfig, user_agent="datasource-operator") as kube,
        # Connections of its own: a renewal must not wait behind the workers' requests.
        Kube(settings.kubeconfig, user_agent="datasource-operator-lease") as lease_kube,
        Transport(settings.egress, settings.proxies) as transport,
    ):
        await require_supported_cluster(kube)
        controller = Controller(kube, transport, settings)
        elector = LeaseElector(lease_kube, settings.system_namespace)
        signs = Signs(
            is_synced=lambda: controller.is_synced,
            is_leading=lambda: elector.is_leading,
            oldest_work=controller.queue.oldest_work,
            overdue_since=controller.queue.overdue_since,
            watches_alive_at=controller.watches_alive_at,
            answered_at=lambda: kube.answered_at,
        )
        show_build("operator")
        REGISTRY.register(
            OperatorCollector(
                cache=controller.cache,
                workload=controller.workload,
                is_leading=lambda: elector.is_leading,
                per_object=settings.metrics_per_object,
            )
        )
        runner = await serve_probes(health_host, health_port, stalled=signs.stalled, unready=signs.unready)
        controller.start()
        election = asyncio.create_task(elector.run(controller.lead), name="election")
        # It never ends by itself; should it, a restart is better than an operator that looks alive and never leads.
        stop = asyncio.Event()
        election.add_done_callback(lambda _: stop.set())

        async def end_the_work() -> None:
            """First the work, then the Lease, so that the next one begins at once."""
            if not election.cancelling():
                # Cancelled twice, it would give up and leave replies unsaved.
                election.cancel()
            (end,) = await asyncio.gather(election, return_exceptions=True)
            if not isinstance(end, asyncio.CancelledError):
                logger.error("the election ended", error=repr(end))

        registry = kopf.OperatorRegistry()
        register(registry, controller, settings.kubeconfig, end_the_work)
        logger.info("operator starts", namespaces=settings.namespaces or "all", external_url=settings.external_url)
        try:
            await kopf.operator(
                registry=registry,
                standalone=True,
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
                stop_flag=stop,
            )
        finally:
            await end_the_work()
            await controller.stop()
            await runner.cleanup()
    logger.info("operator ended")


if __name__ == "__main__":
    main()
