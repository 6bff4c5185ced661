"""I/O: intents of this pod with which nobody goes on here, told apart from those whose reply is written down.

A stranger's intent says that its pod may have the reply in its journal, so whoever leads waits for 15 minutes. The pod itself
knows better: it has the journal to itself, so whatever began a refresh before is dead or is done with it, and no reply lies
there. Then it takes the word of the journal off the intent, and whoever leads goes on as with any intent: after it was seen
unchanged for 35 seconds. That the refresh token may have been sent stays on record.

While this process leads it goes on by itself, so this is done while another one does.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import msgspec
import structlog

from datasource.api.objects import PartialObject
from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.credential_secrets import CredentialSecrets, Stale
from datasource.process.journal import Journal
from datasource.records.contents import StoredCredential, still_there
from datasource.records.credential_patches import facts_patch
from datasource.records.intent import TAKEOVER_AFTER, Process, is_left_by
from datasource.records.journal_entry import place_of
from datasource_operator.cache import Cache, Key

logger = structlog.get_logger(__name__)

CHECK_INTERVAL = TAKEOVER_AFTER
"""Nobody may go on sooner anyway, and by then this process leads if no other does."""

LAST_CHECK_TIMEOUT = timedelta(seconds=5)
"""How long a process that ends looks: those that are left then wait as those of a pod that is lost."""


@dataclass(slots=True)
class LeftIntents:
    """Looks for them in the cache."""

    cache: Cache
    credential_secrets: CredentialSecrets
    process: Process
    journal: Journal | None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    leads: bool = False
    """Whether this process leads, or has refreshes under way still."""

    async def run(self) -> None:
        """Hand over whatever is left, for ever."""
        while True:
            await self.sleep(CHECK_INTERVAL.total_seconds())
            await self.hand_over()

    async def hand_over_at_the_end(self) -> None:
        """The same once more, by a process that ends and has seen its refreshes through."""
        try:
            async with asyncio.timeout(LAST_CHECK_TIMEOUT.total_seconds()):
                await self.hand_over()
        except TimeoutError:
            logger.warning("refreshes that came to nothing are left to the next leader, who waits for this pod")

    async def hand_over(self) -> None:
        """Look at each intent once. One that cannot be written now is looked at the next time."""
        for key in self.cache.refreshes_begun():
            if self.leads:
                return
            try:
                await self._hand_over(key)
            except Stale:
                continue  # somebody went on with it
            except (ApiError, Unavailable) as error:
                logger.info("a refresh cannot be left to the leader yet", datasource=str(key), error=str(error))

    async def _hand_over(self, key: Key) -> None:
        there = still_there(self.cache.credential(key))
        if not isinstance(there, StoredCredential) or not is_left_by(there.facts.intent, self.process):
            return
        if self.journal is None or self.journal.has_any(place_of(*key)):
            # Also one that was set aside: it may have the only refresh token that works, for a person to look at.
            return
        intent = msgspec.structs.replace(there.facts.intent, journal=False)
        facts = msgspec.structs.replace(there.facts, intent=intent)
        patch = facts_patch(datasource_name=key.name, resource_version=there.resource_version, facts=facts)
        await self.credential_secrets.swap(*key, patch, PartialObject)
        logger.info("no reply to a refresh was written down: the leader need not wait for it", datasource=str(key))
