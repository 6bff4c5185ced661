"""The product in pods: each way of installing it, as docs/admin.md has it, with the settings that the tests need."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.node.layout import PLANE
from deploy.local.node.product import Manifest, apply, apply_install_yaml, settings, with_settings
from deploy.local.stack import rendered
from generators.manifests import CHART
from tests.support.helm import helm, in_order

SERVED = ("team-a", "team-b", "datasource-apps")
"""The namespaces that the overlays name."""

RELEASE = "datasource"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


def apply_overlay(name: str) -> Callable[[Cluster, str], str]:
    """kubectl apply of an overlay; returns its warnings."""

    def apply_it(cluster: Cluster, external_url: str) -> str:
        manifests = rendered(REPOSITORY / "deploy" / "overlays" / name)
        return apply(cluster, with_settings(manifests, settings(external_url)))

    return apply_it


def install_chart(cluster: Cluster, external_url: str) -> str:
    """helm install --wait."""
    values = {
        "externalURL": external_url,
        "settings": {"allowInsecureHTTP": True, "egress": {"allow": [PLANE]}},
        "networkPolicy": {"enabled": True},
    }
    options = ("--namespace", SYSTEM_NAMESPACE, "--wait", "--timeout=5m")
    in_order(helm("install", RELEASE, str(CHART), *options, values=values, kubeconfig=cluster.kubeconfig))
    return ""


WAYS: Mapping[str, Callable[[Cluster, str], str]] = {
    "chart": install_chart,
    "cluster-wide": apply_overlay("cluster-wide"),
    "namespaces": apply_overlay("namespaces"),
    "one-namespace": apply_overlay("one-namespace"),
    "install.yaml": apply_install_yaml,
}


def prepare(cluster: Cluster) -> None:
    """The namespaces that are there before; that of the two processes refuses what is not restricted."""
    for namespace in (SYSTEM_NAMESPACE, *SERVED):
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(manifest))
    cluster.kubectl("label", "--overwrite", "namespace", SYSTEM_NAMESPACE, RESTRICTED)


def uninstall(cluster: Cluster) -> None:
    """Take away whatever a way of installing made, whichever it was, with the namespaces."""
    cluster.kubectl("delete", "deployments", "--all", "-n", SYSTEM_NAMESPACE)
    # Nobody is served any more: there is no need to wait for them.
    cluster.kubectl("delete", "pods", "--all", "-n", SYSTEM_NAMESPACE, "--grace-period=1", "--wait=false")
    everything = "validatingadmissionpolicies,validatingadmissionpolicybindings,clusterroles,clusterrolebindings,crds"
    names = cluster.kubectl("get", everything, "-o", "name").stdout.split()
    ours = [name for name in names if "datasource" in name]
    namespaces = [f"namespace/{name}" for name in (SYSTEM_NAMESPACE, *SERVED)]
    cluster.kubectl("delete", "--ignore-not-found", "--timeout=300s", *ours, *namespaces)


def pods(cluster: Cluster, deployment: str) -> list[Manifest]:
    """The pods of a Deployment that are not about to go, oldest first."""
    component = deployment.removeprefix("datasource-")
    selector = f"app.kubernetes.io/name=datasource-operator,app.kubernetes.io/component={component}"
    found = cluster.get("pods", "-n", SYSTEM_NAMESPACE, "-l", selector)["items"]
    staying = [each for each in found if "deletionTimestamp" not in each["metadata"]]
    return sorted(staying, key=lambda each: str(each["metadata"]["creationTimestamp"]))


def container_of(pod: Manifest) -> Manifest:
    """The status of its one container."""
    (status,) = pod["status"]["containerStatuses"]
    found: Manifest = status
    return found


def inside(cluster: Cluster, pod: str, *command: str) -> str:
    """Run a command in a container of ours; what it printed."""
    return cluster.kubectl("exec", "-n", SYSTEM_NAMESPACE, pod, "--", *command).stdout


def keep_logs(cluster: Cluster, folder: Path) -> None:
    """For whoever looks into the logs, or looks for secrets in them, once the pods are gone."""
    folder.mkdir(exist_ok=True)
    for pod in cluster.get("pods", "-n", SYSTEM_NAMESPACE)["items"]:
        name = pod["metadata"]["name"]
        said = cluster.kubectl("logs", name, "-n", SYSTEM_NAMESPACE, "--all-containers", check=False)
        (folder / f"{name}.log").write_text(said.stdout + said.stderr)
