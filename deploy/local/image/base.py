"""What stands for `python:3.11-slim` where no registry can be asked: Debian by debootstrap, with Debian's own Python 3.

It is laid out as far as the Containerfile can tell: `python` and `pip` in /usr/local/bin, no bytecode. It is never shipped.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.local import debian
from deploy.local.cache import cache_folder, locked
from deploy.local.image.buildah import BASE, Buildah
from deploy.local.image.machine import Debian
from deploy.local.image.machine import debian as debian_of_this_machine
from deploy.local.processes import StackError
from deploy.local.progress import Say, say

_PACKAGES = ("ca-certificates", "netbase", "python3", "python3-pip", "python3-venv", "tzdata")

# Debian marks its Python as one that pip must leave alone; the official image's is not.
_ARRANGE = """\
set -eu
cd "$1"
ln -sf /usr/bin/python3 usr/local/bin/python3
ln -sf python3 usr/local/bin/python
ln -sf /usr/bin/pip usr/local/bin/pip
rm -f usr/lib/python3*/EXTERNALLY-MANAGED
find usr -depth -name __pycache__ -exec rm -rf {} +
# Where the packages came from, and what says when.
rm -rf var/cache/apt/* var/cache/debconf/* var/lib/apt/lists/* var/log/* debootstrap
rm -f var/cache/ldconfig/aux-cache
: > etc/apt/sources.list
: > etc/resolv.conf
: > etc/hostname
: > etc/machine-id
"""


def base_image(buildah: Buildah, tag: str, out: Say = say) -> str:
    """The base under the name that FROM has, with that tag; made once, and again when this file says something else.

    Raises:
        StackError: debootstrap or buildah failed.
    """
    name = f"{BASE}:{tag}"
    source = debian_of_this_machine()
    made = f"{BASE}:made-{_key(source, tag)}"
    with locked(buildah.folder, out):
        if not (buildah.has(made) and buildah.has(name)):
            out(f"      making the base image: Debian {source.release} with its Python, about 2 minutes, once")
            _make(buildah, source, [name, made])
    return name


def _key(source: Debian, tag: str) -> str:
    # The mirror may change and the content not.
    recipe = "\n".join([source.release, tag, *_PACKAGES, _ARRANGE])
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def _make(buildah: Buildah, source: Debian, names: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir=cache_folder()) as temporary:
        root = Path(temporary) / "root"
        try:
            _run(
                [
                    "debootstrap",
                    "--variant=minbase",
                    f"--include={','.join(_PACKAGES)}",
                    source.release,
                    str(root),
                    source.mirror,
                ]
            )
            _run(["sh", "-c", _ARRANGE, "sh", str(root)])
            _commit(buildah, root, names)
        finally:
            # It mounts these for the packages' scripts.
            for mounted in ("proc", "sys"):
                subprocess.run(["umount", "--quiet", root / mounted], capture_output=True, check=False)
            shutil.rmtree(root, ignore_errors=True)


def _commit(buildah: Buildah, root: Path, names: list[str]) -> None:
    container = buildah("from", "scratch")
    try:
        buildah("add", "--quiet", container, root, "/")
        path = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        buildah("config", f"--env={path}", "--env=LANG=C.UTF-8", "--cmd=python3", container)
        buildah("commit", "--quiet", "--disable-compression", "--timestamp=0", container, names[0])
        for other in names[1:]:
            buildah("tag", names[0], other)
    finally:
        buildah("rm", container)


def _run(command: list[str]) -> None:
    environ = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{debian.SYSTEM_PATH}", "LC_ALL": "C"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise StackError(f"{command[0]} failed:\n{said}")
