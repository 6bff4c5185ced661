"""What is released is a commit, and nothing that stands beside it."""

import subprocess
from pathlib import Path

import pytest

from release.refusal import Refused
from release.source import empty, export, refuse_another_tag


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
    with pytest.raises(Refused, match=f'1 file differs from the last commit: "?{name}'):
        export(repository, tmp_path / "out")


def test_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="git status"):
        export(tmp_path, tmp_path / "out")


def test_what_a_person_set_for_git_changes_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "attributes").write_text("pyproject.toml export-ignore\n")
    settings = {"core.autocrlf": "true", "core.attributesFile": str(tmp_path / "attributes"), "tar.umask": "0077"}
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(settings)))
    for at, (name, value) in enumerate(settings.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{at}", name)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{at}", value)
    folder = export(repository, tmp_path / "out").folder
    assert (folder / "pyproject.toml").read_bytes() == b'[project]\nversion = "1.2.3"\n'
    assert (folder / "pyproject.toml").stat().st_mode & 0o777 == 0o644


def test_signature_of_a_commit_that_git_shows_is_no_part_of_its_name(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)  # noqa: S603, S607
    (tmp_path / "signers").write_text(f"ada@example.com {key.with_suffix('.pub').read_text()}")
    for name, value in (
        ("gpg.format", "ssh"),
        ("user.signingKey", str(key)),
        ("gpg.ssh.allowedSignersFile", str(tmp_path / "signers")),
        ("log.showSignature", "true"),
    ):
        git(repository, "config", name, value)
    git(repository, "commit", "-q", "-S", "--allow-empty", "-m", "Signed")
    assert len(export(repository, tmp_path / "out").commit) == 40


def test_replacement_of_a_commit_is_not_released_under_its_name(repository: Path, tmp_path: Path) -> None:
    git(repository, "branch", "real")
    (repository / "pyproject.toml").write_text('[project]\nversion = "6.6.6"\n')
    git(repository, "commit", "-aqm", "Another")
    git(repository, "branch", "other")
    git(repository, "reset", "-q", "--hard", "real")
    git(repository, "replace", "real", "other")
    # What stands there is that of the real commit, and git would have it of the other one.
    assert export(repository, tmp_path / "out").version == "1.2.3"


def test_shallow_clone_is_enough(repository: Path, tmp_path: Path) -> None:
    git(repository, "commit", "-q", "--allow-empty", "-m", "Later")
    git(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), "shallow clone")
    found = export(tmp_path / "shallow clone", tmp_path / "out")
    assert found == export(repository, tmp_path / "out")
    refuse_another_tag(tmp_path / "shallow clone", found.version)


def test_machine_without_git_is_told_so(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="Install git"):
        export(repository, tmp_path / "out")


@pytest.mark.parametrize("tags", [[], ["v1.2.3"], ["v1.2.3", "v1.2.4"], ["stable", "vendor"]])
def test_tag_of_the_version_is_taken_and_so_is_none(tags: list[str], repository: Path) -> None:
    for tag in tags:
        git(repository, "tag", tag)
    refuse_another_tag(repository, "1.2.3")


@pytest.mark.parametrize("options", [(), ("-a", "-m", "Annotated")])
def test_tag_of_another_version_is_refused(options: tuple[str, ...], repository: Path) -> None:
    git(repository, "tag", *options, "v1.2.4")
    with pytest.raises(Refused, match=r"has the tag v1\.2\.4, and pyproject\.toml the version 1\.2\.3"):
        refuse_another_tag(repository, "1.2.3")


def test_version_that_another_commit_was_released_with_is_refused(repository: Path) -> None:
    git(repository, "tag", "v1.2.3")
    git(repository, "commit", "-q", "--allow-empty", "-m", "Later")
    with pytest.raises(Refused, match=r"Another commit has the tag v1\.2\.3"):
        refuse_another_tag(repository, "1.2.3")


def test_what_cannot_be_emptied_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        empty(tmp_path / "file")
