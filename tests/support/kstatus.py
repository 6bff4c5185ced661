"""What Flux makes of an object: its own libraries, compiled once from tests/gitops/kstatus, kept by the sources' hash."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import tools
from deploy.local.build import BuildFailed
from deploy.local.cache import REPOSITORY, cache_folder, locked
from deploy.local.progress import say

SOURCE = REPOSITORY / "tests" / "gitops" / "kstatus"


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
    done = subprocess.run([_program()], input=asked, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return [
        Computed(each["kstatus"], each["message"], each["flux"], each["healthCheck"])
        for each in json.loads(done.stdout)
    ]


def _program() -> Path:
    sources = [SOURCE / name for name in ("go.mod", "go.sum", "main.go")]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    folder = cache_folder() / "kstatus" / digest
    program = folder / "kstatus"
    if not program.exists():
        with locked(folder, say):
            if not program.exists():
                _build(program)
    return program


def _build(program: Path) -> None:
    say("      building kstatus, about 2 minutes on two cores, once")
    temporary = program.with_name(".kstatus.part")
    done = subprocess.run(  # noqa: S603
        [tools.go(), "build", "-trimpath", "-o", temporary, "."],
        cwd=SOURCE,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildFailed(f"kstatus could not be built:\n{done.stderr}")
    # Renamed whole: an interrupted build leaves no half program behind.
    temporary.rename(program)
