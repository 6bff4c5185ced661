"""What is released is the same each time, and cosign finds it signed, as docs/release.md has people check it."""

import shutil
from pathlib import Path

import pytest

from deploy.local import build
from tests.released.conftest import Release
from tests.support.released import SPOILT, documented, signed, spoil, tried

pytestmark = pytest.mark.released

VERIFIED = (0, "Verified OK")


def cosign(line: str, folder: Path) -> tuple[int, str]:
    """Type a line of the page where nobody answers, no log and no server of keys; its exit code, and the last thing it says."""
    words = line.split()
    assert words[0] == "cosign"
    nowhere = {"HOME": str(folder), "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    done = tried(build.cosign(), *words[1:], cwd=folder, **nowhere)
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


def test_two_releases_of_one_commit_are_the_same_though_their_images_were_built_apart(release: Release) -> None:
    assert release.first == release.second


def test_cosign_finds_every_file_signed(release: Release) -> None:
    line = documented("cosign verify-blob ")
    for name in signed(release.dist):
        assert cosign(line.replace("checksums.txt", name), release.dist) == VERIFIED, name


@pytest.mark.parametrize("case", SPOILT)
def test_cosign_refuses_what_was_altered(case: str, release: Release, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(release.dist, tmp_path / "dist", ignore=shutil.ignore_patterns("*.oci.tar*")))
    spoil(copy, "checksums.txt", "checksums.txt.sigstore.json", case)
    code, said = cosign(documented("cosign verify-blob "), copy)
    assert code != 0
    assert "Verified OK" not in said


def test_cosign_finds_in_the_provenance_how_each_file_came_to_be(release: Release, tmp_path: Path) -> None:
    line = documented("cosign verify-blob-attestation ")
    for name in signed(release.dist) - {"provenance.intoto.jsonl", "checksums.txt"}:
        assert cosign(line.replace("install.yaml", name), release.dist) == VERIFIED, name

    copy = Path(shutil.copytree(release.dist, tmp_path / "dist", ignore=shutil.ignore_patterns("*.oci.tar*")))
    (copy / "install.yaml").write_text((copy / "crd.yaml").read_text() + "# somebody's own\n")
    code, said = cosign(line, copy)
    assert code != 0
    assert "Verified OK" not in said
