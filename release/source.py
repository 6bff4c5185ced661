"""I/O: the commit that is released, and nothing that stands beside it."""

import io
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from release.refusal import Refused, named

# What a person may have set for all of their work and what would change the files, or what git says of them.
_SETTINGS = (
    "core.autocrlf=false",
    "core.eol=lf",
    f"core.attributesFile={os.devnull}",
    "log.showSignature=false",
    "tar.umask=0022",
)


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
        return str(tomllib.loads((self.folder / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def export(repository: Path, folder: Path) -> Source:
    """Export the commit that is checked out.

    Raises:
        Refused: files differ from it.
    """
    changed = [line[3:] for line in _git(repository, "status", "--porcelain").decode().splitlines()]
    if changed:
        raise Refused(
            f"{named(changed, 'file differs from the last commit', 'files differ from the last commit')}. "
            "A release is made of a commit: commit what differs, or take it away."
        )
    empty(folder)
    with tarfile.open(fileobj=io.BytesIO(_git(repository, "archive", "HEAD"))) as archive:
        archive.extractall(folder, filter="data")
    commit, epoch = _git(repository, "log", "-1", "--format=%H %ct").decode().split()
    return Source(folder, commit, int(epoch))


def empty(folder: Path) -> None:
    """Make a folder anew. What cannot be taken away is an error: it would be taken for something that was made now."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def refuse_another_tag(repository: Path, version: str) -> None:
    """A version is one commit, and a tag names the version that its commit has.

    Raises:
        Refused: the commit that is checked out has the tag of another version, or the tag of this one is elsewhere.
    """
    tag = f"v{version}"
    here = [each for each in _git(repository, "tag", "--points-at", "HEAD").decode().split() if re.match(r"v\d", each)]
    if tag in here:
        return
    if here:
        raise Refused(
            f"The commit has the tag {here[0]}, and pyproject.toml the version {version}. Set the version there, type "
            f"`make manifests`, commit, and tag that commit."
        )
    if _git(repository, "tag", "--list", tag):
        raise Refused(
            f"Another commit has the tag {tag}. Set the next version in pyproject.toml, or check out {tag} to make that "
            "release again."
        )


def _git(repository: Path, *arguments: str) -> bytes:
    command = ["git", *(word for each in _SETTINGS for word in ("-c", each)), *arguments]
    environ = {**os.environ, "GIT_ATTR_NOSYSTEM": "1", "GIT_NO_REPLACE_OBJECTS": "1"}
    try:
        done = subprocess.run(command, cwd=repository, env=environ, capture_output=True, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise Refused("There is no git here, and a release is made of a commit. Install git.") from error
    if done.returncode != 0:
        raise Refused(f"git {' '.join(arguments)}: {done.stderr.decode().strip()}")
    return done.stdout
