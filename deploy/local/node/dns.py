"""The cluster's DNS: CoreDNS beside kube-proxy, behind the Service whose address kubelet writes into every pod.

It knows the names of Services, and says that there is no other: nobody outside is asked.
"""

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from deploy.local import build
from deploy.local.controlplane import ControlPlane
from deploy.local.node.layout import CLUSTER_DNS, CLUSTER_DOMAIN, PLANE
from deploy.local.processes import Child

_NAMESPACE, _SERVICE = "kube-system", "kube-dns"
_READY = "127.0.0.1:8181"
_PORTS = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]


def corefile(kubeconfig: Path) -> str:
    """CoreDNS' configuration."""
    return f"""\
.:53 {{
    bind {PLANE}
    errors
    ready {_READY}
    cache 5
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig "{kubeconfig}"
        pods insecure
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def service() -> dict[str, Any]:
    """The Service, whose address is fixed."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _SERVICE, "namespace": _NAMESPACE},
        "spec": {"clusterIP": CLUSTER_DNS, "ports": _PORTS},
    }


def endpoints() -> dict[str, Any]:
    """Where it leads: CoreDNS is no pod."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": _SERVICE,
            "namespace": _NAMESPACE,
            "labels": {"kubernetes.io/service-name": _SERVICE},
        },
        "addressType": "IPv4",
        "ports": _PORTS,
        "endpoints": [{"addresses": [PLANE], "conditions": {"ready": True}}],
    }


def server(kubeconfig: Path, folder: Path) -> Child:
    """CoreDNS, not started yet."""
    configuration = folder / "Corefile"
    configuration.write_text(corefile(kubeconfig))
    command = [build.COREDNS.name, "-conf", str(configuration)]
    return Child(build.COREDNS.name, command, folder / "coredns.log")


def is_announced(plane: ControlPlane) -> bool:
    """Write the Service, and whether it is there: its namespace is made a little later than the API server is ready."""
    wanted = {
        f"/api/v1/namespaces/{_NAMESPACE}/services": service(),
        f"/apis/discovery.k8s.io/v1/namespaces/{_NAMESPACE}/endpointslices": endpoints(),
    }
    for path, manifest in wanted.items():
        try:
            plane.api("POST", path, manifest)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                return False
        except OSError:
            return False
    return True


def is_ready() -> bool:
    """Whether CoreDNS has read every Service."""
    try:
        with urllib.request.urlopen(f"http://{_READY}/ready", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False
