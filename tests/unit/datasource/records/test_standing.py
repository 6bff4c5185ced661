"""Whether a write stands whose answer was a conflict or none at all."""

import pytest

from datasource.records.credential import CredentialData, CredentialFacts, StoredCredential
from datasource.records.standing import Standing, Written, standing


def stored(credential_id: str) -> StoredCredential:
    return StoredCredential(CredentialFacts(credential_id=credential_id), "7", owners=())


@pytest.mark.parametrize(
    ("found", "replaces", "expected"),
    [
        (stored("ours"), "old", Standing.STORED),
        (stored("ours"), "", Standing.STORED),
        (stored("old"), "old", Standing.TRY_AGAIN),
        (None, "", Standing.TRY_AGAIN),
        (None, "old", Standing.LOST),
        (stored("newer"), "old", Standing.LOST),
        (stored("newer"), "", Standing.LOST),
    ],
    ids=[
        "ours replaced it",
        "ours was created",
        "merely labelled",
        "the create never arrived",
        "deleted meanwhile",
        "replaced or cleared meanwhile",
        "somebody else was first",
    ],
)
def test_newer_decisions_than_ours_stay(found: StoredCredential | None, replaces: str, expected: Standing) -> None:
    assert standing(found, replaces=replaces, ours="ours") is expected


def test_how_a_write_ended_is_told_without_its_tokens() -> None:
    data = CredentialData("at-1", "Bearer", "https://login.example.com/token", "fp-1", "my-app", refresh_token="rt-1")

    assert repr(Written(True, "8", data)) == "Written(stands=True, resource_version=8)"
