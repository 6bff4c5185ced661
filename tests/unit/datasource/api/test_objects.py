"""Typed copies of Kubernetes objects: only what we use, and nothing secret that prints."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasource.api.objects import (
    FAILED,
    MOST_OWNERS,
    SUCCEEDED,
    Condition,
    Datasource,
    LastAuthorization,
    Metadata,
    OwnerReference,
    Ownership,
    PartialObject,
    Secret,
    SecretHeader,
    Status,
    encoded_data,
    owner_reference,
    ownership,
    telling_owners,
)
from tests.unit.datasource.builders import UID, metadata, secret


def owner(uid: str, kind: str = "Datasource") -> OwnerReference:
    return OwnerReference(uid=uid, kind=kind, name="sales", api_version="datasource.dev/v1alpha1", controller=True)


def test_metadata_is_read_from_what_the_api_server_sends() -> None:
    body = b"""{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {
        "name": "sales-token", "namespace": "shop", "uid": "u-1", "resourceVersion": "12", "generation": 3,
        "creationTimestamp": "2026-07-01T12:00:00Z", "deletionTimestamp": "2026-07-01T13:00:00Z",
        "labels": {"a": "b"}, "annotations": {"c": "d"},
        "ownerReferences": [{"apiVersion": "datasource.dev/v1alpha1", "kind": "Datasource", "name": "sales", "uid": "u-0",
                             "controller": true}],
        "managedFields": [{"manager": "m", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                           "time": "2026-07-01T12:00:00Z", "fieldsV1": {"f:data": {".": {}, "f:a": {}}}}]}}"""
    read = msgspec.json.decode(body, type=PartialObject).metadata
    assert (read.name, read.namespace, read.uid, read.resource_version) == ("sales-token", "shop", "u-1", "12")
    assert (read.generation, read.deletion_timestamp) == (3, "2026-07-01T13:00:00Z")
    assert (read.labels, read.annotations) == ({"a": "b"}, {"c": "d"})
    assert read.owner_references == (owner("u-0"),)
    (entry,) = read.managed_fields
    assert (entry.manager, entry.operation, entry.subresource) == ("m", "Apply", "")
    assert entry.fields_v1 == {"f:data": {".": {}, "f:a": {}}}


def test_least_metadata_is_a_name() -> None:
    read = msgspec.convert({"name": "a"}, Metadata)
    assert (read.labels, read.annotations, read.owner_references, read.managed_fields) == ({}, {}, (), ())


def test_secret_is_opaque_unless_it_says_otherwise() -> None:
    raw: dict[str, Any] = {"metadata": {"name": "a"}}
    assert msgspec.convert(raw, Secret).type == msgspec.convert(raw, SecretHeader).type == "Opaque"


def test_header_of_a_secret_drops_its_values() -> None:
    body = b'{"metadata": {"name": "a"}, "type": "t", "data": {"k": "c2VudGluZWw=", "history": "W10="}}'
    header = msgspec.json.decode(body, type=SecretHeader)
    assert (header.metadata, header.type) == (Metadata(name="a"), "t")
    assert header.history == "[]"
    assert "c2VudGluZWw" not in repr(header)


def test_value_of_a_secret_is_decoded() -> None:
    assert secret({"k": "välue"}).value("k") == "välue"
    assert secret({"k": ""}).value("k") == ""


def test_key_that_is_not_there_has_no_value() -> None:
    assert secret({"k": "v"}).value("other") is None
    assert secret().value("k") is None


@pytest.mark.parametrize("encoded", ["?", "YQ", "YQ=", "ü", "/w==", "YQ==\n"])
def test_value_that_is_no_text_in_base64_is_a_value_error(encoded: str) -> None:
    broken = Secret(metadata=metadata(), data={"k": encoded})
    with pytest.raises(ValueError):  # noqa: PT011 - its text is Python's, and nobody shows it
        broken.value("k")


def test_secret_does_not_print_its_values() -> None:
    assert repr(secret({"k": "sentinel"})) == "Secret(shop/my-app)"


@given(st.dictionaries(st.text(), st.text()))
def test_values_survive_base64(values: dict[str, str]) -> None:
    encoded = {key: value for key, value in encoded_data(values).items() if value is not None}
    stored = Secret(metadata=metadata(), data=encoded)
    assert {key: stored.value(key) for key in encoded} == values


def test_value_that_is_none_stays_none_and_so_removes_its_key() -> None:
    assert encoded_data({"a": None, "b": "c"}) == {"a": None, "b": "Yw=="}


def test_condition_is_found_by_its_type() -> None:
    ready = Condition(type="Ready", status="True", reason="Authorized", message="", last_transition_time="t")
    status = Status(conditions=(ready,))
    assert status.condition("Ready") is ready
    assert status.condition("Stalled") is None
    assert Status().condition("Ready") is None


def test_status_is_written_with_the_names_of_the_api_and_without_what_is_not_set() -> None:
    status = Status(
        state="AUTHORIZED",
        authorization_link="l",
        redirect_uri="r",
        expires_at="e",
        refreshed_at="f",
        granted_scopes=("s",),
        authorized_as="a",
        token_secret_name="t",
        observed_generation=1,
    )
    assert msgspec.to_builtins(status) == {
        "state": "AUTHORIZED",
        "authorizationLink": "l",
        "redirectURI": "r",
        "expiresAt": "e",
        "refreshedAt": "f",
        "grantedScopes": ("s",),
        "authorizedAs": "a",
        "tokenSecretName": "t",
        "observedGeneration": 1,
    }
    assert msgspec.to_builtins(Status()) == {}


def test_datasource_that_was_never_seen_has_an_empty_status() -> None:
    read = msgspec.convert({"metadata": {"name": "a"}, "status": {"observedGeneration": -1}}, Datasource)
    assert read.status == Status(observed_generation=-1)
    assert msgspec.convert({"metadata": {"name": "a"}}, Datasource).status == Status()


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        pytest.param((owner(UID),), Ownership.OURS, id="owned by us"),
        pytest.param((owner("other", "ConfigMap"), owner(UID)), Ownership.OURS, id="owned by us and somebody else"),
        pytest.param((owner("older"), owner(UID)), Ownership.OURS, id="owned by us and an older one of our name"),
        pytest.param((), Ownership.OWNERLESS, id="owned by nobody, as a restore leaves it"),
        pytest.param((owner("other", "ConfigMap"),), Ownership.OWNERLESS, id="owned by another kind of thing"),
        pytest.param((owner("older"),), Ownership.DANGLING, id="owned by an older one of our name"),
    ],
)
def test_owner_references_tell_whose_a_secret_is(owners: tuple[OwnerReference, ...], expected: Ownership) -> None:
    assert ownership(owners, UID) is expected


@pytest.mark.parametrize(
    "owners", [(owner(UID),), (owner("older"), owner(UID)), (), (owner("other", "ConfigMap"),), (owner("older"),)]
)
def test_what_is_kept_of_owners_tells_whose_a_secret_is(owners: tuple[OwnerReference, ...]) -> None:
    others = tuple(OwnerReference(f"uid-{number}", "Pod", "x" * 1000, "v1") for number in range(5))
    for told in (owners, others + owners, owners + others):
        assert ownership(telling_owners(told), UID) is ownership(told, UID)


def test_of_many_owners_few_are_kept_and_datasources_first() -> None:
    pods = tuple(OwnerReference(f"uid-{number}", "Pod", "pod", "v1") for number in range(10_000))
    kept = telling_owners((*pods, OwnerReference("uid-1", "Datasource"), OwnerReference("x" * 65, "Datasource")))
    assert len(kept) == MOST_OWNERS
    assert kept[0] == OwnerReference("uid-1", "Datasource")


def test_owner_reference_does_not_block_deletion() -> None:
    assert owner_reference("sales", UID) == {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "name": "sales",
        "uid": UID,
        "controller": True,
    }


@pytest.mark.parametrize(("outcome", "has_failed"), [(SUCCEEDED, False), (FAILED, True)])
def test_attempt_that_failed_is_known_by_its_outcome(outcome: str, has_failed: bool) -> None:
    assert LastAuthorization("2026-07-01T12:00:00Z", outcome, "").has_failed is has_failed
