"""Nodes and their control plane, seen from the machine: one process, whose end ends everything in its namespaces.

Nothing of them listens on the machine but what is carried to its loopback: the API server, and what `carried_in` is asked for.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.image.build import image
from deploy.local.image.pause import pause_archive
from deploy.local.node import cgroups, needs
from deploy.local.node.inside import READY, Run
from deploy.local.node.layout import PAUSE_IMAGE, PLANE
from deploy.local.processes import Child, StackError, free_ports
from deploy.local.progress import Say, say

_MACHINE = Path(__file__).with_name("machine.sh")
_FORWARD = Path(__file__).with_name("forward.py")
_READY_WITHIN = 300.0
_NAMESPACES = ("--mount", "--net", "--pid", "--uts", "--ipc")


class Nodes:
    """A cluster with nodes in a folder. Use it as a context manager, or `start` and `stop` it.

    Nodes have the images of `archives`; where none are named, that of this checkout.
    """

    def __init__(self, folder: Path, *, count: int = 1, archives: Sequence[Path] | None = None) -> None:
        self.folder = folder.resolve()
        self._count = count
        self._archives = archives
        (self._api_port,) = free_ports(1)
        self._outer: Child | None = None
        self._carriers: list[Child] = []
        self._sweeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Nodes":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def cluster(self) -> Cluster:
        """What kubectl works with."""
        return Cluster(self.folder / "plane" / "admin.kubeconfig", self.folder / "accounts")

    @property
    def audit_log(self) -> Path:
        """Of the API server."""
        return self.folder / "plane" / "audit.log"

    def start(self, out: Say = say) -> None:
        """Start everything and wait until the nodes are ready; what is missing is installed and built.

        Raises:
            StackError: the machine cannot, or something did not come up.
        """
        why = needs.obstacle()
        if why is not None:
            raise StackError(f"No node can run here: {why}.")
        needs.fetch(out)
        given = [image(out).archive] if self._archives is None else self._archives
        archives = [pause_archive(PAUSE_IMAGE, out), *given]
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        # One name for each run; two of them in one process would share it.
        (unique,) = free_ports(1)
        cgroup = f"{cgroups.name_of(os.getpid())}-{unique}"
        run = Run(str(self.folder), cgroup, self._api_port, self._count, tuple(map(str, archives)))
        cgroups.create_below(cgroup, [place.name for place in run.places], _hierarchies())
        try:
            self._start(run)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything. What is left in cgroups is removed by a process that waits for that."""
        for carrier in self._carriers:
            carrier.kill()
        self._carriers.clear()
        if self._outer is not None:
            self._outer.kill()
        if self._sweeper is not None:
            self._sweeper.wait()

    def command(self, *command: str) -> list[str]:
        """The command line that runs a command where kube-proxy runs; among its processes are all of ours, and no others."""
        return ["nsenter", f"--target={self._first_process()}", *_NAMESPACES, "--", *command]

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command there.

        Raises:
            StackError: it failed; never with `check=False`.
        """
        done = subprocess.run(self.command(*command), capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise StackError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done

    def carried_in(self, port: int, to_host: str, to_port: int) -> None:
        """From a port of the machine's loopback to an address that only nodes and pods see."""
        self._carry("in", "127.0.0.1", port, to_host, to_port)

    def carried_out(self, port: int) -> None:
        """From a port of the nodes' address, which pods reach, to the same one of the machine's loopback."""
        self._carry("out", PLANE, port, "127.0.0.1", port)

    def _start(self, run: Run) -> None:
        unshare = ["unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--propagation=private"]
        addresses = ",".join(place.address for place in run.places)
        inside = [sys.executable, "-m", "deploy.local.node.inside", run.encoded()]
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self._outer = Child(
            "the nodes", [*unshare, "sh", _MACHINE, addresses, *inside], self.folder / "nodes.log", environ
        )
        self._outer.start()
        self._sweeper = _sweeper(self._outer.pid or 0, run.cgroup)
        self._outer.wait_until_ready((self.folder / READY).exists, seconds=_READY_WITHIN)
        self._carry("in", "127.0.0.1", self._api_port, PLANE, self._api_port)

    def _carry(self, direction: str, host: str, port: int, to_host: str, to_port: int) -> None:
        namespace = f"/proc/{self._first_process()}/ns/net"
        command: list[str | Path] = [
            sys.executable,
            _FORWARD,
            namespace,
            direction,
            host,
            str(port),
            to_host,
            str(to_port),
        ]
        name = f"carrier-{direction}-{port}"
        carrier = Child(name, command, self.folder / f"{name}.log")
        carrier.start()
        self._carriers.append(carrier)
        if direction == "in":
            carrier.wait_until_ready(lambda: _listens(port), seconds=30)

    def _first_process(self) -> int:
        pid = None if self._outer is None else self._outer.pid
        if pid is None:
            raise StackError("The nodes do not run.")
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _listens(port: int) -> bool:
    """Whether somebody listens on a port of loopback; nobody is connected to."""
    wanted = f"0100007F:{port:04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(words[1] == wanted and words[3] == "0A" for words in lines)


def _hierarchies() -> Sequence[Path]:
    return cgroups.hierarchies(Path("/proc/self/mounts").read_text())


def _sweeper(pid: int, cgroup: str) -> subprocess.Popen[bytes]:
    """A process that outlives us, so that a run that is killed leaves no cgroups either."""
    command = [sys.executable, "-m", "deploy.local.node.cgroups", str(pid), cgroup]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=REPOSITORY, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
