"""Fixtures of the tests on a real API server: one control plane, one provider, our two processes under their own rights."""

import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.cache import BUILD
from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.provider import install as install_provider
from deploy.local.stack import Process, Stack, install
from tests.support.api import DATASOURCES, ROLE_BINDINGS, ROLES, SECRETS, api_of
from tests.support.user import User

RUNS = BUILD / "tests"
"""One folder for each process that ran tests; `make test` empties it first."""

FOLDER = RUNS / (os.environ.get("TESTS_FOLDER") or os.environ.get("PYTEST_XDIST_WORKER", "alone"))
"""`make test` runs pytest more than once; TESTS_FOLDER keeps apart what each run leaves."""

ARTEFACTS = RUNS / "screenshots"
ISSUED = "issued.json"
"""Beside the logs of a run: every secret that its provider issued."""


LONGEST_FIRST = (
    "faults/test_crash_after_write.py",
    "e2e/test_every_page.py",
    "cluster/test_refresh.py",
    "faults/test_watches_that_end.py",
    "release/test_release.py",
    "docs/test_commands.py",
    "cluster/test_lease.py",
    "cluster/test_upgrade.py",
    "cluster/test_large_objects.py",
    "faults/test_unobserved.py",
    "cluster/test_backup.py",
    "cluster/test_plugin.py",
    "e2e/test_sign_in_browser.py",
    "e2e/test_planted_cookie.py",
    "cluster/test_install.py",
)
"""Files of over 100 s each. One that begins last would keep a single worker busy while the others have nothing left to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files go first. Tests that look back at all the others go last; `make test` has them in a run of their own."""
    rank = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: (item.get_closest_marker("last") is not None, rank.get(item.path, len(rank))))


@pytest.fixture(scope="session")
def folder() -> Path:
    """Where logs of this process go."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    return FOLDER


@pytest.fixture(scope="session")
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """A real control plane with deploy/ installed."""
    with ControlPlane(folder / "cluster") as started:
        install(started.cluster)
        yield started


@pytest.fixture(scope="session")
def cluster(control_plane: ControlPlane) -> Cluster:
    """What kubectl works with."""
    return control_plane.cluster


@pytest.fixture(scope="session")
def provider(folder: Path) -> Iterator[Provider]:
    """The real identity provider."""
    install_provider()
    with Provider(folder / "provider") as started:
        yield started
        keep_issued(started, folder)


def keep_issued(provider: Provider, folder: Path) -> None:
    """For whoever looks for them in the logs once everything has ended."""
    path = folder / ISSUED
    path.touch(mode=0o600)
    path.write_text(json.dumps(sorted(provider.secrets().all())))


@pytest.fixture(scope="session")
def stack(cluster: Cluster, folder: Path) -> Stack:
    """How our processes are started."""
    return Stack(cluster, folder / "logs", free_ports(1)[0])


@pytest.fixture(scope="session")
def operator(stack: Stack) -> Iterator[Process]:
    """The running operator. Whoever stops it starts it again."""
    process = stack.operator()
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def callback_server(stack: Stack) -> Iterator[Process]:
    """The running callback server. Whoever stops it starts it again."""
    process = stack.callback_server()
    process.start()
    yield process
    process.stop()


_numbers = itertools.count(1)


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    readable = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    name = f"{readable}-{next(_numbers)}"
    api = api_of(cluster.kubeconfig)
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    # To delete the namespace would be a hundred requests of the namespace controller, for each of a thousand tests.
    for resource in (DATASOURCES, SECRETS, ROLE_BINDINGS, ROLES):
        api.delete_all(resource, name)


@pytest.fixture
def user(
    cluster: Cluster, namespace: str, stack: Stack, provider: Provider, operator: Process, callback_server: Process
) -> User:
    """Somebody who works with kubectl in a namespace of their own, while everything runs."""
    return User(cluster, namespace, provider, stack.external_url)
