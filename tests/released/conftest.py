"""A release of what stands here, made twice from images that were built apart; and what it holds."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.image import build as images
from deploy.local.image.buildah import BASE, Buildah
from deploy.local.image.containerfile import said_in
from tests.node.ability import require_images
from tests.support.released import Checkout, digests

ANOTHER_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "sh", "-c", 'umask 077 && exec "$@"', "sh")
"""A command line that follows runs as a user who is not root and has no rights of root's, and who keeps files to themselves."""


@dataclass(frozen=True)
class Release:
    """What was released, and the digests of both times.

    Attributes:
        dist: all that is left of it, in a folder that it was not made in.
    """

    dist: Path
    first: dict[str, str]
    second: dict[str, str]


def build_image(buildah: Buildah, checkout: Checkout, name: str) -> None:
    """From the base by its digest, and written as an archive."""
    try:
        images.build_for_release(buildah, checkout.folder, name, checkout.base)
        buildah("push", "--quiet", name, f"oci-archive:{checkout.image}")
    finally:
        if buildah.has(name):
            buildah("rmi", name)


def released(checkout: Checkout, *before: str, **environ: str) -> dict[str, str]:
    """`make release`; the digests of what it wrote."""
    done = checkout.release(*before, **environ)
    assert done.returncode == 0, done.stderr
    return digests(checkout.dist)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Both of one commit: the second in another place, by another user, in another part of the world."""
    require_images()
    buildah = images.ready_to_build()
    tagged = f"{BASE}:{said_in(images.CONTAINERFILE.read_text()).base_tag}"
    one = Checkout.at(tmp_path_factory.mktemp("released"), f"{BASE}@{buildah.digest(tagged)}")
    other = one.elsewhere(tmp_path_factory.mktemp("in another place"))
    build_image(buildah, one, "localhost/datasource-operator:released")
    first = released(one)
    build_image(buildah, other, "localhost/datasource-operator:released-again")
    second = released(other, *ANOTHER_USER, TZ="Pacific/Kiritimati", LC_ALL="C", PYTHONHASHSEED="7")
    dist = Path(shutil.move(one.dist, tmp_path_factory.mktemp("download") / "what was downloaded"))
    for each in (one, other):
        shutil.rmtree(each.folder)
        each.image.unlink()
    return Release(dist, first, second)
