"""What a write to a credential Secret replaces, and how to tell whether it was stored when its answer was unclear."""

from enum import Enum, auto

import msgspec

from datasource.records.credential import CredentialData, StoredCredential


class Absent(msgspec.Struct, frozen=True):
    """No credential Secret; one that is made belongs to the Datasource of that uid."""

    owner: str


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


class Written(msgspec.Struct, frozen=True):
    """How a write that was tried until it was clear ended."""

    stands: bool
    resource_version: str | None = None
    """What the answer to our own write said; None where it was read back, or does not stand."""
    data: CredentialData | None = None
    """The tokens that stand in that version, where our write brought any."""

    def __repr__(self) -> str:
        return f"Written(stands={self.stands}, resource_version={self.resource_version})"
