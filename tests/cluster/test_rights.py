"""Rights: looking back at every other test, each process was refused nothing, and needed everything that it may do."""

from typing import Any

import pytest

from deploy.local.cluster import Cluster
from deploy.local.stack import CALLBACK_SERVER, OPERATOR, SYSTEM_NAMESPACE
from tests.conftest import RUNS
from tests.support.api import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, api_of
from tests.support.audit import ApiRequest, requests_by

pytestmark = [pytest.mark.cluster, pytest.mark.last]

# What kubectl asks for when a test runs it under an account's name, and everybody may ask: what there is, and what one may do.
_ASKED_BY_KUBECTL = {("", "", "get"), ("authorization.k8s.io", "selfsubjectaccessreviews", "create")}


def granted(cluster: Cluster, service_account: str) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of every rule bound to a ServiceAccount by deploy/."""
    rules: set[tuple[str, str, str]] = set()
    api = api_of(cluster.kubeconfig)
    for bindings, namespace in ((CLUSTER_ROLE_BINDINGS, None), (ROLE_BINDINGS, SYSTEM_NAMESPACE)):
        for binding in api.all_of(bindings, namespace):
            if any(_is(subject, service_account) for subject in binding.get("subjects", [])):
                roles = CLUSTER_ROLES if binding["roleRef"]["kind"] == "ClusterRole" else ROLES
                role = api.get(roles, binding["roleRef"]["name"], namespace if roles is ROLES else None)
                rules |= {
                    (group, resource, verb)
                    for rule in role["rules"]
                    for group in rule["apiGroups"]
                    for resource in rule["resources"]
                    for verb in rule["verbs"]
                }
    return rules


def _is(subject: dict[str, Any], service_account: str) -> bool:
    return subject["name"] == service_account and subject.get("namespace") == SYSTEM_NAMESPACE


def asked_by(service_account: str) -> list[ApiRequest]:
    """What a ServiceAccount asked of any API server in these test runs."""
    user = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{service_account}"
    return [each for log in RUNS.rglob("audit.log") for each in requests_by(user, log)]


@pytest.mark.parametrize("service_account", [OPERATOR, CALLBACK_SERVER])
def test_every_right_was_needed(cluster: Cluster, service_account: str) -> None:
    used = {(each.group, each.resource, each.verb) for each in asked_by(service_account) if each.status < 400}

    assert granted(cluster, service_account) - used == set()


@pytest.mark.parametrize("service_account", [OPERATOR, CALLBACK_SERVER])
def test_no_right_was_missing(cluster: Cluster, service_account: str) -> None:
    """403 comes from RBAC, from a policy, and for writes into a namespace that is going away; the last is no right's fault."""
    allowed = granted(cluster, service_account)
    asked = {(each.group, each.resource, each.verb) for each in asked_by(service_account)}

    assert asked - allowed - _ASKED_BY_KUBECTL == set()


def test_callback_server_can_neither_list_nor_watch_secrets(cluster: Cluster) -> None:
    user = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{CALLBACK_SERVER}"
    for verb in ("list", "watch", "delete", "deletecollection", "update"):
        for namespace in (None, SYSTEM_NAMESPACE, "default"):
            assert not api_of(cluster.kubeconfig).may(verb, "secrets", namespace, user=user), (verb, namespace)
