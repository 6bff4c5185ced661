"""What a re-read says about a write whose answer was a conflict, or none."""

import pytest

from callback_server.credentials import Standing, standing
from datasource.credential import CredentialFacts, StoredCredential


def stored(credential_id: str) -> StoredCredential:
    return StoredCredential(CredentialFacts(credential_id=credential_id), resource_version="1", owners=())


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
