"""I/O: the API server through the official `kubernetes` client, for what tests and benches read and write and no person would.

Nothing of datasource/cluster/ is used here: a mistake in our own client must not hide itself by being on both sides of a test
(tests/unit/test_architecture.py). What a person would do with kubectl, tests do with kubectl (`Cluster.kubectl`).

One client with its connections serves a kubeconfig for as long as the process lives. Resources are named below and not
discovered: discovery asks the API server dozens of questions before the first answer.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.config import new_client_from_config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic import Resource as DynamicResource
from kubernetes.watch import Watch
from urllib3.exceptions import HTTPError

from tests.support.patience import PATIENCE, GaveUp

Manifest = dict[str, Any]

_TIMEOUT = (5.0, 30.0)
"""Seconds to connect, and to read: a bound against hanging."""

NO_ANSWER = (ApiException, HTTPError)
"""What a call raises while the API server is away: a refusal of whoever stands before it, or nothing at all."""

_MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of the API. `group_version` is what manifests have as apiVersion."""

    group_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def dynamic(self, client: DynamicClient) -> DynamicResource:
        """As discovery would have found it."""
        group, _, version = self.group_version.rpartition("/")
        prefix = "apis" if group else "api"
        found = DynamicResource(prefix, group, version, self.kind, self.namespaced, name=self.plural, client=client)
        assert isinstance(found, DynamicResource)
        return found


NAMESPACES = Resource("v1", "Namespace", "namespaces", namespaced=False)
SECRETS = Resource("v1", "Secret", "secrets")
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
PODS = Resource("v1", "Pod", "pods")
SERVICE_ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts")
EVENTS = Resource("events.k8s.io/v1", "Event", "events")
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases")
ROLES = Resource("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)
CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
POLICIES = Resource(
    "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False
)
POLICY_BINDINGS = Resource(
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings",
    namespaced=False,
)
WEBHOOKS = Resource(
    "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    namespaced=False,
)
ACCESS_REVIEWS = Resource("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False)
LOCAL_ACCESS_REVIEWS = Resource("authorization.k8s.io/v1", "LocalSubjectAccessReview", "localsubjectaccessreviews")
OWN_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)
DATASOURCES = Resource("datasource.dev/v1alpha1", "Datasource", "datasources")

_RESOURCES = {
    (each.group_version, each.kind): each
    for each in (
        *(NAMESPACES, SECRETS, CONFIG_MAPS, PODS, SERVICE_ACCOUNTS, EVENTS, LEASES),
        *(ROLES, ROLE_BINDINGS, CLUSTER_ROLES),
        *(
            CLUSTER_ROLE_BINDINGS,
            CRDS,
            POLICIES,
            POLICY_BINDINGS,
            WEBHOOKS,
            ACCESS_REVIEWS,
            LOCAL_ACCESS_REVIEWS,
            OWN_ACCESS_REVIEWS,
        ),
        DATASOURCES,
    )
}


def resource_of(manifest: Manifest) -> Resource:
    """The resource of a manifest, by its apiVersion and kind."""
    return _RESOURCES[manifest["apiVersion"], manifest["kind"]]


def message_of(error: ApiException) -> str:
    """What the API server says in its refusal (metav1.Status)."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.body or error.reason)


def refusal(call: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """Call, and return what the API server says against it; empty: it does it."""
    try:
        call(*arguments, **options)
    except ApiException as refused:
        return message_of(refused)
    return ""


@dataclass(frozen=True)
class Api:
    """The verbs, under one identity. A refusal is the client's ApiException, with the HTTP status in `status`."""

    client: ApiClient
    _dynamic: DynamicClient = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_dynamic", DynamicClient(self.client, discoverer=_nothing_is_discovered))

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Manifest:
        """An object, whole but for who manages which field: kubectl leaves that out, too."""
        return _without_managers(self._asked("get", resource, name=name, namespace=namespace))

    def find(self, resource: Resource, name: str, namespace: str | None = None) -> Manifest | None:
        """An object, or None where there is none of that name."""
        try:
            return self.get(resource, name, namespace)
        except ApiException as refused:
            if refused.status != 404:
                raise
            return None

    def all_of(
        self, resource: Resource, namespace: str | None = None, *, fields: str | None = None, labels: str | None = None
    ) -> list[Manifest]:
        """All objects of a namespace, or of all; `fields` and `labels` are selectors."""
        found = self._asked("get", resource, namespace=namespace, field_selector=fields, label_selector=labels)
        # The items of a list do not say what they are.
        named = {"apiVersion": resource.group_version, "kind": resource.kind}
        return [named | _without_managers(each) for each in found["items"]]

    def resource_version(self, resource: Resource, namespace: str | None = None) -> str:
        """That of a list made now: everything that was written before is in it."""
        return str(self._asked("get", resource, namespace=namespace, limit=1)["metadata"]["resourceVersion"])

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """A new object."""
        return self._asked("create", resource_of(manifest), body=manifest, **_dry(dry_run), **_where(manifest))

    def replace(self, manifest: Manifest) -> Manifest:
        """The whole object, as it shall be from now on."""
        return self._asked("replace", resource_of(manifest), body=manifest, **_where(manifest))

    def apply(self, manifest: Manifest, *, manager: str = "tests") -> Manifest:
        """Server-side apply, forced."""
        return self._asked(
            "server_side_apply",
            resource_of(manifest),
            body=manifest,
            field_manager=manager,
            force_conflicts=True,
            **_where(manifest),
        )

    def patch(
        self,
        resource: Resource,
        name: str,
        change: Manifest,
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Manifest:
        """Merge patch (RFC 7386)."""
        whole = name if subresource is None else f"{name}/{subresource}"
        return self._asked(
            "patch",
            resource,
            name=whole,
            namespace=namespace,
            body=change,
            content_type=_MERGE_PATCH,
            **_dry(dry_run),
        )

    def json_patch(
        self, resource: Resource, name: str, changes: list[Manifest], namespace: str | None = None
    ) -> Manifest:
        """JSON patch (RFC 6902)."""
        return self._asked(
            "patch", resource, name=name, namespace=namespace, body=changes, content_type="application/json-patch+json"
        )

    def delete(self, resource: Resource, name: str, namespace: str | None = None, *, dry_run: bool = False) -> None:
        """Ask for an object to be deleted; whether it has gone is another question."""
        self._asked("delete", resource, name=name, namespace=namespace, **_dry(dry_run))

    def delete_all(self, resource: Resource, namespace: str) -> None:
        """Ask for all objects of a namespace to be deleted."""
        # Without a selector the client refuses: it takes that for a name that was forgotten.
        self._asked("delete", resource, namespace=namespace, field_selector=f"metadata.namespace={namespace}")

    def may(self, verb: str, resource: str, namespace: str | None = None, *, user: str | None = None) -> bool:
        """Whether we may do something, or somebody else may; `resource` is `plural` or `plural.group`."""
        plural, _, group = resource.partition(".")
        asked = {
            "verb": verb,
            "resource": plural,
            "group": group,
            **({} if namespace is None else {"namespace": namespace}),
        }
        reviews = OWN_ACCESS_REVIEWS if user is None else ACCESS_REVIEWS
        spec = {"resourceAttributes": asked, **({} if user is None else _identity(user))}
        review = self.create({"apiVersion": reviews.group_version, "kind": reviews.kind, "spec": spec})
        return bool(review["status"]["allowed"])

    def wait(
        self,
        what: str,
        resource: Resource,
        name: str,
        is_so: Callable[[Manifest | None], object],
        namespace: str | None = None,
        *,
        seconds: float = PATIENCE,
    ) -> Manifest | None:
        """Watch an object until it is as it should be, and return it; None stands for one that is not there.

        Raises:
            GaveUp: it did not come to that; the text says what was there instead.
        """
        deadline = time.monotonic() + seconds
        while True:
            found, version = self._listed(resource, name, namespace)
            if is_so(found):
                return found
            for found in self._changes(resource, name, namespace, version, deadline):
                if is_so(found):
                    return found
            if time.monotonic() > deadline:
                raise GaveUp(f"{what}: not within {seconds:.0f} s. There is: {found}")

    def _listed(self, resource: Resource, name: str, namespace: str | None) -> tuple[Manifest | None, str]:
        """The object as a list has it, and where a watch goes on from there."""
        found = self._asked("get", resource, namespace=namespace, field_selector=f"metadata.name={name}")
        items = [_without_managers(each) for each in found["items"]]
        return next(iter(items), None), found["metadata"]["resourceVersion"]

    def _changes(
        self, resource: Resource, name: str, namespace: str | None, version: str, deadline: float
    ) -> Iterator[Manifest | None]:
        """The object after each change; ends at the deadline, or when the version is too old to go on from."""
        left = max(1, int(deadline - time.monotonic()))
        watch = Watch()
        try:
            for event in watch.stream(
                resource.dynamic(self._dynamic).get,
                namespace=namespace,
                field_selector=f"metadata.name={name}",
                resource_version=version,
                timeout_seconds=left,
                serialize=False,
                _request_timeout=(_TIMEOUT[0], left + _TIMEOUT[1]),
            ):
                yield None if event["type"] == "DELETED" else _without_managers(event["raw_object"])
        except ApiException as refused:
            if refused.status != 410:
                raise
        finally:
            watch.stop()

    def _asked(self, verb: str, resource: Resource, **arguments: Any) -> Manifest:
        ask = getattr(self._dynamic, verb)
        answer: Manifest = ask(
            resource.dynamic(self._dynamic), serializer=_as_it_is, _request_timeout=_TIMEOUT, **arguments
        )
        return answer


def _nothing_is_discovered(_client: DynamicClient, _cache_file: object) -> None:
    """The resources are named above."""


def _as_it_is(_client: DynamicClient, answer: Manifest) -> Manifest:
    """Tests index plain JSON."""
    return answer


def _without_managers(answer: Manifest) -> Manifest:
    answer["metadata"].pop("managedFields", None)
    return answer


def _where(manifest: Manifest) -> dict[str, str]:
    namespace = manifest.get("metadata", {}).get("namespace")
    return {} if namespace is None else {"namespace": namespace}


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dry_run": "All"} if dry_run else {}


def _identity(user: str) -> Manifest:
    """As the API server knows somebody: a ServiceAccount is in groups."""
    if not user.startswith("system:serviceaccount:"):
        return {"user": user}
    groups = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{user.split(':')[2]}"]
    return {"user": user, "groups": groups}


@cache
def _api(kubeconfig: Path, _written_at: int) -> Api:
    return Api(new_client_from_config(str(kubeconfig)))


def api_of(kubeconfig: Path) -> Api:
    """The API under the identity of a kubeconfig; read again only where the file was written again."""
    return _api(kubeconfig, kubeconfig.stat().st_mtime_ns)
