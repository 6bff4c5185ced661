"""What is released is a commit, and nothing that stands beside it."""

import subprocess
from pathlib import Path

import pytest

from release.refusal import Refused
from release.source import export


def git(folder: Path, *arguments: str) -> None:
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S603, S607


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (folder / ".gitignore").write_text("ignored\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "A", "--date", "2026-01-01T00:00:00Z")
    return folder


def test_commit_is_exported_with_its_version_and_date(repository: Path, tmp_path: Path) -> None:
    (repository / "ignored").touch()
    found = export(repository, tmp_path / "out")
    assert found.version == "1.2.3"
    assert len(found.commit) == 40
    assert found.epoch > 1_700_000_000
    assert sorted(each.name for each in found.folder.iterdir()) == [".gitignore", "pyproject.toml"]


def test_what_an_earlier_export_left_is_gone(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    assert not (export(repository, tmp_path / "out").folder / "old").exists()


@pytest.mark.parametrize("name", ["pyproject.toml", "new file"])
def test_file_that_differs_from_the_commit_is_refused_by_name(name: str, repository: Path, tmp_path: Path) -> None:
    (repository / name).write_text("other")
    with pytest.raises(Refused, match=name):
        export(repository, tmp_path / "out")


def test_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="git status"):
        export(tmp_path, tmp_path / "out")
