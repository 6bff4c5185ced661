"""I/O: the credential Secrets of Datasources, for both processes: read, swapped, written until it stands.

A Secret is ours by its type and its annotations; who says which Datasource asks is told, too, whether it belongs to an earlier
one of that name. Every write but the one that creates is a compare-and-swap on the resourceVersion that was read.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
import structlog

from datasource.api.names import Role, SecretType, credential_secret_name
from datasource.api.objects import Metadata, PartialObject, Secret, SecretHeader
from datasource.cluster.api_errors import ApiError, Conflict, NotFound, Unavailable
from datasource.cluster.resources import SECRETS
from datasource.cluster.secrets_api import SecretsApi
from datasource.concurrency.backoff import Backoff, half_jitter
from datasource.records.change import Change
from datasource.records.contents import Contents, Readable, StoredCredential, contents_in, seen_from, still_there
from datasource.records.credential import TombstoneFacts, Unreadable, is_ours
from datasource.records.credential_patches import change_patch, credential_manifest
from datasource.records.history import HistoryEntry, appended
from datasource.records.link_keys import LinkKeys
from datasource.records.standing import Absent, Standing, Written

logger = structlog.get_logger(__name__)

STORE_BACKOFF = Backoff(timedelta(milliseconds=200), timedelta(seconds=5), half_jitter(random.random))
"""Between tries to write what must not be lost: short, the API server is ours."""

T = TypeVar("T")
Answer = TypeVar("Answer", PartialObject, Secret)


class Stale(Exception):
    """Somebody wrote meanwhile: decide again from what is there now."""


class NotOurs(msgspec.Struct, frozen=True):
    """Something else stands under the name: of another type, or annotated as another's."""


Found = Contents | NotOurs | None
"""What stands under the name of a credential Secret; None: nothing."""


Before = TypeVar("Before", StoredCredential, Readable | Absent)
"""Who only changes what is there has no use for its absence, or for a tombstone."""

Heard = Callable[[str, str, Metadata | None], None]
"""Told by namespace and name of a Datasource what the API server said of its credential Secret; None: there is none."""


def _nobody_listens(_namespace: str, _name: str, _metadata: Metadata | None) -> None:
    """Whoever reads live at each use remembers nothing."""


@dataclass(frozen=True, slots=True)
class CredentialSecrets:
    """Reads and writes credential Secrets, by namespace and name of their Datasources."""

    kube: SecretsApi
    manager: str
    """The field manager."""
    may_list: bool
    """Whether we may list Secrets: then the API server tells a Secret's type without handing out its values."""
    heard: Heard = _nobody_listens
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    backoff: Backoff = STORE_BACKOFF
    link_keys: Callable[[], LinkKeys] = LinkKeys
    """The keys that there are at this moment: what we tell in a history bears a mark."""

    # Reads.

    async def facts(self, namespace: str, name: str, *, owner: str | None = None) -> Found:
        """What it holds, live. With the uid of the Datasource as `owner` what belongs to an earlier one is told as leaving.

        Raises:
            ApiError, Unavailable: the API server refused or did not answer.
        """
        header = await self._header(namespace, credential_secret_name(name))
        if header is not None and not _is_ours(header, name):
            self.heard(namespace, name, None)
            return NotOurs()
        self.heard(namespace, name, None if header is None else header.metadata)
        if header is None:
            return None
        contents = contents_in(header.metadata, header.history)
        return contents if owner is None else seen_from(contents, owner)

    async def facts_until_answered(
        self,
        namespace: str,
        name: str,
        *,
        gives_up: Callable[[ApiError | Unavailable], bool] = lambda _: False,
        failed: Callable[[ApiError | Unavailable], None] = lambda _: None,
    ) -> Found:
        """The same, asked until there is an answer, for as long as the process lives.

        Raises:
            ApiError, Unavailable: what `gives_up` says is not worth another try.
        """
        attempt = 0
        while True:
            try:
                return await self.facts(namespace, name)
            except (ApiError, Unavailable) as error:
                if gives_up(error):
                    raise
                failed(error)
                attempt += 1
                logger.warning(
                    "could not read a credential back yet",
                    datasource=f"{namespace}/{name}",
                    attempt=attempt,
                    error=str(error),
                )
                await self._pause(attempt)

    async def whole(self, namespace: str, name: str) -> Secret | None:
        """The Secret with its data, live; None where there is none of ours.

        Raises:
            ApiError, Unavailable: the API server refused or did not answer.
        """
        try:
            secret = await self.kube.get(SECRETS, namespace, credential_secret_name(name), Secret)
        except NotFound:
            self.heard(namespace, name, None)
            return None
        if not _is_ours(secret, name):
            self.heard(namespace, name, None)
            return None
        self.heard(namespace, name, secret.metadata)
        return secret

    async def _header(self, namespace: str, secret_name: str) -> SecretHeader | None:
        try:
            if not self.may_list:
                return await self.kube.get(SECRETS, namespace, secret_name, SecretHeader)
            # A LIST says what a GET of metadata does not: whether it is of our type. It is a quorum read, too.
            found, _ = await self.kube.list_metadata(
                SECRETS, namespace, field_selector=f"metadata.name={secret_name},type={SecretType.CREDENTIAL}"
            )
            if found:
                return SecretHeader(found[0].metadata, SecretType.CREDENTIAL)
            foreign = await self.kube.get(SECRETS, namespace, secret_name, PartialObject, metadata_only=True)
            return SecretHeader(foreign.metadata)
        except NotFound:
            return None

    # Writes.

    def told(self, namespace: str, name: str, history: str | None, entry: HistoryEntry) -> str:
        """The history with one more entry, which bears our mark."""
        return appended(history, entry.marked(self.link_keys(), (namespace, name)))

    async def create(
        self,
        namespace: str,
        name: str,
        place: Absent,
        holding: Change | TombstoneFacts,
        *,
        history: str | None = None,
        dry_run: bool = False,
    ) -> Metadata:
        """Make the Secret, for the Datasource that `place` names; `history` is what a tombstone keeps of it.

        Raises:
            Conflict: there is one.
            ApiError, Unavailable: the API server refused or did not answer.
        """
        facts, data = (holding.facts, holding.data) if isinstance(holding, Change) else (holding, None)
        manifest = credential_manifest(
            namespace=namespace,
            datasource_name=name,
            datasource_uid=place.owner,
            facts=facts,
            data=data,
            template=place.template,
            history=holding.history if isinstance(holding, Change) else history,
        )
        created = await self.kube.create(
            SECRETS, namespace, manifest, PartialObject, manager=self.manager, dry_run=dry_run
        )
        return self._told(namespace, name, created, dry_run=dry_run).metadata

    async def swap(
        self,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        type_: type[Answer],
        *,
        dry_run: bool = False,
    ) -> Answer:
        """Write a merge patch that carries the resourceVersion it was made for; returns what stands then, as `type_`.

        Raises:
            Stale: somebody else was first, or it is gone.
            ApiError, Unavailable: the API server refused or did not answer.
        """
        try:
            return await self._patch(namespace, name, patch, type_, dry_run=dry_run)
        except (Conflict, NotFound):
            raise Stale(f"Secret {credential_secret_name(name)} changed meanwhile") from None

    async def write_until_it_stands(
        self,
        namespace: str,
        name: str,
        before: Before,
        change: Callable[[Before], Change],
        resolve: Callable[[Readable | None], Standing | Before],
        *,
        gives_up: Callable[[ApiError | Unavailable], bool] = lambda _: False,
        failed: Callable[[ApiError | Unavailable], None] = lambda _: None,
    ) -> Written:
        """Put a change over what was seen, and over nothing newer; tried for as long as the process lives.

        Conflicts and unclear answers are resolved by reading again; what cannot be read, or is not ours, is newer than we are.

        Args:
            namespace: of the Datasource.
            name: of the Datasource.
            before: what the change is put over.
            change: makes it from what stands there now, which may carry somebody's labels since.
            resolve: says of what was found after a write whether that stands, or what to try it over again.
            gives_up: whether an error is not worth another try.
            failed: told of each error that keeps the change from standing, or us from reading whether it does.

        Raises:
            ApiError, Unavailable: what `gives_up` says so of. Whether the write stands is not known then.
        """
        attempt = 0
        while True:
            try:
                wanted = change(before)
                metadata = await self._write(namespace, name, before, wanted)
                return Written(True, metadata.resource_version, wanted.data)
            except (ApiError, Unavailable) as error:
                if gives_up(error):
                    raise
                attempt += 1
                if not isinstance(error, Conflict | NotFound):
                    failed(error)
                await self._pause_before_rereading(namespace, name, error, attempt)
            found = await self.facts_until_answered(namespace, name, gives_up=gives_up, failed=failed)
            there = found if isinstance(found, NotOurs) else still_there(found)
            if isinstance(there, NotOurs | Unreadable):
                return Written(False)
            after = resolve(there)
            if isinstance(after, Standing):
                return Written(after is Standing.STORED)
            before = after

    async def _write(self, namespace: str, name: str, before: Readable | Absent, change: Change) -> Metadata:
        if change.entry is not None:
            marked = change.entry.marked(self.link_keys(), (namespace, name))
            change = msgspec.structs.replace(change, entry=marked)
        if isinstance(before, Absent):
            return await self.create(namespace, name, before, change)
        patch = change_patch(name, before, change)
        return (await self._patch(namespace, name, patch, PartialObject, dry_run=False)).metadata

    async def _patch(
        self, namespace: str, name: str, patch: Mapping[str, Any], type_: type[Answer], *, dry_run: bool
    ) -> Answer:
        patched = await self.kube.merge_patch(
            SECRETS,
            namespace,
            credential_secret_name(name),
            patch,
            type_,
            manager=self.manager,
            dry_run=dry_run,
        )
        return self._told(namespace, name, patched, dry_run=dry_run)

    def _told(self, namespace: str, name: str, answer: Answer, *, dry_run: bool) -> Answer:
        if not dry_run:
            self.heard(namespace, name, answer.metadata)
        return answer

    async def _pause_before_rereading(
        self, namespace: str, name: str, error: ApiError | Unavailable, attempt: int
    ) -> None:
        if attempt == 1 and isinstance(error, Conflict | NotFound):
            # That is an answer, and usually somebody merely labelled the Secret.
            return
        logger.warning(
            "could not write a credential yet", datasource=f"{namespace}/{name}", attempt=attempt, error=str(error)
        )
        await self._pause(attempt)

    async def _pause(self, attempt: int) -> None:
        await self.sleep(self.backoff.pause(attempt).total_seconds())


def _is_ours(secret: Secret | SecretHeader, name: str) -> bool:
    return secret.type == SecretType.CREDENTIAL and is_ours(secret.metadata, name, Role.CREDENTIAL)
