"""I/O: the operator's life: it waits for the CRD, works until it is told to stop, and waits again where the CRD goes away.

kopf looks once which resources there are. Started without the CRD it would watch nothing for ever, and it ends where the CRD is
deleted; so it is started once the CRD is there, and anew after each end of that kind.
"""

import asyncio
import signal
from dataclasses import dataclass, field
from datetime import timedelta

import kopf
import msgspec
import structlog
from prometheus_client import REGISTRY

from datasource.api.names import GROUP, PLURAL
from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import DATASOURCES
from datasource.process.journal import Journal
from datasource.process.settings import Settings
from datasource.providers.transport import Transport
from datasource_operator.controller import Controller
from datasource_operator.handlers import register
from datasource_operator.health import Health
from datasource_operator.kopf_session import DatasourceRequests
from datasource_operator.kopf_storage import NoMemories
from datasource_operator.lease import LeaseElector
from datasource_operator.metrics import OperatorCollector
from datasource_operator.rights import rights_outlive_namespaces

logger = structlog.get_logger(__name__)

LOOK_FOR_API_EVERY = timedelta(seconds=2)

NO_API = f"the CustomResourceDefinition {PLURAL}.{GROUP} is missing"


@dataclass(slots=True)
class Serving:
    """One process of the operator. kopf takes the signals while it runs, and we before and after."""

    kube: Kube
    lease_kube: Kube
    """A connection of its own: a renewal must not wait behind the workers' requests."""
    transport: Transport
    settings: Settings
    journal: Journal | None = None
    pause: timedelta = LOOK_FOR_API_EVERY
    _health: Health | None = None
    """Of the work under way; None while there is no CRD."""
    _why_waiting: str = NO_API
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        while await self._api_is_there():
            if not await self._serve():
                return

    def stalled(self) -> str | None:
        """Why a restart would help; to wait for the CRD is no stall."""
        return None if self._health is None else self._health.stalled()

    def unready(self) -> str | None:
        """Why it cannot work now."""
        return self._why_waiting if self._health is None else self._health.unready()

    async def _api_is_there(self) -> bool:
        """Wait for the CRD; returns False where we are told to stop before."""
        self._take_signals()
        told = ""
        while not self._stop.is_set():
            try:
                if await self.kube.serves(DATASOURCES):
                    return True
                self._why_waiting = NO_API
            except (ApiError, Unavailable) as error:
                self._why_waiting = f"cannot look for the CustomResourceDefinition {PLURAL}.{GROUP}: {error}"
            if self._why_waiting != told:
                told = self._why_waiting
                logger.warning("waits until Datasources are served", why=told)
            try:
                async with asyncio.timeout(self.pause.total_seconds()):
                    await self._stop.wait()
            except TimeoutError:
                pass
        return False

    def _take_signals(self) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, self._stop.set)

    async def _serve(self) -> bool:
        """Work until told to stop, or until the CRD goes away; returns whether to wait for it and go on."""
        outlive = await rights_outlive_namespaces(self.kube, self.settings)
        settings = msgspec.structs.replace(self.settings, rights_outlive_namespaces=outlive)
        controller = Controller(self.kube, self.transport, settings, self.journal)
        elector = LeaseElector(self.lease_kube, self.settings.system_namespace)
        requests = DatasourceRequests(
            controller.served, listed=controller.datasource_changed, gone=controller.datasource_deleted
        )
        collector = OperatorCollector(
            cache=controller.cache,
            workload=controller.workload,
            is_leading=lambda: elector.is_leading,
            per_object=self.settings.metrics_per_object,
            seen_before=controller.seen_before,
        )
        REGISTRY.register(collector)
        self._health = Health(
            unreadable=controller.served.unready,
            is_leading=lambda: elector.is_leading,
            oldest_work=controller.queue.oldest_work,
            overdue_since=controller.queue.overdue_since,
            watches_alive_at=controller.watches.alive_at,
            datasources_alive_at=lambda: requests.alive_at,
            answered_at=lambda: self.kube.answered_at,
            history_went_back=controller.watches.history_went_back,
        )
        try:
            await self._run_kopf(controller, elector, requests)
        except Exception as error:
            if not requests.found_no_api:
                raise
            logger.warning("Datasources are served no more", error=str(error))
            return not self._stop.is_set()
        finally:
            self._health = None
            self._why_waiting = NO_API
            REGISTRY.unregister(collector)
        return False

    async def _run_kopf(self, controller: Controller, elector: LeaseElector, requests: DatasourceRequests) -> None:
        controller.start()
        election = asyncio.create_task(elector.run(controller.lead), name="election")
        # It never ends by itself; should it, a restart is better than an operator that looks alive and never leads.
        stop = asyncio.Event()
        election.add_done_callback(lambda _: stop.set())

        async def end_the_work() -> None:
            """First the work, then the Lease, so that the next one begins at once."""
            # kopf has taken its signal, or ends by itself: a signal while replies are stored must not be lost.
            self._take_signals()
            if not election.cancelling():
                # Cancelled twice, it would give up and leave replies unsaved.
                election.cancel()
            (end,) = await asyncio.gather(election, return_exceptions=True)
            if not isinstance(end, asyncio.CancelledError):
                logger.error("the election ended", error=repr(end))

        registry = kopf.OperatorRegistry()
        register(registry, controller, requests, self.settings.kubeconfig, end_the_work)
        try:
            await kopf.operator(
                registry=registry,
                memories=NoMemories(),
                standalone=True,
                clusterwide=not self.settings.namespaces,
                namespaces=self.settings.namespaces,
                stop_flag=stop,
            )
        finally:
            await end_the_work()
            await controller.stop()
