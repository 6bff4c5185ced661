"""What Argo CD makes of an object: its own Lua machine, compiled once from tests/gitops/argocd."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.go_programs import ARGOCD, argocd


@dataclass(frozen=True)
class Seen:
    """Health and message that it shows, the actions with whether they are offered, and what the action made of the object."""

    status: str
    message: str
    actions: Mapping[str, bool]
    acted: dict[str, Any]


def seen(objects: Sequence[Mapping[str, Any]], config_map: Mapping[str, str], action: str = "") -> list[Seen]:
    """Ask about objects as the API server returns them.

    Args:
        objects: Kubernetes objects.
        config_map: the data of argocd-cm.
        action: one to run on each of them.
    """
    asked = json.dumps({"configMap": dict(config_map), "action": action, "objects": list(objects)})
    program = argocd().built() / ARGOCD.name
    done = subprocess.run([program], input=asked, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return [
        Seen(each["status"], each["message"], each["actions"], each["acted"] or {}) for each in json.loads(done.stdout)
    ]
