"""Flux: its controllers as processes of this machine, each under its own ServiceAccount, with the rights that Flux gives it."""

import json
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.build import Binary
from deploy.local.cluster import Cluster
from deploy.local.processes import Child, free_ports
from tests.support.api import Api, Manifest, Resource, api_of
from tests.support.go_programs import (
    DEPLOYERS,
    FLUX,
    FLUX_CRDS,
    FLUX_RIGHTS,
    HELM_CONTROLLER,
    KUSTOMIZE_CONTROLLER,
    NOTIFICATION_CONTROLLER,
    SOURCE_CONTROLLER,
    crds,
    flux,
)
from tests.support.objects import install_crds

NAMESPACE = "flux-system"

GIT_REPOSITORIES = Resource("source.toolkit.fluxcd.io/v1", "GitRepository", "gitrepositories")
OCI_REPOSITORIES = Resource("source.toolkit.fluxcd.io/v1", "OCIRepository", "ocirepositories")
RECEIVERS = Resource("notification.toolkit.fluxcd.io/v1", "Receiver", "receivers")
KUSTOMIZATIONS = Resource("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "kustomizations")
HELM_RELEASES = Resource("helm.toolkit.fluxcd.io/v2", "HelmRelease", "helmreleases")

APPLIER, RELEASER = (
    f"system:serviceaccount:{NAMESPACE}:{each.name}" for each in (KUSTOMIZE_CONTROLLER, HELM_CONTROLLER)
)
"""Who writes what Git says, and who writes what a chart says."""

PATIENCE = 180.0
"""Seconds until a wait gives up: three controllers come to it one after the other."""

_READY_WITHIN = 60.0
_requests = count(1)


@dataclass
class Flux:
    """Some of its controllers on one cluster. Use it as a context manager."""

    cluster: Cluster
    folder: Path
    controllers: tuple[Binary, ...] = DEPLOYERS
    receivers: str = ""
    """Where notification-controller takes what others post, once it runs."""
    _children: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        binaries = {
            each.name: module.built() / each.name
            for each, module in zip(FLUX, flux(), strict=True)
            if each in self.controllers
        }
        self._install()
        try:
            for name, binary in binaries.items():
                self._start(name, binary)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def api(self) -> Api:
        """The API server."""
        return api_of(self.cluster.kubeconfig)

    def apply(self, *manifests: Manifest) -> None:
        """What people give to Flux, with kubectl."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(listed))

    def wait(
        self, what: str, resource: Resource, name: str, is_so: Callable[[Manifest], object], namespace: str = NAMESPACE
    ) -> Manifest:
        """Until one of Flux's objects is as it should be; returns it."""
        found = self.api.wait(
            f"{resource.kind} {name}: {what}",
            resource,
            name,
            lambda seen: seen is not None and is_so(seen),
            namespace,
            seconds=PATIENCE,
        )
        assert found is not None
        return found

    def wait_until_ready(self, resource: Resource, name: str, namespace: str = NAMESPACE) -> Manifest:
        """Until it says so of its spec as it is now."""
        return self.wait("it is ready", resource, name, is_ready, namespace)

    def wait_until_gone(self, resource: Resource, name: str, namespace: str = NAMESPACE) -> None:
        """Until Flux has let go of one of its objects that was deleted."""
        what = f"{resource.kind} {name}: it is gone"
        self.api.wait(what, resource, name, lambda seen: seen is None, namespace, seconds=PATIENCE)

    def suspend(self, resource: Resource, name: str, suspended: bool) -> None:
        """As `flux suspend` and `flux resume` do."""
        self.api.patch(resource, name, {"spec": {"suspend": suspended}}, NAMESPACE)

    def ask(self, resource: Resource, name: str, namespace: str = NAMESPACE) -> str:
        """Ask for it to be looked at now, as `flux reconcile` does; returns the request."""
        request = f"request-{next(_requests)}"
        change = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": request}}}
        self.api.patch(resource, name, change, namespace)
        return request

    def reconcile(self, resource: Resource, name: str, namespace: str = NAMESPACE) -> Manifest:
        """Ask, and wait until that was done, however it ended; returns the object."""
        request = self.ask(resource, name, namespace)
        return self.wait(
            "it was reconciled",
            resource,
            name,
            lambda seen: seen.get("status", {}).get("lastHandledReconcileAt") == request and not _is_at_work(seen),
            namespace,
        )

    def _install(self) -> None:
        install_crds(self.cluster, [path for each in FLUX_CRDS for path in crds(*each)])
        self.cluster.kubectl("create", "namespace", NAMESPACE)
        for each in FLUX:
            self.cluster.kubectl("create", "serviceaccount", each.name, "-n", NAMESPACE)
        self.cluster.kubectl("apply", "--server-side", *(f"--filename={path}" for path in crds(*FLUX_RIGHTS)))

    def _start(self, name: str, binary: Path) -> None:
        metrics, health, *others = free_ports(4)
        arguments = [
            "--watch-all-namespaces",
            "--log-encoding=json",
            f"--metrics-addr=127.0.0.1:{metrics}",
            f"--health-addr=127.0.0.1:{health}",
            *self._own_arguments(name, *(f"127.0.0.1:{port}" for port in others)),
        ]
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.cluster.kubeconfig_for(NAMESPACE, name)),
            "RUNTIME_NAMESPACE": NAMESPACE,
        }
        child = Child(name, [binary, *arguments], self.folder / f"{name}.log", env=environ)
        child.start()
        self._children.append(child)
        child.wait_until_ready(lambda: _answers(health), seconds=_READY_WITHIN)

    def _own_arguments(self, name: str, address: str, other: str) -> list[str]:
        if name == NOTIFICATION_CONTROLLER.name:
            self.receivers = f"http://{address}"
            return [f"--receiverAddr={address}", f"--events-addr={other}"]
        if name == SOURCE_CONTROLLER.name:
            artifacts = self.folder / "artifacts"
            artifacts.mkdir(parents=True)
            where = (f"--storage-path={artifacts}", f"--storage-addr={address}", f"--storage-adv-addr={address}")
            return ["--requeue-dependency=2s", *where]
        return ["--requeue-dependency=2s"]

    def _stop(self) -> None:
        for child in reversed(self._children):
            child.stop()


def condition(obj: Manifest, kind: str = "Ready") -> Manifest:
    """One of its conditions; empty where there is none."""
    found = obj.get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})


def is_ready(obj: Manifest) -> bool:
    """Whether it is, with its spec as it is now."""
    ready = condition(obj)
    current = obj.get("status", {}).get("observedGeneration") == obj["metadata"]["generation"]
    return ready.get("status") == "True" and current and not _is_at_work(obj)


def _is_at_work(obj: Manifest) -> bool:
    return condition(obj, "Reconciling").get("reason") == "Progressing"


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False
