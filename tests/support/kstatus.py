"""What Flux makes of an object: its own libraries, compiled once from tests/gitops/kstatus."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.go_programs import KSTATUS, kstatus


@dataclass(frozen=True)
class Computed:
    """What kstatus, Flux's fork of it and Flux's evaluator of `healthCheckExprs` say of one object."""

    kstatus: str
    message: str
    flux: str
    health_check: str


def computed(objects: Sequence[Mapping[str, Any]], expressions: Mapping[str, str]) -> list[Computed]:
    """Ask about objects as the API server returns them.

    Args:
        objects: Kubernetes objects.
        expressions: `inProgress`, `failed` and `current` of `healthCheckExprs` (CEL).
    """
    asked = json.dumps({"healthCheckExprs": dict(expressions), "objects": list(objects)})
    program = kstatus().built() / KSTATUS.name
    done = subprocess.run([program], input=asked, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return [
        Computed(each["kstatus"], each["message"], each["flux"], each["healthCheck"])
        for each in json.loads(done.stdout)
    ]
