"""A status that cannot be written, or not whole: what apps need goes on."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from deploy.local.cache import REPOSITORY
from tests.support.api import DATASOURCES, POLICIES, POLICY_BINDINGS, refusal
from tests.support.person import Person
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster


def authorize(user: User) -> None:
    link = user.ready_to_authorize()
    with Person() as person:
        person.authorize(link)
    user.wait_for_reason("Authorized")


def revision(user: User) -> int:
    credential = user.credential()
    assert credential is not None
    return int(credential["metadata"]["annotations"]["datasource.dev/revision"])


def is_at_least(user: User, number: int) -> bool:
    return revision(user) >= number


def refused(user: User) -> bool:
    """Whether the API server refuses what the operator would write."""
    change, status = {"status": {"state": "ERROR"}}, "status"
    patch = partial(user.api.patch, DATASOURCES, "calendar", change, user.namespace, subresource=status, dry_run=True)
    return "no status today" in refusal(patch)


@pytest.fixture
def no_status(user: User) -> Iterator[None]:
    """A policy of somebody refuses every status of the namespace, from when it is asked for on."""
    name = f"no-status-{user.namespace}"
    rules = [
        {
            "apiGroups": ["datasource.dev"],
            "apiVersions": ["*"],
            "operations": ["UPDATE"],
            "resources": ["datasources/status"],
        }
    ]
    policy: dict[str, Any] = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": rules},
            "validations": [{"expression": "false", "message": "no status today"}],
        },
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
    authorize(user)
    user.api.create(policy)
    user.api.create(binding)
    try:
        eventually("the policy is in force", lambda: refused(user))
        yield
    finally:
        user.api.delete(POLICY_BINDINGS, name)
        user.api.delete(POLICIES, name)


@pytest.mark.usefixtures("no_status")
def test_refreshes_go_on_while_no_status_can_be_written(user: User) -> None:
    before = revision(user)
    for number, value in enumerate(("1", "2"), before + 1):
        user.annotate("refresh", value)
        eventually("it was refreshed", partial(is_at_least, user, number))
    token = user.decoded("calendar-oauth2-credential", "access_token")
    eventually("apps have it", lambda: user.decoded("calendar-token", "access_token") == token)


@pytest.fixture
def older_crd(user: User) -> Iterator[None]:
    """The CRD of a version that did not know two of the fields."""
    path = REPOSITORY / "crds" / "datasource.yaml"
    crd = yaml.safe_load(path.read_text())
    for version in crd["spec"]["versions"]:
        properties = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        del properties["grantedScopes"], properties["refreshedAt"]
    user.cluster.kubectl("replace", "-f", "-", stdin=json.dumps(crd))
    try:
        yield
    finally:
        user.cluster.kubectl("replace", "-f", str(path))


@pytest.mark.usefixtures("older_crd")
def test_refreshes_go_on_under_a_crd_that_is_older_than_the_operator(user: User) -> None:
    authorize(user)
    before = revision(user)

    user.annotate("refresh", "1")
    user.wait_for_handled("refresh", "1")

    assert revision(user) == before + 1
    assert "grantedScopes" not in user.status()
