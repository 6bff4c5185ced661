"""However a run of nodes ends, with pods on them, the machine is as it was."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.local import debian
from deploy.local.cache import REPOSITORY
from deploy.local.node import cgroups
from tests.node.ability import require_nodes
from tests.support.user import eventually

pytestmark = [pytest.mark.node, pytest.mark.anew]

# The pod has what pods of ours have: a network, a token, a file system in memory, and limits. Python has a handler for SIGINT
# only where that was not ignored: a shell ignores it for what it runs in the background.
RUN = """
import json, signal, sys
from pathlib import Path
from deploy.local.node.layout import PAUSE_IMAGE
from deploy.local.node.nodes import Nodes
signal.signal(signal.SIGINT, signal.default_int_handler)
memory = {"name": "memory", "emptyDir": {"medium": "Memory"}}
container = {
    "name": "pause", "image": PAUSE_IMAGE, "imagePullPolicy": "Never",
    "volumeMounts": [{"name": "memory", "mountPath": "/memory"}], "resources": {"limits": {"memory": "32Mi", "cpu": "100m"}},
}
pod = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pause"}, "spec": {"containers": [container], "volumes": [memory]},
}
with Nodes(Path(sys.argv[1]), archives=[]) as nodes:
    nodes.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    nodes.cluster.kubectl("wait", "pod/pause", "--for=condition=Ready", "--timeout=120s")
    print("up", file=sys.stderr, flush=True)
    sys.stdin.readline()
"""

SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


def machine() -> Mapping[str, object]:
    """What a run could change of the machine."""

    def printed(*command: str) -> list[str]:
        program = debian.found(command[0]) or ""
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=True)  # noqa: S603 - ours
        return sorted(done.stdout.splitlines())

    return {
        "interfaces": printed("ip", "-brief", "link"),
        "routes": printed("ip", "route"),
        "firewall": printed("nft", "list", "ruleset"),
        "settings": {name: (Path("/proc/sys") / name).read_text() for name in SETTINGS},
    }


def left_of(folder: Path, cgroup: str) -> list[str]:
    """Processes, mounts and cgroups of a run that are there."""
    mounts = Path("/proc/self/mounts").read_text()
    folders = [str(path) for root in cgroups.hierarchies(mounts) for path in root.glob(f"{cgroup.removeprefix('/')}-*")]
    return [
        *processes_with(str(folder), "cmdline"),
        *processes_with(f"{cgroup}-", "cgroup"),
        *(line for line in mounts.splitlines() if str(folder) in line),
        *folders,
    ]


def processes_with(text: str, file: str) -> list[str]:
    """The command lines of the processes, but ours, with this in a file of /proc: in `cgroup` stand also those of pods."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            has_it = text in _read(path / file)
            line = _read(path / "cmdline")
        except OSError:
            continue
        if has_it and int(path.name) != os.getpid():
            found.append(line)
    return found


def _read(path: Path) -> str:
    return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT, None], ids=["killed", "interrupted", "ended"])
def test_machine_is_as_before(tmp_path: Path, ending: signal.Signals | None) -> None:
    require_nodes()
    before = machine()
    folder = tmp_path / "nodes"
    command = [sys.executable, "-c", RUN, str(folder)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as owner:  # noqa: S603
        assert owner.stderr is not None
        cgroup = cgroups.name_of(owner.pid)
        said = owner.stderr.readline()
        assert said == "up\n", said + owner.stderr.read()
        assert any(line.startswith("/pause") for line in processes_with(f"{cgroup}-", "cgroup"))
        if ending is None:
            owner.communicate("\n")
        else:
            owner.send_signal(ending)
            owner.communicate()

    eventually("nothing of it is left", lambda: not left_of(folder, cgroup), lambda: left_of(folder, cgroup))
    assert machine() == before
