"""Sealed Secrets on a cluster: its own controller as a process, in a mount namespace that has what a pod's has."""

import json
import os
import subprocess
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.cluster import Cluster
from deploy.local.processes import Child, free_ports
from tests.support.go_programs import KUBESEAL, SEALED_SECRETS_CONTROLLER, SEALED_SECRETS_CRDS, controllers, crds
from tests.support.objects import install_crds

_NAMESPACE, _ACCOUNT = "kube-system", "sealed-secrets-controller"
_IN_A_POD = "/run/secrets/kubernetes.io/serviceaccount"
_UNSHARE = ("unshare", "--mount", "--propagation", "private", *(() if os.geteuid() == 0 else ("--map-root-user",)))
# The controller takes the address of the API server and its token from where a pod has them, and from nowhere else.
_AS_IN_A_POD = f'mount -t tmpfs tmpfs /run && mkdir -p {_IN_A_POD} && cp "$1"/* {_IN_A_POD}/ && shift && exec "$@"'
_START_WITHIN = 90.0


def obstacle() -> str | None:
    """Why the controller cannot run on this machine; None where it can."""
    done = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True, check=False)  # noqa: S603
    return None if done.returncode == 0 else f"it gives us no mount namespace: {done.stderr.strip()}"


class SealedSecrets:
    """The controller, and kubeseal. Use it as a context manager."""

    def __init__(self, cluster: Cluster, ca_file: Path, folder: Path) -> None:
        self._cluster, self._ca_file, self._folder = cluster, ca_file, folder
        self._programs = controllers().built()
        self._port, metrics = free_ports(2)
        listen = [f"--listen-addr=127.0.0.1:{self._port}", f"--listen-metrics-addr=127.0.0.1:{metrics}"]
        program = self._programs / SEALED_SECRETS_CONTROLLER.name
        inside: list[str | Path] = ["sh", "-c", _AS_IN_A_POD, "sh", self._account, program, *listen]
        self._child = Child("sealed-secrets", [*_UNSHARE, *inside], folder / "sealed-secrets.log", self._environ())

    def __enter__(self) -> "SealedSecrets":
        install_crds(self._cluster, crds(*SEALED_SECRETS_CRDS))
        self._cluster.kubectl("create", "serviceaccount", _ACCOUNT, "-n", _NAMESPACE)
        account = f"--serviceaccount={_NAMESPACE}:{_ACCOUNT}"
        self._cluster.kubectl("create", "clusterrolebinding", _ACCOUNT, "--clusterrole=cluster-admin", account)
        self._account.mkdir(mode=0o700, parents=True)
        token = self._cluster.service_account_token(_NAMESPACE, _ACCOUNT)
        for name, content in {"token": token, "namespace": _NAMESPACE, "ca.crt": self._ca_file.read_text()}.items():
            (self._account / name).write_text(content)
        self._child.start()
        self._child.wait_until_ready(self._has_a_key, seconds=_START_WITHIN)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    def sealed(self, value: str, *, name: str, namespace: str) -> str:
        """What stands in a SealedSecret for a value, as docs/gitops.md has it made."""
        certificate = self._folder / "certificate.pem"
        certificate.write_bytes(self._certificate())
        command: list[str | Path] = [self._programs / KUBESEAL.name, "--raw", "--name", name, "--namespace", namespace]
        done = subprocess.run(  # noqa: S603
            [*command, "--cert", certificate, "--from-file=/dev/stdin"],
            input=value,
            capture_output=True,
            text=True,
            check=True,
        )
        return str(done.stdout).strip()

    @property
    def _account(self) -> Path:
        return self._folder / "account"

    def _environ(self) -> dict[str, str]:
        view = self._cluster.kubectl("config", "view", "--minify", "-o", "json").stdout
        server = urlsplit(json.loads(view)["clusters"][0]["cluster"]["server"])
        return {
            "PATH": os.environ["PATH"],
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
        }

    def _certificate(self) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/v1/cert.pem", timeout=5) as response:
            return bytes(response.read())

    def _has_a_key(self) -> bool:
        try:
            return bool(self._certificate())
        except OSError:
            return False
