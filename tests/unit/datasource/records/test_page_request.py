"""Requests that the callback server writes for people: what is read of them, and who is believed to have asked."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.records.credential import CredentialFacts, read_facts
from datasource.records.credential_patches import credential_patch, facts_patch
from datasource.records.history import By
from datasource.records.link_keys import KEY_LIFETIME, LENIENCE, LinkKeys
from datasource.records.page_request import (
    LONGEST_USER,
    PageRequest,
    RequestKind,
    is_user,
    page_request,
    page_request_patch,
)
from tests.unit.datasource.builders import NOW, credential_data, facts

PLACE = ("shop", "sales")
LATER = NOW + 2 * LENIENCE


def keys(byte: bytes = b"k") -> LinkKeys:
    return LinkKeys().renewed(NOW, lambda size: byte * size)


def asked(kind: RequestKind = RequestKind.CLEAR, *, user: str = "ada@example.com") -> PageRequest:
    return page_request(kind, user=user, credential_id="cred-1", now=NOW, token_bytes=lambda size: b"r" * size)


def test_request_is_read_as_it_was_written() -> None:
    request = asked().marked(keys(), PLACE)
    assert PageRequest.decode(request.encode()) == request


def test_request_is_a_fact_of_the_credential_that_it_names() -> None:
    patch = page_request_patch(asked(), resource_version="7")
    assert patch["metadata"]["resourceVersion"] == "7"
    annotations = _annotations(facts()) | patch["metadata"]["annotations"]
    read = read_facts(annotations)
    assert isinstance(read, CredentialFacts)
    assert read.page_request == asked()
    # What the operator writes of the credential meanwhile, an intent for example, leaves it there.
    assert _annotations(read)["datasource.dev/page-request"] == asked().encode()


def test_request_older_than_the_credential_asks_for_nothing() -> None:
    annotations = _annotations(facts(credential_id="cred-2")) | {"datasource.dev/page-request": asked().encode()}
    read = read_facts(annotations)
    assert isinstance(read, CredentialFacts)
    assert read.page_request is None


def test_new_credential_takes_away_what_was_asked_of_the_one_before() -> None:
    patch = credential_patch(
        datasource_name="sales", resource_version="7", facts=facts(credential_id="cred-2"), data=credential_data()
    )
    assert patch["metadata"]["annotations"]["datasource.dev/page-request"] is None


def test_request_of_ours_is_told_with_the_name_of_who_asked() -> None:
    assert asked().marked(keys(), PLACE).by(keys(), PLACE, LATER) == "ada@example.com"
    assert asked(user="annotation").marked(keys(), PLACE).by(keys(), PLACE, LATER) == "user annotation"


def test_request_made_under_the_key_before_is_ours_still() -> None:
    request = asked().marked(keys(), PLACE)
    later = keys().renewed(NOW + KEY_LIFETIME, lambda size: b"n" * size)
    assert request.by(later, PLACE, NOW + KEY_LIFETIME) == "ada@example.com"


@pytest.mark.parametrize(
    "changes",
    [
        {"user": "eve"},
        {"kind": RequestKind.REFRESH},
        {"id": "0" * 32},
        {"credential": "cred-2"},
        {"time": LATER},
        {"mark": ""},
        {"mark": "\u00e9" * 16},
    ],
)
def test_request_that_somebody_altered_is_nobodys(changes: dict[str, object]) -> None:
    forged = msgspec.structs.replace(asked().marked(keys(), PLACE), **changes)
    assert forged.by(keys(), PLACE, LATER) is By.UNPROVEN


def test_request_copied_to_another_datasource_is_nobodys() -> None:
    request = asked().marked(keys(), PLACE)
    assert request.by(keys(), ("shop", "calendar"), LATER) is By.UNPROVEN
    # No text of one place reads as that of another.
    assert request.by(keys(), ("sho", "psales"), LATER) is By.UNPROVEN


def test_request_without_keys_is_nobodys() -> None:
    assert asked().marked(LinkKeys(), PLACE).by(LinkKeys(), PLACE, NOW) is By.UNPROVEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 8000,
        asked().encode() + " " * 10_000,
        asked().encode().replace("clear", "delete"),
        asked().encode().replace("72727272", "7272727Z"),
        asked().encode().replace("ada@example.com", ""),
        asked().encode().replace("ada@example.com", "a" * (LONGEST_USER + 1)),
        asked().encode().replace("ada@example.com", "ada\\n"),
        asked().encode().replace("ada@example.com", "ada\\u202e"),
        asked().encode().replace("12:00:00Z", "12:00:00"),
    ],
)
def test_what_somebody_altered_asks_for_nothing(text: str) -> None:
    assert PageRequest.decode(text) is None


def test_what_a_later_version_adds_is_read_past() -> None:
    assert PageRequest.decode(asked().encode()[:-1] + ',"why":"new"}') == asked()


@pytest.mark.parametrize("name", ["", "a" * (LONGEST_USER + 1), "a\nb", "\x7f", "\u200b"])
def test_nobody_is_called_that(name: str) -> None:
    assert not is_user(name)
    with pytest.raises(ValueError, match="characters"):
        asked(user=name)


def test_longest_name_of_any_script_fits() -> None:
    name = "\U00020000" * LONGEST_USER
    assert PageRequest.decode(asked(user=name).encode()) == asked(user=name)
    quotes = '"' * LONGEST_USER
    assert PageRequest.decode(asked(user=quotes).encode()) == asked(user=quotes)


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    PageRequest.decode(text)


def _annotations(of: CredentialFacts) -> dict[str, str]:
    patch = facts_patch(datasource_name="sales", resource_version="7", facts=of)
    return {key: value for key, value in patch["metadata"]["annotations"].items() if value is not None}
