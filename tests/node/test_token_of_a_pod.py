"""kubelet writes a new token into a pod that runs: the process takes it up, though nobody tells it."""

import base64
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from deploy.local.node.nodes import Nodes
from deploy.local.node.product import DEPLOYMENTS
from deploy.local.processes import StackError
from tests.node.installed import inside, pods
from tests.support.user import eventually

pytestmark = pytest.mark.node

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_OF_A_TOKEN = "authentication.kubernetes.io/credential-id"
_OF_A_POD = "authentication.kubernetes.io/pod-name"


def token_in(cluster: Cluster, pod: str) -> str | None:
    """The ID (jti) of the token that a pod's file has now; None while kubelet carries no command there."""
    try:
        payload = inside(cluster, pod, "cat", TOKEN).split(".")[1]
    except StackError:
        return None
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"])


def tokens_used(audit_log: Path, since: int) -> Mapping[str, set[str]]:
    """The IDs of the tokens that each pod's requests were answered for; `since` is a size of the log, in bytes."""
    found: dict[str, set[str]] = defaultdict(set)
    with audit_log.open("rb") as log:
        log.seek(since)
        for line in log:
            event = json.loads(line) if line.endswith(b"\n") else {}
            extra = event.get("user", {}).get("extra", {})
            if event.get("responseStatus", {}).get("code", 500) < 400:
                for pod in extra.get(_OF_A_POD, []):
                    found[pod] |= {each.removeprefix("JTI=") for each in extra.get(_OF_A_TOKEN, [])}
    return found


def test_process_takes_up_the_token_that_kubelet_writes_into_its_pod(
    product: str, nodes: Nodes, cluster: Cluster
) -> None:
    """kubelet asks for tokens again when it is started again; by itself it would in eight minutes of ten, at the soonest."""
    names = [pod["metadata"]["name"] for each in DEPLOYMENTS for pod in pods(cluster, each)]
    before = {name: token_in(cluster, name) for name in names}
    assert None not in before.values()
    nodes.run("pkill", "-KILL", "-x", "kubelet")

    def written() -> dict[str, str | None]:
        now = {name: token_in(cluster, name) for name in names}
        return {name: token for name, token in now.items() if token not in {None, before[name]}}

    eventually("every pod has a new token", lambda: len(written()) == len(names), written, seconds=240)
    after, so_far = written(), nodes.audit_log.stat().st_size

    def still_without() -> list[str]:
        used = tokens_used(nodes.audit_log, so_far)
        return [name for name in names if after[name] not in used[name]]

    # A process reads the file each minute, and the callback server asks for something each half minute.
    eventually("every process uses its new token", lambda: not still_without(), still_without, seconds=240)
    assert [name for each in DEPLOYMENTS for name in (pod["metadata"]["name"] for pod in pods(cluster, each))] == names
