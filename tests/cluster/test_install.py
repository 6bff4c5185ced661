"""Installed with the real helm, and from install.yaml, on an API server that had nothing of ours before."""

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import build, tools
from deploy.local.cache import REPOSITORY
from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.crds import wait_until_established
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import Stack, running
from generators.manifests import CHART, INSTALL_YAML
from tests.support.api import CONFIG_MAPS, api_of
from tests.support.helm import Values, helm, in_order
from tests.support.person import Person
from tests.support.user import User, eventually
from tests.upgrade.stored import version_of_this_checkout

pytestmark = pytest.mark.cluster

RELEASE, SYSTEM, TEAM = "oauth", "platform", "team-a"
CRD = "datasources.datasource.dev"

SCOPES: dict[str, Values] = {"cluster-wide": {}, "a list": {"namespaces": [TEAM, "team-b"]}}


@pytest.fixture
def bare(folder: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of the test's own, with two namespaces and nothing of ours."""
    with ControlPlane(folder / "bare" / request.node.originalname) as started:
        for namespace in (TEAM, "team-b"):
            started.cluster.kubectl("create", "namespace", namespace)
        yield started.cluster


def helm_on(cluster: Cluster, *arguments: str, values: Values | None = None) -> str:
    """helm in our namespace. No --wait: without kubelets no pod gets ready."""
    return in_order(helm(*arguments, "--namespace", SYSTEM, values=values, kubeconfig=cluster.kubeconfig))


def chart_values(port: int, **values: Any) -> Values:
    """With everything on that this API server knows."""
    return {
        "externalURL": f"http://localhost:{port}",
        "settings": {"egress": {"allow": ["127.0.0.1"]}},
        "ingress": {"enabled": True},
        "networkPolicy": {"enabled": True},
        **values,
    }


@contextmanager
def processes(cluster: Cluster, folder: Path, port: int) -> Iterator[Stack]:
    """Both processes, under the chart's ServiceAccounts, with the settings that its ConfigMap gives to the pods."""
    settings = api_of(cluster.kubeconfig).get(CONFIG_MAPS, "datasource-config", SYSTEM)["data"]
    stack = Stack(cluster, folder / "logs", port, environ=settings, system_namespace=SYSTEM)
    with running(stack.operator("chart-operator"), stack.callback_server("chart-callback-server")):
        yield stack


@pytest.mark.parametrize("scope", SCOPES)
def test_chart_gives_the_rights_that_an_authorization_takes(
    bare: Cluster, provider: Provider, folder: Path, scope: str
) -> None:
    (port,) = free_ports(1)
    notes = helm_on(
        bare, "install", RELEASE, str(CHART), "--create-namespace", values=chart_values(port, **SCOPES[scope])
    )
    assert f"kubectl label namespace {SYSTEM} pod-security.kubernetes.io/enforce=restricted" in notes

    with processes(bare, folder, port) as stack, Person() as person:
        user = User(bare, TEAM, provider, stack.external_url)
        person.authorize(user.ready_to_authorize())
        user.wait_for_reason("Authorized")
        user.annotate("refresh", "1")
        user.wait_for_handled("refresh", "1")

    def can_get(secret: str, namespace: str) -> str:
        account = f"system:serviceaccount:{SYSTEM}:datasource-callback-server"
        what = ("auth", "can-i", "get", secret, "--as", account, "-n", namespace)
        return bare.kubectl(*what, check=False).stdout.strip()

    assert can_get("secret/calendar-oauth2-credential", TEAM) == "yes"
    assert [can_get("secret/others", TEAM), can_get("secrets", TEAM), can_get("secret/app", "team-b")] == ["no"] * 3
    assert can_get("configmap/kube-root-ca.crt", TEAM) == "no"


def test_policy_of_the_chart_holds_the_callback_server_of_the_chart(bare: Cluster) -> None:
    helm_on(bare, "install", RELEASE, str(CHART), "--create-namespace", values=chart_values(8080))
    thief = Cluster(bare.kubeconfig_for(SYSTEM, "datasource-callback-server"), bare.folder)

    def tries(type_: str, namespace: str, name: str) -> str:
        manifest = {"apiVersion": "v1", "kind": "Secret", "type": type_, "metadata": {"name": name}}
        options = ("create", "--dry-run=server", "-n", namespace, "-f", "-")
        return thief.kubectl(*options, stdin=json.dumps(manifest), check=False).stderr

    # The API server reads new policies a moment after they are stored.
    eventually(
        "another Secret is refused",
        lambda: "treat its ServiceAccount token as stolen" in tries("Opaque", TEAM, "anything"),
    )
    # Whoever may read it may write it, as far as another policy is concerned: only that of flow records is left to refuse it.
    right = ("--verb=get", "--resource=secrets", "--resource-name=datasource-flow-1")
    bare.kubectl("create", "role", "reads-one", "-n", TEAM, *right)
    account = f"--serviceaccount={SYSTEM}:datasource-callback-server"
    bare.kubectl("create", "rolebinding", "reads-one", "-n", TEAM, "--role=reads-one", account)
    eventually(
        "a flow record is refused outside of the namespace of the release",
        lambda: (
            f"flow records are named datasource-flow-... and are in namespace {SYSTEM}"
            in tries("datasource.dev/oauth2-flow", TEAM, "datasource-flow-1")
        ),
        lambda: tries("datasource.dev/oauth2-flow", TEAM, "datasource-flow-1"),
    )
    assert tries("datasource.dev/oauth2-flow", SYSTEM, "datasource-flow-1") == ""


def test_upgrade_reaches_the_crd_and_uninstall_keeps_it(bare: Cluster, tmp_path: Path) -> None:
    older = shutil.copytree(CHART, tmp_path / "older")
    crd = yaml.safe_load((older / "files" / "crd.yaml").read_text())
    columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
    dropped = columns.pop()
    (older / "files" / "crd.yaml").write_text(yaml.safe_dump(crd))

    def printed_columns() -> list[str]:
        version = bare.get("crd", CRD)["spec"]["versions"][0]
        return [each["name"] for each in version["additionalPrinterColumns"]]

    helm_on(bare, "install", RELEASE, str(older), "--create-namespace", values=chart_values(8080))
    assert dropped["name"] not in printed_columns()
    helm_on(bare, "upgrade", RELEASE, str(CHART), values=chart_values(8080))
    assert dropped["name"] in printed_columns()

    wait_until_established(bare, CRD)
    bare.kubectl("apply", "-n", TEAM, "-f", str(REPOSITORY / "examples" / "calendar.yaml"))
    helm_on(bare, "uninstall", RELEASE)

    assert bare.get("datasource", "calendar", "-n", TEAM)["metadata"]["name"] == "calendar"
    left = bare.get("deployments,serviceaccounts,services,roles,rolebindings", "-n", SYSTEM)["items"]
    assert [each["metadata"]["name"] for each in left] == ["default"]
    cluster_scoped = "validatingadmissionpolicies,clusterroles,clusterrolebindings"
    names = [each["metadata"]["name"] for each in bare.get(cluster_scoped)["items"]]
    assert not [name for name in names if "datasource" in name]

    helm_on(bare, "install", RELEASE, str(CHART), values=chart_values(8080))
    assert bare.get("datasource", "calendar", "-n", TEAM)["metadata"]["name"] == "calendar"


def test_upgrade_from_a_list_to_the_whole_cluster_takes_the_roles_along(bare: Cluster) -> None:
    def can_list_secrets_in_default() -> str:
        user = f"system:serviceaccount:{SYSTEM}:datasource-operator"
        return bare.kubectl("auth", "can-i", "list", "secrets", "--as", user, "-n", "default", check=False).stdout

    narrow = chart_values(8080, namespaces=[TEAM])
    helm_on(bare, "install", RELEASE, str(CHART), "--create-namespace", values=narrow)
    assert can_list_secrets_in_default().strip() == "no"
    assert len(bare.get("roles", "-n", TEAM)["items"]) == 2
    helm_on(bare, "upgrade", RELEASE, str(CHART), values=chart_values(8080))

    assert can_list_secrets_in_default().strip() == "yes"
    assert bare.get("roles", "-n", TEAM)["items"] == []


def test_install_yaml_is_one_apply_and_the_second_changes_nothing(bare: Cluster) -> None:
    def apply() -> dict[tuple[str, str], str]:
        applied = bare.kubectl("apply", "--server-side", "-f", str(INSTALL_YAML), "-o", "json").stdout
        return {
            (each["kind"], each["metadata"]["name"]): each["metadata"]["resourceVersion"]
            for each in json.loads(applied)["items"]
            # Its status, which the control plane fills in meanwhile, counts too.
            if each["kind"] not in {"CustomResourceDefinition", "ValidatingAdmissionPolicy", "Namespace"}
        }

    first = apply()
    assert ("Deployment", "datasource-operator") in first
    assert apply() == first
    wait_until_established(bare, CRD)


DOCUMENTED = ("helm install", "sed -e", "kubectl apply --server-side -k")


def documented(beginning: str) -> str:
    """The command in docs/admin.md that begins so, with the lines that belong to it."""
    lines = (REPOSITORY / "docs" / "admin.md").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"    {beginning}"))
    return "\n".join(itertools.takewhile(lambda line: line.startswith("    "), lines[first:]))


@pytest.mark.parametrize("beginning", DOCUMENTED)
def test_command_in_the_docs_installs(bare: Cluster, beginning: str) -> None:
    path = [str(tools.kubectl().parent), str(build.helm().parent), os.environ["PATH"]]
    environ = {**os.environ, "KUBECONFIG": str(bare.kubeconfig), "PATH": os.pathsep.join(path)}
    done = subprocess.run(  # noqa: S602 - as a person pastes it
        documented(beginning), shell=True, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    deployments = bare.get("deployments", "-n", "datasource-system")["items"]
    assert {each["metadata"]["name"] for each in deployments} == {"datasource-operator", "datasource-callback-server"}
    if not beginning.startswith("kubectl"):
        images = {each["spec"]["template"]["spec"]["containers"][0]["image"] for each in deployments}
        assert images == {f"registry.example.com/datasource-operator:{version_of_this_checkout()}"}
        (settings,) = (
            each["data"]
            for each in bare.get("configmaps", "-n", "datasource-system")["items"]
            if each["metadata"]["name"].startswith("datasource-config")
        )
        assert settings["DATASOURCE_EXTERNAL_URL"] == "https://connect.example.com"


def test_helm_adopts_what_kustomize_installed(bare: Cluster) -> None:
    bare.kubectl("apply", "--server-side", "-f", str(INSTALL_YAML))
    before = bare.get("deployment", "datasource-operator", "-n", "datasource-system")["metadata"]["uid"]
    in_order(
        helm(
            *("install", RELEASE, str(CHART), "--take-ownership", "--namespace", "datasource-system"),
            values=chart_values(8080),
            kubeconfig=bare.kubeconfig,
        )
    )
    after = bare.get("deployment", "datasource-operator", "-n", "datasource-system")["metadata"]
    assert after["uid"] == before
    assert after["annotations"]["meta.helm.sh/release-name"] == RELEASE
