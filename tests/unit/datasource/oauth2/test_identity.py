"""Who is expected, and what is kept of who came."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.oauth2.identity import (
    LONGEST_KEPT,
    IdentityChanged,
    expected_identity_hash,
    kept_claims,
    mismatched_claim,
    read_kept_claims,
    require_same_subject,
)

ADA: dict[str, Any] = {
    "iss": "https://login.example.com",
    "sub": "user-1",
    "email": "ada@example.com",
    "email_verified": True,
    "hd": "example.com",
    "groups": ["platform", "finance"],
    "admin": True,
    "level": 3,
}


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"email": "ada@example.com"},
        {"sub": "user-1", "hd": "example.com"},
        {"groups": "finance"},
        {"admin": "true"},
        {"level": "3"},
    ],
)
def test_the_one_expected_gets_in(expected: dict[str, str]) -> None:
    assert mismatched_claim(ADA, expected) is None


@pytest.mark.parametrize(
    ("expected", "claim"),
    [
        ({"email": "eve@example.com"}, "email"),
        ({"email": "Ada@example.com"}, "email"),
        ({"email": "ada@example.com", "hd": "example.org"}, "hd"),
        ({"groups": "plat"}, "groups"),
        ({"groups": "platform,finance"}, "groups"),
        ({"admin": "True"}, "admin"),
        ({"admin": "1"}, "admin"),
        ({"level": "03"}, "level"),
        ({"tenant": "none"}, "tenant"),
    ],
)
def test_anybody_else_does_not(expected: dict[str, str], claim: str) -> None:
    assert mismatched_claim(ADA, expected) == claim


@pytest.mark.parametrize("said", [False, "false", None, "", 0, "yes", [True]])
def test_email_that_the_provider_did_not_verify_counts_for_nothing(said: object) -> None:
    assert mismatched_claim(ADA | {"email_verified": said}, {"email": "ada@example.com"}) == "email"


def test_email_of_which_nothing_is_said_counts_for_nothing() -> None:
    silent = {name: value for name, value in ADA.items() if name != "email_verified"}
    assert mismatched_claim(silent, {"email": "ada@example.com"}) == "email"


@pytest.mark.parametrize("said", [True, "true"])
def test_email_counts_where_the_provider_says_that_it_is_verified(said: object) -> None:
    assert mismatched_claim(ADA | {"email_verified": said}, {"email": "ada@example.com"}) is None


@pytest.mark.parametrize("claim", [None, {"a": "true"}, 1.5, [["true"]], [], ""])
def test_claims_of_other_shapes_match_nothing(claim: object) -> None:
    assert mismatched_claim({"admin": claim}, {"admin": "true"}) == "admin"


def test_hash_tells_one_expectation_from_another_whatever_their_order() -> None:
    assert expected_identity_hash({"a": "1", "b": "2"}) == expected_identity_hash({"b": "2", "a": "1"})
    assert expected_identity_hash({"a": "1"}) != expected_identity_hash({"a": "2"})


def test_what_says_something_of_the_person_is_kept() -> None:
    of_the_token = {"exp": 5, "iat": 4, "nonce": "n-1", "aud": "my-app", "at_hash": "x"}
    strange = {"address": {"country": "NO"}, "mixed": [1, "a"], "ratio": 1.5, "nothing": None}
    assert read_kept_claims(kept_claims(ADA | of_the_token | strange)) == ADA


def test_kept_claims_still_match() -> None:
    kept = read_kept_claims(kept_claims(ADA))
    assert kept is not None
    assert mismatched_claim(kept, {"groups": "platform", "email": "ada@example.com"}) is None


def test_longest_claims_are_given_up_first_and_the_subject_never() -> None:
    huge = {"groups": ["g" * 100] * 1000, "sub": "s" * LONGEST_KEPT, "short": "x"}
    assert read_kept_claims(kept_claims(ADA | huge)) == {"iss": ADA["iss"], "sub": huge["sub"]}
    few = read_kept_claims(kept_claims(ADA | {"groups": ["g" * 100] * 1000}))
    assert few == {name: value for name, value in ADA.items() if name != "groups"}


def test_thousands_of_claims_are_counted_and_not_written_again_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """The instance: an id_token of 4,500 claims, and everybody waited for a fifth of a second at each authorization."""
    written, encode = 0, msgspec.json.encode

    def counting(value: object) -> bytes:
        nonlocal written
        encoded = encode(value)
        written += len(encoded)
        return encoded

    monkeypatch.setattr("datasource.oauth2.identity.msgspec.json.encode", counting)
    claims = ADA | {f"claim-{number}": number for number in range(4500)}
    kept = kept_claims(claims)
    assert LONGEST_KEPT - 20 < len(kept) <= LONGEST_KEPT
    assert written < 4 * len(encode(claims))


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20) | st.booleans() | st.lists(st.text(max_size=5))))
def test_what_is_kept_can_be_read(claims: dict[str, Any]) -> None:
    assert read_kept_claims(kept_claims(claims)) == json.loads(kept_claims(claims))


@pytest.mark.parametrize("text", [None, "", "[]", "{", "5"])
def test_what_cannot_be_read_is_nothing(text: str | None) -> None:
    assert read_kept_claims(text) is None


def test_same_subject_of_the_same_issuer_is_the_same() -> None:
    require_same_subject(ADA | {"email": "new@example.com"}, ADA)


@pytest.mark.parametrize("changes", [{"sub": "user-2"}, {"sub": None}, {"iss": "https://other.example.com"}])
def test_another_subject_is_somebody_else(changes: dict[str, Any]) -> None:
    with pytest.raises(IdentityChanged):
        require_same_subject(ADA | changes, ADA)
