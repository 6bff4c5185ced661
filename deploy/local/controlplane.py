"""A real control plane without Docker: etcd, kube-apiserver and kube-controller-manager on loopback, ready in seconds."""

import json
import secrets
import shutil
import ssl
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from deploy.local.build import ETCD, KUBE_APISERVER, KUBE_CONTROLLER_MANAGER, control_plane_binaries
from deploy.local.cluster import Cluster
from deploy.local.pki import Pki, make_pki
from deploy.local.processes import Child, free_ports
from deploy.local.progress import Say, say

READY_WITHIN = 90.0
"""Seconds; a loaded machine takes a while."""

_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "validatingadmissionpolicy-status-controller",
)


class ControlPlane:
    """One control plane in a folder. Use it as a context manager, or `start` and `stop` it."""

    addresses: Sequence[str] = ("127.0.0.1",)
    """Of the API server, as its certificate names them."""

    feature_gates: ClassVar[Mapping[str, bool]] = {}
    """Of the API server, where they are not as Kubernetes has them."""

    def __init__(self, folder: Path, *, api_port: int | None = None) -> None:
        self.folder = folder.resolve()
        self.logs = self.folder / "logs"
        self.audit_log = self.folder / "audit.log"
        self.kubeconfig = self.folder / "admin.kubeconfig"
        etcd, peer, api, manager = free_ports(4)
        api = api_port or api
        self.url = f"https://127.0.0.1:{api}"
        self.etcd_client_url = f"http://127.0.0.1:{etcd}"
        self._peer_url = f"http://127.0.0.1:{peer}"
        self._api_port, self._manager_port = api, manager
        self._admin_token = secrets.token_hex(16)
        self._children: dict[str, Child] = {}
        self.pki: Pki

    def __enter__(self) -> "ControlPlane":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def cluster(self) -> Cluster:
        """What kubectl and the processes work with."""
        return Cluster(self.kubeconfig, self.folder)

    @property
    def ca_file(self) -> Path:
        """The certificate of the CA that signed the API server's certificate."""
        return self.pki.ca

    def start(self, out: Say = say) -> None:
        """Start everything and wait until it can be used; the binaries are built where they are missing."""
        binaries = control_plane_binaries(out)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.pki = make_pki(self.folder / "pki", now=datetime.now(UTC), addresses=self.addresses)
        self._write_configuration()
        arguments = {
            ETCD.name: self._etcd_arguments(),
            KUBE_APISERVER.name: self._apiserver_arguments(),
            KUBE_CONTROLLER_MANAGER.name: self._manager_arguments(),
        }
        try:
            for name, given in arguments.items():
                self._children[name] = Child(name, [binaries / name, *given], self.logs / f"{name}.log")
                self.start_component(name)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything and drop what etcd stored; logs stay."""
        for child in reversed(self._children.values()):
            child.stop()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def start_component(self, name: str) -> None:
        """Start etcd, kube-apiserver or kube-controller-manager (again) and wait until it is ready."""
        ready: dict[str, Callable[[], bool]] = {
            ETCD.name: self._etcd_is_ready,
            KUBE_APISERVER.name: self._api_is_ready,
            KUBE_CONTROLLER_MANAGER.name: self._has_default_service_account,
        }
        self._children[name].start()
        self._children[name].wait_until_ready(ready[name], seconds=READY_WITHIN)

    def component(self, name: str) -> Child:
        """The process of a component: to stop, kill, freeze or thaw it."""
        return self._children[name]

    def api(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        content_type: str = "application/json",
    ) -> Any:
        """A raw request as admin, or with another token; raises urllib.error.HTTPError for a refusal."""
        request = urllib.request.Request(  # noqa: S310 - our own API server
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token or self._admin_token}", "Content-Type": content_type},
        )
        context = ssl.create_default_context(cafile=str(self.ca_file))
        with urllib.request.urlopen(request, context=context, timeout=30) as response:  # noqa: S310
            content = response.read()
        return json.loads(content) if content[:1] in b"{[" else content.decode()

    def _write_kubeconfig(self) -> None:
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        configuration = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self._admin_token}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "admin"}}],
            "current-context": "local",
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(configuration, indent=1))

    def _write_configuration(self) -> None:
        (self.folder / "tokens.csv").write_text("\n".join(self._tokens()) + "\n")
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        }
        (self.folder / "audit-policy.json").write_text(json.dumps(policy))
        self._write_kubeconfig()

    def _tokens(self) -> list[str]:
        return [f'{self._admin_token},admin,admin,"system:masters"']

    def _etcd_arguments(self) -> list[str]:
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self.etcd_client_url}",
            f"--advertise-client-urls={self.etcd_client_url}",
            f"--listen-peer-urls={self._peer_url}",
            f"--initial-advertise-peer-urls={self._peer_url}",
            f"--initial-cluster=default={self._peer_url}",
            "--unsafe-no-fsync",
            "--quota-backend-bytes=4294967296",
            "--log-level=warn",
        ]

    def _apiserver_arguments(self) -> list[str]:
        return [
            f"--etcd-servers={self.etcd_client_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._api_port}",
            f"--tls-cert-file={self.pki.server_certificate}",
            f"--tls-private-key-file={self.pki.server_key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.pki.service_account_key}",
            f"--service-account-signing-key-file={self.pki.service_account_key}",
            f"--audit-policy-file={self.folder / 'audit-policy.json'}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-format=json",
            "--max-requests-inflight=2000",
            "--max-mutating-requests-inflight=1000",
            "--endpoint-reconciler-type=none",
            *(f"--feature-gates={gate}={str(is_on).lower()}" for gate, is_on in self.feature_gates.items()),
        ]

    def _manager_arguments(self) -> list[str]:
        return [
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--leader-elect=false",
            f"--service-account-private-key-file={self.pki.service_account_key}",
            f"--root-ca-file={self.pki.ca}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._manager_port}",
            f"--cert-dir={self.folder / 'pki' / 'manager'}",
            # At its default of 20 the garbage collector takes minutes over thousands of Secrets.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]

    def _etcd_is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.etcd_client_url + "/readyz", timeout=2) as response:  # noqa: S310
                return bool(response.status == 200)
        except OSError:
            return False

    def _api_is_ready(self) -> bool:
        try:
            return bool(self.api("GET", "/readyz") == "ok")
        except OSError:
            return False

    def _has_default_service_account(self) -> bool:
        try:
            self.api("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        except OSError:
            return False
        return True
