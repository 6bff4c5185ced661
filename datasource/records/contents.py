"""What stands under the name of a credential Secret: one of four things, told apart here and nowhere else. Pure.

A credential, a tombstone, something that cannot be read, or something that is on its way out. The operator's cache, its
decisions and the callback server all match on this union.
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
    """Labels and annotations that the template put there."""
    history: str | None = None
    """What people did, where whoever read it saw that: who watches metadata does not."""

    @property
    def is_held(self) -> bool:
        """Whether our finalizer holds the Secret until its tokens are revoked."""
        return REVOKE_FINALIZER in self.finalizers


class StoredCredential(_Stored[CredentialFacts], frozen=True):
    """A credential's facts with where they stand: what the operator keeps in memory of it."""


class StoredTombstone(_Stored[TombstoneFacts], frozen=True):
    """The same of a tombstone: what was cleared must not be used any more, and that much is sure."""


Readable = StoredCredential | StoredTombstone
"""What can be read, and so be replaced by a compare-and-swap."""


class Leaving(msgspec.Struct, frozen=True):
    """Nothing of it counts any more for a Datasource, and nothing can take its place before it is gone."""

    holds: Readable | Unreadable
    """What still stands there: a reply under way is stored over it, so that it is revoked with the rest."""
    is_deleted: bool
    """Whether somebody deleted it, and finalizers hold it. Else it belongs to an earlier Datasource of that name, and is the
    garbage collector's."""


Contents = StoredCredential | StoredTombstone | Unreadable | Leaving
"""What a credential Secret holds. Where there is no Secret, None stands beside it."""


def contents_in(metadata: Metadata, history: str | None = None) -> Contents:
    """What a credential Secret's metadata say, whoever asks; `seen_from` tells what it is to one Datasource."""
    holds = _read(metadata, history)
    return holds if metadata.deletion_timestamp is None else Leaving(holds, is_deleted=True)


def seen_from(contents: Contents | None, uid: str) -> Contents | None:
    """The same, as the Datasource with that uid sees it: what belongs to an earlier one is leaving."""
    if contents is None or isinstance(contents, Leaving):
        return contents
    if ownership(contents.owners, uid) is Ownership.DANGLING:
        return Leaving(contents, is_deleted=False)
    return contents


def still_there(contents: Contents | None) -> Readable | Unreadable | None:
    """The same, as a write sees it: what is leaving stands there until it is gone."""
    return contents.holds if isinstance(contents, Leaving) else contents


def credential_id_in(contents: Contents | None) -> str:
    """The ID of the credential or tombstone that there is; empty where there is none."""
    return contents.facts.credential_id if isinstance(contents, Readable) else ""


def handled_by(contents: Contents | None) -> HandledSet:
    """The requests already acted on, where the Secret tells."""
    return contents.facts.handled if isinstance(contents, Readable) else HandledSet()


def tombstone(
    before: Facts | Unreadable | None,
    *,
    credential_id: str,
    handled: HandledSet,
    revoke_until: datetime | None = None,
    history: str | None = None,
) -> TombstoneFacts:
    """What is left after a clear: the requests handled, and why; where a token is to be revoked, until when.

    Args:
        before: what was cleared; None: there was no Secret.
        credential_id: of the tombstone itself; random.
        handled: with the request that asks for the clear.
        revoke_until: None where no token is to be revoked.
        history: the ID of the entry that tells of the clear.
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
                # Where there was nothing to clear, there is still nothing that was cleared.
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
"""Characters of all of them. They are kept in memory, for a write that takes ours away leaves the others; whoever may write
the Secret may give it a megabyte of them."""


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
