"""I/O: put a new credential in its Secret: rehearsed before the code is spent, retried, never over a newer one."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

import msgspec
import structlog

from callback_server import refusals
from callback_server.situation import Situation
from datasource import credential as credential_secret
from datasource.backoff import Backoff, half_jitter
from datasource.credential import CredentialData, CredentialFacts, StoredCredential, UnreadableCredential, read_facts
from datasource.kube import SECRETS, ApiError, Conflict, Forbidden, Invalid, Kube, NotFound, Unavailable
from datasource.names import CALLBACK_FIELD_MANAGER, SecretType, credential_secret_name
from datasource.objects import PartialObject, SecretHeader
from datasource.requests import Requests

logger = structlog.get_logger(__name__)

STORE_BACKOFF = Backoff(timedelta(milliseconds=200), timedelta(seconds=10), half_jitter(random.random))


class Standing(Enum):
    """What a re-read says about a write whose answer was a conflict or none at all."""

    STORED = auto()
    """Ours is there."""
    TRY_AGAIN = auto()
    """What we replace is still there; somebody merely labelled it, or the write never arrived."""
    LOST = auto()
    """Something else is there, or it is gone: a newer decision than ours."""


def standing(found: StoredCredential | None, *, replaces: str, ours: str) -> Standing:
    """Decide by credential IDs alone; empty stands for no credential Secret."""
    found_id = "" if found is None else found.facts.credential_id
    if found_id == ours:
        return Standing.STORED
    return Standing.TRY_AGAIN if found_id == replaces else Standing.LOST


@dataclass(frozen=True, slots=True)
class CredentialStore:
    """Writes credential Secrets."""

    kube: Kube
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    backoff: Backoff = STORE_BACKOFF

    async def rehearse(self, situation: Situation) -> None:
        """Have the API server check the write that is to come: a code must not be spent on one that cannot succeed.

        Raises:
            Refused: it would not accept the write.
        """
        name = credential_secret_name(situation.name)
        facts = CredentialFacts(credential_id="rehearsal", fingerprint="rehearsal", handled=situation.handled)
        try:
            await self._write(situation, situation.credential, facts, None, dry_run=True)
        except (Conflict, NotFound):
            raise refusals.another_was_first() from None
        except (Forbidden, Invalid) as error:
            logger.warning("the credential could not be stored", secret=name, error=error.message)
            raise refusals.write_is_refused(name, error.reason) from None

    async def store(
        self, situation: Situation, facts: CredentialFacts, data: CredentialData, *, requests: Requests, until: datetime
    ) -> None:
        """Store a credential that the provider has issued.

        An API server that does not answer is waited for as long as the process lives; one that refuses, until `until`.

        Raises:
            Refused: another credential, or a clear, came first; or the API server would not have it.
        """
        before = situation.credential
        attempt = 0
        while True:
            handled = situation.handled if before is None else before.facts.handled
            to_store = msgspec.structs.replace(facts, handled=handled.with_requests(requests))
            try:
                await self._write(situation, before, to_store, data)
                return
            except (ApiError, Unavailable) as error:
                self._give_up_or_log(situation, error, attempt, until)
            if attempt:
                await self._pause(attempt)
            attempt += 1
            found = await self._found(situation)
            match standing(found, replaces=situation.credential_id, ours=facts.credential_id):
                case Standing.STORED:
                    return
                case Standing.LOST:
                    raise refusals.dropped_after_exchange()
                case Standing.TRY_AGAIN:
                    before = found

    def _give_up_or_log(self, situation: Situation, error: Exception, attempt: int, until: datetime) -> None:
        name = credential_secret_name(situation.name)
        if isinstance(error, Forbidden | Invalid) and self.now() >= until:
            raise refusals.write_is_refused(name, error.reason) from None
        logger.warning(
            "could not store a credential yet",
            datasource=f"{situation.namespace}/{situation.name}",
            attempt=attempt + 1,
            error=str(error),
        )

    async def _found(self, situation: Situation) -> StoredCredential | None:
        """What is there now; asked until there is an answer."""
        attempt = 0
        while True:
            try:
                secret = await self.kube.get(
                    SECRETS, situation.namespace, credential_secret_name(situation.name), SecretHeader
                )
                if secret.type != SecretType.CREDENTIAL:
                    raise refusals.dropped_after_exchange()
                return read_facts(secret.metadata)
            except NotFound:
                return None
            except UnreadableCredential:
                raise refusals.dropped_after_exchange() from None
            except (ApiError, Unavailable) as error:
                attempt += 1
                logger.warning("could not read a credential back yet", attempt=attempt, error=str(error))
                await self._pause(attempt)

    async def _pause(self, attempt: int) -> None:
        await self.sleep(self.backoff.pause(attempt).total_seconds())

    async def _write(
        self,
        situation: Situation,
        before: StoredCredential | None,
        facts: CredentialFacts,
        data: CredentialData | None,
        *,
        dry_run: bool = False,
    ) -> None:
        if before is None:
            manifest = credential_secret.manifest(
                namespace=situation.namespace,
                datasource_name=situation.name,
                datasource_uid=situation.uid,
                facts=facts,
                data=data,
            )
            await self.kube.create(
                SECRETS, situation.namespace, manifest, PartialObject, manager=CALLBACK_FIELD_MANAGER, dry_run=dry_run
            )
            return
        patch: dict[str, Any] = credential_secret.patch(
            datasource_name=situation.name,
            resource_version=before.resource_version,
            facts=facts,
            data=data,
        )
        await self.kube.merge_patch(
            SECRETS,
            situation.namespace,
            credential_secret_name(situation.name),
            patch,
            PartialObject,
            manager=CALLBACK_FIELD_MANAGER,
            dry_run=dry_run,
        )
