"""Where everything of the nodes is: their names, addresses and folders. Pure."""

from dataclasses import dataclass
from pathlib import Path

NETWORK_PREFIX = 24
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
CLUSTER_DNS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
PLANE = "10.99.0.1"
"""Where the API server listens, and whatever pods reach on this machine: an address of a network that nobody else sees."""

PAUSE_IMAGE = "localhost/pause:node"


@dataclass(frozen=True)
class Place:
    """One node; the first has the number 1. All of them share a network namespace, so each has addresses of its own."""

    number: int
    folder: Path
    cgroup: str
    """Below the root of every cgroup hierarchy, such as /datasource-node-7/node-1."""

    @property
    def name(self) -> str:
        """As `kubectl get nodes` shows it."""
        return node_name(self.number)

    @property
    def address(self) -> str:
        """Of the kubelet."""
        return f"10.99.0.{self.number}"

    @property
    def pods(self) -> str:
        """The addresses of its pods."""
        return f"10.98.{self.number}.0/24"

    @property
    def bridge(self) -> str:
        """The interface that its pods hang on."""
        return f"pods{self.number}"

    @property
    def kubeconfig(self) -> Path:
        """Of its kubelet."""
        return self.folder / "kubelet.kubeconfig"


def node_name(number: int) -> str:
    """The name of a node."""
    return f"node-{number}"


def places(folder: Path, cgroup: str, count: int) -> list[Place]:
    """All nodes of a run."""
    numbers = range(1, count + 1)
    return [Place(number, folder / node_name(number), f"{cgroup}/{node_name(number)}") for number in numbers]
