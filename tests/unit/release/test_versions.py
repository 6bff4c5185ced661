"""A release is of one version, wherever it is named."""

import shutil
from pathlib import Path

import pytest

from deploy.local.cache import REPOSITORY
from generators.version import INSTALL_YAML, PLACES, version
from release.__main__ import refuse_other_versions
from release.refusal import Refused
from release.source import Source

NAMES = ("pyproject.toml", *PLACES, *INSTALL_YAML)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return Source(tmp_path, "a" * 40, 1)


def test_one_version_is_taken(source: Source) -> None:
    refuse_other_versions(source)


@pytest.mark.parametrize("name", NAMES[1:])
def test_file_that_names_another_version_is_refused(name: str, source: Source) -> None:
    path = source.folder / name
    path.write_text(path.read_text().replace(version(), "0.0.1"))
    with pytest.raises(Refused, match=f"{name} names another version than pyproject.toml, which has {version()}"):
        refuse_other_versions(source)


def test_version_that_was_set_without_make_manifests_is_refused(source: Source) -> None:
    path = source.folder / "pyproject.toml"
    path.write_text(path.read_text().replace(version(), "7.7.7"))
    with pytest.raises(Refused, match="Type `make manifests`"):
        refuse_other_versions(source)
