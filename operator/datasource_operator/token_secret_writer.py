"""I/O: token Secrets: written as planned, deleted where none is wanted."""

from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from datasource.api.names import FIELD_MANAGER, Role, SecretType
from datasource.api.objects import Metadata, PartialObject
from datasource.api.spec import InvalidSpec
from datasource.cluster.api_errors import Conflict, Invalid, NotFound
from datasource.cluster.credential_secrets import Stale
from datasource.cluster.kube import Kube
from datasource.cluster.resources import SECRETS
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialData, UnreadableCredential, is_ours, read_data
from datasource.records.stored_token_secret import StoredTokenSecret
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.observed import Observed, Surroundings
from datasource_operator.decisions.obstacles import secret_conflict, secret_has_another_type
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
    _on_its_way: dict[Key, tuple[str | None, CredentialData]] = field(default_factory=dict, repr=False)
    """By key: what a refresh is storing, with the ID of its intent. A watch may show it before the write is answered."""

    def begins_to_store(self, key: Key, stored_by: str | None, data: CredentialData) -> None:
        """Spare a reconciliation that comes before the answer a read of what is being written; call `has_stored` then."""
        self._on_its_way[key] = (stored_by, data)

    def has_stored(self, key: Key) -> None:
        """The write is over, however it ended."""
        self._on_its_way.pop(key, None)

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
        name = step.plan.name
        if step.stored is not None and step.stored.has_usual_type is not _is_usual(step.plan.type):
            return replace(seen, surroundings=Surroundings(secret_has_another_type(name), name))
        try:
            data = await self._data_of(key, step.credential)
            if data.fingerprint != step.credential.facts.fingerprint:
                raise UnreadableCredential("data key fingerprint differs from the annotation")
        except UnreadableCredential as error:
            return seen.with_unreadable(error.unreadable)
        try:
            manifest = step.plan.manifest(step.credential.facts, data)
        except InvalidSpec as error:
            return replace(seen, unrenderable=error.problem)
        if step.stored is None:
            return await self._create(key, seen, step, manifest)
        written = await self._apply(key, step.stored, manifest)
        # Last: what is refused takes nothing from apps.
        removal = step.plan.removal_patch(step.stored, written.metadata.resource_version)
        if removal is not None:
            written = await self._patch(key, name, removal)
        self.cache.store_secret(written.metadata, has_usual_type=_is_usual(step.plan.type))
        return self.observer.again(key, seen)

    async def look_for(self, key: Key, seen: Observed, name: str) -> Observed:
        """See whether a token Secret of that name stands, whatever watches show; returns what is known after it."""
        looked = replace(seen, names_looked_at=seen.names_looked_at | {name})
        found = await self._live(key, name)
        if found is None:
            return looked
        if is_ours(found, key.name, Role.TOKEN):
            await self._remember(key, found)
        return self.observer.again(key, looked)

    async def _remember(self, key: Key, metadata: Metadata) -> None:
        """Keep in the cache what a live look showed. Metadata does not tell the type; a selector does."""
        selector = f"metadata.name={metadata.name},type={SecretType.TOKEN}"
        usual, _ = await self.kube.list_metadata(SECRETS, key.namespace, field_selector=selector)
        self.cache.store_secret(metadata, has_usual_type=bool(usual))

    async def delete(self, key: Key, seen: Observed, step: DeleteTokenSecret) -> Observed:
        """Delete a token Secret that is as it was seen; returns what is known after it.

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
            self.cache.store_secret(live.metadata, has_usual_type=stored.has_usual_type)
            raise Stale(f"Secret {stored.name} changed meanwhile") from None
        self.cache.drop_secret_named(key, stored.name)
        logger.info("deleted a token Secret", datasource=str(key), secret=stored.name)
        return self.observer.again(key, replace(seen, names_looked_at=seen.names_looked_at | {stored.name}))

    async def _data_of(self, key: Key, credential: StoredCredential) -> CredentialData:
        resource_version, data = self._in_hand.get(key, ("", None))
        if data is not None and resource_version == credential.resource_version:
            return data
        stored_by, data = self._on_its_way.get(key, (None, None))
        if data is not None and stored_by == credential.facts.stored_by:
            return data
        return read_data(await self.observer.unchanged(key, credential))

    async def _create(self, key: Key, seen: Observed, step: WriteTokenSecret, manifest: dict[str, object]) -> Observed:
        """The first write is a POST: an apply would merge into a Secret of somebody else."""
        try:
            created = await self.kube.create(SECRETS, key.namespace, manifest, PartialObject, manager=FIELD_MANAGER)
        except Conflict:
            conflict = await self.surroundings.conflict(seen, step.plan.name, Role.TOKEN, step.plan.type)
            if conflict.problem is not None:
                # It may be one of ours of another type, which has to go once another name is chosen.
                return replace(await self.look_for(key, seen, step.plan.name), surroundings=conflict)
            if step.plan.name in seen.names_looked_at:
                holder = await self._holder(key, step.plan.name)
                if holder is not None:
                    conflict = Surroundings(secret_conflict(step.plan.name, Role.TOKEN, holder), step.plan.name)
                    return replace(seen, surroundings=conflict)
                raise Stale(f"Secret {step.plan.name} comes and goes") from None
            # One of ours that no watch shows, or not yet: the next step labels it again.
            return await self.look_for(key, seen, step.plan.name)
        self.cache.store_secret(created.metadata, has_usual_type=_is_usual(step.plan.type))
        return self.observer.again(key, seen)

    async def _holder(self, key: Key, name: str) -> str | None:
        """Another Datasource that owns a token Secret, and is there: the Secret does not go by itself. None: there is none."""
        found = await self._live(key, name)
        for owner in () if found is None else found.owner_references:
            other = self.cache.datasource(Key(key.namespace, owner.name))
            if other is not None and other.metadata.uid == owner.uid and owner.name != key.name:
                return owner.name
        return None

    async def _apply(self, key: Key, stored: StoredTokenSecret, manifest: dict[str, Any]) -> PartialObject:
        """Write into the very Secret that was seen, never into one that somebody made since under its name.

        Raises:
            Stale: it is gone.
        """
        manifest["metadata"]["uid"] = stored.uid
        try:
            return await self.kube.apply(
                SECRETS, key.namespace, stored.name, manifest, PartialObject, manager=FIELD_MANAGER
            )
        except (Conflict, Invalid):
            live = await self._live(key, stored.name)
            if live is not None and live.uid == stored.uid:
                raise
            self.cache.drop_secret_named(key, stored.name)
            raise Stale(f"Secret {stored.name} was deleted meanwhile") from None

    async def _live(self, key: Key, name: str) -> Metadata | None:
        try:
            return (await self.kube.get(SECRETS, key.namespace, name, PartialObject, metadata_only=True)).metadata
        except NotFound:
            return None

    async def _patch(self, key: Key, name: str, patch: dict[str, object]) -> PartialObject:
        try:
            return await self.kube.merge_patch(
                SECRETS, key.namespace, name, patch, PartialObject, manager=FIELD_MANAGER
            )
        except (Conflict, NotFound):
            raise Stale(f"Secret {name} changed meanwhile") from None


def _is_usual(type_: str) -> bool:
    return type_ == SecretType.TOKEN
