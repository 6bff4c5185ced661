"""What a release is told: what is wrong is refused by name, with the remedy."""

from pathlib import Path

import pytest

from release.refusal import Refused
from release.settings import Settings

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def told(tmp_path: Path) -> dict[str, str]:
    for name in ("key", "image"):
        (tmp_path / name).touch()
    return {
        "RELEASE_KEY": str(tmp_path / "key"),
        "RELEASE_IMAGE": str(tmp_path / "image"),
        "RELEASE_BASE": f"python:3.11-slim@{DIGEST}",
    }


def test_key_alone_is_enough(told: dict[str, str]) -> None:
    assert Settings.of({"RELEASE_KEY": told["RELEASE_KEY"], "PATH": "/bin"}).image == ""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RELEASE_KEY", "", "RELEASE_KEY is missing"),
        ("RELEASE_KEY", "/nowhere/key", "there is no file /nowhere/key"),
        ("RELEASE_IMAGE", "/nowhere/image", "RELEASE_IMAGE: there is no file"),
        ("RELEASE_ARCHIVES", "/nowhere", "RELEASE_ARCHIVES: there is no folder"),
        ("RELEASE_BASE", "", "by digest"),
        ("RELEASE_BASE", "python:3.11-slim", "by digest"),
        ("RELEASE_BASE", f"python@{DIGEST}0", "by digest"),
        ("RELEASE_BASE", f"@{DIGEST}", "by digest"),
        ("RELEASE_BASE", f"python@{DIGEST} python:3.11-slim", "by digest"),
        ("RELEASE_REPOSITORY", "datasource-operator", "RELEASE_REPOSITORY must be a registry and a path"),
        ("RELEASE_REPOSITORY", "https://registry.example.com/x", "RELEASE_REPOSITORY must"),
        ("RELEASE_REPOSITORY", "registry.example.com/x:1.0", "RELEASE_REPOSITORY must"),
        ("RELEASE_SOURCE", "http://example.com/x", "RELEASE_SOURCE must be an https:// URL"),
        ("RELEASE_DOWNLOAD", "https://example.com/x/", "without a slash at its end"),
        ("RELEASE_BUILDER", "me", "RELEASE_BUILDER must"),
        ("RELEASE_MAINTAINER", "<>", "RELEASE_MAINTAINER must be"),
        ("RELEASE_REPOSITRY", "x", "RELEASE_REPOSITRY is no variable of a release"),
    ],
)
def test_what_is_wrong_is_refused_by_name(name: str, value: str, said: str, told: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        Settings.of(told | {name: value})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        {"RELEASE_REPOSITORY": "registry.example.com:5000/team/datasource-operator"},
        {"RELEASE_MAINTAINER": "Ada Lovelace <ada@example.com>"},
        {"RELEASE_MAINTAINER": "The Team"},
        {"RELEASE_BASE": f"python@{DIGEST} python:3.11-slim@{DIGEST}"},
        {"RELEASE_SOURCE": "https://example.com/team/datasource-operator"},
    ],
)
def test_what_is_right_is_taken(values: dict[str, str], told: dict[str, str]) -> None:
    assert Settings.of(told | values)


@pytest.mark.parametrize("name", ["RELEASE_KEY", "RELEASE_IMAGE", "RELEASE_ARCHIVES"])
def test_what_lies_where_everything_is_made_anew_is_refused(name: str, told: dict[str, str], tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    (dist / "archives").mkdir(parents=True)
    (dist / "file").touch()
    path = dist / ("archives" if name == "RELEASE_ARCHIVES" else "file")
    (tmp_path / "link").symlink_to(path)
    for given in (path, dist / ".." / "dist" / path.name, tmp_path / "link"):
        settings = Settings.of(told | {name: str(given)})
        with pytest.raises(Refused, match=f"{name}: .* is in .*, which a release deletes and writes again"):
            settings.refuse_paths_in(tmp_path / "elsewhere", dist)
    Settings.of(told).refuse_paths_in(dist)


def test_key_in_the_checkout_is_refused_before_anybody_commits_it(told: dict[str, str], tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "keys").mkdir(parents=True)
    key = checkout / "keys" / "release.key"
    key.touch()
    (tmp_path / "link").symlink_to(key)
    for given in (key, tmp_path / "link", checkout / ".." / "checkout" / "keys" / "release.key"):
        with pytest.raises(Refused, match=r"release\.key is in the checkout, where it may be committed\. Move it out"):
            Settings.of(told | {"RELEASE_KEY": str(given)}).refuse_a_key_in(checkout)
    beside = tmp_path / "checkout.key"
    beside.touch()
    Settings.of(told | {"RELEASE_KEY": str(beside)}).refuse_a_key_in(checkout)


def test_password_is_taken_as_it_is(told: dict[str, str]) -> None:
    assert Settings.of(told | {"RELEASE_KEY_PASSWORD": " a b "}).key_password == " a b "
