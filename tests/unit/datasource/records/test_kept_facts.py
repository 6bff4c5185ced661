"""How much of what somebody wrote onto a credential Secret is kept in memory."""

import pytest

from datasource.api.names import Annotation
from datasource.records.credential import CredentialFacts, UnreadableCredential, read_facts
from datasource.records.kept_facts import LONGEST_FACT, LONGEST_SHOWN, MOST_SCOPES, key_of_too_long

LEAST: dict[str, str] = {Annotation.CREDENTIAL_ID: "cred-1", Annotation.FINGERPRINT: "fp-1"}


def read(**changes: str) -> CredentialFacts:
    facts = read_facts(LEAST | {Annotation[key.upper()]: text for key, text in changes.items()})
    assert isinstance(facts, CredentialFacts)
    return facts


@pytest.mark.parametrize("key", ["credential_id", "stored_by", "ticket_hash", "replaces", "fingerprint"])
def test_identifier_longer_than_any_of_ours_cannot_be_read_and_is_named(key: str) -> None:
    assert getattr(read(**{key: "x" * LONGEST_FACT}), key) == "x" * LONGEST_FACT
    with pytest.raises(UnreadableCredential, match=f"annotation {Annotation[key.upper()]} is longer than 8192 char"):
        read(**{key: "x" * (LONGEST_FACT + 1)})


@pytest.mark.parametrize("key", ["authorized_as", "verdict_message", "identity_problem"])
def test_what_is_only_shown_is_cut_and_nobody_loses_a_credential_for_it(key: str) -> None:
    assert getattr(read(**{key: "x" * 200_000}), key) == "x" * LONGEST_SHOWN
    assert getattr(read(), key) is None


@pytest.mark.parametrize("key", ["granted_scopes", "requested_scopes"])
def test_scopes_are_kept_to_a_number_that_no_spec_has(key: str) -> None:
    scopes = [f"{number:x}" for number in range(MOST_SCOPES + 1000)]
    assert getattr(read(**{key: " ".join(scopes)}), key) == tuple(scopes[:MOST_SCOPES])
    assert getattr(read(**{key: " ".join(scopes[:3])}), key) == tuple(scopes[:3])


def test_annotations_of_others_may_be_as_long_as_they_like() -> None:
    assert key_of_too_long({"example.com/notes": "x" * 200_000} | LEAST) is None
