"""The product in pods: install.yaml with the settings that a cluster on one machine needs."""

import time
from collections.abc import Mapping
from typing import Any

import httpx
import yaml

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.node.layout import PLANE
from deploy.local.processes import StackError
from deploy.local.stack import CALLBACK_SERVER, OPERATOR

INSTALL_YAML = REPOSITORY / "deploy" / "install.yaml"
DEPLOYMENTS = (OPERATOR, CALLBACK_SERVER)

Manifest = dict[str, Any]


def settings(external_url: str, *hosts: str) -> dict[str, str]:
    """What both processes are told: the provider is on the nodes' own network, without TLS; `hosts` are other names of it."""
    return {
        "DATASOURCE_EXTERNAL_URL": external_url,
        "DATASOURCE_ALLOW_INSECURE_HTTP": "true",
        "DATASOURCE_EGRESS_ALLOW": ",".join([PLANE, *hosts]),
    }


def with_settings(manifests: str, variables: Mapping[str, str]) -> list[Manifest]:
    """Manifests whose ConfigMap has these variables."""
    found = [each for each in yaml.safe_load_all(manifests) if each]
    for each in found:
        if each["kind"] == "ConfigMap" and "DATASOURCE_EXTERNAL_URL" in each.get("data", {}):
            each["data"].update(variables)
    return found


def apply(cluster: Cluster, manifests: list[Manifest]) -> str:
    """kubectl apply; its warnings."""
    return cluster.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(manifests)).stderr


def apply_install_yaml(cluster: Cluster, external_url: str, *hosts: str) -> str:
    """kubectl apply of the one file; its warnings."""
    return apply(cluster, with_settings(INSTALL_YAML.read_text(), settings(external_url, *hosts)))


def wait_until_available(cluster: Cluster) -> None:
    """Wait until every replica of both Deployments is.

    Raises:
        StackError: with what the pods say.
    """
    for name in DEPLOYMENTS:
        rollout = ("rollout", "status", f"deployment/{name}", "-n", SYSTEM_NAMESPACE, "--timeout=240s")
        done = cluster.kubectl(*rollout, check=False)
        if done.returncode != 0:
            told = cluster.kubectl("describe", "pods", "-n", SYSTEM_NAMESPACE).stdout
            raise StackError(f"{name} is not available: {done.stderr}\n{told}")


def wait_until_answered(url: str, *, seconds: float = 60.0) -> None:
    """Wait until a page is answered there: kube-proxy may be a moment behind pods that are available.

    Raises:
        StackError: nothing answered in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            httpx.get(f"{url}/done", timeout=5)
        except httpx.TransportError as error:
            if time.monotonic() > deadline:
                raise StackError(f"{url} does not answer after {seconds:.0f} s: {error}") from error
            time.sleep(0.1)
        else:
            return


def address_of_pages(cluster: Cluster) -> str:
    """The address of the Service that browsers are led to."""
    service = cluster.get("service", CALLBACK_SERVER, "-n", SYSTEM_NAMESPACE)
    return str(service["spec"]["clusterIP"])
