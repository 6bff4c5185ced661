"""Chart and kustomize install the same: every object is compared whole, but for what is listed here."""

import copy
import os
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
    for part in ("deploy/base", "deploy/overlays", "deploy/components", "crds"):
        shutil.copytree(REPOSITORY / part, folder / part)
    for kustomization in (folder / "deploy" / "overlays").rglob("kustomization.yaml"):
        text = kustomization.read_text()
        kustomization.write_text(text.replace("DATASOURCE_EXTERNAL_URL= # https", "DATASOURCE_EXTERNAL_URL=https"))
    return folder / "deploy" / "overlays"


@pytest.fixture(scope="module")
def overlays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlays, with an external URL."""
    return with_external_url(tmp_path_factory.mktemp("kustomize"))


SIGN_IN: Values = {
    "signIn": {"issuer": "https://id.example.com", "clientID": "datasource", "secretName": "datasource-sign-in"}
}


@pytest.fixture(scope="module")
def signing_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlays with the component sign-in, and its two lines filled in."""
    overlays = with_external_url(tmp_path_factory.mktemp("signing-in"))
    component = overlays.parent / "components" / "sign-in" / "kustomization.yaml"
    text = component.read_text().replace(
        "SIGN_IN_ISSUER= # https://login.example.com/realms/main", "SIGN_IN_ISSUER=https://id.example.com"
    )
    component.write_text(text.replace("SIGN_IN_CLIENT_ID= # datasource", "SIGN_IN_CLIENT_ID=datasource"))
    for overlay in OVERLAYS:
        kustomization = overlays / overlay / "kustomization.yaml"
        written = yaml.safe_load(kustomization.read_text())
        written["components"] = ["../../components/sign-in", *written["components"]]
        kustomization.write_text(yaml.safe_dump(written))
    return overlays


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


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_chart_and_kustomize_let_people_sign_in_in_the_same_way(signing_in: Path, overlay: str) -> None:
    by_chart, by_component = rendered({**OVERLAYS[overlay], **SIGN_IN}), by_kustomize(signing_in, overlay)
    of_chart, of_kustomize = compared(by_chart), compared(by_component)

    assert set(of_chart) == set(of_kustomize)
    for key, wanted in of_kustomize.items():
        assert of_chart[key] == wanted, key
    assert settings_of(by_chart) == settings_of(by_component)
    assert all(each.signs_in for each in settings_of(by_chart).values())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_component_does_the_same_on_top_of_an_overlay(overlays: Path, signing_in: Path, overlay: str) -> None:
    """Who takes an overlay as it is has a kustomization of their own, and the Roles may be ClusterRoles by then."""
    own = signing_in.parent / f"own-{overlay}"
    own.mkdir()
    merged = {
        "name": "datasource-config",
        "namespace": "datasource-system",
        "behavior": "merge",
        "literals": ["DATASOURCE_SIGN_IN_ISSUER=https://id.example.com", "DATASOURCE_SIGN_IN_CLIENT_ID=datasource"],
    }
    kustomization = {
        "resources": [os.path.relpath(overlays / overlay, own)],
        "components": ["../components/sign-in"],
        "configMapGenerator": [merged],
    }
    (own / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    on_top = list(yaml.safe_load_all(kustomized(own)))
    assert compared(on_top) == compared(by_kustomize(signing_in, overlay))
    assert settings_of(on_top) == settings_of(by_kustomize(signing_in, overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_sign_in_brings_rights_a_secret_and_who_may_look_and_nothing_else(
    signing_in: Path, overlays: Path, overlay: str
) -> None:
    without, signed_in = compared(by_kustomize(overlays, overlay)), compared(by_kustomize(signing_in, overlay))
    assert set(without) == set(signed_in)
    changed = {key: signed_in[key] for key in without if without[key] != signed_in[key]}
    assert {name for _, _, name in changed} == {"datasource-callback-server", "datasource-viewer"}
    for key in changed:
        if key[0] in {"Role", "ClusterRole"} and key[2] == "datasource-callback-server":
            more = [rule for rule in signed_in[key]["rules"] if rule not in without[key]["rules"]]
            assert [(rule["resources"], rule["verbs"]) for rule in more] == [
                (["datasources"], ["list"]),
                (["localsubjectaccessreviews"], ["create"]),
            ]
    viewer = signed_in["ClusterRole", "", "datasource-viewer"]
    assert viewer["metadata"]["labels"] == {"rbac.authorization.k8s.io/aggregate-to-view": "true"}


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
