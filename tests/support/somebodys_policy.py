"""A policy of somebody else in a user's namespace, as companies have them: it refuses what it looks at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.api import POLICIES, POLICY_BINDINGS
from tests.support.user import User, eventually


@dataclass(frozen=True)
class Rule:
    """What it looks at."""

    group: str
    resource: str
    operations: tuple[str, ...]


@dataclass(frozen=True)
class Validation:
    """What must hold, what is said otherwise, and which reason (metav1.Status) comes with that."""

    expression: str
    message: str
    reason: str | None = None


@contextmanager
def in_force(user: User, rule: Rule, validation: Validation, is_in_force: Callable[[], bool]) -> Iterator[None]:
    """The policy, from when the API server acts on it, to the end of the block."""
    name = f"somebodys-{user.namespace}"
    looked_at = {
        "apiGroups": [rule.group],
        "apiVersions": ["*"],
        "operations": list(rule.operations),
        "resources": [rule.resource],
    }
    says = {"expression": validation.expression, "message": validation.message}
    says |= {"reason": validation.reason} if validation.reason else {}
    policy: dict[str, Any] = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {"matchConstraints": {"resourceRules": [looked_at]}, "validations": [says]},
    }
    namespaces = {"matchLabels": {"kubernetes.io/metadata.name": user.namespace}}
    binding: dict[str, Any] = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": namespaces},
        },
    }
    user.api.create(policy)
    user.api.create(binding)
    try:
        eventually("the policy is in force", is_in_force)
        yield
    finally:
        user.api.delete(POLICY_BINDINGS, name)
        user.api.delete(POLICIES, name)
