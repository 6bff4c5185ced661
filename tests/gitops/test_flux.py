"""examples/gitops under the real controllers of Flux: they wait, they find nothing to put right, and they take nothing away."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datasource.api.names import CREDENTIAL_SUFFIX
from deploy.local.cluster import Cluster
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import SYSTEM_NAMESPACE, Stack
from tests.support.api import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CRDS,
    DATASOURCES,
    EVENTS,
    NAMESPACES,
    POLICIES,
    POLICY_BINDINGS,
    Manifest,
)
from tests.support.flux import HELM_RELEASES, KUSTOMIZATIONS, NAMESPACE, Flux, condition, is_ready
from tests.support.flux_platform import (
    DEPLOYMENTS,
    RELEASE,
    RELEASE_FILE,
    Charts,
    Platform,
    Team,
    documents,
)
from tests.support.git_site import GitSite
from tests.support.go_programs import EXTERNAL_SECRETS_CRDS, crds
from tests.support.objects import install_crds
from tests.support.person import Person
from tests.support.user import eventually
from tests.upgrade.stored import version_of_this_checkout

pytestmark = pytest.mark.cluster

VERSION, NEXT_VERSION = version_of_this_checkout(), "99.0.0"
CALENDAR = "Datasource/{}/calendar"


@dataclass(frozen=True)
class Begun:
    """The platform, and what Flux said of it while the operator was not there yet."""

    platform: Platform
    operator: Manifest
    first_team: Manifest


@pytest.fixture(scope="module")
def begun(bare_plane: ControlPlane, bare: Cluster, folder: Path, provider: Provider) -> Iterator[Begun]:
    """Everything of the examples, from an empty cluster on; the first team is there before the operator."""
    here = folder / "flux"
    install_crds(bare, crds(*EXTERNAL_SECRETS_CRDS))
    with GitSite(here / "git") as git, Charts(here / "charts") as charts, Flux(bare, here / "controllers") as flux:
        charts.push(VERSION)
        stack = Stack(bare, here / "logs", free_ports(1)[0])
        platform = Platform(bare, bare_plane.audit_log, flux, git, charts, stack, provider)
        platform.describe()
        platform.team("team-a")
        eventually("the chart is applied", lambda: len(platform.deployments()) == 2, seconds=180)
        first_team = flux.wait(
            "it waits", KUSTOMIZATIONS, "team-a", lambda seen: condition(seen).get("reason") == "DependencyNotReady"
        )
        operator = flux.api.get(KUSTOMIZATIONS, RELEASE, NAMESPACE)
        processes = [stack.operator(), stack.callback_server()]
        try:
            for process in processes:
                process.start()
            platform.wait_for_the_release()
            yield Begun(platform, operator, first_team)
        finally:
            for process in reversed(processes):
                process.stop()


@pytest.fixture(scope="module")
def platform(begun: Begun) -> Platform:
    """The platform with its operator at work."""
    begun.platform.flux.wait_until_ready(KUSTOMIZATIONS, RELEASE)
    return begun.platform


@pytest.fixture
def team(platform: Platform, request: pytest.FixtureRequest) -> Iterator[Team]:
    """A team of the test's own, as the examples have it, whose Datasource waits for consent."""
    made = platform.team(f"team-{request.node.name.removeprefix('test_').replace('_', '-')}"[:40].strip("-"))
    made.store_client_secret()
    made.wait_until_ready()
    yield made
    made.leave()


def consent(team: Team) -> None:
    """A person goes the whole way."""
    team.user.wait_for_link()
    with Person() as person:
        person.authorize(team.user.link())
    team.user.wait_for_reason("Authorized")


def oauth2(calendar: Manifest, **changes: Any) -> Manifest:
    """The Datasource with other parameters; None leaves one out."""
    whole = calendar["spec"]["oauth2"] | changes
    return calendar | {
        "spec": calendar["spec"] | {"oauth2": {key: each for key, each in whole.items() if each is not None}}
    }


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


def test_without_the_expressions_flux_waits_for_the_person(platform: Platform) -> None:
    changes = {"healthCheckExprs": None, "timeout": "10s", "retryInterval": "2s"}
    team = platform.team("team-without-expressions", changes=changes)
    team.store_client_secret()
    team.user.wait_for_reason("AuthorizationRequired")

    failed = platform.flux.wait(
        "it fails", KUSTOMIZATIONS, team.name, lambda seen: condition(seen).get("reason") == "HealthCheckFailed"
    )
    assert f"{CALENDAR.format(team.name)} status: 'InProgress'" in condition(failed)["message"]
    consent(team)

    team.wait_until_ready()
    team.leave()


def test_what_stalls_fails_at_once_and_its_mend_is_ready(platform: Platform, team: Team) -> None:
    whole = team.calendar()

    team.commit(oauth2(whole, issuer=None))

    failed = platform.flux.wait(
        "it fails", KUSTOMIZATIONS, team.name, lambda seen: condition(seen).get("reason") == "HealthCheckFailed"
    )
    said = condition(failed)["message"]
    # Not because the 5 minutes of the example ran out.
    assert "failed early" in said
    assert f"{CALENDAR.format(team.name)} status: 'Failed'" in said
    assert team.user.reason() == "ParametersIncomplete"
    team.wait_until_ready(team.commit(whole))


def test_reconciled_again_nothing_is_written_in_any_state(platform: Platform, team: Team) -> None:
    def nothing_is_written(reason: str) -> None:
        team.user.wait_for_reason(reason)
        before, mark = team.metadata(), platform.mark()
        for _ in range(2):
            platform.pull()
            assert is_ready(team.reconcile())
        assert platform.writes_since(mark) == [], reason
        assert team.metadata()["managedFields"] == before["managedFields"]
        assert team.metadata()["generation"] == before["generation"] == 1

    nothing_is_written("AuthorizationRequired")
    consent(team)
    nothing_is_written("Authorized")
    team.user.kubectl("delete", "secret", f"calendar{CREDENTIAL_SUFFIX}")
    nothing_is_written("AuthorizationRequired")


def test_release_reconciled_again_nothing_is_written(platform: Platform, team: Team) -> None:
    consent(team)
    revision, drift = platform.release()["status"]["history"], drift_found(platform)
    mark = platform.mark()

    for _ in range(2):
        platform.reconcile_release()

    assert platform.writes_since(mark) == []
    assert platform.release()["status"]["history"] == revision
    assert drift_found(platform) == drift


def chart_released(platform: Platform) -> tuple[str, str]:
    """Version and status of the last release; Flux adds the digest of the archive to the version."""
    (latest, *_) = platform.release()["status"]["history"]
    return latest["chartVersion"].partition("+")[0], latest["status"]


def drift_found(platform: Platform) -> list[Manifest]:
    """Events in which helm-controller says that something was not as the chart has it."""
    return [each for each in platform.flux.api.all_of(EVENTS, SYSTEM_NAMESPACE) if "Drift" in each["reason"]]


def test_commit_is_applied_and_waited_for(team: Team) -> None:
    consent(team)
    scopes = ["openid", "offline_access"]

    commit = team.commit(oauth2(team.calendar(), scopes=scopes))

    team.wait_until_ready(commit)
    found = team.user.get()
    assert found["spec"]["oauth2"]["scopes"] == scopes
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]


def test_suspended_kustomization_applies_nothing_until_it_is_resumed(platform: Platform, team: Team) -> None:
    platform.flux.suspend(KUSTOMIZATIONS, team.name, True)
    mark = platform.mark()
    commit = team.commit({**team.calendar(), "spec": {**team.calendar()["spec"], "url": "https://api.example.com/v4"}})
    # Later than the commit, and so is what another Kustomization made of it.
    platform.flux.reconcile(KUSTOMIZATIONS, RELEASE)
    assert platform.writes_since(mark) == []
    consent(team)

    platform.flux.suspend(KUSTOMIZATIONS, team.name, False)

    team.wait_until_ready(commit)
    assert team.user.get()["spec"]["url"] == "https://api.example.com/v4"
    assert team.user.reason() == "Authorized"


def test_what_vanishes_from_git_is_deleted_unless_it_says_otherwise(platform: Platform, team: Team) -> None:
    other = team.calendar()
    other["metadata"] = {"name": "mail"}
    with_two = [team.calendar(), other]
    platform.git.write({team.file("calendar.yaml"): with_two})
    team.wait_until_ready(team.push())
    consent(team)
    team.user.wait_for_link("mail")
    with Person() as person:
        person.authorize(team.user.link("mail"))
    team.user.wait_for_reason("Authorized", "mail")
    stored = team.user.credential_id()

    (kustomization,) = platform.git.read(team.file("kustomization.yaml"))
    kustomization["resources"].remove("calendar.yaml")
    platform.git.write({team.file("kustomization.yaml"): [kustomization]})
    team.wait_until_ready(team.push())

    team.user.api.wait("mail is gone", DATASOURCES, "mail", lambda seen: seen is None, team.name)
    assert team.user.secret(f"mail{CREDENTIAL_SUFFIX}") is None
    assert team.user.credential_id() == stored


def test_kustomization_that_is_deleted_leaves_the_credential(platform: Platform, team: Team) -> None:
    consent(team)
    stored = team.user.credential_id()

    platform.flux.api.delete(KUSTOMIZATIONS, team.name, NAMESPACE)
    platform.flux.wait_until_gone(KUSTOMIZATIONS, team.name)

    assert "deletionTimestamp" not in team.user.api.get(NAMESPACES, team.name)["metadata"]
    assert "deletionTimestamp" not in team.user.get()["metadata"]
    assert team.user.credential_id() == stored


def test_what_kubectl_wrote_is_taken_back_and_costs_nothing(team: Team, platform: Platform) -> None:
    consent(team)
    stored = team.user.credential_id()
    team.user.kubectl("annotate", "datasource", "calendar", "datasource.dev/refresh=by-hand")
    team.user.wait_for_handled("refresh", "by-hand")
    team.user.kubectl("patch", "datasource", "calendar", "--type=merge", "-p", json.dumps({"spec": {"suspend": True}}))

    team.reconcile()
    team.wait_until_ready()

    found = team.user.get()
    assert "datasource.dev/refresh" not in found["metadata"]["annotations"]
    assert not found["spec"].get("suspend")
    assert team.user.credential_id() == stored
    mark = platform.mark()
    team.reconcile()
    assert platform.writes_since(mark) == []


def test_request_in_git_acts_once_however_often_flux_looks(team: Team) -> None:
    consent(team)
    calendar = team.calendar()
    calendar["metadata"]["annotations"]["datasource.dev/clear-credential"] = "monday"

    team.wait_until_ready(team.commit(calendar))

    team.user.wait_for_reason("CredentialCleared")
    consent(team)
    stored = team.user.credential_id()
    for _ in range(2):
        team.reconcile()
    team.user.annotate("refresh", "looked")
    team.user.wait_for_handled("refresh", "looked")
    assert team.user.credential_id() == stored


def test_account_of_the_team_needs_the_right_to_the_secret_it_names(platform: Platform, team: Team) -> None:
    for rights in (
        ("serviceaccount", "deployer"),
        ("role", "deployer", "--verb=*", "--resource=datasources.datasource.dev,externalsecrets.external-secrets.io"),
        ("rolebinding", "deployer", "--role=deployer", f"--serviceaccount={team.name}:deployer"),
    ):
        team.user.kubectl("create", *rights)
    (kustomization,) = platform.git.read(team.file("kustomization.yaml"))
    kustomization["resources"].remove("namespace.yaml")
    kustomization["resources"].append("mail.yaml")
    mail = team.calendar() | {"metadata": {"name": "mail"}}
    platform.git.write({team.file("kustomization.yaml"): [kustomization], team.file("mail.yaml"): [mail]})
    team.push()
    *_, sync = documents("flux/sync.yaml")
    sync["metadata"] |= {"name": "own", "namespace": team.name}
    sync["spec"] |= {"path": f"./{team.name}", "serviceAccountName": "deployer", "retryInterval": "2s"}
    sync["spec"]["sourceRef"]["namespace"] = NAMESPACE
    del sync["spec"]["dependsOn"]
    platform.flux.suspend(KUSTOMIZATIONS, team.name, True)

    platform.flux.apply(sync)

    account = f"system:serviceaccount:{team.name}:deployer"
    platform.flux.wait(
        "it is refused",
        KUSTOMIZATIONS,
        "own",
        lambda seen: f"{account} may not get Secrets of that name" in condition(seen).get("message", ""),
        team.name,
    )
    assert team.user.api.find(DATASOURCES, "mail", team.name) is None
    reading = ("--verb=get", "--resource=secrets", "--resource-name=calendar-app")
    team.user.kubectl("create", "role", "reader", *reading)
    team.user.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={team.name}:deployer")
    platform.flux.wait_until_ready(KUSTOMIZATIONS, "own", team.name)
    assert team.user.reason("mail") == "AuthorizationRequired"
    team.user.kubectl("delete", "kustomization", "own")


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
    consent(team)
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
    consent(team)
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
