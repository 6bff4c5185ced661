import json
from typing import Any

import pytest
import yaml

from kubectl_datasource.exits import Misused
from kubectl_datasource.export import (
    Export,
    client_secrets_by_namespace,
    export,
    format_of,
    names_by_namespace,
    portable,
    refresh_is_under_way,
    rendered,
)

CLUSTER_BOUND = {
    "uid": "uid-1",
    "resourceVersion": "7",
    "generation": 3,
    "creationTimestamp": "2026-07-01T11:00:00Z",
    "managedFields": [{}],
    "ownerReferences": [{"uid": "uid-2"}],
    "finalizers": ["datasource.dev/revoke"],
}
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def datasource(name: str = "calendar", namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": "x"},
            "annotations": {"datasource.dev/clear-credential": "from-git", APPLIED: "{}"},
            **CLUSTER_BOUND,
        },
        "spec": {"url": "https://api.example.com", "fieldOfANewerVersion": 1, **spec},
        "status": {"state": "AUTHORIZED", "authorizationLink": "https://x/?ticket=t"},
    }


def credential(name: str = "calendar", namespace: str = "shop", **annotations: str) -> dict[str, Any]:
    facts = {"datasource": name, "role": "credential", "handled": "{}"} | annotations
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "datasource.dev/oauth2-credential",
        "metadata": {
            "name": f"{name}-oauth2-credential",
            "namespace": namespace,
            "annotations": {f"datasource.dev/{key}": value for key, value in facts.items()},
            **CLUSTER_BOUND,
        },
        "data": {"refresh_token": "c2VudGluZWw="},
    }


def exported(*credentials: dict[str, Any], **spec: Any) -> Export:
    return export([datasource(**spec)], credentials, [])


def test_what_belongs_to_one_cluster_is_dropped_and_the_rest_kept() -> None:
    assert portable(datasource()) == {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {
            "name": "calendar",
            "namespace": "shop",
            "labels": {"app": "x"},
            "annotations": {"datasource.dev/clear-credential": "from-git"},
        },
        "spec": {"url": "https://api.example.com", "fieldOfANewerVersion": 1},
    }


def test_credential_keeps_its_type_its_facts_and_its_tokens() -> None:
    kept = portable(credential())
    assert kept["type"] == "datasource.dev/oauth2-credential"
    assert kept["data"] == {"refresh_token": "c2VudGluZWw="}
    assert kept["metadata"]["annotations"]["datasource.dev/handled"] == "{}"
    assert set(kept["metadata"]) == {"name", "namespace", "annotations"}


def test_annotations_that_end_up_empty_are_left_out() -> None:
    only_applied = credential()
    only_applied["metadata"]["annotations"] = {APPLIED: '{"data": {}}'}
    assert "annotations" not in portable(only_applied)["metadata"]


def test_secrets_stand_before_datasources() -> None:
    client_secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app", "namespace": "shop"}}
    written = export([datasource("b"), datasource("a")], [credential("b"), credential("a")], [client_secret])
    names = [f"{each['kind']}/{each['metadata']['name']}" for each in written.manifest["items"]]
    assert names == [
        "Secret/a-oauth2-credential",
        "Secret/app",
        "Secret/b-oauth2-credential",
        "Datasource/a",
        "Datasource/b",
    ]


@pytest.mark.parametrize(
    "foreign",
    [
        credential("another"),
        credential(namespace="elsewhere"),
        credential() | {"type": "Opaque"},
        credential(role="token"),
        credential(datasource="another"),
    ],
    ids=["of another", "of another namespace", "of another type", "in another role", "that names another"],
)
def test_secrets_that_are_no_credential_of_these_datasources_are_left_out(foreign: dict[str, Any]) -> None:
    assert [each["kind"] for each in exported(foreign).items] == ["Datasource"]


def test_whoever_writes_tokens_is_told_that_a_restore_moves_the_grant() -> None:
    said = " ".join(exported(credential()).warnings)
    assert "MOVES a grant, it never clones it" in said
    assert "kubectl create -f" in said
    assert "--suspend" in said


def test_without_tokens_there_is_nothing_to_warn_of() -> None:
    tombstone = credential(tombstone="CredentialCleared")
    del tombstone["data"]
    assert exported(tombstone).warnings == ()
    assert exported(tombstone | {"data": {"history": "W10="}}).warnings == (), "what people did is no token"


def test_side_that_was_suspended_is_not_warned_of() -> None:
    one, other = credential("a"), credential("b")
    written = export([datasource("a"), datasource("b")], [one, other], [], suspended=frozenset({"shop/a"}))
    assert written.warnings[-1] == "Not suspended here: shop/b."
    whole = export([datasource("a")], [one], [], suspended=frozenset({"shop/a"}))
    assert "--suspend" not in " ".join(whole.warnings)
    assert "Suspended here: shop/a. To go on here after all:" in whole.warnings[-1]


def test_refresh_under_way_is_told() -> None:
    busy = credential(intent="{}")
    assert refresh_is_under_way(busy)
    assert not refresh_is_under_way(credential())
    assert exported(busy).warnings[-1].endswith("shop/calendar. Export again.")


def test_policy_that_would_revoke_the_moved_grant_is_told() -> None:
    assert "revokes the grant that was moved" in exported(credential(), deletionPolicy="Revoke").warnings[-1]


def test_secrets_are_asked_for_by_name_and_each_once() -> None:
    ref = {"clientSecretRef": {"name": "app"}}
    many = [
        datasource("a", oauth2=ref),
        datasource("b", oauth2=ref),
        datasource("c", "other"),
        datasource("d", oauth2=None),
    ]
    many[2]["spec"]["oauth2"] = {"privateKeyRef": {"name": "key"}}
    assert client_secrets_by_namespace(many) == {"shop": ["app"], "other": ["key"]}
    gateway = [{"name": "X", "value": "y"}, {"name": "Y", "secretRef": {"name": "gw", "key": "k"}}]
    behind = datasource(oauth2={"clientSecretRef": {"name": "app"}, "tokenHeaders": gateway})
    assert client_secrets_by_namespace([behind]) == {"shop": ["app", "gw"]}
    assert names_by_namespace(many) == {"shop": ["a", "b", "d"], "other": ["c"]}


@pytest.mark.parametrize(
    ("path", "format_"), [("-", "json"), ("a.json", "json"), ("a.yaml", "yaml"), ("a.yml", "yaml")]
)
def test_format_follows_from_the_name(path: str, format_: str) -> None:
    assert format_of(path) == format_


def test_file_of_another_kind_is_refused() -> None:
    with pytest.raises(Misused, match=r"neither \.yaml nor \.json"):
        format_of("backup.tar")


@pytest.mark.parametrize("format_", ["yaml", "json"])
def test_text_reads_back_as_what_was_written(format_: str) -> None:
    manifest = exported(credential()).manifest
    read = yaml.safe_load if format_ == "yaml" else json.loads
    assert read(rendered(manifest, format_)) == manifest


@pytest.mark.parametrize("text", ["12e34", "1e3", "0x1F", "true", "null", "2026-07-01", "1_000", "~", "a: b", "y"])
def test_every_text_is_quoted_since_yaml_readers_differ(text: str) -> None:
    assert f'"credential-id": "{text}"' in rendered({"credential-id": text}, "yaml")
