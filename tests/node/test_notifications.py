"""`kubectl datasource doctor --test-notification`: the message leaves the operator's own pod, by a real exec."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.image.build import NAME
from deploy.local.node.product import wait_until_available
from deploy.local.stack import OPERATOR
from tests.support.plugin import Plugin, administrator
from tests.support.user import eventually

pytestmark = pytest.mark.node

KEY = f"whsec_{base64.b64encode(b'k' * 32).decode()}"
PORT = 8080

REFUSES = "/tmp/refuses"  # noqa: S108 - in a pod of its own
"""While this file is there, it refuses."""

RECEIVER = (
    f"REFUSES = {REFUSES!r}"
    + """
import http.server, json, os
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(json.dumps({"headers": {name.lower(): value for name, value in self.headers.items()}, "body": body}), flush=True)
        self.send_response(401 if os.path.exists(REFUSES) else 204)
        self.end_headers()
http.server.ThreadingHTTPServer(("", 8080), Receiver).serve_forever()
"""
)


@pytest.fixture
def receiver(product: str, cluster: Cluster, namespace: str) -> str:
    """Somebody who takes notifications, in a pod with a Service; the URL."""
    container = {
        "name": "receiver",
        "image": NAME,
        "command": ["python", "-c", RECEIVER],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "receiver", "labels": {"app": "receiver"}},
        "spec": spec,
    }
    cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(pod))
    cluster.kubectl("expose", "pod", "receiver", "-n", namespace, "--port=80", f"--target-port={PORT}")
    cluster.kubectl("wait", "pod/receiver", "-n", namespace, "--for=condition=Ready", "--timeout=120s")
    return f"http://receiver.{namespace}.svc"


@pytest.fixture
def notified(receiver: str, cluster: Cluster) -> Iterator[None]:
    """The operator tells that receiver: a Secret is mounted, and two variables are set, as docs/notifications.md has it."""
    cluster.kubectl(
        "create", "secret", "generic", "datasource-notify", "-n", SYSTEM_NAMESPACE, f"--from-literal=key={KEY}"
    )
    spec = cluster.get("deployment", OPERATOR, "-n", SYSTEM_NAMESPACE)["spec"]["template"]["spec"]
    environ = [
        {"name": "DATASOURCE_NOTIFY_URL", "value": receiver},
        {"name": "DATASOURCE_NOTIFY_SECRET_FILE", "value": "/var/run/datasource-notify/key"},
    ]
    container = {
        "name": spec["containers"][0]["name"],
        "env": environ,
        "volumeMounts": [{"name": "notify-key", "mountPath": "/var/run/datasource-notify", "readOnly": True}],
    }
    volume = {"name": "notify-key", "secret": {"secretName": "datasource-notify"}}
    change = {"spec": {"template": {"spec": {"containers": [container], "volumes": [volume]}}}}
    cluster.kubectl("patch", "deployment", OPERATOR, "-n", SYSTEM_NAMESPACE, "--patch", json.dumps(change))
    try:
        wait_until_available(cluster)
        yield
    finally:
        cluster.kubectl("rollout", "undo", f"deployment/{OPERATOR}", "-n", SYSTEM_NAMESPACE)
        cluster.kubectl("delete", "secret", "datasource-notify", "-n", SYSTEM_NAMESPACE)
        wait_until_available(cluster)


def on_duty(cluster: Cluster, namespace: str, *resources: str) -> Plugin:
    """Somebody who may look at the installation, and create these in its namespace."""
    name, account = "duty", f"{namespace}:duty"
    cluster.kubectl("create", "serviceaccount", name, "-n", namespace)
    roles = {"sees": ("get,list", "deployments,pods"), "creates": ("create", ",".join(resources))}
    for role, (verbs, what) in roles.items():
        if what:
            there = ("-n", SYSTEM_NAMESPACE)
            cluster.kubectl("create", "role", f"{namespace}-{role}", *there, f"--verb={verbs}", f"--resource={what}")
            binding = (f"--role={namespace}-{role}", f"--serviceaccount={account}")
            cluster.kubectl("create", "rolebinding", f"{namespace}-{role}", *there, *binding)
    return Plugin(cluster.kubeconfig_for(namespace, name), namespace)


def check(plugin: Plugin) -> dict[str, Any]:
    """What doctor says of notifications once it sent a test message."""
    done = plugin.run("doctor", "--test-notification", "-o", "json", scoped=False)
    assert done.stdout, done.stderr
    (found,) = [each for each in json.loads(done.stdout)["checks"] if each["name"] == "Notifications"]
    return dict(found)


def last_received(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """The last test message that reached the receiver, with a signature that a library of others takes."""
    said = cluster.kubectl("logs", "receiver", "-n", namespace).stdout.splitlines()
    whole = [json.loads(line) for line in said if line.startswith("{")]
    last = [each for each in whole if json.loads(each["body"])["type"] == "dev.datasource.test"][-1]
    return dict(Webhook(KEY).verify(last["body"], last["headers"]))


def test_without_a_receiver_the_pod_says_so(product: str, cluster: Cluster, namespace: str) -> None:
    told = check(administrator(cluster, namespace))
    assert (told["verdict"], "DATASOURCE_NOTIFY_URL is not set" in told["detail"]) == ("failed", True), told


def test_message_leaves_the_operators_pod_and_arrives_signed(notified: None, cluster: Cluster, namespace: str) -> None:
    person = on_duty(cluster, namespace, "pods/exec")
    eventually(
        "their rights are in force, and the Service leads on",
        lambda: check(person)["verdict"] == "ok",
        lambda: check(person),
    )
    told, event = check(person), last_received(cluster, namespace)
    assert told["detail"] == f"receiver.{namespace}.svc accepted the test message {event['id']}"
    assert event["data"]["datasources"] == []

    cluster.kubectl("exec", "receiver", "-n", namespace, "--", "touch", REFUSES)
    refused = check(person)
    assert (refused["verdict"], "the receiver answered 401" in refused["detail"]) == ("failed", True), refused
    assert refused["remedy"]

    cluster.kubectl("delete", "pod", "receiver", "-n", namespace)
    gone = check(person)
    assert (gone["verdict"], "cannot be reached" in gone["detail"]) == ("failed", True), gone


def test_whoever_may_not_run_a_command_there_is_told_what_it_takes(
    product: str, cluster: Cluster, namespace: str
) -> None:
    told = check(on_duty(cluster, namespace))
    assert told["verdict"] == "unknown", told
    assert "forbidden" in told["detail"]
    assert "pods/exec" in told["remedy"]
