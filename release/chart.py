"""The chart as it is published: what the repository cannot know is filled in, and Artifact Hub is told what it asks for.

Source: Artifact Hub, "Helm annotations".
"""

import re
from typing import Any

import yaml

from release.changelog import Change
from release.refusal import Refused
from release.settings import Settings

SCAN = "artifacthub.io"


def chart_yaml(text: str, settings: Settings, changes: list[Change], crd: dict[str, Any]) -> str:
    """Chart.yaml of a release."""
    chart = yaml.safe_load(text)
    annotations: dict[str, str] = dict(chart.get("annotations") or {})
    annotations[f"{SCAN}/changes"] = _dumped([{"kind": each.kind, "description": each.description} for each in changes])
    annotations[f"{SCAN}/crds"] = _dumped([_crd(crd)])
    if settings.repository:
        image = f"{settings.repository}:{chart['appVersion']}"
        annotations[f"{SCAN}/images"] = _dumped([{"name": "datasource-operator", "image": image}])
    if settings.source:
        chart["home"], chart["sources"] = settings.source, [settings.source]
        links = {"documentation": "docs", "security": "SECURITY.md"}
        annotations[f"{SCAN}/links"] = _dumped(
            [
                {"name": name, "url": f"{settings.source}/blob/v{chart['version']}/{path}"}
                for name, path in links.items()
            ]
        )
    if settings.download:
        chart["icon"] = f"{settings.download}/icon.svg"
    if settings.maintainer:
        name, _, mail = settings.maintainer.partition("<")
        chart["maintainers"] = [{"name": name.strip(), **({"email": mail.rstrip("> ")} if mail else {})}]
    return _dumped({**chart, "annotations": annotations})


def _crd(crd: dict[str, Any]) -> dict[str, str]:
    (version,) = crd["spec"]["versions"]
    kind = crd["spec"]["names"]["kind"]
    description = " ".join(version["schema"]["openAPIV3Schema"]["description"].split())
    return {
        "kind": kind,
        "version": version["name"],
        "name": crd["metadata"]["name"],
        "displayName": kind,
        "description": description,
    }


def values_yaml(text: str, version: str, settings: Settings) -> str:
    """values.yaml with the repositories of image and source as its defaults, comments and all."""
    if settings.repository:
        registry, _, repository = settings.repository.partition("/")
        text = _with_default(text, "  registry", '""', registry, "RELEASE_REPOSITORY")
        text = _with_default(text, "  repository", "datasource-operator", repository, "RELEASE_REPOSITORY")
    if settings.source:
        runbooks = f"{settings.source}/blob/v{version}/"
        text = _with_default(text, "    runbookURL", '""', runbooks, "RELEASE_SOURCE")
    return text


def _with_default(text: str, key: str, old: str, new: str, variable: str) -> str:
    text, count = re.subn(rf"^({key}: ){re.escape(old)}$", rf"\g<1>{new}", text, count=1, flags=re.MULTILINE)
    if count != 1:
        raise Refused(f"deploy/chart/values.yaml has no line {key.strip()}: {old} to write {variable} into.")
    return text


def install_yaml(text: str, version: str, settings: Settings) -> str:
    """install.yaml that names the repository."""
    if not settings.repository:
        return text
    return text.replace(f"image: datasource-operator:{version}\n", f"image: {settings.repository}:{version}\n")


def _dumped(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
