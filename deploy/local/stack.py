"""Operator and callback server as processes of this machine, under their own ServiceAccounts with the rights of deploy/."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from datasource.api.names import GROUP, PLURAL
from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local import tools
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.crds import wait_until_established
from deploy.local.processes import Child, StackError, free_ports

OPERATOR = "datasource-operator"
CALLBACK_SERVER = "datasource-callback-server"
READY_WITHIN = 60.0

# There is no kubelet in the local control plane: the processes run on this machine instead of in pods.
_NOT_APPLIED = {"Deployment", "PodDisruptionBudget"}


def rendered(folder: Path) -> str:
    """What `kubectl kustomize` makes of a folder; no cluster is needed.

    Raises:
        StackError: with what kubectl said.
    """
    done = subprocess.run([tools.kubectl(), "kustomize", folder], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"kubectl kustomize {folder}: {done.stderr.strip()}")
    return done.stdout


def install(cluster: Cluster, overlay: str = "cluster-wide") -> None:
    """Apply an overlay of deploy/ without its Deployments: CRD, ServiceAccounts, rights, admission policies.

    Raises:
        StackError: with what kubectl said.
    """
    manifests = rendered(REPOSITORY / "deploy" / "overlays" / overlay)
    objects = [each for each in yaml.safe_load_all(manifests) if each["kind"] not in _NOT_APPLIED]
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(objects))
    wait_until_established(cluster, f"{PLURAL}.{GROUP}")


@dataclass
class Process:
    """One of our processes: its child and where its probes answer."""

    child: Child
    health_port: int

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.child.start()
        self.wait_until_ready()

    def wait_until_ready(self, seconds: float = READY_WITHIN) -> None:
        """Wait until its probe says so."""
        self.child.wait_until_ready(self._is_ready, seconds=seconds)

    def stop(self) -> None:
        """SIGTERM, and wait until it ended."""
        self.child.stop(grace=30.0)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/readyz", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Start them one after another, and stop all of them at the end, also those that did not get ready."""
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in processes:
            process.stop()


@dataclass
class Stack:
    """Our two processes on one cluster. `environ` is added to what both are started with."""

    cluster: Cluster
    folder: Path
    pages_port: int
    environ: Mapping[str, str] = field(default_factory=dict)
    log_format: str = "json"
    system_namespace: str = SYSTEM_NAMESPACE
    operator_account: str = OPERATOR
    callback_server_account: str = CALLBACK_SERVER
    run: Sequence[str] = ("-m",)
    """How Python is told to run one of our modules."""
    _kubeconfigs: dict[str, Path] = field(default_factory=dict, init=False, repr=False)
    """By ServiceAccount. Tests make hundreds of processes, and to ask for a token for each of them starts kubectl twice."""

    @property
    def external_url(self) -> str:
        """localhost, while the provider is on 127.0.0.1: only then is the way back cross-site, as in life."""
        return f"http://localhost:{self.pages_port}"

    def operator(self, name: str = "operator", **environ: str) -> Process:
        """The operator, not started yet."""
        return self._process(name, "datasource_operator", self.operator_account, environ)

    def callback_server(self, name: str = "callback-server", **environ: str) -> Process:
        """The callback server, not started yet."""
        listen = {"DATASOURCE_LISTEN": f"127.0.0.1:{self.pages_port}"}
        return self._process(name, "callback_server", self.callback_server_account, {**listen, **environ})

    def _process(self, name: str, module: str, service_account: str, environ: Mapping[str, str]) -> Process:
        (health_port,) = free_ports(1)
        variables = {
            **_inherited(),
            "KUBECONFIG": str(self._kubeconfig_of(service_account)),
            "DATASOURCE_EXTERNAL_URL": self.external_url,
            "DATASOURCE_SYSTEM_NAMESPACE": self.system_namespace,
            "DATASOURCE_LOG_FORMAT": self.log_format,
            "DATASOURCE_HEALTH_LISTEN": f"127.0.0.1:{health_port}",
            # Where the provider of the local stack is; without this the operator would refuse to call it.
            "DATASOURCE_EGRESS_ALLOW": "127.0.0.1",
            # The local provider never works at two requests at once.
            "DATASOURCE_LAST_TRY_SECONDS": "1",
            **self.environ,
            **environ,
        }
        child = Child(name, [sys.executable, *self.run, module], self.folder / f"{name}.log", env=variables)
        return Process(child, health_port)

    def _kubeconfig_of(self, service_account: str) -> Path:
        if service_account not in self._kubeconfigs:
            self._kubeconfigs[service_account] = self.cluster.kubeconfig_for(self.system_namespace, service_account)
        return self._kubeconfigs[service_account]


def _inherited() -> dict[str, str]:
    """What a process needs of our environment, and nothing that would change how it behaves."""
    kept = {"PATH", "HOME", "LANG", "VIRTUAL_ENV"}
    return {key: value for key, value in os.environ.items() if key in kept}
