"""A Receiver of Flux's notification-controller, and what the operator sends: what docs/notifications.md says of the two."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from tests.support.api import Manifest
from tests.support.flux import GIT_REPOSITORIES, RECEIVERS, Flux
from tests.support.go_programs import NOTIFICATION_CONTROLLER
from tests.support.relay import KEY, relay, send

pytestmark = pytest.mark.cluster

_numbers = count(1)


@pytest.fixture(scope="module")
def flux(bare: Cluster, folder: Path) -> Iterator[Flux]:
    """The controller that has Receivers."""
    with Flux(bare, folder / "notification-controller", (NOTIFICATION_CONTROLLER,)) as started:
        yield started


@dataclass(frozen=True)
class Receiver:
    """One of some type, that starts a reconciliation of one object."""

    flux: Flux
    namespace: str
    url: str

    def was_asked(self) -> bool:
        """Whether it started the reconciliation."""
        found = self.flux.api.get(GIT_REPOSITORIES, "calendar", self.namespace)
        return "reconcile.fluxcd.io/requestedAt" in found["metadata"].get("annotations", {})


@pytest.fixture
def receiver(flux: Flux, request: pytest.FixtureRequest) -> Iterator[Receiver]:
    """Of the type that the test names."""
    namespace = f"receiver-{next(_numbers)}"
    flux.cluster.kubectl("create", "namespace", namespace)
    flux.cluster.kubectl("create", "secret", "generic", "token", f"--from-literal=token={KEY}", "-n", namespace)
    repository = {"url": "https://git.example.com/team/calendar", "interval": "5m"}
    resources = [{"kind": GIT_REPOSITORIES.kind, "name": "calendar"}]
    wanted = {"type": request.param, "secretRef": {"name": "token"}, "resources": resources}
    for resource, spec in ((GIT_REPOSITORIES, repository), (RECEIVERS, wanted)):
        metadata = {"name": "calendar", "namespace": namespace}
        flux.apply({"apiVersion": resource.group_version, "kind": resource.kind, "metadata": metadata, "spec": spec})
    ready = flux.wait_until_ready(RECEIVERS, "calendar", namespace)
    yield Receiver(flux, namespace, f"{flux.receivers}{ready['status']['webhookPath']}")
    flux.cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def of_type(kind: str) -> pytest.MarkDecorator:
    """Which Receiver a test is about."""
    return pytest.mark.parametrize("receiver", [kind], indirect=True)


def trial(url: str, tmp_path: Path) -> Manifest:
    """What `doctor --test-notification` runs in the operator's pod, and what that says."""
    key = tmp_path / "key"
    key.write_text(KEY)
    environ = {
        "PATH": os.environ["PATH"],
        "DATASOURCE_EXTERNAL_URL": "https://connect.example.com",
        "DATASOURCE_NOTIFY_URL": url,
        "DATASOURCE_NOTIFY_SECRET_FILE": str(key),
    }
    command = [sys.executable, "-m", "datasource_operator.trial_notification"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)  # noqa: S603
    said: Manifest = json.loads(done.stdout)
    return said


@of_type("generic")
def test_generic_one_takes_what_the_operator_sends(receiver: Receiver, tmp_path: Path) -> None:
    said = trial(receiver.url, tmp_path)

    assert said["delivered"], said
    assert receiver.was_asked()


@of_type("generic")
def test_generic_one_takes_what_anybody_sends_who_knows_its_path(receiver: Receiver) -> None:
    assert send(f"{receiver.flux.receivers}/hook/{'0' * 64}", b"", {}) == 404
    assert not receiver.was_asked()

    assert send(receiver.url, b"", {}) == 200

    assert receiver.was_asked()


@of_type("generic-hmac")
def test_one_that_verifies_knows_no_standard_webhooks(receiver: Receiver, tmp_path: Path) -> None:
    said = trial(receiver.url, tmp_path)

    assert not said["delivered"]
    assert "400" in said["why"]
    assert not receiver.was_asked()


@of_type("generic")
def test_relay_before_it_lets_the_operator_through_and_nobody_else(receiver: Receiver, tmp_path: Path) -> None:
    with relay(receiver.url) as url:
        assert send(url, b"{}", {}) == 401
        assert not receiver.was_asked()

        said = trial(url, tmp_path)

    assert said["delivered"], said
    assert receiver.was_asked()
