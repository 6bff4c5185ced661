"""What the plugin's archives are called; tests/release makes one."""

import platform
from pathlib import Path

import pytest

from release.program import archive_name, take_away_paths, this_platform


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
