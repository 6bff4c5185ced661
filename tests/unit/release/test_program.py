"""What the plugin's archives are called; tests/release makes one."""

import platform
from pathlib import Path

import pytest

from release.archives import Member, tar_gz, zipped
from release.program import archive_name, archives_in, take_away_paths, this_platform
from release.refusal import Refused


@pytest.mark.parametrize(
    ("system", "machine", "told"),
    [
        ("Linux", "x86_64", "linux-amd64"),
        ("Linux", "aarch64", "linux-arm64"),
        ("Darwin", "arm64", "darwin-arm64"),
        ("Windows", "AMD64", "windows-amd64"),
        ("Linux", "riscv64", "linux-riscv64"),
    ],
)
def test_platform_is_told_in_the_words_of_go(
    system: str, machine: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert this_platform() == told


def test_windows_gets_a_zip() -> None:
    assert archive_name("1.2", "windows-amd64") == "kubectl-datasource-1.2-windows-amd64.zip"
    assert archive_name("1.2", "linux-arm64") == "kubectl-datasource-1.2-linux-arm64.tar.gz"


def test_what_names_a_folder_of_this_machine_is_taken_away_and_the_version_stays(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "lib" / "kubectl_datasource-1.dist-info", tmp_path / "lib" / "click-8.dist-info"
    for folder in (ours, theirs):
        folder.mkdir(parents=True)
        for name in ("METADATA", "RECORD", "direct_url.json"):
            (folder / name).touch()
    take_away_paths(tmp_path)
    take_away_paths(tmp_path)
    assert [each.name for each in ours.iterdir()] == ["METADATA"]
    assert (theirs / "RECORD").exists()


PACKED = {"kubectl-datasource": Member(b"program", is_program=True)}


def test_archives_that_were_given_are_found_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "kubectl-datasource-1.2-windows-amd64.zip").write_bytes(zipped(PACKED, 315532800))
    (tmp_path / "kubectl-datasource-1.2-linux-arm64.tar.gz").write_bytes(tar_gz(PACKED, 0))
    assert [each.name for each in archives_in(tmp_path, "1.2")] == [
        "kubectl-datasource-1.2-linux-arm64.tar.gz",
        "kubectl-datasource-1.2-windows-amd64.zip",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "kubectl-datasource-1.2-linux-arm64.tar.gz.sig",
        "kubectl-datasource-1.2-linux-arm64.tar.gz.sigstore.json",
        "kubectl-datasource-1.2-linux-arm64.zip",
        "kubectl-datasource-1.2-windows-amd64.tar.gz",
        "kubectl-datasource-1.2-rc.1-linux-arm64.tar.gz",
        "kubectl-datasource-1x2-linux-arm64.tar.gz",
        "kubectl-datasource-1.2-arm64.tar.gz",
        "checksums.txt",
        ".DS_Store",
    ],
)
def test_what_is_no_archive_of_the_version_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(tar_gz(PACKED, 0))
    with pytest.raises(Refused, match=rf"RELEASE_ARCHIVES: {name} is no archive of version 1\.2, such as"):
        archives_in(tmp_path, "1.2")


@pytest.mark.parametrize("content", [b"", b"not packed", None])
def test_archive_that_cannot_be_opened_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "kubectl-datasource-1.2-linux-arm64.tar.gz"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(Refused, match="is no archive of version"):
        archives_in(tmp_path, "1.2")
