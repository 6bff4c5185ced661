"""Packages are installed where programs are missing, and where that cannot be, a person reads what to do."""

import os
from pathlib import Path

import pytest

from deploy.local import debian
from deploy.local.cache import cache_folder


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


APT_THAT_LOOKS = """#!/bin/sh
flock --nonblock "$LOCK" true && held=no || held=yes
echo "$1 $held" >> "$TOLD"
"""
"""It finds out whether another one would have to wait for it."""


def test_two_installations_at_the_same_time_do_not_meet_in_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apt-get").write_text(APT_THAT_LOOKS)
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lock = cache_folder() / "apt" / ".lock"
    lock.parent.mkdir(parents=True)
    monkeypatch.setenv("LOCK", str(lock))
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    debian.install(["runc"], out=lambda _: None)
    assert (tmp_path / "told").read_text().splitlines() == ["update yes", "install yes"]
