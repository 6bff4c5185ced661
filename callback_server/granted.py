"""I/O: reads of what the operator gives us the right to, a moment after a Datasource named it: that moment is waited for.

Only for whoever has a link or a flow of ours: strangers are to cost no waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from callback_server.fair_reads import FairReads
from datasource.cluster.api_errors import Forbidden
from datasource.cluster.kube import Kube
from datasource.cluster.resources import CONFIG_MAPS, SECRETS, Resource

T = TypeVar("T")

PATIENCE = timedelta(seconds=3)
"""How long a right is waited for: where many ask for one at once, the operator gives them every two seconds. It is less than a
page waits for anything (`long_work`), so that a right which does not come is named; the page looks again by itself."""

PAUSE = timedelta(milliseconds=250)

_KINDS = {SECRETS: "Secret", CONFIG_MAPS: "ConfigMap"}


class NotGranted(Forbidden):
    """We may not read it, or not yet: nothing was done, and nothing is lost."""

    def __init__(self, error: Forbidden, *, what: str, namespace: str) -> None:
        super().__init__(error.status, error.reason, error.message, error.retry_after)
        self.what = what
        """Its kind and name."""
        self.namespace = namespace


class PatientReads:
    """As the Kube that it stands before, but for patience with reads that are refused."""

    def __init__(self, kube: Kube | FairReads, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._kube = kube
        self._sleep = sleep
        self.create = kube.create
        self.merge_patch = kube.merge_patch
        self.list_metadata = kube.list_metadata

    async def get(
        self, resource: Resource, namespace: str, name: str, type_: type[T], *, metadata_only: bool = False
    ) -> T:
        """Read an object live.

        Raises:
            NotGranted: our rights do not reach it, for as long as we waited.
        """
        left = round(PATIENCE / PAUSE)
        while True:
            try:
                return await self._kube.get(resource, namespace, name, type_, metadata_only=metadata_only)
            except Forbidden as error:
                if left == 0:
                    raise NotGranted(error, what=f"{_KINDS[resource]} {name}", namespace=namespace) from None
            left -= 1
            await self._sleep(PAUSE.total_seconds())
