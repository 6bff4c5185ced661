"""`python -m datasource_operator`: start the operator."""

import os
import sys

import kopf
import structlog
import uvloop

from datasource.kube import Kube
from datasource.logs import configure_logging
from datasource.oauth2.transport import Transport
from datasource.probes import serve_probes
from datasource.settings import InvalidSettings, Settings, listen_address, settings_in
from datasource_operator.controller import Controller
from datasource_operator.handlers import register
from datasource_operator.health import Signs

logger = structlog.get_logger(__name__)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    try:
        settings = settings_in(os.environ)
        health = listen_address(os.environ, "DATASOURCE_HEALTH_LISTEN", default="0.0.0.0:8081")
    except InvalidSettings as error:
        sys.exit(f"datasource-operator: {error}")
    configure_logging(settings.log_format)
    uvloop.run(run(settings, *health))


async def run(settings: Settings, health_host: str, health_port: int) -> None:
    """Run the operator in this event loop; kopf takes the signals."""
    async with Kube(settings.kubeconfig, user_agent="datasource-operator") as kube, Transport() as transport:
        controller = Controller(kube, transport, settings)
        signs = Signs(
            is_synced=lambda: controller.is_synced,
            oldest_work=controller.queue.oldest_work,
            answered_at=lambda: kube.answered_at,
        )
        runner = await serve_probes(health_host, health_port, stalled=signs.stalled, unready=signs.unready)
        registry = kopf.OperatorRegistry()
        register(registry, controller, settings.kubeconfig)
        controller.start()
        logger.info("operator starts", namespaces=settings.namespaces or "all", external_url=settings.external_url)
        try:
            await kopf.operator(
                registry=registry,
                standalone=True,
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
            )
        finally:
            await controller.stop()
            await runner.cleanup()
    logger.info("operator ended")


if __name__ == "__main__":
    main()
