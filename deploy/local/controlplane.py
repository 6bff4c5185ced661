"""A real control plane without Docker: etcd, kube-apiserver and kube-controller-manager, built from their Go modules.

Built once into the cache folder (about 9 minutes on 2 cores), then ready in a few seconds. Everything listens on loopback.
"""

import ctypes
import datetime
import ipaddress
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from deploy.local import toolbox

KUBERNETES = "v1.36.3"
ETCD = "v3.6.8"
MODULES = toolbox.HERE / "controlplane"

BINARIES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
}
BUILD_MINUTES = {"etcd": 1, "kube-apiserver": 6, "kube-controller-manager": 2}

_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
)


class ControlPlaneFailed(Exception):
    """A component did not come up; carries the end of its log."""


def binaries_folder() -> Path:
    """Where the binaries of these versions are kept."""
    return toolbox.cache_folder() / "controlplane" / f"k8s-{KUBERNETES}-etcd-{ETCD}"


def missing_binaries() -> list[str]:
    """What is not built yet."""
    return [name for name in BINARIES if not (binaries_folder() / name).exists()]


def build(say: Callable[[str], None] = print) -> None:
    """Build what is missing, showing progress."""
    with toolbox.locked("controlplane"):
        for name in missing_binaries():
            say(f"building {name}, about {BUILD_MINUTES[name]} min on 2 cores, once")
            _build(name, say)


def _build(name: str, say: Callable[[str], None]) -> None:
    folder = binaries_folder()
    folder.mkdir(parents=True, exist_ok=True)
    version = "k8s.io/component-base/version"
    stamps = {
        "gitVersion": KUBERNETES,
        "gitMajor": KUBERNETES.split(".")[0].lstrip("v"),
        "gitMinor": KUBERNETES.split(".")[1],
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    ldflags = "-s -w " + " ".join(f"-X {version}.{key}={value}" for key, value in stamps.items())
    unfinished = folder / f".{name}.{os.getpid()}"
    command = [str(toolbox.go()), "build", "-v", "-trimpath", "-ldflags", ldflags, "-o", str(unfinished), BINARIES[name]]
    log = toolbox.REPOSITORY / "build" / "logs" / f"build-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=MODULES, env={**os.environ, "CGO_ENABLED": "0"}, stdout=output, stderr=subprocess.STDOUT
        )
        while True:
            try:
                code = process.wait(timeout=20)
                break
            except subprocess.TimeoutExpired:
                compiled = log.read_text().count("\n")
                say(f"  {name}: {time.monotonic() - started:.0f} s, {compiled} packages compiled")
    if code != 0:
        unfinished.unlink(missing_ok=True)
        raise ControlPlaneFailed(f"building {name} failed:\n{_tail(log)}")
    unfinished.rename(folder / name)
    say(f"  {name}: built in {time.monotonic() - started:.0f} s")


class ControlPlane:
    """One control plane in a folder. Use it as a context manager, or `start` and `stop` it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.logs = self.folder / "logs"
        self.audit_log = self.folder / "audit.log"
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self.ca_file = self.folder / "pki" / "ca.crt"
        self.admin_token = secrets.token_hex(16)
        self._ports = dict(zip(("etcd", "peer", "api", "manager"), _free_ports(4), strict=True))
        self.url = f"https://127.0.0.1:{self._ports['api']}"
        self.etcd_client_url = f"http://127.0.0.1:{self._ports['etcd']}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "ControlPlane":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until it can be used."""
        build()
        for folder in (self.folder / "pki", self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self._write_keys()
        self._write_configuration()
        try:
            for name in BINARIES:
                self.start_component(name)
            self._wait("kube-controller-manager", "default ServiceAccount", self._has_default_service_account)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything and drop what etcd stored."""
        for name in reversed(BINARIES):
            self.stop_component(name)
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def start_component(self, name: str) -> None:
        """Start etcd, kube-apiserver or kube-controller-manager and wait until it is ready."""
        log = (self.logs / f"{name}.log").open("ab")
        with log:
            self._processes[name] = subprocess.Popen(
                [str(binaries_folder() / name), *self._arguments(name)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        probes = {"etcd": self._etcd_is_ready, "kube-apiserver": self._api_is_ready}
        if name in probes:
            self._wait(name, "readiness", probes[name])

    def stop_component(self, name: str, sig: int = signal.SIGTERM) -> None:
        """Stop one component; what it stored stays."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(sig)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def freeze(self, name: str) -> None:
        """Stop a component's clock: it keeps its connections and answers nothing."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen component go on."""
        self._processes[name].send_signal(signal.SIGCONT)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl as admin."""
        command = [str(toolbox.kubectl()), "--kubeconfig", str(self.kubeconfig), *arguments]
        result = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if check and result.returncode != 0:
            raise ControlPlaneFailed(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result

    def api(
        self, method: str, path: str, body: object = None, *, token: str | None = None, content_type: str = "application/json"
    ) -> Any:
        """A raw request; raises urllib.error.HTTPError for a refusal."""
        request = urllib.request.Request(  # noqa: S310 - our own API server
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token or self.admin_token}", "Content-Type": content_type},
        )
        context = ssl.create_default_context(cafile=str(self.ca_file))
        with urllib.request.urlopen(request, context=context, timeout=30) as response:  # noqa: S310
            content = response.read()
        return json.loads(content) if content[:1] in b"{[" else content.decode()

    def service_account_token(self, namespace: str, name: str, *, lifetime: int = 86_400) -> str:
        """A token of a ServiceAccount, as kubelet would mount it; lifetime in seconds."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": lifetime}}
        answer = self.api("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", body)
        return str(answer["status"]["token"])

    def kubeconfig_for(self, namespace: str, name: str) -> Path:
        """A kubeconfig of a ServiceAccount, whose token stands in a file of its own, as in a pod."""
        token_file = self.folder / f"{namespace}.{name}.token"
        token_file.write_text(self.service_account_token(namespace, name))
        path = self.folder / f"{namespace}.{name}.kubeconfig"
        return self._write_kubeconfig(path, {"tokenFile": str(token_file)})

    def _write_kubeconfig(self, path: Path, user: dict[str, str]) -> Path:
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "local", "cluster": cluster}],
                    "users": [{"name": "user", "user": user}],
                    "contexts": [{"name": "local", "context": {"cluster": "local", "user": "user"}}],
                    "current-context": "local",
                },
                indent=1,
            )
        )
        path.chmod(0o600)
        return path

    def _write_configuration(self) -> None:
        (self.folder / "tokens.csv").write_text(f'{self.admin_token},admin,admin,"system:masters"\n')
        policy = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        }
        (self.folder / "audit-policy.json").write_text(json.dumps(policy))
        self._write_kubeconfig(self.kubeconfig, {"token": self.admin_token})

    def _write_keys(self) -> None:
        pki = self.folder / "pki"
        if (pki / "ca.crt").exists():
            return
        ca_key, ca = _authority()
        key, certificate = _server_certificate(ca_key, ca)
        (pki / "ca.crt").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        (pki / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (pki / "server.key").write_bytes(_private_pem(key))
        signing = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (pki / "sa.key").write_bytes(_private_pem(signing))
        public = signing.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (pki / "sa.pub").write_bytes(public)

    def _arguments(self, name: str) -> list[str]:
        pki, ports = self.folder / "pki", self._ports
        if name == "etcd":
            peer = f"http://127.0.0.1:{ports['peer']}"
            return [
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={self.etcd_client_url}",
                f"--advertise-client-urls={self.etcd_client_url}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync",
                "--quota-backend-bytes=4294967296",
                "--log-level=warn",
            ]
        if name == "kube-apiserver":
            return [
                f"--etcd-servers={self.etcd_client_url}",
                "--bind-address=127.0.0.1",
                f"--secure-port={ports['api']}",
                f"--tls-cert-file={pki / 'server.crt'}",
                f"--tls-private-key-file={pki / 'server.key'}",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=RBAC",
                f"--token-auth-file={self.folder / 'tokens.csv'}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={pki / 'sa.pub'}",
                f"--service-account-signing-key-file={pki / 'sa.key'}",
                f"--audit-policy-file={self.folder / 'audit-policy.json'}",
                f"--audit-log-path={self.audit_log}",
                "--audit-log-format=json",
                "--max-requests-inflight=2000",
                "--max-mutating-requests-inflight=1000",
                "--endpoint-reconciler-type=none",
            ]
        return [
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--leader-elect=false",
            f"--service-account-private-key-file={pki / 'sa.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={ports['manager']}",
            f"--cert-dir={pki / 'manager'}",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ]

    def _wait(self, name: str, what: str, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 90
        while not is_so():
            process = self._processes[name]
            if process.poll() is not None or time.monotonic() > deadline:
                state = f"ended with {process.returncode}" if process.poll() is not None else f"no {what} after 90 s"
                raise ControlPlaneFailed(f"{name}: {state}\n{_tail(self.logs / f'{name}.log')}")
            time.sleep(0.1)

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


def die_with_parent() -> None:
    """Let the kernel end this child when its parent ends (prctl PR_SET_PDEATHSIG); Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _tail(path: Path, lines: int = 20) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "datasource-operator local stack")])
    certificate = (
        _certificate(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _server_certificate(
    ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kube-apiserver")])
    hosts: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.DNSName("kubernetes.default.svc"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    certificate = (
        _certificate(name, ca.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return key, certificate


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=30))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
