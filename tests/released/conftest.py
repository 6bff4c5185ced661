"""A release of what stands here, made twice from images that were built apart, and what it holds."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.image import build as images
from deploy.local.image.buildah import BASE, Buildah
from deploy.local.image.containerfile import said_in
from tests.node.ability import require_images
from tests.support.released import Checkout, digests


@dataclass(frozen=True)
class Release:
    """What was released, and the digests of both times."""

    dist: Path
    first: dict[str, str]
    second: dict[str, str]


def build_image(buildah: Buildah, checkout: Checkout, name: str, *, anew: bool) -> None:
    """As docs/release.md has it built, from the base by its digest, and written as an archive."""
    images.build(buildah, name, anew=anew, source=checkout.folder, base=checkout.base)
    checkout.image.unlink(missing_ok=True)
    buildah("push", "--quiet", name, f"oci-archive:{checkout.image}")


def released(checkout: Checkout) -> dict[str, str]:
    """`make release`; the digests of what it wrote."""
    done = checkout.release()
    assert done.returncode == 0, done.stderr
    return digests(checkout.dist)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Both, from one commit. Only dist/ is left: whoever installs has nothing else."""
    require_images()
    buildah = images.ready_to_build()
    tagged = f"{BASE}:{said_in(images.CONTAINERFILE.read_text()).base_tag}"
    checkout = Checkout.at(tmp_path_factory.mktemp("released"), f"{BASE}@{buildah.digest(tagged)}")
    names = ("localhost/datasource-operator:released", "localhost/datasource-operator:released-again")
    try:
        made = []
        for name, anew in zip(names, (False, True), strict=True):
            build_image(buildah, checkout, name, anew=anew)
            made.append(released(checkout))
    finally:
        for name in names:
            if buildah.has(name):
                buildah("rmi", name)
    dist = Path(shutil.move(checkout.dist, tmp_path_factory.mktemp("alone") / "dist"))
    shutil.rmtree(checkout.folder)
    return Release(dist, *made)
