"""The installed wheel as a pod runs it: the image's environment, an unprivileged user, a file system that nothing can write."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import pod as images
from deploy.local.cluster import Cluster
from deploy.local.pod import Image, account_folder
from deploy.local.processes import Child, free_ports
from deploy.local.provider import Provider
from deploy.local.stack import CALLBACK_SERVER, OPERATOR, SYSTEM_NAMESPACE, Process
from generators.manifests import INSTALL_YAML
from tests.support.person import Person
from tests.support.user import User

pytestmark = pytest.mark.cluster

PROBE = """
import json, os, pathlib, sys
def refusal(path):
    try:
        pathlib.Path(path, "probe").touch()
    except OSError as error:
        return os.strerror(error.errno)
status = dict(line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps({
    "refusals": {path: refusal(path) for path in sys.argv[1:]},
    "uid": status["Uid"].split(), "gid": status["Gid"].split(), "groups": status["Groups"].split(),
    "capabilities": {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16},
    "no_new_privileges": status["NoNewPrivs"],
    "modules": [str(pathlib.Path(__import__(name).__file__).parent) for name in ("datasource", "callback_server")],
}))
"""


@pytest.fixture(scope="module")
def image() -> Image:
    """The image of this checkout."""
    why = images.obstacle()
    if why is not None:
        pytest.skip(f"no command can be run as in a pod here: {why}")
    return images.image()


def containers() -> dict[str, dict[str, Any]]:
    """The containers of install.yaml, with their environment: what the ConfigMap and the Deployment say."""
    manifests = list(yaml.safe_load_all(INSTALL_YAML.read_text()))
    (config,) = (
        each["data"]
        for each in manifests
        if each["kind"] == "ConfigMap" and each["metadata"]["name"].startswith("datasource-config")
    )
    found = {}
    for deployment in (each for each in manifests if each["kind"] == "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        # What the downward API would fill in.
        own = {each["name"]: each.get("value", "a-pod") for each in container["env"]}
        found[deployment["metadata"]["name"]] = {"command": container["command"], "env": config | own}
    return found


def pod(image: Image, cluster: Cluster, folder: Path, name: str, **changed: str) -> Process:
    """A container of install.yaml under its ServiceAccount; loopback stands for the pod's network."""
    (health_port,) = free_ports(1)
    account, api_server = account_folder(cluster, SYSTEM_NAMESPACE, name)
    container = containers()[name]
    env = {**image.env, **container["env"], **api_server, "DATASOURCE_HEALTH_LISTEN": f"127.0.0.1:{health_port}"}
    command = image.command_in_a_pod(container["command"], account)
    return Process(Child(name, command, folder / "logs" / f"image-{name}.log", env=env | changed), health_port)


@pytest.fixture
def pages_port(image: Image, cluster: Cluster, folder: Path, operator: Process) -> Iterator[int]:
    """Where the callback server listens, while both processes run as in their pods, and no other operator leads."""
    operator.stop()
    (port,) = free_ports(1)
    changed = {
        "DATASOURCE_EXTERNAL_URL": f"http://localhost:{port}",
        "DATASOURCE_LISTEN": f"127.0.0.1:{port}",
        "DATASOURCE_EGRESS_ALLOW": "127.0.0.1",
    }
    running = [pod(image, cluster, folder, name, **changed) for name in (OPERATOR, CALLBACK_SERVER)]
    try:
        for process in running:
            process.start()
        yield port
    finally:
        for process in running:
            process.stop()
        operator.start()


def test_nothing_can_be_written_and_the_user_has_no_rights(image: Image, cluster: Cluster) -> None:
    account, _ = account_folder(cluster, SYSTEM_NAMESPACE, OPERATOR)
    places = ["/", "/tmp", "/dev/shm", "/run", "/opt/venv", "/var/run/secrets/kubernetes.io/serviceaccount"]  # noqa: S108
    command = image.command_in_a_pod(["python", "-c", PROBE, *places], account)
    done = subprocess.run(command, env=dict(image.env), capture_output=True, text=True, check=True)  # noqa: S603 - ours

    found = json.loads(done.stdout)
    assert found["refusals"] == dict.fromkeys(places, "Read-only file system")
    assert (set(found["uid"]), set(found["gid"]), found["groups"]) == ({"65532"}, {"65532"}, [])
    assert found["capabilities"]
    assert found["no_new_privileges"] == "1"
    assert all(each.startswith("/opt/venv/lib/") for each in found["modules"])


def test_whole_authorization_on_a_read_only_file_system(
    pages_port: int, cluster: Cluster, namespace: str, provider: Provider
) -> None:
    user = User(cluster, namespace, provider, f"http://localhost:{pages_port}")
    with Person() as person:
        person.authorize(user.ready_to_authorize())
    user.wait_for_reason("Authorized")
    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")


def test_containerfile_names_the_user_and_the_processes_of_the_manifests(image: Image) -> None:
    lines = images.CONTAINERFILE.read_text().splitlines()
    assert f"USER {images.USER}:{images.USER}" in lines
    assert f"CMD {json.dumps(containers()[OPERATOR]['command'])}" in lines
    assert image.env["PATH"].startswith("/opt/venv/bin:")
