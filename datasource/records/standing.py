"""What a write to a credential Secret replaces, and how to tell whether it was stored when its answer was unclear."""

from enum import Enum, auto

import msgspec

from datasource.api.secret_metadata import NO_METADATA, SecretMetadata
from datasource.records.contents import Readable, StoredCredential, credential_id_in
from datasource.records.credential import CredentialData
from datasource.records.page_request import RequestKind


class Absent(msgspec.Struct, frozen=True):
    """No credential Secret; one that is made belongs to the Datasource of that uid."""

    owner: str
    template: SecretMetadata = NO_METADATA
    """What else that one is to have on it."""


class Standing(Enum):
    """What a re-read says for sure about a write whose answer was a conflict or none at all."""

    STORED = auto()
    """Ours is there."""
    LOST = auto()
    """Something else is there, or it is gone: a newer decision than ours."""


def standing(found: Readable | None, *, before: Readable | Absent, ours: str) -> Standing | Readable | Absent:
    """Decide by credential IDs alone.

    What we replace may still be there: somebody merely labelled it, or the write never arrived. Then the answer is what the
    write is to be tried over again. One that somebody asked at a page to be cleared counts as cleared.
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
    """The same for what a person consented to: an import that brought nothing gives way to it."""
    decided = standing(found, before=before, ours=ours)
    replaces = "" if isinstance(before, Absent) else credential_id_in(before)
    if decided is Standing.LOST and found is not None and gives_way(found, replaces):
        return found
    return decided


def gives_way(found: Readable | None, replaces: str) -> bool:
    """Whether all that came since `replaces` (a credential ID) was a refresh token that somebody imported, and it is of no use:
    the provider refused it, or it was not sent yet.

    Then a person's consent goes before it. What was not sent stands in the import Secret still. One that is being tried
    stays: the provider may be answering with a successor.
    """
    if not isinstance(found, StoredCredential) or is_to_be_cleared(found):
        return False
    facts = found.facts
    is_of_no_use = facts.is_unproven and (facts.verdict is not None or facts.was_never_sent)
    return is_of_no_use and facts.replaces == replaces


def is_to_be_cleared(found: Readable | Absent | None) -> bool:
    """Whether somebody asked at a page for a clear that the operator did not come to yet."""
    request = found.facts.page_request if isinstance(found, StoredCredential) else None
    return request is not None and request.kind is RequestKind.CLEAR


class Written(msgspec.Struct, frozen=True):
    """How a write that was tried until it was clear ended."""

    stands: bool
    resource_version: str | None = None
    """What the answer to our own write said; None where it was read back, or does not stand."""
    data: CredentialData | None = None
    """The tokens that stand in that version, where our write brought any."""

    def __repr__(self) -> str:
        return f"Written(stands={self.stands}, resource_version={self.resource_version})"
