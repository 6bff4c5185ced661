"""The API reference says what the CRD says."""

from typing import Any

import pytest
import yaml

from generators.api_reference import CRD, PAGE, page


@pytest.fixture
def crd() -> dict[str, Any]:
    """The CRD as it is in this checkout."""
    parsed: dict[str, Any] = yaml.load(CRD.read_text(), yaml.CSafeLoader)
    return parsed


def test_committed_page_is_what_the_crd_says(crd: dict[str, Any]) -> None:
    assert PAGE.read_text() == page(crd), "docs/api.md is stale: run `make docs`"


def test_every_field_has_a_section_and_every_rule_its_message(crd: dict[str, Any]) -> None:
    written = page(crd)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    def look(path: str, field: dict[str, Any]) -> None:
        if path.count("."):
            assert f"### {path.removeprefix('.')}\n" in written
        for rule in field.get("x-kubernetes-validations", []):
            assert rule["message"] in written
        for name, below in field.get("properties", {}).items():
            look(f"{path}.{name}" if path else name, below)
        if "items" in field:
            for name, below in field["items"].get("properties", {}).items():
                look(f"{path}[].{name}", below)

    for part in ("spec", "status"):
        look(part, schema["properties"][part])
