"""The image that the Containerfile makes: the same each time, with what the two processes need and nothing of this machine."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploy.local.image import build as images
from deploy.local.image.buildah import Buildah
from deploy.local.image.machine import pip_settings
from generators.manifests import INSTALL_YAML
from tests.node.ability import require_images

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("anew")]

PIP = [sys.executable, "-m", "pip"]
NAME = f"localhost/{images.NAME}"


@pytest.fixture(scope="module")
def buildah() -> Buildah:
    """buildah, with the image of this checkout."""
    require_images()
    buildah = images.ready_to_build()
    images.build(buildah, NAME)
    return buildah


@pytest.fixture(scope="module")
def root(buildah: Buildah) -> Iterator[Path]:
    """The file system of a container of it."""
    container = buildah("from", "--pull-never", NAME)
    try:
        yield Path(buildah("mount", container))
    finally:
        buildah("umount", container)
        buildah("rm", container)


def in_image(root: Path, *command: str) -> str:
    """Run a command on the image's file system."""
    options = ["chroot", "--userspec=65532:65532", str(root), "/usr/bin/env", "-i", "PATH=/opt/venv/bin:/usr/bin:/bin"]
    return subprocess.run([*options, *command], capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours


def test_image_built_anew_has_the_same_digest(buildah: Buildah) -> None:
    again = "localhost/datasource-operator:again"
    try:
        assert images.build(buildah, again, anew=True) == buildah.digest(NAME)
    finally:
        buildah("rmi", again)


def test_image_runs_what_the_manifests_start_as_the_user_that_they_demand(buildah: Buildah, root: Path) -> None:
    config = json.loads(buildah("inspect", "--type=image", NAME))["OCIv1"]["config"]
    manifests = list(yaml.safe_load_all(INSTALL_YAML.read_text()))
    (operator,) = (
        each for each in manifests if each["kind"] == "Deployment" and each["metadata"]["name"].endswith("-operator")
    )
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    assert config["User"] == "65532:65532"
    assert config["Cmd"] == container["command"]
    # kubelet hands the runtime the uid alone; the group is taken from here.
    assert "datasource:x:65532:65532:" in (root / "etc/passwd").read_text()


def test_every_module_has_bytecode_that_holds_whatever_its_time(root: Path) -> None:
    look = """
import importlib.util, pathlib, sysconfig, sys
def kind(source):
    cached = pathlib.Path(importlib.util.cache_from_source(source))
    # PEP 552: bit 0 says by hash, bit 1 says that it is compared.
    return int.from_bytes(cached.read_bytes()[4:8], "little") if cached.exists() else None
import callback_server.server, datasource_operator.handlers, json, asyncio, kubernetes
sources = [m.__file__ for m in list(sys.modules.values()) if (getattr(m, "__file__", None) or "").endswith(".py")]
print(len(sources), {kind(s) for s in sources if s != "<string>"})
"""
    count, _, kinds = in_image(root, "python", "-c", look).partition(" ")
    assert int(count) > 500
    assert kinds.strip() == "{1}"


def test_environment_has_no_installer_and_nothing_that_builds(root: Path) -> None:
    listed = """
import importlib.metadata, site
print("\\n".join(each.name.lower() for each in importlib.metadata.distributions(path=site.getsitepackages())))
"""
    names = set(in_image(root, "python", "-c", listed).split())
    assert {"datasource-operator", "kopf"} <= names
    assert not names & {"pip", "setuptools", "wheel", "hatchling"}


def test_nothing_of_this_machine_is_in_the_image(root: Path) -> None:
    assert not (root / "etc/pip.conf").exists() or (root / "etc/pip.conf").read_bytes() == b""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
    addresses = {
        value.encode()
        for name, value in pip_settings(listed, {}).items()
        if name in {"index-url", "extra-index-url", "proxy", "trusted-host"}
    }
    files = [
        path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_size < 1_000_000
    ]
    assert len(files) > 1000
    assert [path for path in files for address in addresses if address in path.read_bytes()] == []
