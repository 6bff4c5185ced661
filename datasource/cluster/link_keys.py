"""I/O: the Secret with the keys that mark links and states, as both processes have it in memory."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from datasource.api.names import FIELD_MANAGER, LINK_KEYS_SECRET
from datasource.api.objects import Secret
from datasource.cluster.api_errors import ApiError, Conflict, Forbidden, NotFound, Unavailable
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.records.link_keys import (
    LinkKeys,
    UnreadableLinkKeys,
    link_keys_manifest,
    link_keys_patch,
    read_link_keys,
)

logger = structlog.get_logger(__name__)

READ_INTERVAL = timedelta(seconds=30)
"""How often the keys are read: a new one must be known to every replica before it is used."""


@dataclass(slots=True)
class LinkKeyStore:
    """The keys as they were read last. What was read once is kept while the Secret is gone or cannot be read."""

    kube: Kube
    namespace: str
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes] = field(default=secrets.token_bytes, repr=False)
    interval: timedelta = READ_INTERVAL
    current: LinkKeys = field(default_factory=LinkKeys)
    _complaint: str = ""

    def known(self) -> LinkKeys:
        """Those that there are at this moment."""
        return self.current

    async def read(self) -> None:
        """Read the keys; where that cannot be done, those that are known stay, and the log says why."""
        try:
            secret = await self._secret()
            if secret is not None:
                self.current = read_link_keys(secret)
                self._complaint = ""
        except (ApiError, Unavailable, UnreadableLinkKeys) as error:
            self._complain(error)

    async def keep(self) -> bool:
        """Make what is missing, and a new key where it is time for one; returns whether the keys changed.

        A Secret that somebody deleted is written again with the keys that are known here.
        """
        before = self.current
        try:
            secret = await self._secret()
            if secret is None:
                await self._create(self.current.renewed(self.now(), self.token_bytes))
            else:
                await self._renew(secret)
            self._complaint = ""
        except Conflict:
            # Somebody else was faster: the next look reads what is there.
            pass
        except (ApiError, Unavailable, UnreadableLinkKeys) as error:
            self._complain(error)
        return self.current != before

    async def keep_reading(self) -> None:
        """Read them now and then, for ever."""
        while True:
            await asyncio.sleep(self.interval.total_seconds())
            await self.read()

    async def _create(self, keys: LinkKeys) -> None:
        manifest = link_keys_manifest(keys, system_namespace=self.namespace)
        await self.kube.create(SECRETS, self.namespace, manifest, Secret, manager=FIELD_MANAGER)
        self.current = keys

    async def _renew(self, secret: Secret) -> None:
        stored = read_link_keys(secret)
        keys = stored.renewed(self.now(), self.token_bytes)
        if keys != stored:
            patch = link_keys_patch(keys, resource_version=secret.metadata.resource_version)
            await self.kube.merge_patch(SECRETS, self.namespace, LINK_KEYS_SECRET, patch, Secret, manager=FIELD_MANAGER)
        self.current = keys

    async def _secret(self) -> Secret | None:
        try:
            return await self.kube.get(SECRETS, self.namespace, LINK_KEYS_SECRET, Secret)
        except NotFound:
            return None

    def _complain(self, error: Exception) -> None:
        """Once for each cause: it is tried again twice a minute."""
        if str(error) == self._complaint:
            return
        self._complaint = str(error)
        logger.warning(
            "the keys that mark links cannot be had: links still work, but junk costs reads of the API server",
            secret=f"{self.namespace}/{LINK_KEYS_SECRET}",
            error=str(error),
            remedy=_remedy(error),
        )


def _remedy(error: Exception) -> str:
    if isinstance(error, Forbidden):
        return "give this process the rights of deploy/base/link-key-rights.yaml"
    if isinstance(error, UnreadableLinkKeys):
        return "if that lasts, delete the Secret: the operator makes another"
    return f"this process reads them again every {READ_INTERVAL.total_seconds():.0f} s; if that lasts, look at the API server"
