"""examples/gitops on a cluster that Flux's own controllers run on: from a commit to a token, and nothing moves by itself."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import Child, free_ports, is_free
from deploy.local.provider import Provider
from generators.manifests import CHART
from tests.node.ability import require
from tests.support import gitops_examples
from tests.support.api import Manifest, Resource, api_of
from tests.support.chart_processes import processes
from tests.support.flux import GIT_REPOSITORIES, HELM_RELEASES, KUSTOMIZATIONS, NAMESPACE, Flux, condition
from tests.support.git_server import GitServer
from tests.support.go_programs import REGISTRY, controllers
from tests.support.helm import helm, in_order
from tests.support.kstatus import computed
from tests.support.person import Person
from tests.support.sealed_secrets import SealedSecrets, obstacle
from tests.support.user import CLIENT_SECRET, User

pytestmark = pytest.mark.cluster

SYSTEM, TEAM = "datasource-system", "team-a"
OPERATOR = "datasource-operator"
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
NAMES = ("datasource-operator", "datasource-callback-server")

# Whatever the chart, the examples and the operator make.
KINDS = (
    "customresourcedefinitions,validatingadmissionpolicies,validatingadmissionpolicybindings,clusterroles,clusterrolebindings,"
    "namespaces,roles,rolebindings,serviceaccounts,services,configmaps,secrets,deployments,poddisruptionbudgets,ingresses,"
    "networkpolicies,sealedsecrets,datasources"
)


@dataclass
class Site:
    """A cluster with Flux on it, and where the team commits to."""

    cluster: Cluster
    flux: Flux
    git: GitServer
    user: User
    files: dict[str, str]

    def commit(self, **changes: str | None) -> None:
        """Commit the files with changes, and have Flux see the commit; None takes a file away."""
        whole = {**self.files, **changes}
        commit = self.git.commit({name: text for name, text in whole.items() if text is not None})
        found = self.flux.reconciled(GIT_REPOSITORIES, "platform")
        assert found["status"]["artifact"]["revision"].endswith(commit)

    def datasource(self) -> Manifest:
        """The Datasource of the example, with who manages which field."""
        return self.cluster.get("datasource", "calendar", "-n", TEAM, "--show-managed-fields")


def push_chart(folder: Path, registry: str) -> None:
    """Package the chart and push it, as a release is."""
    in_order(helm("package", str(CHART), "--destination", str(folder)))
    (packed,) = folder.glob("*.tgz")
    in_order(helm("push", str(packed), f"oci://{registry}/charts", "--plain-http"))


def example_files(user: User, git: GitServer, registry: str, sealed: str) -> dict[str, str]:
    """examples/gitops with what a reader fills in: URLs, the provider, the sealed client secret."""
    files = gitops_examples.files()

    def fill_in(name: str, **values: str) -> None:
        files[name] = gitops_examples.filled_in(files[name], values)

    fill_in("flux/sync.yaml", **{"https://git.example.com/platform/cluster.git": git.url})
    # Loopback alone: no TLS, and a provider that is not on the internet.
    insecure = f"oci://{registry}/charts/datasource-operator\n  insecure: true"
    egress = f"{user.external_url}\n    settings:\n      egress:\n        allow: [127.0.0.1]"
    fill_in(
        "flux/operator/release.yaml",
        **{"oci://registry.example.com/charts/datasource-operator": insecure, "https://connect.example.com": egress},
    )
    fill_in("team-a/sealed-secret.yaml", **{"AgB...": sealed, "login.example.com": "127.0.0.1"})
    # The other one of the two.
    fill_in("team-a/kustomization.yaml", **{"  - external": "  # - external", "  # - sealed": "  - sealed"})
    calendar = yaml.safe_load(files["team-a/calendar.yaml"])
    reference = calendar["spec"]["oauth2"]["clientSecretRef"]
    calendar["spec"]["oauth2"] = user.oauth2(clientSecretRef=reference)
    files["team-a/calendar.yaml"] = yaml.safe_dump(calendar)
    return files


def roll_out(cluster: Cluster, name: str) -> None:
    """Report a Deployment as rolled out: here is no kubelet, and processes do the work of the pods."""
    api = api_of(cluster.kubeconfig)
    found = api.wait(f"Deployment {name}", DEPLOYMENTS, name, lambda obj: obj is not None, SYSTEM, seconds=180)
    assert found is not None
    replicas = found["spec"]["replicas"]
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
    conditions = [
        {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
    ]
    status = {"observedGeneration": found["metadata"]["generation"], **counts, "conditions": conditions}
    api.patch(DEPLOYMENTS, name, {"status": status}, SYSTEM, subresource="status")


@pytest.fixture(scope="module")
def site(bare_plane: ControlPlane, provider: Provider, folder: Path) -> Iterator[Site]:
    """Flux has applied examples/gitops; nobody has consented yet."""
    require(obstacle())
    cluster, logs = bare_plane.cluster, folder / "flux"
    pages, registry_port = free_ports(2)
    registry = f"127.0.0.1:{registry_port}"
    user = User(cluster, TEAM, provider, f"http://localhost:{pages}")
    user.register_application()
    with ExitStack() as stack:
        child = Child(
            "registry", [controllers().built() / REGISTRY.name, f"-port={registry_port}"], logs / "registry.log", {}
        )
        stack.callback(child.stop)
        child.start()
        child.wait_until_ready(lambda: not is_free(registry_port), seconds=60)
        push_chart(logs, registry)
        sealed_secrets = stack.enter_context(SealedSecrets(cluster, bare_plane.ca_file, logs))
        sealed = sealed_secrets.sealed(CLIENT_SECRET, name="calendar-app", namespace=TEAM)
        git = stack.enter_context(GitServer(logs / "git"))
        files = example_files(user, git, registry, sealed)
        git.commit(files)
        running = stack.enter_context(Flux(cluster, logs))
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=files["flux/sync.yaml"])
        for name in NAMES:
            roll_out(cluster, name)
        running.wait(HELM_RELEASES, OPERATOR, SYSTEM)
        stack.enter_context(processes(cluster, logs, pages, SYSTEM))
        running.wait(KUSTOMIZATIONS, "team-a")
        yield Site(cluster, running, git, user, files)


def unmoved(cluster: Cluster) -> dict[tuple[str, str, str], Manifest]:
    """Every object of the cluster, but for what is reported in a status."""
    found = {}
    for each in cluster.get(KINDS, "--all-namespaces", "--show-managed-fields")["items"]:
        metadata = each["metadata"]
        entries = [entry for entry in metadata.pop("managedFields", []) if entry.get("subresource") != "status"]
        metadata.pop("resourceVersion")
        each.pop("status", None)
        found[each["kind"], metadata.get("namespace", ""), metadata["name"]] = each | {"managers": entries}
    return found


def managers(obj: Manifest) -> dict[str, set[str]]:
    """Who manages an object, and which of its parts."""
    found: dict[str, set[str]] = {}
    for entry in obj["metadata"]["managedFields"]:
        found.setdefault(entry["manager"], set()).update(entry["fieldsV1"])
    return found


def test_release_of_the_example_is_installed_and_healthy(site: Site) -> None:
    release = site.flux.wait(HELM_RELEASES, OPERATOR, SYSTEM)
    applied = site.flux.wait(KUSTOMIZATIONS, OPERATOR)

    assert [each["status"] for each in release["status"]["history"]] == ["deployed"]
    assert condition(applied, "Healthy")["status"] == "True"
    namespace = site.cluster.get("namespace", SYSTEM)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_datasource_that_waits_for_consent_does_not_hold_up_the_team(site: Site) -> None:
    applied = site.flux.reconciled(KUSTOMIZATIONS, "team-a")

    assert site.user.ready()["reason"] == "AuthorizationRequired"
    assert condition(applied, "Healthy")["status"] == "True"
    (exprs,) = yaml.safe_load(
        (gitops_examples.FOLDER / "../../deploy/flux/health-check-exprs.yaml").read_text()
    ).values()
    assert applied["spec"]["healthCheckExprs"] == exprs
    (told,) = computed([site.user.get()], exprs[0])
    assert (told.flux, told.health_check) == ("InProgress", "Current")


def test_second_reconciliation_changes_nothing(site: Site) -> None:
    before = unmoved(site.cluster)

    site.flux.reconciled(KUSTOMIZATIONS, OPERATOR)
    release = site.flux.reconciled(HELM_RELEASES, OPERATOR, SYSTEM)
    site.flux.reconciled(KUSTOMIZATIONS, "team-a")

    assert unmoved(site.cluster) == before
    assert [each["version"] for each in release["status"]["history"]] == [1]


def test_flux_and_the_operator_share_no_field(site: Site) -> None:
    found = managers(site.datasource())

    ours = {name: parts for name, parts in found.items() if name != "kustomize-controller"}
    assert found["kustomize-controller"] == {"f:metadata", "f:spec"}
    assert list(ours.values()) == [{"f:status"}]


def test_what_somebody_changes_by_hand_is_put_right(site: Site) -> None:
    name = NAMES[0]
    replicas = api_of(site.cluster.kubeconfig).get(DEPLOYMENTS, name, SYSTEM)["spec"]["replicas"]
    site.cluster.kubectl("scale", "deployment", name, "-n", SYSTEM, f"--replicas={replicas + 3}")
    patch = json.dumps({"spec": {"url": "https://elsewhere.example.com"}})
    site.user.kubectl("patch", "datasource", "calendar", "--type=merge", "-p", patch)

    site.flux.reconciled(HELM_RELEASES, OPERATOR, SYSTEM)
    site.flux.reconciled(KUSTOMIZATIONS, "team-a")

    assert api_of(site.cluster.kubeconfig).get(DEPLOYMENTS, name, SYSTEM)["spec"]["replicas"] == replicas
    assert site.user.get()["spec"]["url"] == yaml.safe_load(site.files["team-a/calendar.yaml"])["spec"]["url"]
    roll_out(site.cluster, name)


def consented(site: Site) -> None:
    """A person has consented, now or in a test before."""
    if site.user.reason() != "Authorized":
        with Person() as person:
            person.authorize(site.user.link())
        site.user.wait_for_reason("Authorized")


def without_expressions(site: Site) -> None:
    """As a Kustomization is that only says `wait: true`; it gives up soon, and tries again at once."""
    change = {"spec": {"healthCheckExprs": None, "timeout": "5s", "retryInterval": "1s"}}
    api_of(site.cluster.kubeconfig).patch(KUSTOMIZATIONS, "team-a", change, NAMESPACE)


def test_without_the_expressions_flux_waits_for_the_person(site: Site) -> None:
    without_expressions(site)
    waiting = site.flux.wait(KUSTOMIZATIONS, "team-a", ready="False")
    assert condition(waiting)["reason"] == "HealthCheckFailed"
    assert "Datasource/team-a/calendar status: 'InProgress'" in condition(waiting)["message"]

    consented(site)

    applied = site.flux.wait(KUSTOMIZATIONS, "team-a")
    assert condition(applied, "Healthy")["status"] == "True"
    assert site.user.secret("calendar-token") is not None


def test_nothing_moves_once_there_is_a_token(site: Site) -> None:
    consented(site)

    test_second_reconciliation_changes_nothing(site)
    test_flux_and_the_operator_share_no_field(site)


def test_datasource_that_vanishes_from_git_keeps_its_credential(site: Site) -> None:
    consented(site)
    kept = site.user.credential_id()
    listing = gitops_examples.filled_in(site.files["team-a/kustomization.yaml"], {"  - calendar.yaml\n": ""})
    site.commit(**{"team-a/kustomization.yaml": listing, "team-a/calendar.yaml": None})

    applied = site.flux.reconciled(KUSTOMIZATIONS, "team-a")

    listed = [each["id"] for each in applied["status"]["inventory"]["entries"]]
    assert not [each for each in listed if "Datasource" in each]
    assert site.user.credential_id() == kept
    site.commit()
    site.flux.reconciled(KUSTOMIZATIONS, "team-a")
    assert site.user.credential_id() == kept
