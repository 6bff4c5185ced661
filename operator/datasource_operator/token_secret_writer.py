"""I/O: token Secrets: written as planned, deleted where none is wanted."""

from dataclasses import dataclass, field, replace

import structlog

from datasource.api.names import FIELD_MANAGER, SecretType
from datasource.api.objects import PartialObject
from datasource.api.spec import InvalidSpec
from datasource.cluster.api_errors import Conflict, NotFound
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialData, UnreadableCredential, read_data
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.steps import DeleteTokenSecret, WriteTokenSecret
from datasource_operator.observer import Observer
from datasource_operator.surroundings import SurroundingsReader

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TokenSecretWriter:
    """Writes token Secrets; between a refresh and the write that follows it, it has the new tokens in hand."""

    kube: Kube
    cache: Cache
    observer: Observer
    surroundings: SurroundingsReader
    _in_hand: dict[Key, tuple[str, CredentialData]] = field(default_factory=dict, repr=False)
    """By key: what a refresh stored a moment ago, with the resourceVersion that it got; for the very next reconciliation."""

    def hand_over(self, key: Key, resource_version: str, data: CredentialData) -> None:
        """Spare the token Secret's next write a read of what was just written."""
        self._in_hand[key] = (resource_version, data)

    def let_go(self, key: Key) -> None:
        """Keep no token beyond the reconciliation that it was for."""
        self._in_hand.pop(key, None)

    def let_go_of_all(self) -> None:
        """The same where there will be no reconciliation."""
        self._in_hand.clear()

    async def write(self, key: Key, seen: Observed, step: WriteTokenSecret) -> Observed:
        """Write a token Secret; returns what is known after it.

        Raises:
            Stale: it, or the credential, changed meanwhile.
        """
        try:
            data = await self._data_of(key, step.credential)
            if data.fingerprint != step.credential.facts.fingerprint:
                raise UnreadableCredential("data key fingerprint differs from the annotation")
        except UnreadableCredential as error:
            return seen.with_unreadable(error.unreadable)
        try:
            manifest = step.plan.manifest(step.credential.facts, data)
        except InvalidSpec as error:
            return replace(seen, too_large=error.problem)
        if step.stored is None:
            return await self._create(key, seen, step, manifest)
        removal = step.plan.removal_patch(step.stored)
        if removal is not None:
            await self._patch(key, step.plan.name, removal)
        applied = await self.kube.apply(
            SECRETS, key.namespace, step.plan.name, manifest, PartialObject, manager=FIELD_MANAGER
        )
        self.cache.store_secret(applied.metadata)
        return self.observer.again(key, seen)

    async def delete(self, key: Key, step: DeleteTokenSecret) -> None:
        """Delete a token Secret that is as it was seen.

        Raises:
            Stale: it changed meanwhile.
        """
        stored = step.stored
        try:
            await self.kube.delete(
                SECRETS, key.namespace, stored.name, uid=stored.uid, resource_version=stored.resource_version
            )
        except NotFound:
            pass
        except Conflict:
            live = await self.kube.get(SECRETS, key.namespace, stored.name, PartialObject, metadata_only=True)
            self.cache.store_secret(live.metadata)
            raise Stale(f"Secret {stored.name} changed meanwhile") from None
        self.cache.drop_secret_named(key, stored.name)
        logger.info("deleted a token Secret", datasource=str(key), secret=stored.name)

    async def _data_of(self, key: Key, credential: StoredCredential) -> CredentialData:
        resource_version, data = self._in_hand.get(key, ("", None))
        if data is not None and resource_version == credential.resource_version:
            return data
        return read_data(await self.observer.unchanged(key, credential))

    async def _create(self, key: Key, seen: Observed, step: WriteTokenSecret, manifest: dict[str, object]) -> Observed:
        """The first write is a POST: an apply would merge into a Secret of somebody else."""
        try:
            created = await self.kube.create(SECRETS, key.namespace, manifest, PartialObject, manager=FIELD_MANAGER)
        except Conflict:
            conflict = await self.surroundings.conflict(seen, step.plan.name, SecretType.TOKEN)
            if conflict.problem is None:
                raise Stale(f"Secret {step.plan.name} appeared meanwhile") from None
            return replace(seen, surroundings=conflict)
        self.cache.store_secret(created.metadata)
        return self.observer.again(key, seen)

    async def _patch(self, key: Key, name: str, patch: dict[str, object]) -> None:
        try:
            await self.kube.merge_patch(SECRETS, key.namespace, name, patch, PartialObject, manager=FIELD_MANAGER)
        except (Conflict, NotFound):
            raise Stale(f"Secret {name} changed meanwhile") from None
