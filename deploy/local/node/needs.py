"""What a machine must have to run nodes, and how the rest is had.

`python -m deploy.local.node.needs` gets all of it ahead of time, with the image; where no node can run, it says why.
`... needs conclusion` is the last line of `make test`: it names what this machine could not run.
"""

import os
import subprocess
import sys
from pathlib import Path

from deploy.local import build, debian
from deploy.local.image import build as images
from deploy.local.node import cgroups
from deploy.local.processes import StackError
from deploy.local.progress import Say, say

PROGRAMS = {
    **images.PROGRAMS,
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "runc": "runc",
    "unshare": "util-linux",
}


def obstacle() -> str | None:
    """Why no node can run on this machine; None where it can."""
    if sys.platform != "linux":
        return "nodes run on Linux only"
    if os.geteuid() != 0:
        return "namespaces and mounts take root"
    why = cgroups.obstacle(Path("/proc/self/mounts").read_text()) or images.obstacle()
    if why is not None:
        return why
    missing = debian.packages_missing(PROGRAMS)
    if missing and debian.found("apt-get") is None:
        return f"there is no apt here to install {', '.join(missing)} with"
    return _kernel_refuses()


def _kernel_refuses() -> str | None:
    """What of a node's surroundings the kernel does not allow, tried in namespaces that end at once."""
    unshare = [
        "unshare",
        "--mount",
        "--net",
        "--pid",
        "--uts",
        "--ipc",
        "--fork",
        "--mount-proc",
        "--propagation=private",
    ]
    tries = (
        "mount -t tmpfs tmpfs /mnt && mkdir /mnt/a /mnt/b /mnt/c",
        "mount -t overlay overlay -o lowerdir=/mnt/a,upperdir=/mnt/b,workdir=/mnt/c /mnt/a",
        "ip link add one type veth peer name two",
        "ip link add three type bridge",
    )
    done = subprocess.run([*unshare, "sh", "-c", " && ".join(tries)], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"the kernel refuses what a node needs: {done.stderr.strip()}"


def missing() -> list[build.Binary]:
    """What `fetch` would have to build."""
    return [binary for module in _modules() for binary in module.missing()]


def fetch(out: Say = say) -> None:
    """Install and build everything; what is there stays.

    Raises:
        StackError: with what failed.
    """
    debian.install(debian.packages_missing(PROGRAMS), out)
    for module in _modules():
        module.built(out)


def _modules() -> tuple[build.GoModule, ...]:
    return (build.control_plane(), build.node_agents(), build.container_runtime(), build.coredns(), build.pause())


def conclusion() -> str:
    """What may be said once all tests that this machine can run have passed."""
    why = obstacle()
    return (
        "Everything passed." if why is None else f"Everything passed but the tests in pods, which were not run: {why}"
    )


def main() -> None:
    """Get everything, or say what the last line of `make test` is."""
    if sys.argv[1:] == ["conclusion"]:
        say(conclusion())
        return
    why = obstacle()
    if why is not None:
        say(f"      no node can run here: {why}")
        return
    try:
        fetch()
        say(f"      {images.image().archive}")
    except StackError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
