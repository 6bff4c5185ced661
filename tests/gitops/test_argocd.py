"""Argo CD's own Lua machine says of Datasources what the Lua 5.1 says that `make test` runs the scripts in."""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from generators import argocd as argocd_files
from tests.cluster.test_gitops import LUA, health, offered
from tests.cluster.test_gitops import produced as produced
from tests.support import argocd
from tests.support.argocd_machine import Seen, seen

pytestmark = pytest.mark.cluster

ACTIONS = ("clear-credential", "new-credential", "refresh")
CONFIG_MAP = yaml.safe_load(argocd_files.RESULT.read_text())["data"]

Objects = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def objects(produced: Objects) -> Objects:
    """Every object that the operator made, and one that was changed since."""
    authorized = produced["`Authorized`"]
    generation = authorized["metadata"]["generation"] + 1
    changed = {**authorized, "metadata": {**authorized["metadata"], "generation": generation}}
    return {**produced, "changed since": changed, "no status": {**authorized, "status": {}}}


def asked(objects: Objects, action: str = "") -> dict[str, Seen]:
    return dict(zip(objects, seen(list(objects.values()), CONFIG_MAP, action), strict=True))


def test_health_is_what_the_table_in_the_docs_says(objects: Objects) -> None:
    found = {title: (each.status, each.message) for title, each in asked(objects).items()}

    assert found == {title: health(obj) for title, obj in objects.items()}
    assert {status for status, _ in found.values()} == {"Healthy", "Progressing", "Degraded", "Suspended"}


def test_actions_are_offered_alike(objects: Objects) -> None:
    found = {
        title: {name for name, is_offered in each.actions.items() if is_offered}
        for title, each in asked(objects).items()
    }

    assert found == {title: offered(obj) for title, obj in objects.items()}


@pytest.mark.parametrize("action", ACTIONS)
def test_action_changes_one_annotation_alone(objects: Objects, action: str) -> None:
    script = (LUA / "actions" / action / "action.lua").read_text()

    def without_the_value(acted: dict[str, Any]) -> dict[str, Any]:
        assert acted["metadata"]["annotations"].pop(f"datasource.dev/{action}")
        return acted

    for title, each in asked(objects, action).items():
        ours = argocd.run(script, objects[title])
        assert without_the_value(each.acted)["metadata"] == without_the_value(ours)["metadata"], title
        assert each.acted["spec"] == objects[title]["spec"], title


def test_scripts_use_nothing_that_argo_cd_leaves_out() -> None:
    key = "resource.customizations.health.datasource.dev_Datasource"
    text = 'return { status = "Healthy", message = string.upper("x") }'
    obj = {"apiVersion": "datasource.dev/v1alpha1", "kind": "Datasource", "metadata": {"name": "x"}}

    with pytest.raises(AssertionError, match="attempt to index a non-table object"):
        seen([obj], {**CONFIG_MAP, key: text})
