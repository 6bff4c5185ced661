from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from datasource.api.objects import Lease
from kubectl_datasource.checks import Check, Verdict
from kubectl_datasource.doctor import OUR_HEADERS, examine
from kubectl_datasource.findings import (
    Answer,
    OtherInstallation,
    Survey,
    Untold,
    Untrusted,
    credentials_to_ask_for,
)
from kubectl_datasource.installation import POLICIES
from kubectl_datasource.rights import ResourceAttributes, Review, ReviewSpec
from tests.unit.kubectl_datasource.builders import NOW, datasource
from tests.unit.kubectl_datasource.installed import REDIRECT_URI, SOUND, URL, config, deployment, lease, pod, reviewed


def check(name: str, **changes: Any) -> Check:
    """The check of that name over a sound installation with changes."""
    (found,) = [each for each in examine(replace(SOUND, **changes)) if each.name == name]
    return found


def test_sound_installation_passes_every_check() -> None:
    checks = examine(SOUND)
    assert {each.name: each.verdict for each in checks if each.verdict is not Verdict.OK} == {}
    assert len(checks) == 15


def test_nothing_that_could_not_be_asked_fails() -> None:
    checks = examine(Survey(NOW, "datasource-system"))
    assert {each.verdict for each in checks} == {Verdict.UNKNOWN}


def test_whatever_fails_says_what_to_do() -> None:
    denied = reviewed(denied="operator get")
    gone = replace(SOUND, kubernetes="v1.30.9", api_versions=(), deployments=(), lease=None, reviews=denied)
    astray = replace(SOUND, policies=frozenset(), config_maps=config(EXTERNAL_URL=""), callback=Untold("no such host"))
    broken = [*examine(gone), *examine(astray)]
    failed = [each for each in broken if each.verdict is Verdict.FAILED]
    assert len(failed) >= 7
    assert [each.name for each in failed if not each.remedy] == []


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("v1.31.0", Verdict.OK),
        ("v2.0.0", Verdict.OK),
        ("v1.30.9", Verdict.FAILED),
        ("v1.29+", Verdict.FAILED),
        ("?", Verdict.FAILED),
    ],
)
def test_old_kubernetes_is_refused(version: str, verdict: Verdict) -> None:
    assert check("Kubernetes version", kubernetes=version).verdict is verdict


@pytest.mark.parametrize(("versions", "says"), [((), "not installed"), (("v1",), "not v1alpha1")])
def test_missing_api_is_told(versions: tuple[str, ...], says: str) -> None:
    found = check("Datasource API", api_versions=versions)
    assert found.verdict is Verdict.FAILED
    assert says in found.detail


@pytest.mark.parametrize(
    ("changes", "verdict", "says"),
    [
        ({"replicas": 0, "ready": 0}, Verdict.FAILED, "scaled to 0"),
        ({"ready": 0}, Verdict.FAILED, "0 of 2 ready"),
        ({"ready": 1}, Verdict.WARNING, "rollout"),
        ({"image": "x:0.2.0"}, Verdict.WARNING, "this plugin is 0.1.0"),
        ({"image": "registry:5000/x@sha256:abc"}, Verdict.OK, "digest"),
        ({"image": "registry:5000/x:0.1.0@sha256:abc"}, Verdict.OK, "version 0.1.0"),
    ],
)
def test_operator_that_is_not_as_it_should_be(changes: dict[str, Any], verdict: Verdict, says: str) -> None:
    found = check("Operator", deployments=(deployment("operator", **changes), deployment("callback-server")))
    assert found.verdict is verdict
    assert says in found.detail


def test_processes_beside_the_cluster_are_seen_by_their_work() -> None:
    assert check("Operator", deployments=()).verdict is Verdict.WARNING
    assert check("Callback server", deployments=()).verdict is Verdict.WARNING
    assert check("Operator", deployments=(), lease=None).verdict is Verdict.FAILED
    assert check("Callback server", deployments=(), callback=Untold("refused")).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "no operator ever led"),
        (lease(holder=""), "no operator holds it"),
        (Lease(lease().metadata), "no operator holds it"),
        (lease(timedelta(minutes=5)), "not renewed for 5m"),
    ],
)
def test_operator_that_nobody_leads_is_told(found: Lease | None, says: str) -> None:
    told = check("Lease", lease=found)
    assert told.verdict is Verdict.FAILED
    assert says in told.detail


def test_lease_is_as_old_as_the_clock_of_the_api_server_says() -> None:
    here_is_an_hour_ahead = {"now": NOW + timedelta(hours=1), "api_skew": timedelta(hours=-1)}
    assert check("Lease", **here_is_an_hour_ahead).verdict is Verdict.OK
    assert check("Clock of the API server", **here_is_an_hour_ahead).detail.startswith("60m behind")


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict", "says"),
    [
        ("", (), Verdict.FAILED, "serves Datasources of all namespaces too"),
        ("shop, sales", (), Verdict.FAILED, "of shop, sales too"),
        ("", ("shop",), Verdict.FAILED, "of shop too"),
        ("shop,sales", ("sales", "support"), Verdict.FAILED, "of sales too"),
        ("shop", ("sales",), Verdict.OK, "for other namespaces"),
        ("shop", None, Verdict.WARNING, "it is unknown"),
    ],
)
def test_two_installations_that_claim_the_same_datasources_are_told(
    ours: str, theirs: tuple[str, ...] | None, verdict: Verdict, says: str
) -> None:
    other = OtherInstallation(lease(namespace="elsewhere"), theirs)
    found = check("Other installations", config_maps=config(EXTERNAL_URL=URL, NAMESPACES=ours), others=(other,))
    assert found.verdict is verdict
    assert "namespace elsewhere" in found.detail
    assert says in found.detail
    assert bool(found.remedy) is (verdict is not Verdict.OK)


def test_installation_whose_settings_are_not_known_may_be_one_that_claims_the_same() -> None:
    other = OtherInstallation(lease(namespace="elsewhere"), ("shop",))
    found = check("Other installations", deployments=(), config_maps=Untold("forbidden"), others=(other,))
    assert found.verdict is Verdict.WARNING


@pytest.mark.parametrize("left", [lease(timedelta(hours=1), namespace="old"), lease(holder="", namespace="old")])
def test_lease_that_an_installation_left_behind_is_no_other_installation(left: Lease) -> None:
    assert check("Other installations", others=(OtherInstallation(left, ()),)).verdict is Verdict.OK


def test_each_other_installation_is_told() -> None:
    others = tuple(OtherInstallation(lease(namespace=each), ()) for each in ("one", "two"))
    found = [each for each in examine(replace(SOUND, others=others)) if each.name == "Other installations"]
    assert [each.verdict for each in found] == [Verdict.FAILED] * 2


def test_right_that_is_missing_is_named_for_whom_it_misses() -> None:
    denied = reviewed(denied="callback-server create")
    assert check("Rights of the operator", reviews=denied).verdict is Verdict.OK
    assert "create secrets in all namespaces" in check("Rights of the callback server", reviews=denied).detail


def test_policy_without_a_binding_protects_nothing() -> None:
    found = check("Admission policies", bindings=frozenset(POLICIES[1:]))
    assert found.verdict is Verdict.FAILED
    assert POLICIES[0] in found.detail


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("", Verdict.FAILED),
        ("http://connect.example.com", Verdict.FAILED),
        ("https://[", Verdict.FAILED),
        ("https://other.example.com", Verdict.FAILED),
        (f"{URL}/", Verdict.OK),
    ],
)
def test_external_url_must_be_that_of_the_redirect_uris(url: str, verdict: Verdict) -> None:
    assert check("External URL", config_maps=config(EXTERNAL_URL=url)).verdict is verdict


def test_redirect_uri_of_a_datasource_alone_differs_from_nothing() -> None:
    own = datasource(name="calendar", redirectURI=f"{REDIRECT_URI}/calendar")
    assert check("External URL", datasources=(own,)).verdict is Verdict.OK
    another = datasource(name="calendar", redirectURI=f"{REDIRECT_URI}/mail")
    assert check("External URL", datasources=(another,)).verdict is Verdict.FAILED


def test_first_of_many_that_differ_is_named() -> None:
    many = (
        datasource(name="a", redirectURI="https://old/callback/shop"),
        datasource(name="b", redirectURI="https://x/"),
    )
    assert check("External URL", datasources=many).detail.endswith("of shop/a is another (and 1 more)")


@pytest.mark.parametrize(
    ("answer", "verdict", "says"),
    [
        (Answer(404, {}), Verdict.FAILED, "something else answers"),
        (Answer(302, {"location": "https://sso"}), Verdict.FAILED, "something else answers"),
        (Answer(503, OUR_HEADERS), Verdict.FAILED, "status 503"),
        (Untold("certificate has expired"), Verdict.FAILED, "certificate has expired"),
        (None, Verdict.UNKNOWN, "--external-url"),
    ],
)
def test_callback_url_must_lead_to_the_callback_server(
    answer: Answer | Untold | None, verdict: Verdict, says: str
) -> None:
    found = check("Callback URL", callback=answer)
    assert found.verdict is verdict
    assert says in found.detail


@pytest.mark.parametrize(
    ("skew", "verdict", "says"),
    [
        (timedelta(seconds=60), Verdict.OK, "within"),
        (timedelta(seconds=61), Verdict.WARNING, "ahead of"),
        (timedelta(minutes=-5), Verdict.WARNING, "5m behind"),
        (None, Verdict.UNKNOWN, "did not say"),
    ],
)
def test_clock_that_is_off_is_told(skew: timedelta | None, verdict: Verdict, says: str) -> None:
    found = check("Clock of the callback server", callback=Answer(404, OUR_HEADERS, skew))
    assert found.verdict is verdict
    assert says in found.detail


def test_rights_on_one_credential_of_each_served_namespace_are_asked_for_and_not_without_end() -> None:
    many = tuple(datasource(name=name, namespace=place) for place, name in (("a", "x"), ("a", "y"), ("b", "z")))
    survey = replace(SOUND, datasources=many)
    assert credentials_to_ask_for(survey, 20) == [("a", "x-oauth2-credential"), ("b", "z-oauth2-credential")]
    assert credentials_to_ask_for(survey, 1) == [("a", "x-oauth2-credential")]
    listed = replace(survey, deployments=(), config_maps=config(NAMESPACES="b"))
    assert credentials_to_ask_for(listed, 20) == [("b", "z-oauth2-credential")]
    assert credentials_to_ask_for(replace(SOUND, datasources=Untold("no rights")), 20) == []


def test_what_keeps_pods_from_being_ready_is_said_before_how_many_are() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    found = check(
        "Operator",
        deployments=(deployment("operator", ready=0),),
        pods=(pod("operator", image="registry/x:0.9", state=waiting),),
    )
    assert found.verdict is Verdict.FAILED
    assert found.detail.startswith("image registry/x:0.9 cannot be pulled (ImagePullBackOff): not found; 0 of 2 ready")


def test_one_pod_of_two_that_ends_again_and_again_is_a_warning() -> None:
    ended = {"terminated": {"exitCode": 1, "message": "DATASOURCE_EXTERNAL_URL is empty."}}
    crashing = pod("operator", state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended)
    found = check("Operator", deployments=(deployment("operator", ready=1),), pods=(crashing,))
    assert found.verdict is Verdict.WARNING
    assert "(CrashLoopBackOff): DATASOURCE_EXTERNAL_URL is empty." in found.detail
    assert "--previous" in found.remedy


def test_an_installation_beside_the_cluster_is_not_called_broken_for_settings_that_are_elsewhere() -> None:
    elsewhere = {"deployments": (), "config_maps": config(EXTERNAL_URL="")}
    assert check("External URL", **elsewhere).verdict is Verdict.OK
    assert check("External URL", **elsewhere, callback=Untold("refused")).verdict is Verdict.FAILED


def test_certificate_that_this_machine_does_not_trust_fails_nothing() -> None:
    found = check("Callback URL", callback=Untrusted("it shows a certificate of an authority that is not trusted here"))
    assert found.verdict is Verdict.WARNING
    assert "browsers" in found.remedy


def test_many_missing_rights_make_one_line() -> None:
    many = tuple(
        Review(
            ReviewSpec("system:serviceaccount:datasource-system:datasource-operator", ResourceAttributes(f"v{each}"))
        )
        for each in range(26)
    )
    found = check("Rights of the operator", reviews=many)
    assert found.detail.endswith("; and 23 more")
    assert len(found.detail) < 200
