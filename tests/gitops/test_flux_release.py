"""The operator of examples/gitops under Flux's controllers: its chart is installed, held as it is, upgraded and taken away."""

import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from tests.support.api import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CRDS,
    EVENTS,
    POLICIES,
    POLICY_BINDINGS,
    Manifest,
)
from tests.support.flux import HELM_RELEASES, KUSTOMIZATIONS, NAMESPACE, condition, is_ready
from tests.support.flux_platform import DEPLOYMENTS, RELEASE, RELEASE_FILE, Begun, Platform, Team
from tests.support.user import eventually
from tests.upgrade.stored import version_of_this_checkout

pytestmark = pytest.mark.cluster

VERSION, NEXT_VERSION = version_of_this_checkout(), "99.0.0"


def chart_released(platform: Platform) -> tuple[str, str]:
    """Version and status of the last release; Flux adds the digest of the archive to the version."""
    (latest, *_) = platform.release()["status"]["history"]
    return latest["chartVersion"].partition("+")[0], latest["status"]


def drift_found(platform: Platform) -> list[Manifest]:
    """Events in which helm-controller says that something was not as the chart has it."""
    return [each for each in platform.flux.api.all_of(EVENTS, SYSTEM_NAMESPACE) if "Drift" in each["reason"]]


def test_flux_waits_for_the_operator_and_the_team_for_both(begun: Begun) -> None:
    platform = begun.platform
    assert condition(begun.operator)["status"] != "True"
    assert RELEASE in condition(begun.first_team)["message"]
    platform.flux.wait_until_ready(KUSTOMIZATIONS, RELEASE)
    assert chart_released(platform) == (VERSION, "deployed")

    first = Team(platform, platform.user("team-a"))
    first.user.wait_for_reason("ClientSecretNotFound")
    waiting = platform.flux.wait("it waits", KUSTOMIZATIONS, "team-a", lambda seen: condition(seen, "Reconciling"))
    assert not is_ready(waiting)
    first.store_client_secret()

    first.wait_until_ready()

    assert first.user.reason() == "AuthorizationRequired"


def test_release_reconciled_again_nothing_is_written(platform: Platform, team: Team) -> None:
    team.consent()
    revision, drift = platform.release()["status"]["history"], drift_found(platform)
    mark = platform.mark()

    for _ in range(2):
        platform.reconcile_release()

    assert platform.writes_since(mark) == []
    assert platform.release()["status"]["history"] == revision
    assert drift_found(platform) == drift


def test_what_somebody_changes_of_the_chart_is_put_right_once(platform: Platform) -> None:
    api = platform.flux.api
    drift = drift_found(platform)
    role = api.get(CLUSTER_ROLES, "datasource-operator")
    (whole, name) = role["rules"], role["metadata"]["name"]
    api.patch(CLUSTER_ROLES, name, {"rules": whole[1:]})
    api.patch(DEPLOYMENTS, "datasource-operator", {"spec": {"replicas": 1}}, SYSTEM_NAMESPACE)

    platform.reconcile_release()
    platform.wait_for_the_release()

    assert api.get(CLUSTER_ROLES, name)["rules"] == whole
    assert api.get(DEPLOYMENTS, "datasource-operator", SYSTEM_NAMESPACE)["spec"]["replicas"] == 2
    assert drift_found(platform) != drift
    mark = platform.mark()
    platform.reconcile_release()
    assert platform.writes_since(mark) == []


def test_next_chart_is_rolled_out_and_credentials_stay(platform: Platform, team: Team) -> None:
    team.consent()
    stored, before = team.user.credential_id(), team.metadata()
    platform.charts.push(NEXT_VERSION)
    chart, release = platform.git.read(RELEASE_FILE)
    chart["spec"]["ref"]["tag"] = NEXT_VERSION
    release["spec"]["values"]["operator"] = {"replicas": 1}
    platform.git.write({RELEASE_FILE: [chart, release]})
    platform.git.commit()

    platform.pull()

    eventually(
        "the next chart is deployed",
        lambda: platform.wait_for_the_release() and chart_released(platform) == (NEXT_VERSION, "deployed"),
        platform.release,
        seconds=180,
    )
    platform.flux.wait_until_ready(KUSTOMIZATIONS, RELEASE)
    assert team.reconcile()
    assert (team.user.credential_id(), team.metadata()) == (stored, before)
    assert team.user.reason() == "Authorized"


def test_operator_that_is_taken_out_of_git_leaves_crd_and_credentials(platform: Platform, team: Team) -> None:
    """The last one: there is no operator after it."""
    team.consent()
    stored = team.user.credential_id()

    api = platform.flux.api
    api.delete(KUSTOMIZATIONS, RELEASE, NAMESPACE)
    platform.flux.wait_until_gone(KUSTOMIZATIONS, RELEASE)
    platform.flux.wait_until_gone(HELM_RELEASES, RELEASE, SYSTEM_NAMESPACE)

    assert platform.deployments() == []
    for resource in (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, POLICIES, POLICY_BINDINGS):
        left = [each["metadata"]["name"] for each in api.all_of(resource) if "datasource" in each["metadata"]["name"]]
        assert left == [], resource.kind
    assert "deletionTimestamp" not in api.get(CRDS, "datasources.datasource.dev")["metadata"]
    assert "deletionTimestamp" not in team.user.get()["metadata"]
    assert team.user.credential_id() == stored
