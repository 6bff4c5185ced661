"""The configuration files of a node leave the machine alone, and lead where the layout says."""

import stat
import tomllib
from pathlib import Path

from deploy.local.node import configuration
from deploy.local.node.layout import PAUSE_IMAGE, PLANE, Place, places

FIRST, SECOND = places(Path("/run-of-tests"), "/datasource-node-7-9", 2)


def test_nodes_share_no_address_no_bridge_and_no_folder() -> None:
    for of in (Place.name, Place.address, Place.pods, Place.bridge, Place.kubeconfig):
        assert of.__get__(FIRST) != of.__get__(SECOND)
    assert FIRST.cgroup == "/datasource-node-7-9/node-1"
    assert FIRST.address == PLANE


def test_kubelet_stays_in_its_cgroup_and_evicts_nothing_for_the_machine() -> None:
    found = configuration.kubelet(SECOND, Path("/ca.crt"))
    assert found["cgroupRoot"] == SECOND.cgroup
    assert found["address"] == SECOND.address
    assert set(found["evictionHard"].values()) == {"0%"}
    # Who has no certificate of the CA and no token gets nothing from it.
    assert found["authentication"]["anonymous"] == {"enabled": False}
    assert found["authentication"]["x509"] == {"clientCAFile": "/ca.crt"}
    assert found["authorization"] == {"mode": "Webhook"}


def test_kubelet_keeps_its_own_times() -> None:
    """How long a changed Secret takes to arrive is a figure for users: it is kubelet's default that is measured."""
    assert {"syncFrequency", "configMapAndSecretChangeDetectionStrategy"} & set(
        configuration.kubelet(FIRST, Path("/ca"))
    ) == set()


def test_kube_proxy_changes_no_setting_of_the_machine() -> None:
    assert configuration.kube_proxy(Path("/admin"))["conntrack"] == {
        "maxPerCore": 0,
        "min": 0,
        "tcpEstablishedTimeout": "0s",
        "tcpCloseWaitTimeout": "0s",
    }


def test_containerd_reads_its_configuration_and_keeps_everything_in_memory() -> None:
    found = tomllib.loads(configuration.containerd(SECOND, "/usr/sbin/runc"))
    assert found["version"] == 3
    assert found["root"].startswith("/run/")
    images, runtime = (found["plugins"][f"io.containerd.cri.v1.{name}"] for name in ("images", "runtime"))
    assert images["pinned_images"] == {"sandbox": PAUSE_IMAGE}
    assert runtime["cni"]["conf_dir"] == "/run-of-tests/node-2/cni"
    assert runtime["containerd"]["runtimes"]["runc"]["options"] == {
        "BinaryName": "/usr/sbin/runc",
        "SystemdCgroup": False,
    }


def test_pods_of_a_node_get_its_addresses() -> None:
    (bridge,) = configuration.bridge_network(SECOND)["plugins"]
    assert bridge["bridge"] == SECOND.bridge
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.98.2.0/24"}]]


def test_file_with_a_token_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "kubeconfig"
    configuration.write_private(path, configuration.kubeconfig("https://api", Path("/ca"), "token"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert '"token": "token"' in path.read_text()
