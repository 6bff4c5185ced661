"""Fixtures of the tests with other people's operators: a control plane that has nothing of ours at first, and Flux on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import Stack
from tests.support.flux import KUSTOMIZATIONS, NAMESPACE, Flux, condition
from tests.support.flux_platform import RELEASE, Begun, Charts, Platform, Team
from tests.support.git_site import GitSite
from tests.support.go_programs import EXTERNAL_SECRETS_CRDS, crds
from tests.support.objects import install_crds
from tests.support.user import eventually
from tests.upgrade.stored import version_of_this_checkout


@pytest.fixture(scope="module")
def bare_plane(folder: Path, request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """A control plane for the tests of a file."""
    with ControlPlane(folder / Path(request.node.name).stem) as started:
        yield started


@pytest.fixture(scope="module")
def bare(bare_plane: ControlPlane) -> Cluster:
    """What kubectl works with."""
    return bare_plane.cluster


@pytest.fixture(scope="module")
def begun(
    bare_plane: ControlPlane, bare: Cluster, folder: Path, provider: Provider, request: pytest.FixtureRequest
) -> Iterator[Begun]:
    """Everything of the examples, from an empty cluster on; the first team is there before the operator."""
    here = folder / f"{Path(request.node.name).stem}-flux"
    install_crds(bare, crds(*EXTERNAL_SECRETS_CRDS))
    with GitSite(here / "git") as git, Charts(here / "charts") as charts, Flux(bare, here / "controllers") as flux:
        charts.push(version_of_this_checkout())
        stack = Stack(bare, here / "logs", free_ports(1)[0])
        platform = Platform(bare, bare_plane.audit_log, flux, git, charts, stack, provider)
        platform.describe()
        platform.team("team-a")
        eventually("the chart is applied", lambda: len(platform.deployments()) == 2, seconds=180)
        first_team = flux.wait(
            "it waits", KUSTOMIZATIONS, "team-a", lambda seen: condition(seen).get("reason") == "DependencyNotReady"
        )
        operator = flux.api.get(KUSTOMIZATIONS, RELEASE, NAMESPACE)
        processes = [stack.operator(), stack.callback_server()]
        try:
            for process in processes:
                process.start()
            platform.wait_for_the_release()
            yield Begun(platform, operator, first_team)
        finally:
            for process in reversed(processes):
                process.stop()


@pytest.fixture(scope="module")
def platform(begun: Begun) -> Platform:
    """The platform with its operator at work."""
    begun.platform.flux.wait_until_ready(KUSTOMIZATIONS, RELEASE)
    return begun.platform


@pytest.fixture
def team(platform: Platform, request: pytest.FixtureRequest) -> Iterator[Team]:
    """A team of the test's own, as the examples have it, whose Datasource waits for consent."""
    made = platform.team(f"team-{request.node.name.removeprefix('test_').replace('_', '-')}"[:40].strip("-"))
    made.store_client_secret()
    made.wait_until_ready()
    yield made
    made.leave()
