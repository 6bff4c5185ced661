"""The version stands in one place, and others follow it."""

import re

import pytest

from deploy.local.cache import REPOSITORY
from generators.version import PLACES, stale, version, written


def test_every_place_names_the_version_of_pyproject() -> None:
    assert set(stale()) == set(), "run `make manifests` and commit what it writes"


@pytest.mark.parametrize("name", PLACES)
def test_every_place_is_found(name: str) -> None:
    found = re.findall(PLACES[name], (REPOSITORY / name).read_text(), flags=re.MULTILINE)
    assert set(found) == {version()}


def test_only_the_version_is_written() -> None:
    text = "name: x\nversion: 1\nappVersion: 1.2-rc.1\nkubeVersion: 1\n"
    assert (
        written(text, PLACES["deploy/chart/Chart.yaml"], "2") == "name: x\nversion: 2\nappVersion: 2\nkubeVersion: 1\n"
    )
