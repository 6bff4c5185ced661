"""Rights: looking back at every other test, each process was refused nothing, and needed everything that it may do."""

from typing import Any

import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.cluster import Cluster
from deploy.local.stack import CALLBACK_SERVER, OPERATOR
from kubectl_datasource.rights import SIGN_IN
from tests.conftest import RUNS
from tests.support.api import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, api_of
from tests.support.audit import ApiRequest, requests_by

pytestmark = [pytest.mark.cluster, pytest.mark.last]

# What everybody may ask: which version and which resources there are, and what one may do.
_OPEN_TO_ALL = {("", "", "get"), ("authorization.k8s.io", "selfsubjectaccessreviews", "create")}

_GIVEN_BY_THE_OPERATOR = {("", "secrets", "get"), ("", "secrets", "patch"), ("", "configmaps", "get")}
"""What the callback server may do with what Datasources name, in Roles that have gone by now."""

_OF_SIGN_IN = {(rule.group, rule.resource, verb) for rule in SIGN_IN for verb in rule.verbs}
"""What the component sign-in gives the callback server besides; tests/cluster/test_sign_in.py has it, deploy/base has not."""

_AGENTS = {OPERATOR: ("datasource-operator", "kopf/"), CALLBACK_SERVER: ("datasource-callback-server",)}
"""How the processes call themselves; the watch of Datasources is kopf's. Tests try the accounts with other clients."""


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
    return rules | (_GIVEN_BY_THE_OPERATOR if service_account == CALLBACK_SERVER else set())


def _is(subject: dict[str, Any], service_account: str) -> bool:
    return subject["name"] == service_account and subject.get("namespace") == SYSTEM_NAMESPACE


def asked_by(service_account: str) -> list[ApiRequest]:
    """What a process asked of any API server in these test runs, under its ServiceAccount."""
    user = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{service_account}"
    asked = [each for log in RUNS.rglob("audit.log") for each in requests_by(user, log)]
    return [each for each in asked if each.user_agent.startswith(_AGENTS[service_account])]


@pytest.mark.parametrize("service_account", [OPERATOR, CALLBACK_SERVER])
def test_every_right_was_needed(cluster: Cluster, service_account: str) -> None:
    asked = [each for each in asked_by(service_account) if each.status < 400]
    used = {(each.group, each.resource, each.verb) for each in asked}
    # A server-side apply of what does not exist takes the right to create, and the log knows it as a patch.
    used |= {(each.group, each.resource, "create") for each in asked if each.verb == "patch" and each.status == 201}

    assert granted(cluster, service_account) - used == set()


@pytest.mark.parametrize("service_account", [OPERATOR, CALLBACK_SERVER])
def test_no_right_was_missing(cluster: Cluster, service_account: str) -> None:
    """403 comes from RBAC, from a policy, and for writes into a namespace that is going away; the last is no right's fault."""
    allowed = granted(cluster, service_account) | (_OF_SIGN_IN if service_account == CALLBACK_SERVER else set())
    asked = {(each.group, each.resource, each.verb) for each in asked_by(service_account)}

    assert asked - allowed - _OPEN_TO_ALL == set()


def test_callback_server_can_neither_list_nor_watch_secrets(cluster: Cluster) -> None:
    user = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{CALLBACK_SERVER}"
    for verb in ("list", "watch", "delete", "deletecollection", "update"):
        for namespace in (None, SYSTEM_NAMESPACE, "default"):
            assert not api_of(cluster.kubeconfig).may(verb, "secrets", namespace, user=user), (verb, namespace)


def test_callback_server_may_get_and_patch_no_secret_without_its_name(cluster: Cluster) -> None:
    user = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{CALLBACK_SERVER}"
    for verb, resource in (("get", "secrets"), ("patch", "secrets"), ("get", "configmaps")):
        assert not api_of(cluster.kubeconfig).may(verb, resource, "default", user=user), (verb, resource)
