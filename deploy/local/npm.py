"""Packages from npm, by lock file, in the cache that every checkout shares."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.local import tools
from deploy.local.cache import cache_folder, locked
from deploy.local.processes import StackError
from deploy.local.progress import Say, say

_FILES = ("package.json", "package-lock.json", ".npmrc")


def install(source: Path, what: str, out: Say = say) -> Path:
    """The node_modules folder that the package-lock.json in `source` describes; npm fetches it once for each lock file.

    Args:
        source: a folder with package.json, package-lock.json and .npmrc.
        what: how people call what is fetched.
        out: where progress is told.

    Raises:
        StackError: npm failed.
    """
    lock = (source / "package-lock.json").read_bytes()
    folder = cache_folder() / "provider" / hashlib.sha256(lock).hexdigest()[:16]
    if not folder.exists():
        with locked(folder.parent, out):
            if not folder.exists():
                _fetch(source, what, folder, out)
    return folder / "node_modules"


def _fetch(source: Path, what: str, folder: Path, out: Say) -> None:
    out(f"      fetching {what} with npm")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        fetched = Path(temporary) / "fetched"
        fetched.mkdir()
        for name in _FILES:
            shutil.copy(source / name, fetched)
        node = tools.node()
        # npm is a Node script, and its first line looks for node on PATH.
        environ = {**os.environ, "PATH": os.pathsep.join([str(node.node.parent), os.environ.get("PATH", os.defpath)])}
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--no-update-notifier"]
        command = [str(node.npm), "ci", *options]
        done = subprocess.run(command, cwd=fetched, env=environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StackError(f"npm could not fetch {what}:\n{done.stderr or done.stdout}")
        # Renamed whole: an interrupted fetch leaves no half folder behind.
        fetched.rename(folder)
