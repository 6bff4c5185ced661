"""The objects of an installation, as the API server writes them and as little of them as there may be."""

from typing import Any

import msgspec
import pytest

from kubectl_datasource.installation import ConfigMap, Container, Deployment


def deployment(image: str | None = None, **labels: str) -> Deployment:
    """A Deployment as decoded JSON: of what is not given nothing stands there."""
    spec: dict[str, Any] = {"containers": [{"name": "it", "image": image}, {"name": "sidecar", "image": "x:9"}]}
    raw: dict[str, Any] = {"metadata": {"name": "d", "labels": labels}, "spec": {"template": {"spec": spec}}}
    return msgspec.convert(raw if image is not None else raw | {"spec": {}}, Deployment)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("datasource-operator:0.1.0", "0.1.0"),
        ("registry.example.com/team/datasource-operator:v1.2.3-rc.1", "v1.2.3-rc.1"),
        ("registry.example.com:5000/datasource-operator:0.1.0", "0.1.0"),
        ("registry.example.com:5000/datasource-operator", ""),
        ("datasource-operator", ""),
        ("registry.example.com:5000/datasource-operator@sha256:" + "a" * 64, ""),
        ("registry.example.com:5000/datasource-operator:0.1.0@sha256:" + "a" * 64, "0.1.0"),
        ("", ""),
    ],
)
def test_version_is_the_tag_and_never_a_port_or_a_digest(image: str, version: str) -> None:
    assert deployment(image).version == version


def test_first_container_is_ours_whatever_was_injected_beside_it() -> None:
    assert deployment("ours:1").container.image == "ours:1"
    assert deployment().container == Container()


def test_component_is_told_by_its_label_alone() -> None:
    labels = {"app.kubernetes.io/component": "operator", "app.kubernetes.io/name": "callback-server"}
    assert deployment("x:1", **labels).component == "operator"
    assert deployment("operator:1").component == ""


def test_what_a_deployment_does_not_say_is_what_kubernetes_takes_for_granted() -> None:
    """A Deployment without replicas has one, and one that was just created no status."""
    found = msgspec.convert({"metadata": {"name": "d"}}, Deployment)
    assert (found.spec.replicas, found.status.ready_replicas, found.status.updated_replicas) == (1, 0, 0)


def test_config_map_without_data_is_empty() -> None:
    assert msgspec.convert({"metadata": {"name": "c"}, "binaryData": {"a": "eA=="}}, ConfigMap).data == {}


@pytest.mark.parametrize("text", ["plain", "with 'quotes' and $(words)", "", "ümläut"])
def test_settings_are_read_as_they_are_written(text: str) -> None:
    raw = {
        "metadata": {"name": "d"},
        "spec": {"template": {"spec": {"containers": [{"env": [{"name": "A", "value": text}]}]}}},
    }
    (variable,) = msgspec.convert(raw, Deployment).container.env
    assert (variable.name, variable.value) == ("A", text)
