"""The Lua of deploy/argocd runs with no more than Argo CD gives it; what the operator produces is for test_gitops.py."""

import re
from pathlib import Path

import pytest
from lupa.lua51 import LuaError

from generators import argocd as argocd_files
from tests.support import argocd

ACTIONS = sorted(argocd_files.CUSTOMIZATIONS.glob("datasource.dev/Datasource/actions/*/action.lua"))


@pytest.mark.parametrize("script", ACTIONS, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("annotations", [{}, {"annotations": {"example.com/kept": "1"}}], ids=["none", "others"])
def test_action_sets_its_annotation_to_the_time(script: Path, annotations: dict[str, object]) -> None:
    acted = argocd.run(script.read_text(), {"metadata": {"name": "calendar", **annotations}})

    value = acted["metadata"]["annotations"][f"datasource.dev/{script.parent.name}"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value)


@pytest.mark.parametrize("library", ["os", "string", "math", "io", "debug"])
def test_library_that_argo_cd_does_not_give_is_missing(library: str) -> None:
    with pytest.raises(LuaError, match=f"attempt to index global '{library}'"):
        argocd.run(f"return {{ status = {library}.x }}", {})
