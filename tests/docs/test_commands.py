"""Every command that README and docs/ tell people to type is typed, by somebody who sits in the root of a checkout."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local import build, tools
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import Stack, install
from tests.docs.commands import Command, commands, lines_of_shells, pages
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

ON_A_NODE = "tests/released types it, with a release and a node"

ELSEWHERE: dict[str, str] = {
    "make demo": "tests/e2e go the same way, and the demo is run by hand before each release",
    "make test": "this is it",
    "kubectl -n datasource-system logs POD | grep 'a reply waits in the journal'": "there are no pods; tests/node has some",
    "kubectl apply -f calendar.yaml": "tests/docs/test_newcomer.py types it, with the file that README has",
    "helm test datasource --namespace datasource-system --timeout 2m": ON_A_NODE,
    "sed 's#DATASOURCE_EXTERNAL_URL: \"\"#DATASOURCE_EXTERNAL_URL: https://connect.example.com#' install.yaml"
    " | kubectl apply --server-side -f -": ON_A_NODE,
    "kubectl krew install --manifest=datasource.yaml --archive=kubectl-datasource-VERSION-linux-amd64.tar.gz": ON_A_NODE,
    "helm push datasource-operator-VERSION.tgz oci://registry.example.com/charts": "it uploads, to the reader's registry",
}
"""Commands that are not typed here, and why."""

PROGRAMS_ELSEWHERE: dict[str, str] = {
    "podman ": "there is no engine; tests/node builds the image from the same file",
    "uv ": "it installs from PyPI, or for the user; tests/unit/test_plugin_package.py holds what is in the package",
    "kubeseal ": "the cluster has no controller whose key it could encrypt for; tests/gitops holds the object that it makes",
    "cosign ": "tests/released types the lines of the page",
    "base64 -d checksums.txt.sig ": "tests/unit/release checks signatures with openssl; there is no release here",
    "sha256sum ": "there is no release here",
    ".venv/bin/": "they are tests, or runs of many minutes",
    "python -m ": "runs of many minutes",
}
"""The same by what a command begins with."""

ENDLESS = ("kubectl get dsrc -w",)
"""What goes on until it is ended: enough that it has told something."""

PATIENCE = 120


@dataclass
class Desk:
    """Where somebody types: a checkout of their own to write into, a kubeconfig, and the tools on PATH."""

    cluster: Cluster
    folder: Path
    user: User | None = None

    def type(self, line: str) -> "subprocess.CompletedProcess[str]":
        """Run a line in a shell."""
        return subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", line],
            cwd=self.folder,
            env=self._environ(),
            input="typed at the prompt\n",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def begin(self, line: str) -> "subprocess.Popen[str]":
        """Start one that goes on."""
        return subprocess.Popen(
            shlex.split(line),
            cwd=self.folder,
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _environ(self) -> dict[str, str]:
        folders = [Path(sys.executable).parent, tools.kubectl().parent, build.helm().parent]
        browser = f"{sys.executable} -m tests.support.consenting_browser %s"
        return {
            **os.environ,
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "PATH": os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": str(REPOSITORY),
            "BROWSER": browser,
        }


def desk(cluster: Cluster, folder: Path, namespace: str = "default") -> Desk:
    """A folder that looks like the root of a checkout, and a kubeconfig for a namespace."""
    folder.mkdir(parents=True)
    for name in ("deploy", "crds", "examples"):
        shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("local"))
    shutil.copy(cluster.kubeconfig, folder / "kubeconfig")
    there = Cluster(folder / "kubeconfig", folder)
    there.kubectl("config", "set-context", "--current", f"--namespace={namespace}")
    return Desk(there, folder)


@pytest.fixture(scope="module")
def living(folder: Path, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A cluster of its own in which everything runs, and one Datasource called `calendar` in it."""
    with ControlPlane(folder / "docs" / "cluster") as control_plane, ExitStack() as running:
        install(control_plane.cluster)
        stack = Stack(control_plane.cluster, folder / "logs", free_ports(1)[0])
        for process in (stack.operator("operator-docs"), stack.callback_server("callback-server-docs")):
            process.start()
            running.callback(process.stop)
        control_plane.cluster.kubectl("create", "namespace", "docs")
        there = desk(control_plane.cluster, tmp_path_factory.mktemp("docs") / "checkout", "docs")
        there.user = User(control_plane.cluster, "docs", provider, stack.external_url)
        there.user.ready_to_authorize()
        authorize(there)
        yield there


@pytest.fixture(scope="module")
def bare(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A cluster in which nothing is installed yet."""
    with ControlPlane(folder / "docs" / "bare") as control_plane:
        yield desk(control_plane.cluster, tmp_path_factory.mktemp("bare") / "checkout")


# What has to be there before some commands.


def authorize(there: Desk) -> None:
    """A person consents."""
    assert there.user is not None
    if there.user.reason() != "Authorized":
        there.user.wait_for_link()
        with Person() as person:
            person.authorize(there.user.link())
        there.user.wait_for_reason("Authorized")


def clear(there: Desk) -> None:
    """Nobody has consented."""
    assert there.user is not None
    there.user.clear(os.urandom(4).hex())
    there.user.wait_for_reason("CredentialCleared")


def lose_everything(there: Desk) -> None:
    """The backup is there, and what it was made of is not."""
    assert there.user is not None
    there.user.kubectl("delete", "datasources", "--all")
    there.user.kubectl("delete", "secrets", "--all")
    eventually("nothing is left", lambda: there.user is not None and there.user.credential() is None)


def bring_a_token(there: Desk) -> None:
    """A file with a refresh token that works, and no credential: the grant goes on where only that is deleted."""
    assert there.user is not None
    authorize(there)
    token = there.user.decoded("calendar-oauth2-credential", "refresh_token")
    assert token is not None
    (there.folder / "refresh-token.txt").write_text(f"{token}\n")
    there.user.kubectl("delete", "secret", "calendar-oauth2-credential")
    there.user.wait_for_reason("AuthorizationRequired")


def have_argocd(there: Desk) -> None:
    """Its ConfigMap, as it is after its installation."""
    there.cluster.kubectl("create", "namespace", "argocd")
    there.cluster.kubectl("create", "configmap", "argocd-cm", "-n", "argocd")


def name_the_external_url(there: Desk) -> None:
    """The setting as an overlay would have it; the processes here get theirs from the environment."""
    assert there.user is not None
    authorize(there)
    maps = there.cluster.kubectl("get", "configmaps", "-n", "datasource-system", "-o", "name").stdout.split()
    (settings,) = [name for name in maps if name.startswith("configmap/datasource-config")]
    patch = json.dumps({"data": {"DATASOURCE_EXTERNAL_URL": there.user.external_url}})
    there.cluster.kubectl("patch", settings, "-n", "datasource-system", "--type=merge", "-p", patch)


def have_github(there: Desk) -> None:
    """The Datasource of docs/first.md, which nobody has authorized: GitHub is not called for that."""
    oauth2 = {"provider": "github", "clientID": "app", "clientSecretRef": {"name": "github-client"}, "scopes": ["repo"]}
    metadata = {"name": "github", "namespace": "docs"}
    manifest = {"apiVersion": "datasource.dev/v1alpha1", "kind": "Datasource", "metadata": metadata}
    secret = ("create", "secret", "generic", "github-client", "-n", "docs", "--from-literal=client-secret=s")
    if "github-client" not in there.cluster.kubectl("get", "secrets", "-n", "docs", "-o", "name").stdout:
        there.cluster.kubectl(*secret)
    manifest |= {"spec": {"url": "https://api.github.com", "oauth2": oauth2}}
    there.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    link = ("get", "dsrc", "github", "-n", "docs", "-o", "jsonpath={.status.authorizationLink}")
    eventually("the link is offered", lambda: there.cluster.kubectl(*link).stdout != "")


def save_github(there: Desk) -> None:
    """The file that docs/first.md has the reader save."""
    have_github(there)
    saved = there.cluster.kubectl("get", "dsrc", "github", "-n", "docs", "-o", "json").stdout
    spec = json.loads(saved)["spec"]
    manifest = {"apiVersion": "datasource.dev/v1alpha1", "kind": "Datasource", "metadata": {"name": "github"}}
    (there.folder / "github.yaml").write_text(json.dumps(manifest | {"spec": spec}))


def forget_client_secrets(there: Desk) -> None:
    """Those that pages have the reader make are not there yet."""
    there.cluster.kubectl("delete", "secret", "calendar-app", "github-client", "-n", "docs", "--ignore-not-found")


BEFORE: dict[str, Callable[[Desk], None]] = {
    "(read -rs secret": forget_client_secrets,
    "kubectl apply -f github.yaml": save_github,
    "kubectl get dsrc github": have_github,
    "kubectl create -f backup.yaml": lose_everything,
    "kubectl create secret generic calendar-oauth2-import": bring_a_token,
    "kubectl datasource import": bring_a_token,
    "kubectl datasource authorize": clear,
    "kubectl datasource doctor": name_the_external_url,
    "kubectl -n argocd": have_argocd,
}
"""By the beginning of a command; before any other there is a Datasource that is authorized."""

BRINGS_A_CREDENTIAL = ("kubectl create -f backup.yaml", "kubectl create secret generic calendar-oauth2-import")
"""After which the operator is waited for."""

INSTALLS = (
    "helm ",
    "sed ",
    "kubectl apply --server-side ",
    "kubectl delete -k ",
    "kubectl delete -f ",
    "kubectl label namespace ",
    "kubectl delete roles,",
)
"""Commands that install and remove: in a cluster where nothing runs."""

IN_A_CLUSTER_OF_ITS_OWN = ("helm install ",)
"""Typed by tests/cluster/test_install.py: Helm and kubectl do not share what one of them installed."""


def is_elsewhere(command: Command) -> bool:
    return command.line in ELSEWHERE or command.line.startswith(tuple(PROGRAMS_ELSEWHERE))


def is_installation(command: Command) -> bool:
    return command.line.startswith(INSTALLS)


def typed(command: Command) -> str:
    """With what stands for a name filled in, and `...` with something."""
    return command.line.replace("NAMESPACE", "docs").replace("NAME", "calendar").replace("...", "something")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_commands_for_those_who_use_it_work(page: Path, living: Desk, subtests: pytest.Subtests) -> None:
    for command in commands(page):
        if is_elsewhere(command) or is_installation(command):
            continue
        with subtests.test(command.line):
            prepare = next((do for begins, do in BEFORE.items() if command.line.startswith(begins)), authorize)
            prepare(living)
            if command.line.startswith(ENDLESS):
                tells_something(living, typed(command))
                continue
            done = living.type(typed(command))
            assert done.returncode == 0, done.stderr or done.stdout
            if command.line.startswith(BRINGS_A_CREDENTIAL):
                assert living.user is not None
                living.user.wait_for_reason("Authorized")


def tells_something(there: Desk, line: str) -> None:
    with there.begin(line) as process:
        try:
            assert process.stdout is not None
            assert "NAME" in process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_commands_that_install_and_remove_work(page: Path, bare: Desk, subtests: pytest.Subtests) -> None:
    for command in commands(page):
        if is_elsewhere(command):
            continue
        if is_installation(command) and not command.line.startswith(IN_A_CLUSTER_OF_ITS_OWN):
            with subtests.test(command.line):
                done = bare.type(typed(command))
                assert done.returncode == 0, done.stderr or done.stdout


def test_docs_have_commands_of_each_kind() -> None:
    found = [command for page in pages() for command in commands(page)]
    assert len(found) > 20
    assert any(is_installation(command) for command in found)
    assert set(ELSEWHERE) <= {command.line for command in found} | {"make test", "make demo"}
    unused = [begins for begins in PROGRAMS_ELSEWHERE if not any(each.line.startswith(begins) for each in found)]
    assert unused == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_line_of_a_shell_is_known_as_a_command(page: Path) -> None:
    """Or it would be typed nowhere, and nobody would notice."""
    shown = [line for line in lines_of_shells(page.read_text()) if " " in line and not line.startswith("#")]
    known = {command.line for command in commands(page)}
    assert [line for line in shown if line not in known and not line.startswith("make ")] == []
