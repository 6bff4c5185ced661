"""Packed structs: the same again, of whatever they are made."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from datasource.api.objects import OwnerReference
from datasource.api.requests import HandledSet
from datasource.api.states import Reason
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialFacts
from datasource.records.intent import Intent
from datasource.records.secret_labels import WrittenMetadata
from datasource.records.stored_token_secret import StoredTokenSecret
from datasource_operator.packing import RECENT, Packing, version_in
from tests.support.builders import NOW, OURS, credential, token_secret

EVERYTHING = CredentialFacts(
    "credential-1",
    revision=2**40,
    requested_scopes=("read", ""),
    expires_at=datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=UTC),
    refreshed_at=datetime(1969, 1, 1, tzinfo=UTC),
    authorized_at=datetime(9999, 12, 31, tzinfo=UTC),
    authorized_as="\u00e9\U0001f511",
    handled=HandledSet(refresh=("0a", "0b")),
    intent=Intent("0a", "process", "pod", NOW, sends=3, journal=True),
    verdict=Reason.REFRESH_INTERRUPTED,
    told_lifetime=timedelta(days=400, microseconds=1),
    grant_lifetime=timedelta(0),
    promised=ProviderMetadata(issuer="https://id.example.com"),
)


@pytest.mark.parametrize(
    "stored",
    [
        credential(),
        StoredCredential(EVERYTHING, "7", OURS, ("a/b",), WrittenMetadata("h", ("a",), ("b", "c")), "history"),
        StoredCredential(CredentialFacts(""), "", ()),
    ],
)
def test_credential_is_the_same_again(stored: StoredCredential) -> None:
    packing = Packing(StoredCredential)
    again = packing.unpacked(packing.packed(stored))
    assert again == stored
    assert type(again.facts.verdict) is type(stored.facts.verdict)
    assert (again.facts.promised, again.written) == (stored.facts.promised, stored.written)


@pytest.mark.parametrize("fields", [frozenset[str](), frozenset({"data/a", "labels/b"})])
def test_token_secret_is_the_same_again(fields: frozenset[str]) -> None:
    packing = Packing(StoredTokenSecret)
    for stored in (token_secret(), StoredTokenSecret("n", "u", "7", "", (OwnerReference("u"),), fields, False)):
        assert packing.unpacked(packing.packed(stored)) == stored


def test_time_of_another_zone_is_the_same_moment() -> None:
    there = EVERYTHING.expires_at
    assert there is not None
    elsewhere = msgspec.structs.replace(EVERYTHING, expires_at=there.astimezone(timezone(timedelta(hours=5))))
    packing = Packing(CredentialFacts)
    assert packing.unpacked(packing.packed(elsewhere)) == EVERYTHING


def test_few_are_kept_unpacked() -> None:
    packing = Packing(CredentialFacts)
    packed: list[Any] = [packing.packed(CredentialFacts(str(number))) for number in range(RECENT + 1)]
    first = packing.recent(packed[0])
    assert packing.recent(packed[0]) is first
    for each in packed[1:]:
        packing.recent(each)
    assert packing.recent(packed[0]) is not first
    assert packing.unpacked(packed[0]) is not packing.unpacked(packed[0])


@pytest.mark.parametrize("version", ["0", "7", str(2**64 - 1)])
def test_version_is_told_without_what_is_packed(version: str) -> None:
    packing = Packing(StoredCredential, lambda each: each.resource_version)
    packed = packing.packed(credential(resource_version=version))
    assert version_in(packed) == int(version)
    assert packing.unpacked(packed) == credential(resource_version=version)
