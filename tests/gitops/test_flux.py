"""Teams of examples/gitops under Flux's controllers: these wait, they find nothing to put right, and they take nothing away."""

import json
from typing import Any

import pytest

from datasource.api.names import CREDENTIAL_SUFFIX
from tests.support.api import DATASOURCES, NAMESPACES, Manifest
from tests.support.flux import KUSTOMIZATIONS, NAMESPACE, condition, is_ready
from tests.support.flux_platform import RELEASE, Platform, Team, documents

pytestmark = pytest.mark.cluster

CALENDAR = "Datasource/{}/calendar"


def oauth2(calendar: Manifest, **changes: Any) -> Manifest:
    """The Datasource with other parameters; None leaves one out."""
    whole = calendar["spec"]["oauth2"] | changes
    return calendar | {
        "spec": calendar["spec"] | {"oauth2": {key: each for key, each in whole.items() if each is not None}}
    }


def test_without_the_expressions_flux_waits_for_the_person(platform: Platform) -> None:
    changes = {"healthCheckExprs": None, "timeout": "10s", "retryInterval": "2s"}
    team = platform.team("team-without-expressions", changes=changes)
    team.store_client_secret()
    team.user.wait_for_reason("AuthorizationRequired")

    failed = platform.flux.wait(
        "it fails", KUSTOMIZATIONS, team.name, lambda seen: condition(seen).get("reason") == "HealthCheckFailed"
    )
    assert f"{CALENDAR.format(team.name)} status: 'InProgress'" in condition(failed)["message"]
    team.consent()

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
    team.consent()
    nothing_is_written("Authorized")
    team.user.kubectl("delete", "secret", f"calendar{CREDENTIAL_SUFFIX}")
    nothing_is_written("AuthorizationRequired")


def test_commit_is_applied_and_waited_for(team: Team) -> None:
    team.consent()
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
    team.consent()

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
    team.consent()
    team.consent("mail")
    stored = team.user.credential_id()

    (kustomization,) = platform.git.read(team.file("kustomization.yaml"))
    kustomization["resources"].remove("calendar.yaml")
    platform.git.write({team.file("kustomization.yaml"): [kustomization]})
    team.wait_until_ready(team.push())

    team.user.api.wait("mail is gone", DATASOURCES, "mail", lambda seen: seen is None, team.name)
    assert team.user.secret(f"mail{CREDENTIAL_SUFFIX}") is None
    assert team.user.credential_id() == stored


def test_kustomization_that_is_deleted_leaves_the_credential(platform: Platform, team: Team) -> None:
    team.consent()
    stored = team.user.credential_id()

    platform.flux.api.delete(KUSTOMIZATIONS, team.name, NAMESPACE)
    platform.flux.wait_until_gone(KUSTOMIZATIONS, team.name)

    assert "deletionTimestamp" not in team.user.api.get(NAMESPACES, team.name)["metadata"]
    assert "deletionTimestamp" not in team.user.get()["metadata"]
    assert team.user.credential_id() == stored


def test_what_kubectl_wrote_is_taken_back_and_costs_nothing(team: Team, platform: Platform) -> None:
    team.consent()
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
    team.consent()
    calendar = team.calendar()
    calendar["metadata"]["annotations"]["datasource.dev/clear-credential"] = "monday"

    team.wait_until_ready(team.commit(calendar))

    team.user.wait_for_reason("CredentialCleared")
    team.consent()
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
