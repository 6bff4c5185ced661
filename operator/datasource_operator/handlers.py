"""What kopf calls: decorators and nothing else. Only this module, `kopf_storage` and `serving` know kopf."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import kopf

from datasource.api.names import GROUP, PLURAL, VERSION
from datasource.cluster.login import login
from datasource.process.clock import utc_now
from datasource_operator.controller import Controller, datasource_in
from datasource_operator.kopf_session import DatasourceRequests
from datasource_operator.kopf_storage import NoDiffBase, NoProgress

LOGIN_LIFETIME = timedelta(minutes=5)
PAGE = 250
"""Datasources in a page of a list, at most. For each page the API server walks over all that are left: small ones take long."""
PAUSE_AFTER_REFUSED_LOGIN = timedelta(seconds=1)


class Backoffs:
    """Pauses between kopf's tries, without end: it would end the operator for all where one namespace cannot be read."""

    def __iter__(self) -> Iterator[float]:
        yield from (1, 1, 2, 3, 5, 8, 13, 21)
        while True:
            yield 30


def register(
    registry: kopf.OperatorRegistry,
    controller: Controller,
    requests: DatasourceRequests,
    kubeconfig: str | None,
    end_the_work: Callable[[], Awaitable[None]],
) -> None:
    """Register the handlers. Low-level events only: kopf's higher handlers write to the objects that they handle."""

    @kopf.on.startup(registry=registry)
    def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)

    @kopf.on.cleanup(registry=registry)
    async def clean_up(**_: Any) -> None:
        # Here and not later: after this, kopf cancels every task that was created since it started, ours among them.
        await end_the_work()

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        if requests.login_was_refused:
            # kopf asks at once, and takes every session for another login; the file gets its new token when kubelet writes it.
            requests.login_was_refused = False
            await asyncio.sleep(PAUSE_AFTER_REFUSED_LOGIN.total_seconds())
        configuration = await login(kubeconfig)
        return kopf.AiohttpSession(
            server=configuration.host,
            aiohttp_session=requests.session(configuration),
            # Read again before the projected token runs out.
            expiration=utc_now() + LOGIN_LIFETIME,
        )

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def datasource_event(event: kopf.RawEvent, **_: Any) -> None:
        datasource = datasource_in(event["object"])
        if event["type"] == "DELETED":
            controller.datasource_deleted(datasource)
        else:
            controller.datasource_changed(datasource)


def configure(settings: kopf.OperatorSettings) -> None:
    """Set what kopf's defaults would get wrong for us."""
    # By default kopf sends SIGKILL to its own process ten minutes after it stopped. A reply may still wait to be stored then.
    settings.process.ultimate_exiting_timeout = None
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.queueing.idle_timeout = 0.02
    # A list waits for its turn, and may be long; how long it may be silent is bounded in the session.
    settings.networking.request_timeout = None
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = Backoffs()
    # By default kopf asks for all at once. One may have 1.5 MiB, and the API server prepares the whole page.
    settings.watching.chunk_size = PAGE
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.inactivity_timeout = 70
