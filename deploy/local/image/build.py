"""The image of this checkout, and an archive of it that a container runtime can import.

`python -m deploy.local.image.build` builds it and says where the archive is.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local import debian
from deploy.local.cache import BUILD, REPOSITORY, locked
from deploy.local.image.base import base_image
from deploy.local.image.buildah import Buildah
from deploy.local.image.containerfile import said_in
from deploy.local.image.machine import mounts_for_pip
from deploy.local.processes import StackError
from deploy.local.progress import Say, say

FOLDER = BUILD / "image"
CONTAINERFILE = REPOSITORY / "Containerfile"
NAME = "datasource-operator:0.2.0"
"""As the manifests name it."""

PROGRAMS = {"buildah": "buildah", "debootstrap": "debootstrap"}


def obstacle() -> str | None:
    """Why no image can be built on this machine; None where it can."""
    if sys.platform != "linux":
        return "images are built on Linux only"
    if os.geteuid() != 0:
        return "building an image takes root"
    if debian.found("apt-get") is None:
        return "the base image is made with apt's mirror, and there is no apt here"
    return None


@dataclass(frozen=True)
class Image:
    """`digest` is that of its manifest, `archive` is in the form of `docker save`."""

    digest: str
    archive: Path


def image(out: Say = say) -> Image:
    """Build the image of this checkout; layers that are there are used again.

    Raises:
        StackError: it cannot be built here, or a step failed; the text ends with the last lines of its log.
    """
    buildah = ready_to_build(out)
    # Whoever waits finds every layer made.
    with locked(FOLDER, out):
        digest = build(buildah, f"localhost/{NAME}", out=out)
        archive = FOLDER / f"{digest.removeprefix('sha256:')[:16]}.tar"
        if not archive.exists():
            for older in FOLDER.glob("*.tar"):
                older.unlink()
            temporary = archive.with_suffix(".part")
            temporary.unlink(missing_ok=True)
            # containerd gives a short name the form that kubelet asks for only where it comes in this form.
            buildah("push", "--quiet", f"localhost/{NAME}", f"docker-archive:{temporary}:{NAME}")
            temporary.rename(archive)
    return Image(digest, archive)


def ready_to_build(out: Say = say) -> Buildah:
    """buildah, with the base image in its storage.

    Raises:
        StackError: it cannot be had here.
    """
    why = obstacle()
    if why is not None:
        raise StackError(f"The image cannot be built: {why}.")
    debian.install(debian.packages_missing(PROGRAMS), out)
    buildah = Buildah()
    said = said_in(CONTAINERFILE.read_text())
    base_image(buildah, said.base_tag, out)
    return buildah


def build(buildah: Buildah, name: str, *, anew: bool = False, out: Say = say) -> str:
    """Build the Containerfile of this checkout under a name; `anew` uses no layer again. Returns the digest.

    Raises:
        StackError: a step failed; the text ends with the last lines of its log.
    """
    out("      building the image from the Containerfile" + (", anew" if anew else ""))
    _build(buildah, REPOSITORY, name, "--layers", *(["--no-cache"] if anew else []))
    return buildah.digest(name)


def build_for_release(buildah: Buildah, source: Path, name: str, base: str, out: Say = say) -> None:
    """Build the Containerfile of a checkout from a base, as docs/release.md has it. No layer is used again.

    Raises:
        StackError: a step failed; the text ends with the last lines of its log.
    """
    out("      building the image of a release")
    _build(buildah, source, name, f"--build-arg=BASE={base}")


def _build(buildah: Buildah, source: Path, name: str, *options: str) -> None:
    containerfile = source / CONTAINERFILE.name
    epoch = said_in(containerfile.read_text()).epoch
    mounts = mounts_for_pip(FOLDER / "pip")
    common = ["--pull-never", "--format=oci", f"--timestamp={epoch}", *(each.option for each in mounts)]
    buildah("bud", *common, *options, f"--tag={name}", f"--file={containerfile}", source, log=FOLDER / "build.log")


def main() -> None:
    """Build it."""
    try:
        built = image()
    except StackError as error:
        sys.exit(str(error))
    say(f"      {built.digest}\n      {built.archive}")


if __name__ == "__main__":
    main()
