"""How this machine reaches packages: what its pip and its apt are told, used while something is built and kept nowhere."""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.processes import StackError

_REACHING = (
    "cert",
    "client-cert",
    "extra-index-url",
    "find-links",
    "index-url",
    "no-index",
    "proxy",
    "retries",
    "timeout",
    "trusted-host",
)
"""What pip is told about reaching packages. All else would change what it installs."""

_OTHER_NAMES = {"default-timeout": "timeout"}

_PIP_CONF = Path("/etc/pip.conf")


@dataclass(frozen=True)
class Mount:
    """What a build sees of this machine, and cannot write."""

    source: Path
    target: Path

    @property
    def option(self) -> str:
        """As `--volume` takes it."""
        return f"--volume={self.source}:{self.target}:ro"


def pip_settings(listed: str, environ: Mapping[str, str]) -> dict[str, str]:
    """How pip reaches packages, from what `pip config list` says.

    A setting of an environment variable wins over one of a file, as it does for pip.

    >>> pip_settings("global.index-url='https://a.example'\\n:env:.index-url='https://b.example'\\nglobal.user='yes'", {})
    {'index-url': 'https://b.example'}
    """
    ranked: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        key = _OTHER_NAMES.get(key, key)
        if section in ranked and key in _REACHING:
            ranked[section][key] = str(ast.literal_eval(value))
    found = {**ranked["global"], **ranked["install"], **ranked[":env:"]}
    # What requests, which pip is made with, reads where pip is told nothing.
    bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    if bundle and "cert" not in found:
        found["cert"] = bundle
    return dict(sorted(found.items()))


def pip_conf(settings: Mapping[str, str]) -> str:
    """A pip.conf with these settings.

    >>> pip_conf({"find-links": "/a\\n/b"})
    '[global]\\nfind-links = /a\\n  /b\\n'
    """
    lines = (f"{name} = {_continued(value)}\n" for name, value in settings.items())
    return "[global]\n" + "".join(lines)


def _continued(value: str) -> str:
    return "\n  ".join(value.split("\n"))


def paths_in(settings: Mapping[str, str]) -> list[Path]:
    """The files and folders that settings name and that are there: a build must see them too."""
    named = (Path(word) for value in settings.values() for word in value.split() if os.path.isabs(word))
    return sorted({path for path in named if path.exists()})


def mounts_for_pip(folder: Path, environ: Mapping[str, str] = os.environ) -> list[Mount]:
    """What pip needs in a build to reach packages as it does on this machine.

    Raises:
        StackError: pip does not run.
    """
    listed = _printed([sys.executable, "-m", "pip", "config", "list"])
    settings = pip_settings(listed, environ)
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "pip.conf"
    written.touch(mode=0o600)  # an address may hold a password
    written.write_text(pip_conf(settings))
    return [Mount(written, _PIP_CONF), *(Mount(path, path) for path in paths_in(settings))]


@dataclass(frozen=True)
class Debian:
    """A release of Debian, and where this machine gets it."""

    release: str
    mirror: str


def debian_in(targets: str) -> Debian | None:
    """The release and the mirror of the first source of Debian's own, as `apt-get indextargets` lists them.

    >>> debian_in("bookworm-updates http://a.example/debian/\\nbookworm http://b.example/debian/")
    Debian(release='bookworm', mirror='http://b.example/debian/')
    """
    for line in targets.splitlines():
        release, _, mirror = line.partition(" ")
        if release.isalpha() and mirror.rstrip("/").endswith("/debian"):
            return Debian(release, mirror)
    return None


def debian() -> Debian:
    """The Debian of this machine.

    Raises:
        StackError: apt has no source of Debian.
    """
    columns = ("--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages")
    found = debian_in(_printed(["apt-get", "indextargets", *columns]))
    if found is None:
        raise StackError("apt on this machine has no source of Debian, from which the base image is made.")
    return found


def _printed(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"{' '.join(command)}:\n{done.stderr.strip()}")
    return done.stdout
