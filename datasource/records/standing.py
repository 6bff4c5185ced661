"""What a write to a credential Secret replaces, and how to tell whether it was stored when its answer was unclear."""

from enum import Enum, auto

import msgspec

from datasource.api.secret_metadata import NO_METADATA, SecretMetadata
from datasource.records.contents import Readable, StoredCredential, credential_id_in
from datasource.records.credential import CredentialData
from datasource.records.page_request import RequestKind


class Absent(msgspec.Struct, frozen=True):
    """There is no credential Secret. A new one gets the Datasource of this uid as its owner."""

    owner: str
    template: SecretMetadata = NO_METADATA
    """The labels and annotations of a new one."""


class Standing(Enum):
    """What a read shows about an earlier write whose answer was a conflict or was lost."""

    STORED = auto()
    """Our write took effect."""
    LOST = auto()
    """Another write took effect, or the Secret was deleted. That decision is newer than ours."""


def standing(found: Readable | None, *, before: Readable | Absent, ours: str) -> Standing | Readable | Absent:
    """Decide by credential IDs whether a write took effect.

    If the credential that the write should replace is still there, it is returned, and the write is tried over it. Perhaps
    only its labels changed, or the write never arrived. A credential that a person asked to clear at a page counts as cleared.

    Args:
        found: what the read found.
        before: what the write should replace.
        ours: the credential ID of the write.
    """
    found_id = credential_id_in(found)
    if found_id == ours:
        return Standing.STORED
    if found_id != ("" if isinstance(before, Absent) else credential_id_in(before)):
        return Standing.LOST
    if is_to_be_cleared(found):
        return Standing.LOST
    return before if found is None else found


def standing_of_a_consent(
    found: Readable | None, *, before: Readable | Absent, ours: str
) -> Standing | Readable | Absent:
    """As `standing`, for a credential that a person consented to. It also replaces an import that is of no use."""
    decided = standing(found, before=before, ours=ours)
    replaces = "" if isinstance(before, Absent) else credential_id_in(before)
    if decided is Standing.LOST and found is not None and gives_way(found, replaces):
        return found
    return decided


def gives_way(found: Readable | None, replaces: str) -> bool:
    """Whether the credential found is an import that a person's consent may replace.

    It is one if it came right after `replaces` (a credential ID), and the provider refused it or it was never sent. A token
    that was never sent is still in the import Secret. A token that is being tried is kept, because the reply may replace it.
    """
    if not isinstance(found, StoredCredential) or is_to_be_cleared(found):
        return False
    facts = found.facts
    is_of_no_use = facts.is_unproven and (facts.verdict is not None or facts.was_never_sent)
    return is_of_no_use and facts.replaces == replaces


def is_to_be_cleared(found: Readable | Absent | None) -> bool:
    """Whether a person requested a clear at a page, and the operator did not act on it yet."""
    request = found.facts.page_request if isinstance(found, StoredCredential) else None
    return request is not None and request.kind is RequestKind.CLEAR


class Written(msgspec.Struct, frozen=True):
    """The result of a write that was tried until its result was known."""

    stands: bool
    """Whether the write took effect."""
    resource_version: str | None = None
    """The resourceVersion from the answer to the write; None where that answer was lost, or the write had no effect."""
    data: CredentialData | None = None
    """The tokens that were written, if any."""
    cannot_be_judged: bool = False
    """Whether the write had no effect because the Secret that is there cannot be read, or its annotations were altered."""

    def __repr__(self) -> str:
        return f"Written(stands={self.stands}, resource_version={self.resource_version})"
