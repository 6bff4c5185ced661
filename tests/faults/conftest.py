"""Fixtures of the fault tests: a cluster of their own, in which nothing runs but what they start and disturb."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import Stack, install
from tests.faults import behind_proxy
from tests.faults.behind_proxy import BehindProxy
from tests.faults.stage import Stage
from tests.support.user import User


@pytest.fixture(scope="module")
def control_plane(folder: Path, request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A control plane apart: an operator that other tests started must not heal what is disturbed here."""
    with ControlPlane(folder / "faults" / _module(request) / "cluster") as started:
        install(started.cluster)
        yield started


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Cluster:
    """What kubectl works with."""
    return control_plane.cluster


@pytest.fixture(scope="module")
def stack(cluster: Cluster, folder: Path) -> Stack:
    """How our processes are started."""
    return Stack(cluster, folder / "logs", free_ports(1)[0])


@pytest.fixture
def operator() -> None:
    """Hides the one that nobody disturbs."""
    pytest.fail("Fault tests disturb processes of their own: ask for disturbed_operator.")


@pytest.fixture
def callback_server() -> None:
    """Hides the one that nobody disturbs."""
    pytest.fail("Fault tests disturb processes of their own: ask for disturbed_callback_server.")


@pytest.fixture(scope="module")
def disturbed_operator(
    control_plane: ControlPlane, stack: Stack, request: pytest.FixtureRequest
) -> Iterator[BehindProxy]:
    """The operator of a module of tests, for all namespaces."""
    with behind_proxy.operator(control_plane, stack, f"operator-{_module(request)}") as started:
        yield started


@pytest.fixture(scope="module")
def disturbed_callback_server(
    control_plane: ControlPlane, stack: Stack, request: pytest.FixtureRequest
) -> Iterator[BehindProxy]:
    """The callback server of a module of tests."""
    with behind_proxy.callback_server(control_plane, stack, f"callback-server-{_module(request)}") as started:
        yield started


@pytest.fixture
def stage(
    control_plane: ControlPlane,
    provider: Provider,
    stack: Stack,
    namespace: str,
    folder: Path,
    disturbed_operator: BehindProxy,
    disturbed_callback_server: BehindProxy,
    request: pytest.FixtureRequest,
) -> Stage:
    """Where a test plays its scenarios: a namespace, somebody in it, and both processes calm."""
    user = User(control_plane.cluster, namespace, provider, stack.external_url)
    log = folder / "logs" / f"faults-{_module(request)}-{_in_a_file_name(request.node.name)}.log"
    return Stage(control_plane, user, disturbed_operator, disturbed_callback_server, log)


def _in_a_file_name(test: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", test.partition("[")[2].lower() or test.lower()).strip("-")


def _module(request: pytest.FixtureRequest) -> str:
    return str(request.module.__name__).rpartition(".")[2].removeprefix("test_").replace("_", "-")
