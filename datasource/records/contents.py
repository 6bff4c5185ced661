"""The content of a Secret with the name of a credential Secret, as one of four types. Pure.

It is a credential, a tombstone, unreadable, or leaving. Only this module decides which. The operator's cache, its decisions and
the callback server match on the union.
"""

from datetime import datetime
from typing import Generic, TypeVar, assert_never

import msgspec

from datasource.api.names import REVOKE_FINALIZER
from datasource.api.objects import Metadata, OwnerReference, Ownership, ownership, telling_owners
from datasource.api.requests import HandledSet
from datasource.api.states import Reason
from datasource.records.credential import (
    CredentialFacts,
    Facts,
    TombstoneFacts,
    Unreadable,
    UnreadableCredential,
    handled_in,
    read_facts,
)
from datasource.records.secret_labels import NOTHING_WRITTEN, WrittenMetadata, written_in

F = TypeVar("F", CredentialFacts, TombstoneFacts)


class _Stored(msgspec.Struct, Generic[F], frozen=True):
    facts: F
    resource_version: str
    owners: tuple[OwnerReference, ...]
    finalizers: tuple[str, ...] = ()
    written: WrittenMetadata = NOTHING_WRITTEN
    """The labels and annotations that were written from the template."""
    history: str | None = None
    """The stored history; None where only metadata were read."""

    @property
    def is_held(self) -> bool:
        """Whether our finalizer holds the Secret until its tokens are revoked."""
        return REVOKE_FINALIZER in self.finalizers


class StoredCredential(_Stored[CredentialFacts], frozen=True):
    """The facts of a credential, with the version and owners of its Secret. The operator keeps this in memory, and no token."""


class StoredTombstone(_Stored[TombstoneFacts], frozen=True):
    """The facts of a tombstone, with the version and owners of its Secret. Its credential was cleared."""


Readable = StoredCredential | StoredTombstone
"""Content that can be parsed, and replaced by a compare-and-swap."""


class Leaving(msgspec.Struct, frozen=True):
    """A Secret that is being deleted. Its content does not count any more, and no other can be made before it is gone."""

    holds: Readable | Unreadable
    """The content. The reply of a refresh is still stored over it, so that the new token is revoked, too."""
    is_deleted: bool
    """Whether the Secret was deleted and a finalizer keeps it. Else it belongs to an earlier Datasource of that name, and the
    garbage collector will delete it."""


Contents = StoredCredential | StoredTombstone | Unreadable | Leaving
"""The content of a credential Secret. Functions use None for a Secret that does not exist."""


def contents_in(metadata: Metadata, history: str | None = None) -> Contents:
    """Parse the metadata of a credential Secret. `seen_from` then decides what that is for one Datasource."""
    holds = _read(metadata, history)
    return holds if metadata.deletion_timestamp is None else Leaving(holds, is_deleted=True)


def seen_from(contents: Contents | None, uid: str) -> Contents | None:
    """The content as the Datasource with this uid sees it. The Secret of an earlier Datasource is `Leaving`."""
    if contents is None or isinstance(contents, Leaving):
        return contents
    if ownership(contents.owners, uid) is Ownership.DANGLING:
        return Leaving(contents, is_deleted=False)
    return contents


def still_there(contents: Contents | None) -> Readable | Unreadable | None:
    """The content as a write sees it: a Secret that is leaving still has its content."""
    return contents.holds if isinstance(contents, Leaving) else contents


def credential_id_in(contents: Contents | None) -> str:
    """The ID of the credential or tombstone; empty where there is none."""
    return contents.facts.credential_id if isinstance(contents, Readable) else ""


def handled_by(contents: Contents | None) -> HandledSet:
    """The requests that were acted on, as the Secret records them; none where it cannot be parsed."""
    return contents.facts.handled if isinstance(contents, Readable) else HandledSet()


def tombstone(
    before: Facts | Unreadable | None,
    *,
    credential_id: str,
    handled: HandledSet,
    revoke_until: datetime | None = None,
    history: str | None = None,
) -> TombstoneFacts:
    """The facts that are left after a clear: the handled requests, the reason, and until when a revocation is tried.

    Args:
        before: what was cleared; None: there was no Secret.
        credential_id: of the tombstone itself; random.
        handled: the handled requests, with the request for this clear.
        revoke_until: None where no token is to be revoked.
        history: the ID of the history entry about the clear.
    """
    match before:
        case None:
            return TombstoneFacts(credential_id, Reason.AUTHORIZATION_REQUIRED, handled=handled, history=history)
        case Unreadable():
            return TombstoneFacts(
                credential_id, Reason.CREDENTIAL_CLEARED, handled=handled, revoke_until=revoke_until, history=history
            )
        case CredentialFacts() | TombstoneFacts():
            return TombstoneFacts(
                credential_id,
                # A clear of a tombstone clears no credential, so the reason stays.
                before.reason if isinstance(before, TombstoneFacts) else Reason.CREDENTIAL_CLEARED,
                replaces=before.credential_id,
                handled=handled,
                ticket_hash=before.ticket_hash,
                revoke_until=revoke_until,
                promised=before.promised,
                history=history,
                imported=before.imported,
            )
        case _:
            assert_never(before)


MOST_FINALIZERS = 64
LARGEST_FINALIZERS = 8192
"""Characters of all of them. They are kept in memory, so that a write that removes ours keeps the others. An account that may
write the Secret can store a megabyte of them."""


def _read(metadata: Metadata, history: str | None) -> Readable | Unreadable:
    owners = telling_owners(metadata.owner_references)
    if len(metadata.finalizers) > MOST_FINALIZERS or sum(map(len, metadata.finalizers)) > LARGEST_FINALIZERS:
        return Unreadable("it has too many finalizers", handled_in(metadata.annotations), owners)
    try:
        facts = read_facts(metadata.annotations)
    except UnreadableCredential as error:
        return Unreadable(error.what, handled_in(metadata.annotations), owners)
    written = written_in(metadata.annotations)
    match facts:
        case CredentialFacts():
            return StoredCredential(facts, metadata.resource_version, owners, metadata.finalizers, written, history)
        case TombstoneFacts():
            return StoredTombstone(facts, metadata.resource_version, owners, metadata.finalizers, written, history)
        case _:
            assert_never(facts)
