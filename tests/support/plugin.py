"""`kubectl datasource`, run as its user runs it: by kubectl, found on PATH, under rights of their own."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import tools
from deploy.local.cluster import Cluster

SCRIPTS = Path(sys.executable).parent
ESCAPE = "\x1b"


@dataclass(frozen=True)
class Plugin:
    """One user of one cluster."""

    kubeconfig: Path
    namespace: str

    def command(self, *arguments: str) -> list[str]:
        """The whole command line."""
        return [str(tools.kubectl()), "datasource", *arguments]

    def environ(self, **changes: str) -> dict[str, str]:
        """What the user's shell has: scripts of this very Python, kubectl, and the kubeconfig."""
        inherited = {key: os.environ[key] for key in ("HOME", "LANG", "PATH") if key in os.environ}
        path = f"{SCRIPTS}{os.pathsep}{tools.kubectl().parent}{os.pathsep}{inherited['PATH']}"
        return {**inherited, "PATH": path, "KUBECONFIG": str(self.kubeconfig), **changes}

    def run(self, *arguments: str, scoped: bool = True, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run to its end, output piped, nobody at the keyboard."""
        return subprocess.run(  # noqa: S603
            self.command(*arguments, *(["-n", self.namespace] if scoped else [])),
            env=self.environ(**environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def json(self, *arguments: str) -> Any:
        """What it prints with `-o json`."""
        return json.loads(self.run(*arguments, "-o", "json").stdout)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start it and do not wait: for commands that wait for somebody."""
        return subprocess.Popen(  # noqa: S603
            self.command(*arguments, "-n", self.namespace),
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_heed_interrupts,
        )

    def on_a_terminal(self, *arguments: str, typed: str = "", **environ: str) -> str:
        """What somebody who types this sees on a terminal."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(  # noqa: S603
            self.command(*arguments, "-n", self.namespace),
            env=self.environ(TERM="xterm-256color", **environ),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        os.write(ours, typed.encode())
        seen = bytearray()
        try:
            while chunk := os.read(ours, 4096):
                seen += chunk
        except OSError:
            pass  # Linux says so when the last writer has gone
        os.close(ours)
        process.wait(30)
        return seen.decode()

    def shell(self, line: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
        """Run what the user copies into a shell; `typed` is what they type when asked."""
        bash = shutil.which("bash")
        assert bash is not None
        return subprocess.run(  # noqa: S603
            [bash, "-euo", "pipefail", "-c", line],
            env=self.environ(),
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def _heed_interrupts() -> None:
    """A shell starts background jobs with interrupts ignored, and their children inherit that (POSIX 2.11)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def editor(cluster: Cluster, namespace: str, *, secrets: tuple[str, ...] = ("get",), name: str = "ada") -> Plugin:
    """Somebody with the ClusterRole datasource-editor in a namespace, and these verbs on its Secrets."""
    account = f"{namespace}:{name}"
    cluster.kubectl("create", "serviceaccount", name, "-n", namespace)
    binding = ("--clusterrole=datasource-editor", f"--serviceaccount={account}")
    cluster.kubectl("create", "rolebinding", f"{name}-edits", "-n", namespace, *binding)
    if secrets:
        rules = f"--verb={','.join(secrets)}"
        cluster.kubectl("create", "role", f"{name}-secrets", "-n", namespace, rules, "--resource=secrets")
        binding = (f"--role={name}-secrets", f"--serviceaccount={account}")
        cluster.kubectl("create", "rolebinding", f"{name}-secrets", "-n", namespace, *binding)
    return Plugin(cluster.kubeconfig_for(namespace, name), namespace)


def administrator(cluster: Cluster, namespace: str) -> Plugin:
    """Somebody who may do everything."""
    return Plugin(cluster.kubeconfig, namespace)


def closed_port_kubeconfig(folder: Path, port: int) -> Path:
    """A kubeconfig of a cluster that is not there."""
    path = folder / "nobody.kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "gone", "cluster": {"server": f"https://127.0.0.1:{port}"}}],
                "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "nobody"}}],
                "users": [{"name": "nobody", "user": {"token": "made-up"}}],
                "current-context": "gone",
            }
        )
    )
    return path
