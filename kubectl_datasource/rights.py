"""The rights that the two ServiceAccounts need, and how the API server is asked for them. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Rule:
    """Verbs on one resource; a subresource stands behind a slash, as RBAC writes it."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    name: str = ""
    """Of the one object that it is about."""


@dataclass(frozen=True, slots=True)
class Account:
    """A ServiceAccount with what it needs in each served namespace, and in the namespace where it runs."""

    component: str
    default_name: str
    served: tuple[Rule, ...]
    system: tuple[Rule, ...]


_LINK_KEYS = "datasource-link-keys"
_CALLBACK_RIGHTS = "datasource-callback-rights"
_LEASE = "datasource-operator"

OPERATOR = Account(
    "operator",
    "datasource-operator",
    served=(
        Rule("datasource.dev", "datasources", ("get", "list", "watch")),
        Rule("datasource.dev", "datasources/status", ("patch",)),
        Rule("", "secrets", ("get", "list", "watch", "create", "patch", "delete")),
        Rule("events.k8s.io", "events", ("create", "patch")),
        Rule("", "configmaps", ("get",)),
        Rule("rbac.authorization.k8s.io", "roles", ("list", "create")),
        Rule("rbac.authorization.k8s.io", "roles", ("get", "patch", "delete"), _CALLBACK_RIGHTS),
        Rule("rbac.authorization.k8s.io", "rolebindings", ("list", "create")),
        Rule("rbac.authorization.k8s.io", "rolebindings", ("get", "patch", "delete"), _CALLBACK_RIGHTS),
    ),
    system=(
        Rule("", "secrets", ("list", "delete")),
        Rule("coordination.k8s.io", "leases", ("create",)),
        Rule("coordination.k8s.io", "leases", ("get", "patch"), _LEASE),
        Rule("", "secrets", ("create",)),
        Rule("", "secrets", ("get", "patch"), _LINK_KEYS),
    ),
)

CALLBACK_SERVER = Account(
    "callback-server",
    "datasource-callback-server",
    # What Datasources name is given by the operator, in Roles of its own.
    served=(Rule("datasource.dev", "datasources", ("get",)), Rule("", "secrets", ("create",))),
    system=(Rule("", "secrets", ("get", "create", "patch")), Rule("", "secrets", ("get",), _LINK_KEYS)),
)

ACCOUNTS = (OPERATOR, CALLBACK_SERVER)
"""A unit test holds them to deploy/base."""

SIGN_IN = (
    Rule("datasource.dev", "datasources", ("list",)),
    Rule("authorization.k8s.io", "localsubjectaccessreviews", ("create",)),
)
"""What the callback server needs besides in each served namespace where people sign in; held to components/sign-in."""


def with_sign_in(account: Account) -> Account:
    """The same account where people sign in."""
    return replace(account, served=(*account.served, *SIGN_IN)) if account is CALLBACK_SERVER else account


INSTALLING = tuple(
    Rule(group, resource, ("create",))
    for group, resource in (
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("", "namespaces"),
        ("apps", "deployments"),
    )
)
"""What whoever installs must be allowed to do, as far as it is not given to everybody who may install anything."""


class ResourceAttributes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody would do; no namespace means in all of them."""

    verb: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        resource = self.resource + (f"/{self.subresource}" if self.subresource else "")
        where = f"namespace {self.namespace}" if self.namespace else "all namespaces"
        resource += f" {self.name}" if self.name else ""
        return f"{self.verb} {resource}{f'.{self.group}' if self.group else ''} in {where}"


class ReviewSpec(msgspec.Struct, frozen=True, rename="camel"):
    """`spec` of a SubjectAccessReview."""

    user: str = ""
    resource_attributes: ResourceAttributes = ResourceAttributes()


class ReviewStatus(msgspec.Struct, frozen=True):
    """`status` of a SubjectAccessReview."""

    allowed: bool = False


class Review(msgspec.Struct, frozen=True):
    """A SubjectAccessReview (authorization.k8s.io/v1) as it comes back."""

    spec: ReviewSpec = ReviewSpec()
    status: ReviewStatus = ReviewStatus()


def user_name(system_namespace: str, service_account: str) -> str:
    """A ServiceAccount as RBAC and audit logs name it."""
    return f"system:serviceaccount:{system_namespace}:{service_account}"


def reviews(account: Account, user: str, served: Iterable[str], system_namespace: str) -> list[dict[str, Any]]:
    """One SubjectAccessReview for each right; no `served` namespaces: all of them."""
    places = [(namespace, account.served) for namespace in tuple(served) or ("",)]
    return _reviews(
        user,
        (
            attributes
            for namespace, rules in [*places, (system_namespace, account.system)]
            for attributes in _attributes(rules, namespace)
        ),
    )


def reviews_of_credentials(user: str, credentials: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Whether the callback server may read credential Secrets, by namespace and name: the operator gives it that right."""
    return _reviews(
        user,
        (ResourceAttributes("get", "", "secrets", namespace=namespace, name=name) for namespace, name in credentials),
    )


def own_reviews(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """One SelfSubjectAccessReview for each right of whoever asks, in all namespaces."""
    return [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": msgspec.to_builtins(attributes)},
        }
        for attributes in _attributes(rules, "")
    ]


def _reviews(user: str, asked: Iterable[ResourceAttributes]) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": msgspec.to_builtins(ReviewSpec(user, attributes)),
        }
        for attributes in asked
    ]


def _attributes(rules: Iterable[Rule], namespace: str) -> Iterator[ResourceAttributes]:
    for rule in rules:
        resource, _, subresource = rule.resource.partition("/")
        for verb in rule.verbs:
            yield ResourceAttributes(verb, rule.group, resource, subresource, namespace, rule.name)
