"""What an OCI archive of the image holds (OCI Image Layout 1.0)."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from release.archives import Member, members_of
from release.refusal import Refused

_INDEXES = {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
_BASE_DIGEST = "org.opencontainers.image.base.digest"
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
"""Annotations: containerd's own, and that of OCI, which podman reads."""

DPKG_STATUS = "var/lib/dpkg/status"
OS_RELEASE = ("etc/os-release", "usr/lib/os-release")


@dataclass(frozen=True)
class PlatformImage:
    """The image for one platform.

    Attributes:
        platform: such as linux/amd64.
        base_digest: what the builder says that it is based on; empty: nothing.
        files: what an SBOM is made of, and what our own package recorded of itself, by path.
    """

    platform: str
    digest: str
    base_digest: str
    files: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True)
class Image:
    """All of an archive.

    Attributes:
        digest: of what a tag will point to.
    """

    digest: str
    platforms: tuple[PlatformImage, ...]
    members: Mapping[str, Member] = field(repr=False)


def read(path: Path) -> Image:
    """Read an archive, and hold every part against its digest.

    Raises:
        Refused: it is none, or a part is missing or altered.
    """
    try:
        members = members_of(path.read_bytes())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Refused(f"{path} is no OCI archive: {error}") from error
    # Some write ./index.json.
    members = {name.removeprefix("./"): each for name, each in members.items()}
    if "index.json" not in members or "oci-layout" not in members:
        raise Refused(
            f"{path} is no OCI archive: it has no index.json or no oci-layout. buildah push IMAGE oci-archive:FILE makes one."
        )
    blobs = _Blobs(path, members)
    tagged = json.loads(members["index.json"].content)["manifests"]
    if len(tagged) != 1:
        raise Refused(f"{path} holds {len(tagged)} images; a release has one.")
    found = tuple(_platform(blobs, each) for each in _manifests(blobs, tagged[0]))
    return Image(str(tagged[0]["digest"]), found, members)


def check_base(image: Image, bases: Sequence[str]) -> None:
    """Hold what the builder noted against RELEASE_BASE. Of an image for several platforms, it notes one for each.

    Raises:
        Refused: they differ.
    """
    digests = [each.rpartition("@")[2] for each in bases]
    for each in image.platforms:
        if each.base_digest and each.base_digest not in digests:
            raise Refused(
                f"The image for {each.platform} says that it is based on {each.base_digest}, and RELEASE_BASE on "
                f"{' and '.join(digests)}. Build it again from RELEASE_BASE, or name there what each platform was built from. "
                "With --layers, buildah notes a step of its own instead: build without that."
            )


def named(members: Mapping[str, Member], name: str) -> dict[str, Member]:
    """The same archive, whose image has this name for whoever loads it: `ctr images import`, `podman load`."""
    index = json.loads(members["index.json"].content)
    (descriptor,) = index["manifests"]
    descriptor["annotations"] = {**(descriptor.get("annotations") or {}), **dict.fromkeys(_NAMES, name)}
    return {**members, "index.json": Member(json.dumps(index).encode())}


class _Blobs:
    def __init__(self, path: Path, members: Mapping[str, Member]) -> None:
        self._path, self._members = path, members

    def content(self, descriptor: Mapping[str, Any]) -> bytes:
        digest = str(descriptor["digest"])
        member = self._members.get("blobs/" + digest.replace(":", "/"))
        if member is None:
            raise Refused(f"{self._path} lacks {digest}.")
        if digest != "sha256:" + hashlib.sha256(member.content).hexdigest():
            raise Refused(f"{self._path}: what is at {digest} has another digest.")
        return member.content

    def json(self, descriptor: Mapping[str, Any]) -> Any:
        return json.loads(self.content(descriptor))


def _manifests(blobs: _Blobs, descriptor: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if descriptor["mediaType"] not in _INDEXES:
        yield descriptor
        return
    for each in blobs.json(descriptor)["manifests"]:
        yield from _manifests(blobs, each)


def _platform(blobs: _Blobs, descriptor: Mapping[str, Any]) -> PlatformImage:
    manifest = blobs.json(descriptor)
    config = blobs.json(manifest["config"])
    files: dict[str, bytes] = {}
    for layer in manifest["layers"]:
        _apply(_uncompressed(blobs.content(layer), layer["mediaType"]), files)
    annotations = manifest.get("annotations") or {}
    return PlatformImage(
        f"{config['os']}/{config['architecture']}", descriptor["digest"], annotations.get(_BASE_DIGEST, ""), files
    )


def _uncompressed(layer: bytes, media_type: str) -> bytes:
    if media_type.endswith("gzip"):
        return gzip.decompress(layer)
    if media_type.endswith("tar"):
        return layer
    raise Refused(f"A layer of the image is of type {media_type}; use gzip: buildah push --compression-format gzip.")


def _apply(layer: bytes, files: dict[str, bytes]) -> None:
    """Lay a layer over what is there; a file `.wh.NAME` takes NAME away (OCI Image Layer, whiteouts)."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        for entry in archive:
            path = PurePosixPath("/", entry.name).relative_to("/")
            if path.name.startswith(".wh."):
                opaque = path.name == ".wh..wh..opq"
                _take_away(files, path.parent if opaque else path.with_name(path.name.removeprefix(".wh.")))
            elif entry.isreg() and _is_of_interest(path):
                content = archive.extractfile(entry)
                files[str(path)] = b"" if content is None else content.read()


def _take_away(files: dict[str, bytes], path: PurePosixPath) -> None:
    for name in [name for name in files if PurePosixPath(name).is_relative_to(path)]:
        del files[name]


def _is_of_interest(path: PurePosixPath) -> bool:
    is_metadata = path.name == "METADATA" and path.parent.name.endswith(".dist-info")
    return is_metadata or is_record(path) or str(path) in {DPKG_STATUS, *OS_RELEASE}


def is_record(path: PurePosixPath) -> bool:
    """Whether it lists the files of our own package (PyPA, "Recording installed projects")."""
    folder = path.parent.name
    return path.name == "RECORD" and folder.startswith("datasource_operator-") and folder.endswith(".dist-info")
