"""Argo CD's own Lua machine makes of Datasources what the Lua 5.1 makes of them that `make test` runs the scripts in."""

import re
from itertools import product
from typing import Any

import pytest
import yaml

from generators import argocd as argocd_files
from tests.support import argocd
from tests.support.argocd_machine import seen

LUA = argocd_files.CUSTOMIZATIONS / "datasource.dev" / "Datasource"
ACTIONS = sorted(path.parent.name for path in LUA.glob("actions/*/action.lua"))
CONFIG_MAP = yaml.safe_load(argocd_files.RESULT.read_text())["data"]

STATES = (None, "", "AUTHORIZED", "ERROR", "NOT AUTHORIZED", "NOT CONFIGURED")
CONDITIONS: tuple[dict[str, str], ...] = (
    {},
    {"Ready": "True"},
    {"Ready": "False"},
    {"Ready": "Unknown"},
    {"Ready": "False", "Stalled": "True"},
    {"Ready": "False", "Reconciling": "True"},
)
ANNOTATIONS: tuple[dict[str, str] | None, ...] = (None, {}, {"datasource.dev/refresh": "1"})


def datasource(
    state: str | None,
    conditions: dict[str, str],
    suspend: bool | None,
    generation: int,
    annotations: dict[str, str] | None,
) -> dict[str, Any]:
    """One as the API server may return it, looked at in generation 1."""
    told = [
        {"type": kind, "status": status, "reason": "Reason", "message": f'About {kind}, "quoted", ünïcode.'}
        for kind, status in conditions.items()
    ]
    return {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {
            "name": "calendar",
            "generation": generation,
            **({} if annotations is None else {"annotations": annotations}),
        },
        "spec": {"url": "https://api.example.com", **({} if suspend is None else {"suspend": suspend})},
        "status": {"observedGeneration": 1, "conditions": told, **({} if state is None else {"state": state})},
    }


EVERY = [datasource(*each) for each in product(STATES, CONDITIONS, (None, True, False), (1, 2), ANNOTATIONS)]
NEW = {key: value for key, value in EVERY[0].items() if key != "status"}
OBJECTS = [*EVERY, NEW]


def test_health_is_the_same() -> None:
    found = seen(OBJECTS, CONFIG_MAP)

    script = (LUA / "health.lua").read_text()
    assert [{"status": each.status, "message": each.message} for each in found] == [
        argocd.run(script, obj) for obj in OBJECTS
    ]
    assert {each.status for each in found} == {"Healthy", "Progressing", "Degraded", "Suspended"}


def test_same_actions_are_offered() -> None:
    script = (LUA / "actions" / "discovery.lua").read_text()
    ours = [
        {name: not action.get("disabled", False) for name, action in argocd.run(script, obj).items()} for obj in OBJECTS
    ]

    assert [each.actions for each in seen(OBJECTS, CONFIG_MAP)] == ours


@pytest.mark.parametrize("action", ACTIONS)
def test_action_sets_its_annotation_to_the_time_and_changes_nothing_else(action: str) -> None:
    for obj, each in zip(OBJECTS, seen(OBJECTS, CONFIG_MAP, action), strict=True):
        acted = each.acted
        value = acted["metadata"]["annotations"].pop(f"datasource.dev/{action}")

        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value)
        others = {key: kept for key, kept in obj["metadata"].get("annotations", {}).items() if not key.endswith(action)}
        assert acted["metadata"] == {**obj["metadata"], "annotations": others}
        assert acted["spec"] == obj["spec"]


@pytest.mark.parametrize("library", ["os", "string"])
def test_script_that_takes_a_library_for_granted_fails(library: str) -> None:
    text = f'return {{ status = "Healthy", message = {library}.date() }}'
    key = "resource.customizations.health.datasource.dev_Datasource"

    with pytest.raises(AssertionError, match="attempt to index a non-table object"):
        seen([NEW], {**CONFIG_MAP, key: text})
