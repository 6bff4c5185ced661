"""Packages of Debian or Ubuntu, installed with apt where a program is missing and we are root."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping

from deploy.local.cache import cache_folder, locked
from deploy.local.processes import StackError
from deploy.local.progress import Say, say


class NotInstalled(StackError):
    """A program is missing and cannot be installed; the text says how to."""


SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where packages put programs; the sbin folders are not on everybody's PATH."""


def found(program: str) -> str | None:
    """Where a program is, also in the folders of administrators."""
    return shutil.which(program) or shutil.which(program, path=SYSTEM_PATH)


def packages_missing(packages: Mapping[str, str]) -> list[str]:
    """Which packages would have to be installed; `packages` has the package of each program.

    A program that is given as a path is looked for there.
    """
    return sorted({package for program, package in packages.items() if found(program) is None})


def install(packages: Iterable[str], out: Say = say) -> None:
    """Install packages, without what they only recommend.

    Raises:
        NotInstalled: with what to do.
    """
    names = sorted(packages)
    if not names:
        return
    listed = " ".join(names)
    remedy = f"Install what is missing (on Debian or Ubuntu: sudo apt-get install {listed}) and try again."
    if not shutil.which("apt-get"):
        raise NotInstalled(f"There is no apt-get here. {remedy}")
    if os.geteuid() != 0:
        raise NotInstalled(f"Installing with apt needs root. {remedy}")
    out(f"      installing {listed} with apt-get")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Tests run side by side, and apt does not wait for another apt.
    with locked(cache_folder() / "apt", out):
        for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *names]):
            done = subprocess.run(["apt-get", *command], env=environ, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise NotInstalled(f"apt-get {command[0]} failed. {remedy}\n{done.stderr or done.stdout}")
