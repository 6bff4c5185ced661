"""Write deploy/argocd/argocd-cm.yaml from the Lua files: `make manifests`.

The files lie as in Argo CD's own `resource_customizations`. Without a build of Argo CD, its ConfigMap argocd-cm takes them.
"""

from pathlib import Path

import yaml

from deploy.local.cache import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "argocd"
CUSTOMIZATIONS = FOLDER / "resource_customizations"
RESULT = FOLDER / "argocd-cm.yaml"

_HEAD = """\
# Made of resource_customizations/ by `make manifests`; a test compares the two. Add it to Argo CD's ConfigMap:
#
#     kubectl -n argocd patch configmap argocd-cm --patch-file deploy/argocd/argocd-cm.yaml
"""


class _Literal(str):
    """Text that YAML shows as it is, line by line."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Literal, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")
)


def made() -> str:
    """The ConfigMap, to be patched into Argo CD's."""
    keys: dict[str, _Literal] = {}
    for kind in sorted(CUSTOMIZATIONS.glob("*/*")):
        name = f"{kind.parent.name}_{kind.name}"
        keys[f"resource.customizations.health.{name}"] = _Literal((kind / "health.lua").read_text())
        keys[f"resource.customizations.actions.{name}"] = _Literal(_dumped(_actions(kind / "actions")))
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": keys}
    return _HEAD + _dumped(manifest)


def _actions(folder: Path) -> dict[str, object]:
    definitions = [
        {"name": action.parent.name, "action.lua": _Literal(action.read_text())}
        for action in sorted(folder.glob("*/action.lua"))
    ]
    return {"discovery.lua": _Literal((folder / "discovery.lua").read_text()), "definitions": definitions}


def _dumped(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120)


def main() -> None:
    """Write it."""
    RESULT.write_text(made())


if __name__ == "__main__":
    main()
