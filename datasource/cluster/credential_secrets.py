"""I/O: the credential Secrets of Datasources, for both processes: how they are read and written.

A Secret is ours by its type and its annotations. A caller that passes the uid of the Datasource also learns whether the Secret
belongs to an earlier one of that name. Every write except a create is a compare-and-swap on the resourceVersion that was read.
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
"""The pauses between tries of a write that must not be lost. They are short, because the API server is in our cluster."""

T = TypeVar("T")
Answer = TypeVar("Answer", PartialObject, Secret)


class Stale(Exception):
    """Another process wrote meanwhile. The caller has to decide again from what is there now."""


class NotOurs(msgspec.Struct, frozen=True):
    """A foreign Secret has the name: its type is another, or its annotations name another Datasource or are gone."""

    has_our_type: bool = False
    """Whether only its annotations say so. They may have been altered, and it may have the tokens."""


Found = Contents | NotOurs | None
"""What was found under the name of a credential Secret; None: nothing."""


Before = TypeVar("Before", StoredCredential, Readable | Absent)
"""What a change is made from. A caller that only changes a credential passes no absence and no tombstone."""

Heard = Callable[[str, str, Metadata | None], None]
"""Called with namespace and name of a Datasource, and the metadata of its credential Secret; None: there is none."""


def _nobody_listens(_namespace: str, _name: str, _metadata: Metadata | None) -> None:
    """For a process that keeps no cache."""


@dataclass(frozen=True, slots=True)
class CredentialSecrets:
    """Reads and writes credential Secrets, by namespace and name of their Datasources."""

    kube: SecretsApi
    manager: str
    """The field manager."""
    may_list: bool
    """Whether we may list Secrets. A LIST by type shows the type of a Secret without its values."""
    heard: Heard = _nobody_listens
    """Called with each answer of the API server, for the cache."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    backoff: Backoff = STORE_BACKOFF
    link_keys: Callable[[], LinkKeys] = LinkKeys
    """The current keys for marks. An entry of a history that we write has a mark."""

    # Reads.

    async def facts(self, namespace: str, name: str, *, owner: str | None = None) -> Found:
        """Read the content of a credential Secret live, without its values.

        `owner` is the uid of the Datasource. If it is given, a Secret of an earlier Datasource of that name is `Leaving`.

        Raises:
            ApiError, Unavailable: the API server refused or did not answer.
        """
        header = await self._header(namespace, credential_secret_name(name))
        if header is not None and not _is_ours(header, name):
            self.heard(namespace, name, None)
            return NotOurs(has_our_type=header.type == SecretType.CREDENTIAL)
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
        """As `facts`, tried again until the API server answers. `failed` is called with each error that is worth another try.

        Raises:
            ApiError, Unavailable: an error for which `gives_up` is true.
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
        """Read the Secret with its data live; None where there is none, or a foreign one.

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
            # A LIST by type shows what a GET of metadata does not: whether the Secret has our type. It is a quorum read, too.
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
        """The history (as stored) with one more entry, which has our mark."""
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
        """Create the Secret for the Datasource that `place` names. `history` is the history that a tombstone keeps.

        Raises:
            Conflict: there is a Secret of that name.
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
        """Write a merge patch that carries the resourceVersion it was made for. Returns the Secret after that, as `type_`.

        Raises:
            Stale: another process wrote first, or the Secret is gone.
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
        """Write a change over what was read, but over nothing newer. The write is tried for as long as the process lives.

        After a conflict or an unclear answer the Secret is read again. A Secret that cannot be parsed, or a foreign one, counts
        as newer: it is not overwritten.

        Args:
            namespace: of the Datasource.
            name: of the Datasource.
            before: what was read.
            change: makes the change from what is there now. Another process may have changed its labels.
            resolve: called with what a read found after a write. It says whether the change is stored, or what to write over.
            gives_up: whether an error is not worth another try.
            failed: called with each error of a write, and of a read after it.

        Raises:
            ApiError, Unavailable: an error for which `gives_up` is true. Whether the change is stored is not known then.
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
                return Written(False, cannot_be_judged=isinstance(there, Unreadable) or there.has_our_type)
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
            # That is an answer. Usually another process only changed the labels of the Secret.
            return
        logger.warning(
            "could not write a credential yet", datasource=f"{namespace}/{name}", attempt=attempt, error=str(error)
        )
        await self._pause(attempt)

    async def _pause(self, attempt: int) -> None:
        await self.sleep(self.backoff.pause(attempt).total_seconds())


def _is_ours(secret: Secret | SecretHeader, name: str) -> bool:
    return secret.type == SecretType.CREDENTIAL and is_ours(secret.metadata, name, Role.CREDENTIAL)
