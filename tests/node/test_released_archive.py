"""The archive that a release has of the image, loaded by containerd: under the name that chart and install.yaml ask for."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local import build
from deploy.local.image.pause import pause_archive
from deploy.local.node.layout import PAUSE_IMAGE
from deploy.local.processes import Child
from release.archives import Member, tar
from release.image import named, read
from tests.node.ability import require_nodes

pytestmark = [pytest.mark.node, pytest.mark.anew]

NAME = "registry.example.com/team/datasource-operator:9.8.7"
CONFIGURATION = """\
version = 3
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]

[grpc]
address = "{folder}/containerd.sock"

[ttrpc]
address = "{folder}/ttrpc.sock"
"""

Ctr = Callable[..., str]


@pytest.fixture
def ctr(tmp_path: Path) -> Iterator[Ctr]:
    """containerd alone, which has no image; its client."""
    require_nodes()
    programs = build.container_runtime().built()
    (tmp_path / "containerd.toml").write_text(CONFIGURATION.format(folder=tmp_path))

    def run(*arguments: str | Path) -> str:
        address = f"--address={tmp_path}/containerd.sock"
        command = [programs / build.CTR.name, address, "--namespace=k8s.io", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - what we built

    def answers() -> bool:
        try:
            return bool(run("version"))
        except subprocess.CalledProcessError:
            return False

    command: list[str | Path] = [programs / build.CONTAINERD.name, "--config", tmp_path / "containerd.toml"]
    child = Child("containerd", command, tmp_path / "containerd.log")
    child.start()
    try:
        child.wait_until_ready(answers, seconds=60)
        yield run
    finally:
        child.stop()


@pytest.mark.parametrize("way", [(), ("--local",)], ids=["by the service", "by the client"])
def test_archive_is_loaded_under_the_name_that_pods_ask_for(ctr: Ctr, way: tuple[str, ...], tmp_path: Path) -> None:
    """That of the pause container stands for ours: what is looked at is the name. `buildah push` alone writes none."""
    members = {name: Member(each.content) for name, each in read(pause_archive(PAUSE_IMAGE)).members.items()}
    index = json.loads(members["index.json"].content)
    del index["manifests"][0]["annotations"]
    nameless = members | {"index.json": Member(json.dumps(index).encode())}
    for content in (nameless, named(nameless, NAME)):
        (tmp_path / "image.tar").write_bytes(tar(content, 1))
        ctr("images", "import", *way, tmp_path / "image.tar")

    assert [name for name in ctr("images", "ls", "--quiet").split() if "@sha256:" not in name] == [NAME]
