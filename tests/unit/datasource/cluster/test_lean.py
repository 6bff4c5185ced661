"""What is large of an object and read by nobody is taken out; all that decides anything stays."""

import json
from typing import Any

import msgspec
import pytest

from datasource.api.names import FIELD_MANAGER
from datasource.api.objects import (
    Metadata,
    Ownership,
    PartialObject,
    Secret,
    ownership,
    telling_owners,
)
from datasource.cluster.lean import USUAL, Json, lean
from datasource.records.stored_token_secret import read_stored

MANY = 40_000
USUAL_OBJECT: dict[str, Any] = {
    "kind": "Secret",
    "metadata": {
        "name": "calendar-token",
        "namespace": "shop",
        "uid": "uid-1",
        "resourceVersion": "7",
        "labels": {"a": "b"},
        "annotations": {"datasource.dev/datasource": "calendar", "notes": "mine"},
        "finalizers": ["example.com/holds"],
        "ownerReferences": [{"uid": "uid-2", "kind": "Datasource", "name": "calendar", "apiVersion": "v1"}],
        "managedFields": [
            {
                "manager": FIELD_MANAGER,
                "operation": "Apply",
                "fieldsV1": {
                    "f:data": {".": {}, "f:a": {}},
                    "f:metadata": {"f:labels": {"f:l": {}}, "f:annotations": {"f:n": {}}},
                },
            },
            {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {"f:b": {}}}},
        ],
    },
    "data": {"a": "YQ=="},
    "type": "Opaque",
}


def with_metadata(**metadata: Any) -> bytes:
    return json.dumps(USUAL_OBJECT | {"metadata": USUAL_OBJECT["metadata"] | metadata}).encode()


def metadata_in(text: Json) -> Metadata:
    return msgspec.json.decode(text, type=PartialObject).metadata


def test_usual_object_is_as_it_came() -> None:
    text = with_metadata()
    assert lean(text) is text


OWNERS = [{"uid": f"{number:x}", "kind": "Pod", "name": "p", "apiVersion": "v1"} for number in range(MANY)]
ENTRIES = [
    {"manager": "other", "operation": "Apply", "fieldsV1": {"f:data": {f"f:{number}": {} for number in range(MANY)}}}
]
LARGE = {
    "labels": {"labels": {f"l{number}": "" for number in range(MANY)}},
    "owners": {"ownerReferences": OWNERS + USUAL_OBJECT["metadata"]["ownerReferences"]},
    "fields of others": {"managedFields": ENTRIES + USUAL_OBJECT["metadata"]["managedFields"]},
    "finalizers": {"finalizers": [f"a/{number}" for number in range(MANY)]},
    "annotations": {"annotations": USUAL_OBJECT["metadata"]["annotations"] | {"large": "x" * 250_000}},
}


@pytest.mark.parametrize("metadata", LARGE.values(), ids=LARGE)
def test_what_decides_anything_is_the_same(metadata: dict[str, Any]) -> None:
    text = with_metadata(**metadata)
    assert len(text) > USUAL
    before, after = metadata_in(text), metadata_in(lean(text))
    assert read_stored(after) == read_stored(before)
    assert (after.annotations, after.finalizers) == (before.annotations, before.finalizers)
    assert ownership(after.owner_references, "uid-2") is Ownership.OURS
    assert telling_owners(after.owner_references) == telling_owners(before.owner_references)
    assert msgspec.json.decode(lean(text), type=Secret).data == {"a": "YQ=="}


@pytest.mark.parametrize("what", ["labels", "owners", "fields of others"])
def test_what_nobody_reads_is_never_parsed(what: str) -> None:
    text = lean(with_metadata(**LARGE[what]))
    assert len(bytes(text)) < 5_000


def test_fields_under_our_name_are_told_by_their_keys() -> None:
    """A tenant may write under our name, and what stands below a key is for nobody to read."""
    deep = {"f:data": {"f:a": {f"f:{number}": {} for number in range(MANY)}}, "f:type": {"x": {}}}
    (found,) = metadata_in(
        lean(with_metadata(managedFields=[{"manager": FIELD_MANAGER, "fieldsV1": deep}]))
    ).managed_fields
    assert found.fields_v1["f:data"] == {"f:a": {}}
    assert len(msgspec.json.encode(found)) < 500


def test_entry_without_fields_is_one() -> None:
    entries = [{"manager": FIELD_MANAGER, "operation": "Apply"}, *ENTRIES]
    (found,) = metadata_in(lean(with_metadata(managedFields=entries))).managed_fields
    assert (found.manager, found.operation) == (FIELD_MANAGER, "Apply")


def test_others_decide_what_is_unread() -> None:
    text = lean(with_metadata(finalizers=["a/b"] * MANY), unread=("finalizers", "ownerReferences"))
    found = metadata_in(text)
    assert (found.finalizers, found.owner_references, found.labels) == ((), (), {"a": "b"})


@pytest.mark.parametrize("body", [{"kind": "Status", "message": "x" * USUAL}, {"items": ["x" * USUAL]}])
def test_what_has_no_metadata_is_as_it_came(body: dict[str, Any]) -> None:
    text = json.dumps(body).encode()
    assert lean(text) is text


@pytest.mark.parametrize(
    "text", [b"x" * (USUAL + 1), b"[" * (USUAL + 1), b'{"metadata": 5, "a": "' + b"x" * USUAL + b'"}']
)
def test_what_is_no_object_is_told(text: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        lean(text)
