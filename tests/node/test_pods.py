"""Both processes in pods of a real node: what a container may do, what happens when it ends, and what apps see of it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.image.build import NAME
from deploy.local.node import cgroups
from deploy.local.node.nodes import Nodes
from deploy.local.node.product import DEPLOYMENTS, Manifest, wait_until_available
from deploy.local.provider import Provider
from tests.node.conftest import reached_from_pods
from tests.node.installed import container_of, inside, pods
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.node

PROBE = """
import json, os, pathlib
def refusal(path):
    try:
        pathlib.Path(path, "probe").touch()
    except OSError as error:
        return os.strerror(error.errno)
status = dict(line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
capabilities = {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
print(json.dumps({
    "refusals": {path: refusal(path) for path in ("/", "/tmp", "/run", "/opt/venv", "/var/run/secrets")},
    "uid": sorted(set(status["Uid"].split())), "gid": sorted(set(status["Gid"].split())),
    "groups": status["Groups"].split(), "capabilities": capabilities == {"0" * 16},
    "no_new_privileges": status["NoNewPrivs"], "seccomp": status["Seccomp"],
}))
"""

READER = """
import os, time
last = None
while True:
    now = open("/credential/access_token").read()
    if now != last:
        print(f"{time.time():.3f} {now}", flush=True)
        last = now
    time.sleep(0.05)
"""


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_container_has_no_rights_and_writes_nowhere(product: str, cluster: Cluster, deployment: str) -> None:
    pod = pods(cluster, deployment)[0]["metadata"]["name"]
    found = json.loads(inside(cluster, pod, "python", "-c", PROBE))
    assert set(found["refusals"].values()) == {"Read-only file system"}
    # Under `docker run` USER tells the group, under kubelet /etc/passwd does.
    assert (found["uid"], found["gid"]) == (["65532"], ["65532"])
    assert set(found["groups"]) <= {"65532"}
    assert found["capabilities"]
    # 2: a filter, the runtime's own.
    assert (found["no_new_privileges"], found["seccomp"]) == ("1", "2")


def test_replicas_are_on_two_nodes_that_have_no_zone(product: str, cluster: Cluster) -> None:
    for each in DEPLOYMENTS:
        cluster.kubectl("rollout", "restart", f"deployment/{each}", "-n", SYSTEM_NAMESPACE)
    wait_until_available(cluster)

    def places() -> list[list[str]]:
        return [sorted(pod["spec"]["nodeName"] for pod in pods(cluster, each)) for each in DEPLOYMENTS]

    assert places() == [["node-1", "node-2"]] * 2


def test_pod_says_why_it_ended_where_a_setting_is_missing(product: str, cluster: Cluster, namespace: str) -> None:
    manifest = cluster.get("deployment", "datasource-callback-server", "-n", SYSTEM_NAMESPACE)
    spec = manifest["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "without-a-url", "namespace": SYSTEM_NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": spec["securityContext"],
            "containers": [
                {
                    **{
                        key: container[key]
                        for key in ("image", "command", "securityContext", "terminationMessagePolicy")
                    },
                    "name": "callback-server",
                    "env": [{"name": "DATASOURCE_EXTERNAL_URL", "value": ""}],
                }
            ],
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    try:
        options = (
            "pod/without-a-url",
            "-n",
            SYSTEM_NAMESPACE,
            "--for=jsonpath={.status.phase}=Failed",
            "--timeout=120s",
        )
        cluster.kubectl("wait", *options)
        ended = container_of(cluster.get("pod", "without-a-url", "-n", SYSTEM_NAMESPACE))["state"]["terminated"]
        assert "DATASOURCE_EXTERNAL_URL" in ended["message"]
    finally:
        cluster.kubectl("delete", "pod", "without-a-url", "-n", SYSTEM_NAMESPACE)


def app(name: str, secret: str) -> dict[str, Any]:
    """An app that prints its token whenever that is another one."""
    container = {
        "name": "reader",
        "image": NAME,
        "command": ["python", "-c", READER],
        "volumeMounts": [{"name": "credential", "mountPath": "/credential", "readOnly": True}],
    }
    volume = {"name": "credential", "secret": {"secretName": secret}}
    spec = {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_app_waits_for_its_first_token_and_sees_the_next(user: User, provider: Provider) -> None:
    link = user.ready_to_authorize(**reached_from_pods(provider))
    secret = str(user.status()["tokenSecretName"])
    user.apply(app("reader", secret))
    eventually(
        "the app waits for its Secret",
        lambda: "FailedMount" in user.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}"),
    )
    with Person() as person:
        person.authorize(link)
    user.wait_for_reason("Authorized")
    written = time.time()
    # kubelet tries again after ever longer pauses, two minutes at most.
    user.kubectl("wait", "pod/reader", "--for=condition=Ready", "--timeout=240s")
    first = _seen(user, 1)
    print(f"\n  the app had its first token {first[0] - written:.1f} s after it was written")

    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")
    refreshed = time.time()
    second = _seen(user, 2)
    print(f"  kubelet swapped the mounted token {second[0] - refreshed:.1f} s after the refresh")
    assert second[1] == user.decoded(secret, "access_token")
    assert second[1] != first[1]


def _seen(user: User, count: int) -> tuple[float, str]:
    """When the app saw its token the n-th time change, and to what; kubelet may take more than a minute."""
    deadline = time.monotonic() + 240
    while True:
        lines = user.kubectl("logs", "reader").splitlines()
        if len(lines) >= count:
            at, _, token = lines[count - 1].partition(" ")
            return float(at), token
        assert time.monotonic() < deadline, f"the app saw its token change {len(lines)} times"
        time.sleep(0.5)


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_container_that_is_killed_is_started_again_in_its_pod(
    product: str, nodes: Nodes, cluster: Cluster, deployment: str
) -> None:
    pod = pods(cluster, deployment)[0]
    before = container_of(pod)["restartCount"]
    nodes.run("kill", "-KILL", str(process_of(nodes, pod)))
    again = restarted(cluster, deployment, pod["metadata"]["name"], before)
    assert again["lastState"]["terminated"]["exitCode"] == 137
    wait_until_available(cluster)


def test_memory_beyond_the_limit_ends_what_takes_it_and_the_server_goes_on(product: str, cluster: Cluster) -> None:
    """The limit holds for all processes of the container together. The largest is ended; with cgroups of version 2 all are."""
    pod = pods(cluster, "datasource-callback-server")[0]
    name, before = pod["metadata"]["name"], container_of(pod)
    hoard = "hoard = []\nwhile True: hoard.append(b'x' * 1_000_000)"
    done = cluster.kubectl("exec", "-n", SYSTEM_NAMESPACE, name, "--", "python", "-c", hoard, check=False)
    assert done.returncode == 137, done.stderr
    if cgroups.hierarchies(Path("/proc/self/mounts").read_text(), {"cgroup"}):
        after = container_of(cluster.get("pod", name, "-n", SYSTEM_NAMESPACE))
        assert (after["containerID"], after["ready"]) == (before["containerID"], True)
    else:
        again = restarted(cluster, "datasource-callback-server", name, before["restartCount"])
        assert again["lastState"]["terminated"]["reason"] == "OOMKilled"
        wait_until_available(cluster)


def test_process_that_needs_more_than_its_limit_is_said_to_have_been_out_of_memory(
    product: str, cluster: Cluster, namespace: str
) -> None:
    pod = app("small", "unused")
    (container,) = pod["spec"]["containers"]
    pod["spec"] |= {"restartPolicy": "Never", "volumes": []}
    container |= {"command": ["python", "-m", "datasource_operator"], "volumeMounts": []}
    container["resources"] = {"limits": {"memory": "16Mi"}}
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(pod))
    options = ("pod/small", "-n", namespace, "--for=jsonpath={.status.phase}=Failed", "--timeout=120s")
    cluster.kubectl("wait", *options)
    ended = container_of(cluster.get("pod", "small", "-n", namespace))["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def process_of(nodes: Nodes, pod: Manifest) -> int:
    """The process of a pod's container, as the namespaces of the nodes number it."""
    container = str(container_of(pod)["containerID"]).removeprefix("containerd://")
    # The cgroup of a process ends with its container.
    found = nodes.run("sh", "-c", f"grep -l {container} /proc/[0-9]*/cgroup 2>/dev/null || true").stdout.split()
    numbers = sorted(int(path.split("/")[2]) for path in found)
    assert numbers, f"no process has container {container} in its cgroup"
    return numbers[0]


def restarted(cluster: Cluster, deployment: str, name: str, before: int) -> Manifest:
    """The container's status once it was started again."""
    deadline = time.monotonic() + 120
    while True:
        status = container_of(cluster.get("pod", name, "-n", SYSTEM_NAMESPACE))
        if status["restartCount"] > before and status["ready"]:
            return status
        assert time.monotonic() < deadline, f"{deployment}: {json.dumps(status)}"
        time.sleep(0.5)
