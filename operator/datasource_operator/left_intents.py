"""I/O: hand over intents that this pod left: mark those without a reply in the journal, so that the leader need not wait.

An intent may say that its process keeps a journal, in which the reply may be. So a leader in another pod waits for 15 minutes.
This pod knows more. Only this process has the journal now. So each refresh that began here before has ended. If the journal has
no entry for it, there is no reply. Then this process removes the mark of the journal from the intent. If an earlier process of
the pod wrote the intent, it marks it as ended, and the leader goes on at once. An intent of this process must first be seen
unchanged for 35 seconds. The intent still records that the token may have been sent.

While this process leads, it goes on with its own intents itself. So it hands over only while another process leads.
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
from datasource.records.intent import Process, handed_over, is_left_by
from datasource.records.journal_entry import place_of
from datasource_operator.cache import Cache, Key

logger = structlog.get_logger(__name__)

CHECK_INTERVAL = timedelta(seconds=5)
"""The pause between two checks. A leader that waits for an intent looks as often."""

LAST_CHECK_TIMEOUT = timedelta(seconds=5)
"""The longest time for the check of a process that ends. For intents that are left then, the leader waits for 15 minutes."""


@dataclass(slots=True)
class LeftIntents:
    """Finds the intents in the cache, and hands them over."""

    cache: Cache
    credential_secrets: CredentialSecrets
    process: Process
    journal: Journal | None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    leads: bool = False
    """Whether this process leads, or still has refreshes under way."""

    async def run(self) -> None:
        """Hand over intents at intervals, for ever."""
        while True:
            await self.sleep(CHECK_INTERVAL.total_seconds())
            await self.hand_over()

    async def hand_over_at_the_end(self) -> None:
        """Hand over once more before the process ends, after its refreshes have ended."""
        try:
            async with asyncio.timeout(LAST_CHECK_TIMEOUT.total_seconds()):
                await self.hand_over()
        except TimeoutError:
            logger.warning("refreshes that came to nothing are left to the next leader, who waits for this pod")

    async def hand_over(self) -> None:
        """Check each intent once. One that cannot be written now is checked again the next time."""
        for key in self.cache.refreshes_begun():
            if self.leads:
                return
            try:
                await self._hand_over(key)
            except Stale:
                continue  # another process wrote meanwhile
            except (ApiError, Unavailable) as error:
                logger.info("a refresh cannot be left to the leader yet", datasource=str(key), error=str(error))

    async def _hand_over(self, key: Key) -> None:
        there = still_there(self.cache.credential(key))
        if not isinstance(there, StoredCredential) or not is_left_by(there.facts.intent, self.process):
            return
        if self.journal is None or self.journal.has_any(place_of(*key)):
            # An entry that was set aside counts, too. It may have the only refresh token that works, and a person looks at it.
            return
        facts = msgspec.structs.replace(there.facts, intent=handed_over(there.facts.intent, self.process))
        patch = facts_patch(datasource_name=key.name, resource_version=there.resource_version, facts=facts)
        await self.credential_secrets.swap(*key, patch, PartialObject)
        logger.info("no reply to a refresh was written down: the leader need not wait for it", datasource=str(key))
