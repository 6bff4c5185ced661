"""A status that cannot be written, or not whole: what apps need goes on."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest
import yaml

from deploy.local.cache import REPOSITORY
from deploy.local.stack import Stack
from tests.support.api import DATASOURCES, refusal
from tests.support.person import Person
from tests.support.somebodys_policy import Rule, Validation, in_force
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


def refused(user: User, status: dict[str, Any]) -> bool:
    """Whether the API server refuses what the operator would write."""
    change, at = {"status": status}, "status"
    patch = partial(user.api.patch, DATASOURCES, "calendar", change, user.namespace, subresource=at, dry_run=True)
    return "no status today" in refusal(patch)


STATUSES = Rule("datasource.dev", "datasources/status", ("UPDATE",))


def policy_in_force(user: User, expression: str, is_in_force: Callable[[], bool]) -> AbstractContextManager[None]:
    """A policy of somebody refuses the statuses of the namespace for which an expression does not hold."""
    return in_force(user, STATUSES, Validation(expression, "no status today"), is_in_force)


@pytest.fixture
def no_status(user: User) -> Iterator[None]:
    """Every status of the namespace is refused, from when it is asked for on."""
    authorize(user)
    with policy_in_force(user, "false", lambda: refused(user, {"state": "ERROR"})):
        yield


def test_status_of_which_a_part_is_refused_says_so_and_what_holds_goes_on_being_told(user: User) -> None:
    link = user.ready_to_authorize()
    scopes = {"grantedScopes": ["read"]}
    with policy_in_force(user, "!has(object.status.grantedScopes)", lambda: refused(user, scopes)), Person() as person:
        person.authorize(link)
        user.wait_for_message("no status today")
        assert user.state() == "AUTHORIZED"
        user.annotate("refresh", "1")
        eventually("it was refreshed", partial(is_at_least, user, 2))
        user.clear("1")
        user.wait_for_reason("CredentialCleared")
        assert "grantedScopes" not in user.status()


def test_scopes_and_names_of_any_length_are_told_as_far_as_the_schema_lets_them(user: User) -> None:
    authorize(user)
    scopes = " ".join(["s" * 3000, *(f"scope-{number}" for number in range(1200))])
    annotations = (f"datasource.dev/granted-scopes={scopes}", f"datasource.dev/authorized-as={'n' * 5000}")
    user.kubectl("annotate", "secret", "calendar-oauth2-credential", "--overwrite", *annotations)
    eventually("they are told", lambda: "and 202 more" in user.status().get("grantedScopes", []))
    assert user.reason() == "Authorized"
    assert len(user.status()["grantedScopes"]) == 1000
    assert len(user.status()["authorizedAs"]) == 1024


def test_two_installations_over_one_namespace_come_to_rest_and_say_so(user: User, stack: Stack) -> None:
    user.apply(user.datasource())
    user.wait_for_reason("OAuth2Missing")
    elsewhere = f"{user.namespace}-system"
    user.cluster.kubectl("create", "namespace", elsewhere)
    other = stack.operator(
        "operator-of-another-installation",
        KUBECONFIG=str(user.cluster.kubeconfig),
        DATASOURCE_SYSTEM_NAMESPACE=elsewhere,
        DATASOURCE_NAMESPACES=user.namespace,
        DATASOURCE_EXTERNAL_URL="https://other.example.com",
    )
    other.start()
    try:

        def said() -> list[str]:
            return [each["note"] for each in user.events() if each["reason"] == "AnotherInstallation"]

        # Whichever of them first finds the other's status says so, and perhaps both.
        eventually("one of them says so", said)
        for note in said():
            assert "https://other.example.com/callback/" in note or f"{user.external_url}/callback/" in note

        def rests() -> bool:
            before = user.get()["metadata"]["resourceVersion"]
            time.sleep(1)
            return bool(before == user.get()["metadata"]["resourceVersion"])

        eventually("the status is written over no more", rests)
    finally:
        other.stop()
        user.cluster.kubectl("delete", "namespace", elsewhere, "--wait=false")


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
