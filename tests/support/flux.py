"""Flux on a cluster: its own controllers as processes, with all rights, as `flux install` gives them."""

import os
import urllib.request
from pathlib import Path
from types import TracebackType

from deploy.local.build import Binary
from deploy.local.cluster import Cluster
from deploy.local.processes import Child, free_ports
from tests.support.api import Manifest, Resource, api_of
from tests.support.go_programs import (
    FLUX_CRDS,
    HELM_CONTROLLER,
    KUSTOMIZE_CONTROLLER,
    SOURCE_CONTROLLER,
    controllers,
    crds,
)
from tests.support.objects import install_crds

NAMESPACE = "flux-system"

GIT_REPOSITORIES = Resource("source.toolkit.fluxcd.io/v1", "GitRepository", "gitrepositories")
KUSTOMIZATIONS = Resource("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "kustomizations")
HELM_RELEASES = Resource("helm.toolkit.fluxcd.io/v2", "HelmRelease", "helmreleases")

_REQUESTED = "reconcile.fluxcd.io/requestedAt"
_START_WITHIN = 60.0
_RECONCILED_WITHIN = 180.0
"""Seconds: bounds against hanging."""


class Flux:
    """Its controllers. Use it as a context manager."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder
        self._programs = controllers().built()
        self._children: list[Child] = []

    def __enter__(self) -> "Flux":
        install_crds(self._cluster, [path for each in FLUX_CRDS for path in crds(*each)])
        self._cluster.kubectl("create", "namespace", NAMESPACE)
        (storage,) = free_ports(1)
        address = f"127.0.0.1:{storage}"
        kept = [f"--storage-path={self._storage}", f"--storage-addr={address}", f"--storage-adv-addr={address}"]
        try:
            self._start(SOURCE_CONTROLLER, *kept)
            self._start(KUSTOMIZE_CONTROLLER, "--requeue-dependency=1s")
            self._start(HELM_CONTROLLER, "--requeue-dependency=1s")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        self._stop()

    @property
    def _storage(self) -> Path:
        folder = self._folder / "storage"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _start(self, program: Binary, *arguments: str) -> None:
        (health,) = free_ports(1)
        given = [f"--health-addr=127.0.0.1:{health}", "--metrics-addr=0", "--events-addr=", *arguments]
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "KUBECONFIG": str(self._cluster.kubeconfig),
            "RUNTIME_NAMESPACE": NAMESPACE,
        }
        child = Child(
            program.name, [self._programs / program.name, *given], self._folder / f"{program.name}.log", environ
        )
        self._children.append(child)
        child.start()
        child.wait_until_ready(lambda: _answers(f"http://127.0.0.1:{health}/readyz"), seconds=_START_WITHIN)

    def _stop(self) -> None:
        for child in reversed(self._children):
            child.stop()

    def reconciled(self, resource: Resource, name: str, namespace: str = NAMESPACE) -> Manifest:
        """Ask for a reconciliation of an object, and wait until it is Ready after that; returns it."""
        asked = self.ask(resource, name, namespace)
        return self.wait(resource, name, namespace, asked=asked)

    def ask(self, resource: Resource, name: str, namespace: str = NAMESPACE) -> str:
        """Ask for a reconciliation, as `flux reconcile` does; returns what stands in the request."""
        api = api_of(self._cluster.kubeconfig)
        value = f"after {api.get(resource, name, namespace)['metadata']['resourceVersion']}"
        api.patch(resource, name, {"metadata": {"annotations": {_REQUESTED: value}}}, namespace)
        return value

    def wait(
        self, resource: Resource, name: str, namespace: str = NAMESPACE, *, asked: str = "", ready: str = "True"
    ) -> Manifest:
        """Wait until an object is Ready, or not, in what its spec says now, and since it was asked; returns it."""

        def is_so(obj: Manifest | None) -> bool:
            found = {} if obj is None else condition(obj)
            if obj is None or found.get("status") != ready:
                return False
            handled = obj["status"].get("lastHandledReconcileAt", "")
            return found["observedGeneration"] == obj["metadata"]["generation"] and asked in {"", handled}

        api = api_of(self._cluster.kubeconfig)
        found = api.wait(
            f"{resource.kind} {name} is Ready={ready}", resource, name, is_so, namespace, seconds=_RECONCILED_WITHIN
        )
        assert found is not None
        return found


def condition(obj: Manifest, kind: str = "Ready") -> Manifest:
    """A condition of an object; empty where there is none."""
    conditions: list[Manifest] = obj.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own process
            return bool(response.status == 200)
    except OSError:
        return False
