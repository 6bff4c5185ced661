"""What runs in the namespaces that nodes share: the control plane, kube-scheduler, kube-proxy, CoreDNS.

Each node has more of its own. Started by `nodes.py` below machine.sh, with a `Run` as its argument.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from deploy.local import build, debian
from deploy.local.node import configuration, dns
from deploy.local.node.layout import Place, places
from deploy.local.node.plane import PlaneWithNodes
from deploy.local.processes import Child, StackError
from deploy.local.progress import say

READY = "ready"
"""A file of the run's folder; what does not come up is said in the log."""

_NODE = Path(__file__).with_name("node.sh")
_READY_WITHIN = 180.0


@dataclass(frozen=True)
class Run:
    """What is started. Paths are absolute; the archives hold images."""

    folder: str
    cgroup: str
    api_port: int
    count: int
    archives: tuple[str, ...]

    def encoded(self) -> str:
        """As one argument of a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def decoded(cls, text: str) -> Self:
        """What `encoded` made."""
        members = json.loads(text)
        return cls(**{**members, "archives": tuple(members["archives"])})

    @property
    def places(self) -> list[Place]:
        """Its nodes."""
        return places(Path(self.folder), self.cgroup, self.count)


def path_of_programs() -> str:
    """Our own programs first, then the machine's."""
    folders = (module.folder for module in (build.container_runtime(), build.control_plane(), build.coredns()))
    return ":".join([*(str(folder) for folder in folders), os.environ.get("PATH", ""), debian.SYSTEM_PATH])


def node(place: Place, archives: Sequence[str], ca: Path) -> Child:
    """A node, not started yet."""
    place.folder.mkdir(parents=True, exist_ok=True)
    configuration.write_private(place.folder / "kubelet.json", configuration.kubelet(place, ca))
    runc = debian.found("runc") or "runc"
    configuration.write_private(place.folder / "containerd.toml", configuration.containerd(place, runc))
    configuration.write_private(place.folder / "cni" / "10-pods.conflist", configuration.bridge_network(place))
    unshare = [
        "unshare",
        "--mount",
        "--pid",
        "--uts",
        "--ipc",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation=private",
    ]
    command: list[str | Path] = [*unshare, "sh", _NODE, place.name, place.address, place.folder, ca, *archives]
    return Child(place.name, command, place.folder / "node.log")


def shared(plane: PlaneWithNodes, folder: Path) -> list[Child]:
    """kube-scheduler, kube-proxy and CoreDNS, which serve all nodes."""
    proxy = folder / "kube-proxy.json"
    configuration.write_private(proxy, configuration.kube_proxy(plane.kubeconfig))
    scheduler = [
        build.KUBE_SCHEDULER.name,
        f"--kubeconfig={plane.kubeconfig}",
        f"--authorization-kubeconfig={plane.kubeconfig}",
        "--authentication-skip-lookup",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--cert-dir={folder / 'scheduler'}",
    ]
    return [
        Child(build.KUBE_SCHEDULER.name, scheduler, folder / "kube-scheduler.log"),
        Child(build.KUBE_PROXY.name, [build.KUBE_PROXY.name, f"--config={proxy}"], folder / "kube-proxy.log"),
        dns.server(plane.kubeconfig, folder),
    ]


def wait_until_ready(plane: PlaneWithNodes, children: Sequence[Child], count: int) -> None:
    """Until that many nodes are Ready, and names of Services are known.

    Raises:
        StackError: something ended, or it took too long.
    """
    deadline = time.monotonic() + _READY_WITHIN
    while not (ready_nodes(plane) == count and dns.is_announced(plane) and dns.is_ready()):
        for child in children:
            if child.exit_code is not None:
                raise StackError(
                    f"{child.name} ended with code {child.exit_code}; its log is {child.log}.\n{child.tail()}"
                )
        if time.monotonic() > deadline:
            names = "known" if dns.is_ready() else "not known"
            raise StackError(
                f"After {_READY_WITHIN:.0f} s {ready_nodes(plane)} of {count} nodes are ready; Services are {names} to DNS."
            )
        time.sleep(0.2)


def ready_nodes(plane: PlaneWithNodes) -> int:
    """How many nodes are Ready."""
    try:
        nodes = plane.api("GET", "/api/v1/nodes")["items"]
    except OSError:
        return 0
    conditions = [each for node in nodes for each in node["status"].get("conditions", [])]
    return sum(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def main(encoded: str) -> None:
    """Bring everything up, say so, and stay."""
    run = Run.decoded(encoded)
    folder = Path(run.folder)
    os.environ["PATH"] = path_of_programs()
    plane = PlaneWithNodes(folder / "plane", run.places, api_port=run.api_port)
    ca = folder / "plane" / "pki" / "ca.crt"
    nodes = [node(place, run.archives, ca) for place in run.places]
    # Images are imported while the control plane comes up.
    for each in nodes:
        each.start()
    plane.start()
    plane.write_node_kubeconfigs()
    serving_all = shared(plane, folder)
    for each in serving_all:
        each.start()
    try:
        wait_until_ready(plane, [*nodes, *serving_all], run.count)
    except StackError as error:
        sys.exit(str(error))
    (folder / READY).touch()
    say("ready")
    keep(serving_all)


def keep(children: Sequence[Child]) -> None:
    """Start again what ended, for ever, as systemd would; node.sh does it for the agents of a node."""
    while True:
        for child in children:
            if child.exit_code is not None:
                say(f"{child.name} ended with code {child.exit_code}; it is started again")
                child.start()
        time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1])
