"""One of our processes with a proxy of its own before the API server, kept running as kubelet would."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from datasource.process.installation import LEASE_NAME, SYSTEM_NAMESPACE
from datasource_operator.decisions.election import release
from deploy.local.controlplane import ControlPlane
from deploy.local.stack import CALLBACK_SERVER, OPERATOR, Stack
from tests.faults.api_proxy import ApiProxy
from tests.faults.kubelet import Kubelet
from tests.support.api import LEASES, NO_ANSWER, api_of


@dataclass(frozen=True)
class BehindProxy:
    """A process, the proxy through which it sees the API server, and its login there."""

    proxy: ApiProxy
    kubelet: Kubelet
    kubeconfig: Path

    @property
    def log(self) -> Path:
        """What the process says."""
        return self.kubelet.process.child.log


@contextmanager
def operator(
    control_plane: ControlPlane, stack: Stack, name: str, *, most_restarts: int = 0, **environ: str
) -> Iterator[BehindProxy]:
    """An operator, ready; it may end by itself `most_restarts` times.

    Whenever it is started it is in the same pod, and finds the Lease released.
    """
    namespace = environ.get("DATASOURCE_SYSTEM_NAMESPACE", SYSTEM_NAMESPACE)
    with _proxy(control_plane) as proxy:
        kubeconfig = proxy.kubeconfig_of(stack.cluster, OPERATOR, control_plane.folder / name)
        process = stack.operator(name, KUBECONFIG=str(kubeconfig), DATASOURCE_POD_UID=f"pod-of-{name}", **environ)
        released = partial(release_lease, control_plane, namespace)
        with Kubelet(process, most=most_restarts, before_start=released) as kubelet:
            yield BehindProxy(proxy, kubelet, kubeconfig)


@contextmanager
def callback_server(control_plane: ControlPlane, stack: Stack, name: str) -> Iterator[BehindProxy]:
    """A callback server, ready."""
    with _proxy(control_plane) as proxy:
        kubeconfig = proxy.kubeconfig_of(stack.cluster, CALLBACK_SERVER, control_plane.folder / name)
        process = stack.callback_server(name, KUBECONFIG=str(kubeconfig))
        with Kubelet(process, most=0) as kubelet:
            yield BehindProxy(proxy, kubelet, kubeconfig)


def _proxy(control_plane: ControlPlane) -> ApiProxy:
    return ApiProxy(control_plane.url, control_plane.ca_file)


def release_lease(control_plane: ControlPlane, namespace: str) -> None:
    """In the name of the dead leader: waiting for its Lease to expire would cost 15 s at each kill."""
    # It may not be there yet, or the API server may be away: then the Lease expires.
    with suppress(*NO_ANSWER):
        api_of(control_plane.kubeconfig).patch(LEASES, LEASE_NAME, {"spec": release(datetime.now(UTC))}, namespace)
