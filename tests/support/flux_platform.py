"""examples/gitops under Flux: its repository served, its chart pushed, its operator at work, and teams that Git describes.

Nothing runs in pods. Our two processes stand for the pods of the chart's Deployments, under the ServiceAccounts that the
chart made, and the status of a Deployment is written here, which its controller does elsewhere.
"""

import base64
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.processes import Child, free_ports, is_free
from deploy.local.provider import Provider
from deploy.local.stack import CALLBACK_SERVER, OPERATOR, Stack
from generators.manifests import CHART
from tests.support.api import DATASOURCES, NAMESPACES, Manifest, Resource
from tests.support.audit import ApiRequest, writes_by
from tests.support.flux import (
    APPLIER,
    GIT_REPOSITORIES,
    HELM_RELEASES,
    KUSTOMIZATIONS,
    NAMESPACE,
    OCI_REPOSITORIES,
    PATIENCE,
    RELEASER,
    Flux,
    is_ready,
)
from tests.support.git_site import GitSite
from tests.support.gitops_examples import FOLDER
from tests.support.go_programs import REGISTRY, registry
from tests.support.helm import helm, in_order
from tests.support.person import Person
from tests.support.user import CLIENT_SECRET, User, eventually

DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")

REPOSITORY, RELEASE = "platform", "datasource-operator"
"""What the examples call them."""

OPERATOR_FOLDER, RELEASE_FILE = "flux/operator", "flux/operator/release.yaml"
"""In the repository."""


def documents(name: str) -> list[Manifest]:
    """The objects of a file of examples/gitops."""
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


class Charts:
    """An OCI registry on loopback. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        (self._port,) = free_ports(1)
        self._folder = folder
        program = registry().built() / REGISTRY.name
        self._child = Child(REGISTRY.name, [program, f"-port={self._port}"], folder / "registry.log")
        self.origin = f"http://localhost:{self._port}"
        self.url = f"oci://localhost:{self._port}/charts"

    def __enter__(self) -> "Charts":
        self._child.start()
        self._child.wait_until_ready(lambda: not is_free(self._port), seconds=30)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    def push(self, version: str) -> None:
        """Our chart, under a version, as docs/release.md has it."""
        in_order(helm("package", str(CHART), "--version", version, "--destination", str(self._folder)))
        archive = self._folder / f"{RELEASE}-{version}.tgz"
        in_order(helm("push", str(archive), self.url, "--plain-http"))


@dataclass
class Platform:
    """What a platform team runs."""

    cluster: Cluster
    audit_log: Path
    flux: Flux
    git: GitSite
    charts: Charts
    stack: Stack
    provider: Provider

    def describe(self) -> None:
        """Commit the operator of the examples, and give flux/sync.yaml to Flux."""
        for path in sorted((FOLDER / OPERATOR_FOLDER).iterdir()):
            name = f"{OPERATOR_FOLDER}/{path.name}"
            self.git.write({name: [self._here(each) for each in documents(name)]})
        self.git.commit()
        repository, operator, _ = documents("flux/sync.yaml")
        self.flux.apply(self._here(repository), operator)

    def team(self, name: str, *, changes: Mapping[str, Any] | None = None) -> "Team":
        """A new team, whose folder and Kustomization are those of the examples' team; `changes` are to the latter."""
        team = Team(self, self.user(name))
        team.user.register_application()
        team.describe(changes or {})
        return team

    def user(self, name: str) -> User:
        """Who works in a namespace."""
        return User(self.cluster, name, self.provider, self.stack.external_url)

    def pull(self) -> None:
        """Let Flux fetch the last commit."""
        self.flux.reconcile(GIT_REPOSITORIES, REPOSITORY)

    def wait_for_the_release(self) -> Manifest:
        """Until the HelmRelease is ready; pods become ready whenever it made new ones."""

        def ready() -> bool:
            self._pods_are_ready()
            return is_ready(self.release())

        eventually("the HelmRelease is ready", ready, self.release, seconds=PATIENCE)
        return self.release()

    def reconcile_release(self) -> None:
        """Let Flux look at the chart, at its release, and at what the repository says of both."""
        for resource in (OCI_REPOSITORIES, HELM_RELEASES):
            self.flux.reconcile(resource, RELEASE, SYSTEM_NAMESPACE)
        self.flux.reconcile(KUSTOMIZATIONS, RELEASE)

    def release(self) -> Manifest:
        """The HelmRelease."""
        return self.flux.api.get(HELM_RELEASES, RELEASE, SYSTEM_NAMESPACE)

    def deployments(self) -> list[Manifest]:
        """Those of the chart that are there."""
        found = (self.flux.api.find(DEPLOYMENTS, name, SYSTEM_NAMESPACE) for name in (OPERATOR, CALLBACK_SERVER))
        return [each for each in found if each is not None]

    def writes_since(self, mark: int) -> list[ApiRequest]:
        """What Flux wrote since the audit log had that size, but for its own objects, Events and Leases."""
        own = ("events", "leases")
        return [
            each
            for user in (APPLIER, RELEASER)
            for each in writes_by(user, self.audit_log, since=mark)
            if each.resource not in own and not each.group.endswith("toolkit.fluxcd.io")
        ]

    def mark(self) -> int:
        """The size of the audit log now."""
        return self.audit_log.stat().st_size

    def _pods_are_ready(self) -> None:
        for each in self.deployments():
            generation, replicas = each["metadata"]["generation"], each["spec"]["replicas"]
            if each.get("status", {}).get("observedGeneration") == generation:
                continue
            counted = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
            conditions = [
                {"type": kind, "status": "True", "reason": reason}
                for kind, reason in (
                    ("Available", "MinimumReplicasAvailable"),
                    ("Progressing", "NewReplicaSetAvailable"),
                )
            ]
            status = {"observedGeneration": generation, "conditions": conditions, **counted}
            name = each["metadata"]["name"]
            self.flux.api.patch(DEPLOYMENTS, name, {"status": status}, SYSTEM_NAMESPACE, subresource="status")

    def _here(self, example: Manifest) -> Manifest:
        """The object, with where things are in place of example.com."""
        obj = deepcopy(example)
        if obj["kind"] == GIT_REPOSITORIES.kind:
            obj["spec"]["url"] = self.git.url
        elif obj["kind"] == OCI_REPOSITORIES.kind:
            obj["spec"] |= {"url": f"{self.charts.url}/{RELEASE}", "insecure": True}
        elif obj["kind"] == HELM_RELEASES.kind:
            # An admission policy of the chart holds the links in a status against it.
            obj["spec"]["values"]["externalURL"] = self.stack.external_url
        return obj


@dataclass(frozen=True)
class Begun:
    """The platform, and what Flux said of it while the operator was not there yet."""

    platform: Platform
    operator: Manifest
    first_team: Manifest


@dataclass
class Team:
    """A namespace whose objects are in Git. Its Kustomization has its name."""

    platform: Platform
    user: User

    @property
    def name(self) -> str:
        """Of the namespace, too."""
        return self.user.namespace

    def file(self, name: str) -> str:
        """Where one of its files is in the repository."""
        return f"{self.name}/{name}"

    def describe(self, changes: Mapping[str, Any]) -> None:
        """Commit the folder, and give the Kustomization to Flux."""
        git = self.platform.git
        (kustomization,), (namespace,) = documents("team-a/kustomization.yaml"), documents("team-a/namespace.yaml")
        kustomization["namespace"] = namespace["metadata"]["name"] = self.name
        git.write(
            {
                self.file("kustomization.yaml"): [kustomization],
                self.file("namespace.yaml"): [namespace],
                self.file("external-secret.yaml"): documents("team-a/external-secret.yaml"),
                self.file("calendar.yaml"): [self._datasource()],
            }
        )
        git.commit()
        self.platform.pull()
        *_, sync = documents("flux/sync.yaml")
        sync["metadata"]["name"] = self.name
        sync["spec"] |= {"path": f"./{self.name}", **changes}
        self.platform.flux.apply(
            {**sync, "spec": {key: each for key, each in sync["spec"].items() if each is not None}}
        )

    def calendar(self) -> Manifest:
        """The Datasource as it is in Git."""
        (found,) = self.platform.git.read(self.file("calendar.yaml"))
        return found

    def commit(self, calendar: Manifest) -> str:
        """Commit the Datasource, and let Flux fetch it; returns the commit."""
        self.platform.git.write({self.file("calendar.yaml"): [calendar]})
        return self.push()

    def push(self) -> str:
        """Commit what was written, and let Flux fetch it; returns the commit."""
        commit = self.platform.git.commit()
        self.platform.pull()
        return commit

    def store_client_secret(self) -> None:
        """What External Secrets Operator makes of the ExternalSecret in Git; it does not run here."""
        (external,) = documents("team-a/external-secret.yaml")
        target = external["spec"]["target"]
        annotations = target["template"]["metadata"]["annotations"]
        assert annotations == {"datasource.dev/allowed-hosts": "login.example.com"}
        (entry,) = external["spec"]["data"]
        self.user.api.wait(f"namespace {self.name} is there", NAMESPACES, self.name, lambda seen: seen is not None)
        self.user.api.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": target["name"],
                    "namespace": self.name,
                    "annotations": {"datasource.dev/allowed-hosts": "127.0.0.1"},
                },
                "data": {entry["secretKey"]: base64.b64encode(CLIENT_SECRET.encode()).decode()},
            }
        )

    def wait_until_ready(self, commit: str = "") -> Manifest:
        """Until its Kustomization is; of that commit, where one is given."""
        return self.platform.flux.wait(
            f"it is ready at {commit}",
            KUSTOMIZATIONS,
            self.name,
            lambda seen: is_ready(seen) and seen["status"]["lastAppliedRevision"].endswith(commit),
        )

    def consent(self, name: str = "calendar") -> None:
        """A person goes the whole way."""
        self.user.wait_for_link(name)
        with Person() as person:
            person.authorize(self.user.link(name))
        self.user.wait_for_reason("Authorized", name)

    def reconcile(self) -> Manifest:
        """Let Flux look at it, and wait until it has."""
        return self.platform.flux.reconcile(KUSTOMIZATIONS, self.name)

    def metadata(self) -> Manifest:
        """That of the Datasource, with who manages which field."""
        found = self.platform.cluster.get("datasource", "calendar", "-n", self.name, "--show-managed-fields")
        metadata: Manifest = found["metadata"]
        return metadata

    def leave(self) -> None:
        """Take the Kustomization away, and then the rest."""
        flux, api = self.platform.flux, self.user.api
        if api.find(KUSTOMIZATIONS, self.name, NAMESPACE) is not None:
            api.delete(KUSTOMIZATIONS, self.name, NAMESPACE)
        flux.wait_until_gone(KUSTOMIZATIONS, self.name)
        self.platform.cluster.kubectl("delete", "namespace", self.name, "--wait=false")

    def _datasource(self) -> Manifest:
        (calendar,) = documents("team-a/calendar.yaml")
        assert calendar["kind"] == DATASOURCES.kind
        calendar["spec"]["oauth2"] |= {"issuer": self.platform.provider.issuer, "clientID": self.user.client_id}
        return calendar
