"""Somebody who has a cluster, the folder that a release wrote, and nothing else of ours; docs/release.md is typed there."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local import build, tools
from deploy.local.cluster import Cluster
from release.program import this_platform
from tests.support.released import VERSION, documented

ALONE = "Installing from these files alone"
"""The part of docs/release.md."""


@dataclass(frozen=True)
class Download:
    """Who types the lines, with a home that is empty at first."""

    dist: Path
    home: Path
    cluster: Cluster

    @property
    def programs(self) -> Path:
        """Where the page unpacks the plugin to."""
        return self.home / ".local" / "bin"

    def line(self, program: str) -> str:
        """A line of the page, for the released version and this machine."""
        return documented(program, ALONE).replace("VERSION", VERSION).replace("linux-amd64", this_platform())

    def types(self, line: str, kubeconfig: Path | None = None) -> str:
        """Type a line in the folder; what it printed. `kubeconfig` is of another account than the administrator's."""
        done = self.tries(line, kubeconfig)
        assert done.returncode == 0, f"{line}: {done.stderr or done.stdout}"
        return done.stdout

    def tries(self, line: str, kubeconfig: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Type a line; nothing of our own environment is there."""
        folders = [self.programs, tools.kubectl().parent, build.helm().parent]
        environ = {
            "HOME": str(self.home),
            "KUBECONFIG": str(kubeconfig or self.cluster.kubeconfig),
            "LC_ALL": "C.UTF-8",
            "PATH": os.pathsep.join([*map(str, folders), "/usr/bin", "/bin"]),
        }
        return subprocess.run(  # noqa: S603 - the page is ours
            ["/bin/bash", "-euo", "pipefail", "-c", line],
            cwd=self.dist,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
