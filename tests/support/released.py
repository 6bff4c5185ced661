"""A checkout of what stands here with a version that CHANGELOG.md knows, and `make release` in it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.local.cache import REPOSITORY
from generators.version import INSTALL_YAML, PLACES, version

VERSION = "9.8.7"
REGISTRY_PATH = "registry.example.com/team/datasource-operator"
DOWNLOAD = f"https://example.com/team/datasource-operator/releases/download/v{VERSION}"


@dataclass(frozen=True)
class Checkout:
    """A commit, and what a release is told besides.

    Attributes:
        base: what the image is built from, by digest.
    """

    folder: Path
    key: Path
    image: Path
    base: str

    @classmethod
    def at(cls, folder: Path, base: str) -> "Checkout":
        """Commit what stands here; the key is made, the image is not."""
        made = cls(folder / "checkout", folder / "key", folder / "image.tar", base)
        for name in _files_here():
            (made.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, made.folder / name)
        made._name_the_version()
        made.git("init", "-q")
        made.git("add", "-A")
        made.git("commit", "-q", "-m", "A commit")
        new_key(made.key)
        return made

    def _name_the_version(self) -> None:
        for name in ("pyproject.toml", *PLACES, *INSTALL_YAML):
            path = self.folder / name
            path.write_text(path.read_text().replace(version(), VERSION))
        changelog = self.folder / "CHANGELOG.md"
        section = f"## [Unreleased]\n\n## [{VERSION}] - 2030-01-01\n\n### Added\n\n- A thing.\n"
        changelog.write_text(changelog.read_text().replace("## [Unreleased]\n", section, 1))

    def elsewhere(self, folder: Path) -> "Checkout":
        """The same commit in another folder, with an image of its own and the same key."""
        run("git", "clone", "--quiet", self.folder, folder / "clone")
        return replace(self, folder=folder / "clone", image=folder / "image.tar")

    def release(self, *before: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        """`make release`, without setting up an environment of its own; `before` is what its command line begins with."""
        told = {
            "RELEASE_KEY": str(self.key),
            "RELEASE_IMAGE": str(self.image),
            "RELEASE_BASE": self.base,
            "RELEASE_REPOSITORY": REGISTRY_PATH,
            "RELEASE_SOURCE": "https://example.com/team/datasource-operator",
            "RELEASE_DOWNLOAD": DOWNLOAD,
            "RELEASE_MAINTAINER": "Ada Lovelace <ada@example.com>",
            **changes,
        }
        return subprocess.run(  # noqa: S603 - ours
            [*before, sys.executable, "-m", "release"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), **told},
            capture_output=True,
            text=True,
            check=False,
        )

    def git(self, *arguments: str) -> None:
        """Run git."""
        author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        subprocess.run(["git", *author, *arguments], cwd=self.folder, check=True, capture_output=True)  # noqa: S603, S607

    @property
    def dist(self) -> Path:
        """What was released."""
        return self.folder / "dist"


def _files_here() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).exists()]


def new_key(path: Path) -> None:
    """As docs/release.md has it made."""
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file."""
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.iterdir()}


def run(*command: object, cwd: Path | None = None, **environ: str) -> str:
    """Run a program that must not fail; what it printed."""
    done = tried(*command, cwd=cwd, **environ)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def tried(*command: object, cwd: Path | None = None, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a program."""
    return subprocess.run(  # noqa: S603
        [str(each) for each in command],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


SIGNATURES = (".sig", ".sigstore.json")


def signed(folder: Path) -> set[str]:
    """The files that are no signature and no key."""
    return {each.name for each in folder.iterdir() if not each.name.endswith((*SIGNATURES, ".pub"))}


SPOILT = ("file", "signature", "key", "another file's signature")


def spoil(dist: Path, name: str, signature: str, case: str) -> None:
    """Alter something of a release in a folder so that a file is not what was signed by whom it says."""
    path = dist / {"file": name, "signature": signature, "another file's signature": signature}.get(case, "release.pub")
    if case == "key":
        other = dist.parent / "another-key"
        new_key(other)
        path.write_text(run("openssl", "pkey", "-in", other, "-pubout"))
    elif case == "another file's signature":
        path.write_bytes((dist / signature.replace(name, "crd.yaml")).read_bytes())
    elif case == "file":
        path.write_bytes(path.read_bytes() + b"\n")
    elif signature.endswith(".sig"):
        path.write_text(_another_letter(path.read_text()))
    else:
        bundle = json.loads(path.read_text())
        signed_part = bundle["messageSignature"]
        signed_part["signature"] = _another_letter(signed_part["signature"])
        path.write_text(json.dumps(bundle))


def _another_letter(signature: str) -> str:
    """It is base64 of a signature still, of another one."""
    return signature[:40] + ("A" if signature[40] != "A" else "B") + signature[41:]


def documented(program: str, below: str = "Checking a signature") -> str:
    """The line of docs/release.md below a heading that uses a program."""
    page = (REPOSITORY / "docs" / "release.md").read_text().partition(f"## {below}\n")[2].partition("\n## ")[0]
    (line,) = (each.strip() for each in page.splitlines() if each.startswith("    ") and program in each)
    return line
