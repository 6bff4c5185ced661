"""Chart and kustomize install the same: every object is compared whole, but for what is listed here."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from datasource.process.settings import Settings, settings_in
from deploy.local.cache import REPOSITORY
from deploy.local.stack import rendered as kustomized
from tests.support.helm import EXTERNAL_URL, Manifest, Values, rendered

OVERLAYS: dict[str, Values] = {
    "cluster-wide": {},
    "one-namespace": {"namespaces": ["datasource-apps"]},
    "namespaces": {"namespaces": ["team-a", "team-b"]},
}

# Whose the objects are, and which release put them there. What selects and what aggregates is not here.
_OF_A_RELEASE = {
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
}

Key = tuple[str, str, str]


def with_external_url(folder: Path) -> Path:
    """deploy/ with the one line filled in that everybody has to fill in."""
    for part in ("deploy/base", "deploy/overlays", "crds"):
        shutil.copytree(REPOSITORY / part, folder / part)
    for kustomization in (folder / "deploy" / "overlays").rglob("kustomization.yaml"):
        text = kustomization.read_text()
        kustomization.write_text(text.replace("DATASOURCE_EXTERNAL_URL= # https", "DATASOURCE_EXTERNAL_URL=https"))
    return folder / "deploy" / "overlays"


@pytest.fixture(scope="module")
def overlays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlays, with an external URL."""
    return with_external_url(tmp_path_factory.mktemp("kustomize"))


def by_kustomize(overlays: Path, overlay: str) -> list[Manifest]:
    return list(yaml.safe_load_all(kustomized(overlays / overlay)))


def compared(manifests: list[Manifest]) -> dict[Key, Manifest]:
    """The objects by kind, namespace and name, without what may differ.

    The Namespace is Helm's own affair (--create-namespace). The ConfigMap's name has a hash with kustomize, and its checksum
    is on the pods with Helm; what it says is compared as the processes read it (`settings_of`).
    """
    return {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): _stripped(each)
        for each in manifests
        if each["kind"] not in {"Namespace", "ConfigMap"}
    }


def _stripped(manifest: Manifest) -> Manifest:
    stripped = copy.deepcopy(manifest)
    _strip_metadata(stripped["metadata"])
    if stripped["kind"] == "Deployment":
        template = stripped["spec"]["template"]
        _strip_metadata(template["metadata"])
        for container in template["spec"]["containers"]:
            del container["envFrom"]
            # What Kubernetes would take for a tag like this one.
            container.setdefault("imagePullPolicy", "IfNotPresent")
    if stripped["kind"] == "Service":
        stripped["spec"].setdefault("type", "ClusterIP")
    return stripped


def _strip_metadata(metadata: dict[str, Any]) -> None:
    metadata.pop("annotations", None)
    labels = {key: value for key, value in metadata.pop("labels", {}).items() if key not in _OF_A_RELEASE}
    metadata.update({"labels": labels} if labels else {})


def settings_of(manifests: list[Manifest]) -> dict[str, Settings]:
    """What each process reads from the ConfigMap that its Deployment names."""
    config_maps = {each["metadata"]["name"]: each["data"] for each in manifests if each["kind"] == "ConfigMap"}
    found = {}
    for deployment in (each for each in manifests if each["kind"] == "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        (source,) = container["envFrom"]
        found[container["name"]] = settings_in(config_maps[source["configMapRef"]["name"]])
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_chart_and_kustomize_install_the_same_objects(overlays: Path, overlay: str) -> None:
    of_chart, of_kustomize = compared(rendered(OVERLAYS[overlay])), compared(by_kustomize(overlays, overlay))

    assert set(of_chart) == set(of_kustomize)
    for key, wanted in of_kustomize.items():
        assert of_chart[key] == wanted, key


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_chart_and_kustomize_start_the_processes_with_the_same_settings(overlays: Path, overlay: str) -> None:
    of_chart = settings_of(rendered(OVERLAYS[overlay]))

    assert of_chart == settings_of(by_kustomize(overlays, overlay))
    assert set(of_chart) == {"operator", "callback-server"}
    assert {each.external_url for each in of_chart.values()} == {EXTERNAL_URL}
    assert {each.namespaces for each in of_chart.values()} == {tuple(OVERLAYS[overlay].get("namespaces", ()))}


CHANGES: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "ClusterRole": (("rules", 0, "verbs"), ["delete"]),
    "ClusterRoleBinding": (("subjects", 0, "namespace"), "elsewhere"),
    "ValidatingAdmissionPolicy": (("spec", "failurePolicy"), "Ignore"),
    "Deployment": (("spec", "template", "spec", "securityContext", "runAsNonRoot"), False),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_comparison_sees_what_differs(overlays: Path, kind: str) -> None:
    manifests = by_kustomize(overlays, "cluster-wide")
    changed = copy.deepcopy(manifests)
    (*way, last), value = CHANGES[kind]
    place: Any = next(each for each in changed if each["kind"] == kind)
    for step in way:
        place = place[step]
    place[last] = value

    assert compared(changed) != compared(manifests)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_another_release_and_namespace_change_nothing_but_the_namespace(overlay: str) -> None:
    usual = compared(rendered(OVERLAYS[overlay]))
    elsewhere = rendered(OVERLAYS[overlay], release="another", namespace="another-place")
    text = yaml.safe_dump_all(elsewhere)
    assert "datasource-system" not in text

    renamed = compared(list(yaml.safe_load_all(text.replace("another-place", "datasource-system"))))

    assert renamed == usual
