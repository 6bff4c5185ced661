"""A token Secret that exists: what its metadata say of it."""

from typing import Any

import pytest

from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import ManagedFields, Metadata
from datasource.records.stored_token_secret import LONGEST_SHARED, StoredTokenSecret, read_stored


def managed(*entries: ManagedFields, content: str = "c") -> StoredTokenSecret:
    return read_stored(
        Metadata(
            name="sales-token",
            uid="u-1",
            resource_version="7",
            annotations={"datasource.dev/content": content},
            managed_fields=entries,
        )
    )


def test_copy_is_known_by_who_wrote_it() -> None:
    ours = ManagedFields(manager=FIELD_MANAGER, operation="Update", fields_v1={"f:data": {"f:a": {}}})
    theirs = ManagedFields(manager="kubectl-create", operation="Update", fields_v1={"f:data": {"f:a": {}}})
    assert not managed(ours).is_copy
    assert managed(theirs).is_copy
    assert not managed(theirs, ours).is_copy


def test_fields_of_creation_and_of_applies_count_together() -> None:
    read = managed(
        ManagedFields(manager=FIELD_MANAGER, operation="Update", fields_v1={"f:data": {".": {}, "f:a": {}}}),
        ManagedFields(manager=FIELD_MANAGER, operation="Apply", fields_v1={"f:data": {"f:b": {}}}),
    )
    assert read.fields == {"data/a", "data/b"}


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(ManagedFields(manager="kubectl", fields_v1={"f:data": {"f:a": {}}}), id="of another manager"),
        pytest.param(
            ManagedFields(manager=FIELD_MANAGER, subresource="status", fields_v1={"f:data": {"f:a": {}}}),
            id="of a subresource",
        ),
        pytest.param(ManagedFields(manager=FIELD_MANAGER), id="of nothing"),
        pytest.param(ManagedFields(manager=FIELD_MANAGER, fields_v1={"f:metadata": None}), id="of null"),
        pytest.param(ManagedFields(manager=FIELD_MANAGER, fields_v1={"f:type": {}}), id="of something else"),
    ],
)
def test_entry_says_nothing_of_our_fields(entry: ManagedFields) -> None:
    assert managed(entry).fields == frozenset()


def test_keys_with_odd_names_are_told_by_their_prefix_alone() -> None:
    read = managed(ManagedFields(manager=FIELD_MANAGER, fields_v1={"f:data": {"f:f:x": {}, "f:a/b": {}, "k:{}": {}}}))
    assert read.fields == {"data/f:x", "data/a/b"}


def test_what_is_read_of_a_secret_is_enough_to_delete_exactly_it() -> None:
    read = managed(content="c-1")
    assert (read.name, read.uid, read.resource_version, read.content, read.owners) == (
        "sales-token",
        "u-1",
        "7",
        "c-1",
        (),
    )
    assert read_stored(Metadata(name="a")).content == ""


@pytest.mark.parametrize(("length", "is_shared"), [(10, True), (LONGEST_SHARED, False)])
def test_few_fields_are_kept_once_and_many_no_longer_than_their_secret(length: int, is_shared: bool) -> None:
    tree: dict[str, Any] = {"f:data": {f"f:{'k' * length}": {}}}
    one, another = (
        managed(ManagedFields(manager=FIELD_MANAGER, operation="Apply", fields_v1=dict(tree))) for _ in range(2)
    )
    assert one.fields == another.fields
    assert (one.fields is another.fields) == is_shared
