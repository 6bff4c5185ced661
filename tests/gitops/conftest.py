"""Fixtures of the tests with other people's operators: a control plane that has nothing of ours at first."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane


@pytest.fixture(scope="module")
def bare_plane(folder: Path, request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A control plane for the tests of a file."""
    with ControlPlane(folder / Path(request.node.name).stem) as started:
        yield started


@pytest.fixture(scope="module")
def bare(bare_plane: ControlPlane) -> Cluster:
    """What kubectl works with."""
    return bare_plane.cluster
