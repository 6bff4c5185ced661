"""Import Secrets: whose they are, and which texts are a refresh token."""

from base64 import b64encode

import pytest

from datasource.api.objects import Metadata, OwnerReference, Secret
from datasource.oauth2.reply_members import LONGEST_TOKEN
from datasource.records.import_secret import (
    ImportedFrom,
    ImportSecret,
    UnusableImport,
    datasource_of_import,
    import_secret_in,
    imported_hash,
    imported_token,
    refresh_token_in,
)

METADATA = Metadata(name="calendar-oauth2-import", namespace="shop", uid="uid-1", resource_version="7")


def secret(data: dict[str, bytes] | None) -> Secret:
    encoded = None if data is None else {key: b64encode(value).decode() for key, value in data.items()}
    return Secret(METADATA, "datasource.dev/oauth2-import", encoded)


@pytest.mark.parametrize("written", ["rt-1", "rt-1\n", "rt-1\r\n", "rt-1\n\n"])
def test_line_ends_after_a_token_do_no_harm(written: str) -> None:
    assert imported_token(written) == "rt-1"
    assert refresh_token_in(secret({"refresh_token": written.encode(), "other": b"x"})) == "rt-1"


@pytest.mark.parametrize("token", ["a", "1//0g" + "x" * 500, "with space", "ü", "x" * LONGEST_TOKEN])
def test_token_of_any_printable_characters_is_taken(token: str) -> None:
    assert imported_token(token) == token


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("   ", "is empty"),
        ("x" * (LONGEST_TOKEN + 1), "is longer than 65,536 bytes"),
        ("ü" * (LONGEST_TOKEN // 2 + 1), "is longer than 65,536 bytes"),
        ("\ufeffrt-1", "begins with a byte order mark"),
        ("rt-1\nrt-2", "has more than one line"),
        ("rt-1\rrt-2", "has more than one line"),
        (" rt-1", "begins or ends with a space"),
        ("rt-1\t", "begins or ends with a space"),
        ('{"refresh_token": "rt-1"}', "is JSON"),
        ('["rt-1"]', "is JSON"),
        ('"rt-1"', "is JSON"),
        ("rt\0-1", "has characters that no refresh token has"),
        ("rt\u202e-1", "has characters that no refresh token has"),
    ],
)
def test_text_that_is_no_token_is_refused_with_the_remedy_and_never_shown(text: str, problem: str) -> None:
    with pytest.raises(UnusableImport) as refused:
        imported_token(text)
    assert problem in str(refused.value)
    assert "Store the refresh token there, and nothing else." in str(refused.value)
    assert "rt" not in str(refused.value).replace("start", "")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "has no key refresh_token"),
        ({"refreshToken": b"rt-1"}, "has no key refresh_token"),
        ({"refresh_token": b"\xff\xfe\x00"}, "is not text in UTF-8"),
        ({"refresh_token": b"rt-1\n\nrt-2"}, "has more than one line"),
    ],
)
def test_data_without_a_token_are_refused(data: dict[str, bytes] | None, problem: str) -> None:
    with pytest.raises(UnusableImport, match=problem):
        refresh_token_in(secret(data))


def test_what_was_imported_is_known_again() -> None:
    imported = ImportedFrom(imported_hash("rt-1"), "uid-1")
    assert ImportedFrom.decode(imported.encode()) == imported
    assert imported_hash("rt-1") != imported_hash("rt-2")


@pytest.mark.parametrize("text", ["", "x", "x uid", "0" * 64, "0" * 64 + " ", "0" * 63 + " uid"])
def test_altered_annotation_is_no_import(text: str) -> None:
    with pytest.raises(ValueError, match="not a hash and a uid"):
        ImportedFrom.decode(text)


@pytest.mark.parametrize(
    ("name", "datasource"),
    [("calendar-oauth2-import", "calendar"), ("-oauth2-import", None), ("calendar", None), ("oauth2-import", None)],
)
def test_name_says_whose_an_import_is(name: str, datasource: str | None) -> None:
    assert datasource_of_import(name) == datasource


def test_metadata_say_what_matters() -> None:
    owner = OwnerReference("uid-2")
    whole = Metadata(
        name="x",
        uid="uid-1",
        resource_version="7",
        deletion_timestamp="2026-07-01T11:00:00Z",
        owner_references=(owner,),
    )
    assert import_secret_in(METADATA) == ImportSecret("uid-1", "7")
    assert import_secret_in(whole) == ImportSecret("uid-1", "7", (owner,), is_leaving=True)
