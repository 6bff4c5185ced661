"""OCI archives are read as they are, and what does not hold together is refused."""

import json
from pathlib import Path

import pytest

from release.archives import Member, tar
from release.image import Image, PlatformImage, check_base, named, read
from release.refusal import Refused
from tests.unit.release.oci import archive

BASE = "sha256:" + "a" * 64
METADATA = "opt/venv/lib/python3.11/site-packages/a-1.dist-info/METADATA"


def written(folder: Path, members: dict[str, Member]) -> Path:
    path = folder / "image.tar"
    path.write_bytes(tar(members, 0))
    return path


@pytest.mark.parametrize("is_nested", [True, False])
def test_later_layers_lie_over_earlier_ones(is_nested: bool, tmp_path: Path) -> None:
    layers = ({METADATA: "old", "var/lib/dpkg/status": "x"}, {METADATA: "new", "usr/bin/python": "not of interest"})
    (found,) = read(written(tmp_path, archive(*layers, is_nested=is_nested))).platforms
    assert found.platform == "linux/amd64"
    assert found.files == {METADATA: b"new", "var/lib/dpkg/status": b"x"}


@pytest.mark.parametrize(
    "whiteout",
    [
        "opt/venv/lib/python3.11/site-packages/a-1.dist-info/.wh.METADATA",
        "opt/venv/lib/python3.11/site-packages/.wh.a-1.dist-info",
        "opt/venv/.wh..wh..opq",
        "opt/.wh.venv",
    ],
)
def test_what_a_layer_takes_away_is_not_there(whiteout: str, tmp_path: Path) -> None:
    (found,) = read(written(tmp_path, archive({METADATA: "old"}, {whiteout: ""}))).platforms
    assert found.files == {}


def test_names_may_begin_with_a_dot(tmp_path: Path) -> None:
    members = {f"./{name}": each for name, each in archive({f"./{METADATA}": "a"}).items()}
    (found,) = read(written(tmp_path, members)).platforms
    assert set(found.files) == {METADATA}


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no tar")
    with pytest.raises(Refused, match="is no OCI archive"):
        read(tmp_path / "x")
    with pytest.raises(Refused, match="buildah push IMAGE oci-archive"):
        read(written(tmp_path, {"manifest.json": Member(b"[]")}))


def test_two_images_in_one_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="holds 0 images"):
        read(written(tmp_path, archive({}, manifests=[])))


def test_part_that_is_missing_or_altered_is_refused(tmp_path: Path) -> None:
    whole = archive({METADATA: "a"})
    for name in (each for each in whole if each.startswith("blobs/")):
        with pytest.raises(Refused, match="lacks sha256:"):
            read(written(tmp_path, {key: each for key, each in whole.items() if key != name}))
        with pytest.raises(Refused, match="has another digest"):
            read(written(tmp_path, whole | {name: Member(whole[name].content + b" ")}))


def test_base_that_the_builder_noted_must_be_the_one_that_is_named(tmp_path: Path) -> None:
    noted = read(written(tmp_path, archive({}, base_digest=BASE)))
    other = f"python@{BASE[:-1]}b"
    check_base(noted, [f"python@{BASE}"])
    with pytest.raises(Refused, match="says that it is based on"):
        check_base(noted, [other])
    check_base(read(written(tmp_path, archive({}))), [f"python@{BASE}"])


def test_each_platform_has_a_base_of_its_own() -> None:
    """So buildah notes it, where the base is an index of both."""
    other = BASE[:-1] + "b"
    platforms = (PlatformImage("linux/amd64", "x", BASE, {}), PlatformImage("linux/arm64", "y", other, {}))
    both = Image("z", platforms, {})
    check_base(both, [f"python@{BASE}", f"python@{other}"])
    with pytest.raises(Refused, match="linux/arm64 says that it is based on"):
        check_base(both, [f"python@{BASE}", f"python@{BASE[:-1]}c"])


@pytest.mark.parametrize("annotations", [{}, None, {"org.opencontainers.image.ref.name": "x", "kept": "y"}])
def test_image_has_the_name_that_it_is_given_and_is_the_same_otherwise(
    annotations: dict[str, str] | None, tmp_path: Path
) -> None:
    members = archive({METADATA: "a"})
    index = json.loads(members["index.json"].content)
    index["manifests"][0]["annotations"] = annotations
    members["index.json"] = Member(json.dumps(index).encode())
    before = read(written(tmp_path, members))

    path = written(tmp_path, named(before.members, "registry.example.com/team/x:1"))

    assert read(path).digest == before.digest
    (descriptor,) = json.loads(read(path).members["index.json"].content)["manifests"]
    names = {"io.containerd.image.name", "org.opencontainers.image.ref.name"}
    assert {descriptor["annotations"].pop(name) for name in names} == {"registry.example.com/team/x:1"}
    assert descriptor["annotations"] == ({"kept": "y"} if annotations else {})
