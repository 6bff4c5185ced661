"""The configuration files of what makes a node, as data. Pure.

Each setting that differs from the default says why: most are there because the node shares a machine with others.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.local.node.layout import CLUSTER_DNS, CLUSTER_DOMAIN, PAUSE_IMAGE, PLANE, Place

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
_PLUGINS = "/usr/lib/cni"


def kubelet(place: Place, ca: Path) -> dict[str, Any]:
    """kubelet's; JSON is YAML."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": place.address,
        # All nodes share loopback: the port of /healthz can be had once.
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": place.cgroup,
        "failCgroupV1": False,
        # The limits of pods are real; nothing is reserved for a system that is not the node's own.
        "enforceNodeAllocatable": [],
        "clusterDNS": [CLUSTER_DNS],
        "clusterDomain": CLUSTER_DOMAIN,
        # Not the machine's: what its name servers are is nothing to the pods.
        "resolvConf": "",
        "podLogsDir": "/var/log/pods",
        # Lowering it takes CAP_SYS_RESOURCE, which a machine may keep back.
        "oomScoreAdj": 0,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        # How full the machine's disk is has nothing to do with us.
        "evictionHard": dict.fromkeys(
            ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"
        ),
        "imageGCHighThresholdPercent": 100,
    }


def kube_proxy(kubeconfig: Path) -> dict[str, Any]:
    """kube-proxy's. One serves all nodes: firewall rules belong to the network namespace that they share."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": "node-1",
        "bindAddress": PLANE,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clusterCIDR": "10.98.0.0/16",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        # These sysctls belong to the whole machine.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def bridge_network(place: Place) -> dict[str, Any]:
    """What the CNI plugins of Debian make of a pod's network. They enforce no NetworkPolicy."""
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": place.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": place.bridge,
        "isGateway": True,
        "ipMasq": False,
        # A pod that reaches its own Service.
        "hairpinMode": True,
        "ipam": addresses,
    }
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}


def containerd(place: Place, runc: str) -> str:
    """containerd's, in TOML. What it unpacks lies in memory, as everything of the node."""
    return f"""\
version = 3
root = "/run/containerd-root"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.nri.v1.nri",
]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.cri.v1.runtime']
  # Lowering it takes CAP_SYS_RESOURCE, which a machine may keep back.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{_PLUGINS}"]
    conf_dir = "{place.folder / "cni"}"
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = "{runc}"
        SystemdCgroup = false

[plugins.'io.containerd.grpc.v1.cri']
  stream_server_address = "127.0.0.1"
"""


def kubeconfig(server: str, ca: Path, token: str) -> dict[str, Any]:
    """A kubeconfig with one cluster and one token."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": "user", "user": {"token": token}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "user"}}],
        "current-context": "local",
    }


def write_private(path: Path, content: Mapping[str, Any] | str) -> None:
    """Write a configuration file that nobody else may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
