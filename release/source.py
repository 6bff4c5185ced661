"""I/O: the commit that is released, and nothing that stands beside it."""

import io
import shutil
import subprocess
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from release.refusal import Refused


@dataclass(frozen=True)
class Source:
    """A commit, exported.

    Attributes:
        folder: its files.
        epoch: when it was made, in seconds.
    """

    folder: Path
    commit: str
    epoch: int

    @property
    def version(self) -> str:
        """The version that pyproject.toml names, which all others follow."""
        return str(tomllib.loads((self.folder / "pyproject.toml").read_text())["project"]["version"])


def export(repository: Path, folder: Path) -> Source:
    """Export the commit that is checked out.

    Raises:
        Refused: files differ from it.
    """
    changed = _git(repository, "status", "--porcelain").decode().splitlines()
    if changed:
        raise Refused(
            f"{len(changed)} files differ from the last commit, {changed[0][3:]} among them. A release is made of a commit: "
            "commit them, or take them away."
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(_git(repository, "archive", "HEAD"))) as archive:
        archive.extractall(folder, filter="data")
    commit, epoch = _git(repository, "log", "-1", "--format=%H %ct").decode().split()
    return Source(folder, commit, int(epoch))


def _git(repository: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, check=False)  # noqa: S603, S607
    if done.returncode != 0:
        raise Refused(f"git {' '.join(arguments)}: {done.stderr.decode().strip()}")
    return done.stdout
