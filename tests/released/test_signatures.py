"""What a release signs, checked with cosign as docs/release.md has people check it."""

import shutil
from pathlib import Path

import pytest

from deploy.local import build
from deploy.local.cache import REPOSITORY
from generators.version import version
from release.__main__ import Release
from release.keys import private_key
from release.settings import Settings
from release.signing import Signer
from release.source import Source
from tests.support.released import DOWNLOAD, SPOILT, documented, new_key, signed, spoil, tried

pytestmark = pytest.mark.released

VERIFIED = (0, "Verified OK")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a release, signed by the one part of it that signs; a whole release takes minutes and signs no other way."""
    folder = tmp_path_factory.mktemp("signed")
    made = folder / "dist"
    made.mkdir()
    for path in ("deploy/install.yaml", "crds/datasource.yaml", "docs/icon.svg"):
        shutil.copy(REPOSITORY / path, made)
    shutil.move(made / "datasource.yaml", made / "crd.yaml")
    (made / f"datasource-operator-{version()}.tgz").write_bytes(bytes(range(256)) * 4096)
    new_key(folder / "key")
    source = Source(REPOSITORY, commit="a" * 40, epoch=1)
    Release(source, Settings(download=DOWNLOAD), made).sign(Signer(private_key(folder / "key")))
    return made


def cosign(line: str, folder: Path) -> tuple[int, str]:
    """Type a line of the page where nobody answers, no log and no server of keys; its exit code, and the last thing it says."""
    words = line.split()
    assert words[0] == "cosign"
    nowhere = {"HOME": str(folder), "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    done = tried(build.cosign(), *words[1:], cwd=folder, **nowhere)
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


def test_cosign_finds_every_file_signed(dist: Path) -> None:
    line = documented("cosign verify-blob ")
    assert len(signed(dist)) == 6
    for name in signed(dist):
        assert cosign(line.replace("checksums.txt", name), dist) == VERIFIED, name


def test_older_way_of_the_page_does_it_too(dist: Path) -> None:
    line = documented("cosign verify-blob ")
    older = line.replace("--bundle checksums.txt.sigstore.json", "--signature checksums.txt.sig")
    assert older != line
    assert cosign(older, dist) == VERIFIED


@pytest.mark.parametrize("case", SPOILT)
def test_cosign_refuses_what_was_altered(case: str, dist: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dist, tmp_path / "dist"))
    spoil(copy, "checksums.txt", "checksums.txt.sigstore.json", case)
    code, said = cosign(documented("cosign verify-blob "), copy)
    assert code != 0
    assert "failed to verify signature" in said


def test_cosign_finds_in_the_provenance_how_each_file_came_to_be(dist: Path, tmp_path: Path) -> None:
    line = documented("cosign verify-blob-attestation ")
    for name in signed(dist) - {"provenance.intoto.jsonl", "checksums.txt"}:
        assert cosign(line.replace("install.yaml", name), dist) == VERIFIED, name

    copy = Path(shutil.copytree(dist, tmp_path / "dist"))
    (copy / "install.yaml").write_text((copy / "crd.yaml").read_text() + "# another account's own\n")
    code, said = cosign(line, copy)
    assert code != 0
    assert "artifact digests do not match" in said
