"""Whether a write stands whose answer was a conflict or none at all."""

from typing import Any

import msgspec
import pytest

from datasource.api.states import Reason
from datasource.records.contents import Readable, StoredCredential, StoredTombstone
from datasource.records.credential import CredentialData, CredentialFacts, TombstoneFacts
from datasource.records.import_secret import ImportedFrom
from datasource.records.intent import Intent
from datasource.records.page_request import PageRequest, RequestKind
from datasource.records.standing import Absent, Standing, Written, is_to_be_cleared, standing, standing_of_a_consent
from tests.unit.datasource.builders import NOW


def stored(credential_id: str) -> StoredCredential:
    return StoredCredential(CredentialFacts(credential_id=credential_id), "7", owners=())


OLD, LABELLED = stored("old"), msgspec.structs.replace(stored("old"), resource_version="8")
NO_CREDENTIAL = StoredTombstone(TombstoneFacts("tombstone-1", Reason.CREDENTIAL_CLEARED), "7", owners=())
NOTHING = Absent("uid-1")


@pytest.mark.parametrize(
    ("found", "before", "expected"),
    [
        (stored("ours"), OLD, Standing.STORED),
        (stored("ours"), NOTHING, Standing.STORED),
        (LABELLED, OLD, LABELLED),
        (NO_CREDENTIAL, NO_CREDENTIAL, NO_CREDENTIAL),
        (None, NOTHING, NOTHING),
        (None, OLD, Standing.LOST),
        (stored("newer"), OLD, Standing.LOST),
        (NO_CREDENTIAL, OLD, Standing.LOST),
        (stored("newer"), NOTHING, Standing.LOST),
    ],
    ids=[
        "ours replaced it",
        "ours was created",
        "merely labelled",
        "the tombstone that it replaces stands still",
        "the create never arrived",
        "deleted meanwhile",
        "replaced meanwhile",
        "cleared meanwhile",
        "somebody else was first",
    ],
)
def test_newer_decisions_than_ours_stay(
    found: Readable | None, before: Readable | Absent, expected: Standing | Readable | Absent
) -> None:
    assert standing(found, before=before, ours="ours") is expected


def test_nothing_is_stored_over_what_is_to_be_cleared() -> None:
    clear = PageRequest(RequestKind.CLEAR, "0" * 32, NOW, "ada", "old")
    refresh = msgspec.structs.replace(clear, kind=RequestKind.REFRESH)

    def asked(request: PageRequest) -> StoredCredential:
        return msgspec.structs.replace(OLD, facts=msgspec.structs.replace(OLD.facts, page_request=request))

    assert standing(asked(clear), before=OLD, ours="ours") is Standing.LOST
    assert standing(asked(refresh), before=OLD, ours="ours") == asked(refresh)
    assert is_to_be_cleared(asked(clear))
    assert not any(map(is_to_be_cleared, (asked(refresh), OLD, NO_CREDENTIAL, NOTHING, None)))


NOT_SENT = CredentialFacts("imported", has_refresh_token=True, imported=ImportedFrom("0" * 64, "uid-9"))
CLEAR = PageRequest(RequestKind.CLEAR, "0" * 32, NOW, "ada", "imported")
SENT = Intent("intent-1", "process-1", "pod-1", NOW)


def imported(**changes: Any) -> StoredCredential:
    return StoredCredential(msgspec.structs.replace(NOT_SENT, **changes), "7", owners=())


@pytest.mark.parametrize(
    ("found", "before", "does"),
    [
        pytest.param(imported(), NOTHING, True, id="not sent yet"),
        pytest.param(imported(verdict=Reason.GRANT_REVOKED, revision=3), NOTHING, True, id="refused"),
        pytest.param(imported(replaces="old"), OLD, True, id="over what the consent is to replace"),
        pytest.param(imported(replaces="tombstone-1"), NO_CREDENTIAL, True, id="over what was cleared"),
        pytest.param(imported(), OLD, False, id="what the consent was to replace is gone"),
        pytest.param(imported(replaces="newer"), OLD, False, id="over a newer one"),
        pytest.param(imported(intent=SENT), NOTHING, False, id="perhaps sent"),
        pytest.param(imported(revision=2), NOTHING, False, id="rotated"),
        pytest.param(imported(refreshed_at=NOW), NOTHING, False, id="in use"),
        pytest.param(imported(imported=None), NOTHING, False, id="a consent"),
        pytest.param(imported(page_request=CLEAR), NOTHING, False, id="to be cleared"),
    ],
)
def test_import_that_brought_nothing_gives_way_to_a_consent_and_to_nothing_else(
    found: StoredCredential, before: Readable | Absent, does: bool
) -> None:
    assert standing_of_a_consent(found, before=before, ours="ours") is (found if does else Standing.LOST)
    assert standing(found, before=before, ours="ours") is Standing.LOST
    assert standing_of_a_consent(stored("ours"), before=before, ours="ours") is Standing.STORED
    assert standing_of_a_consent(None, before=OLD, ours="ours") is Standing.LOST


def test_how_a_write_ended_is_told_without_its_tokens() -> None:
    data = CredentialData("at-1", "Bearer", "https://login.example.com/token", "fp-1", "my-app", refresh_token="rt-1")

    assert repr(Written(True, "8", data)) == "Written(stands=True, resource_version=8)"
