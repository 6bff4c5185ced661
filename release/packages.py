"""I/O: the two Python packages. Each wheel is built from its sdist, as whoever installs that would have it."""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from release.refusal import Refused


def build(project: Path, target: Path, epoch: int) -> tuple[Path, Path]:
    """Build a project into a folder; returns its sdist and its wheel.

    Raises:
        Refused: with what hatchling says.
    """
    sdist = _built(project, "sdist", target, epoch)
    with tempfile.TemporaryDirectory() as unpacked:
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked, filter="data")
        (root,) = Path(unpacked).iterdir()
        return sdist, _built(root, "wheel", target, epoch)


def environment(**fixed: str) -> dict[str, str]:
    """That of a program which makes a part of a release: what would have Python or a builder do otherwise is left out.

    Nor does such a program find modules where it runs: what stands in the checkout need not be what was committed.
    """
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HATCH", "PYINSTALLER"))
    }
    return kept | {"PYTHONSAFEPATH": "1", "PYTHONUTF8": "1"} | fixed


def _built(project: Path, kind: str, target: Path, epoch: int) -> Path:
    before = set(target.glob("*"))
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(target)],
        cwd=project,
        env=environment(SOURCE_DATE_EPOCH=str(epoch)),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise Refused(f"The {kind} of {project.name} cannot be built:\n{done.stderr or done.stdout}")
    (made,) = set(target.glob("*")) - before
    return made
