"""The version of the cluster is looked at when the operator starts."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from deploy.local.cluster import Cluster
from deploy.local.processes import free_ports
from deploy.local.stack import Process
from tests.unit.datasource.api_server import ApiServer, json_reply

pytestmark = pytest.mark.cluster


def test_operator_tells_which_kubernetes_it_found(cluster: Cluster, operator: Process) -> None:
    lines = [json.loads(line) for line in operator.child.log.read_text().splitlines() if line.startswith("{")]
    told = {line["kubernetes"] for line in lines if line["event"] == "cluster"}

    assert told == {json.loads(cluster.kubectl("get", "--raw", "/version").stdout)["gitVersion"]}


async def test_operator_ends_on_an_older_cluster_and_says_why() -> None:
    """The one thing here that cannot be had for real: an API server of years ago."""
    (port,) = free_ports(1)
    async with ApiServer(json_reply({"major": "1", "minor": "30", "gitVersion": "v1.30.14"})) as server:
        environ = {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(server.kubeconfig),
            "DATASOURCE_EXTERNAL_URL": "http://localhost:8080",
            "DATASOURCE_HEALTH_LISTEN": f"127.0.0.1:{port}",
        }
        command = [sys.executable, "-m", "datasource_operator"]
        ended = await asyncio.to_thread(
            subprocess.run, command, env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "datasource-operator: the cluster runs Kubernetes v1.30.14, and 1.31 or newer is needed"
    )
    assert {request.path for request in server.requests} == {"/version"}
