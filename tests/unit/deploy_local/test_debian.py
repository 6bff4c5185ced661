"""Packages are installed where programs are missing, and where that cannot be, a person reads what to do."""

from pathlib import Path

import pytest

from deploy.local import debian


def test_package_of_a_program_that_is_there_is_not_asked_for() -> None:
    assert debian.packages_missing({"sh": "dash", "no-such-program": "b", "none-either": "b", "nor-this": "a"}) == [
        "a",
        "b",
    ]


def test_program_given_as_a_path_is_looked_for_there(tmp_path: Path) -> None:
    plugin = tmp_path / "bridge"
    assert debian.packages_missing({str(plugin): "plugins"}) == ["plugins"]
    plugin.touch(mode=0o755)
    assert debian.packages_missing({str(plugin): "plugins"}) == []


def test_nothing_missing_takes_neither_root_nor_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    debian.install([])


def test_who_is_not_root_is_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/apt-get")
    with pytest.raises(debian.NotInstalled, match=r"needs root\. .*sudo apt-get install buildah runc\)"):
        debian.install(["runc", "buildah"])
