"""`doctor` as somebody reads it: one line a check, and how many came out how."""

import json

import pytest

from kubectl_datasource.doctor_command import doctor
from kubectl_datasource.kubectl import Kubectl
from tests.unit.kubectl_datasource.fake_cluster import Cluster, plugin

FORBIDDEN = "\n".join(
    f'Error from server (Forbidden): error when creating "STDIN": subjectaccessreviews.authorization.k8s.io is forbidden: '
    f'User "ada" cannot create resource "subjectaccessreviews" in API group "authorization.k8s.io" in ({each})'
    for each in range(26)
)


def test_whoever_may_see_little_gets_a_line_a_check_and_no_flood(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says("version", {"serverVersion": {"gitVersion": "v1.36.3"}})
    cluster.says("get --raw /apis/datasource.dev", {"versions": [{"version": "v1alpha1"}]})
    cluster.refuses("create -f -", FORBIDDEN)
    assert plugin("doctor") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 450
    assert len(lines) < 30
    assert any(line.startswith("UNKNOWN Rights of the operator: subjectaccessreviews") for line in lines)
    assert "could not be looked at: an administrator may see them" in lines[-1]


def test_check_is_doctor_by_another_name(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says("version", {"serverVersion": {"gitVersion": "v1.20.0"}})
    assert plugin("check", "-o", "json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["checks"][0]["verdict"]) == ("failed", "failed")


def test_before_an_installation_nothing_of_it_is_looked_for(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says("version", {"serverVersion": {"gitVersion": "v1.36.3"}})
    cluster.says("create -f -", '{"spec": {"resourceAttributes": {"verb": "create", "resource": "namespaces"}}}')
    assert doctor(Kubectl(), "datasource-system", None, None, pre=True) == 1
    out = capsys.readouterr().out
    assert "FAILED  Your rights: missing: create namespaces in all namespaces" in out
    assert "Lease" not in out
    assert not [line for line in cluster.asked if "deployments" in line]


OPERATOR = {
    "metadata": {
        "name": "our-operator",
        "namespace": "datasource-system",
        "labels": {"app.kubernetes.io/component": "operator"},
    }
}


@pytest.mark.parametrize(
    ("deployments", "says", "code", "line"),
    [
        (
            [OPERATOR],
            '{"delivered": true, "receiver": "hooks.example.com", "id": "1"}\n',
            0,
            "OK      Notifications: hooks.example.com accepted",
        ),
        (
            [OPERATOR],
            'a warning\n{"delivered": false, "why": "the receiver answered 401"}\n',
            1,
            "FAILED  Notifications: the test message was not delivered: the receiver answered 401",
        ),
        ([OPERATOR], "no JSON\n", 0, "UNKNOWN Notifications: no test message could be sent: the answer cannot be read"),
        ([OPERATOR], "", 1, "UNKNOWN Notifications: no test message could be sent"),
        ([], "", 0, "UNKNOWN Notifications: no test message could be sent: there is no Deployment of the operator"),
    ],
)
def test_test_message_is_sent_by_the_operators_own_pod(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    deployments: list[object],
    says: str,
    code: int,
    line: str,
) -> None:
    cluster.says("version", {"serverVersion": {"gitVersion": "v1.36.3"}})
    cluster.says("get deployments", {"items": deployments})
    if says or code == 0:
        cluster.prints("exec deployment/our-operator --namespace=datasource-system", says, code=code)
    else:
        cluster.refuses("exec deployment/our-operator", 'Error from server (Forbidden): pods "x" is forbidden')
    plugin("doctor", "--test-notification")
    assert [each for each in capsys.readouterr().out.splitlines() if each.startswith(line)], line
    ran = [each for each in cluster.asked if each.startswith("exec")]
    assert all(each.endswith(" -- python -m datasource_operator.trial_notification") for each in ran)
    assert bool(ran) is bool(deployments)


UPGRADE = (
    'error: unable to upgrade connection: pods "our-operator-1" is forbidden: User "ada" cannot create "pods/exec"'
)


@pytest.mark.parametrize(
    ("complaint", "words"),
    [
        (UPGRADE, 'pods "our-operator-1" is forbidden: User "ada" cannot create "pods/exec"'),
        ('Error from server (Forbidden): pods "x" is forbidden: User "ada" cannot list', 'pods "x" is forbidden'),
        ('error: unable to upgrade connection: container not found ("operator")', 'container not found ("operator")'),
        (
            "Error from server: error dialing backend: dial tcp 10.0.0.1:10250: connect: refused",
            "error dialing backend",
        ),
        ("error: cannot exec into a container in a completed pod; current phase is Failed", "completed pod"),
        (
            "Traceback\n  line\nNo module named trial_notification\ncommand terminated with exit code 1",
            "command terminated with exit code 1",
        ),
        ("", "kubectl says: nothing"),
    ],
)
def test_message_that_cannot_be_sent_costs_no_other_check(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], complaint: str, words: str
) -> None:
    """kubectl told a missing right as a failed connection, and the whole command said that the cluster cannot be asked."""
    cluster.says("version", {"serverVersion": {"gitVersion": "v1.36.3"}})
    cluster.says("get deployments", {"items": [OPERATOR]})
    cluster.refuses("exec deployment/our-operator", complaint)
    assert plugin("doctor", "--test-notification") in {0, 1}
    lines = capsys.readouterr().out.splitlines()
    (found,) = [line for line in lines if line.startswith("UNKNOWN Notifications: no test message could be sent: ")]
    assert words in found
    assert len(lines) > 10


def test_nobody_is_sent_a_message_who_was_not_to_be(cluster: Cluster) -> None:
    cluster.says("version", {"serverVersion": {"gitVersion": "v1.36.3"}})
    cluster.says("get deployments", {"items": [OPERATOR]})
    plugin("doctor")
    assert not [each for each in cluster.asked if each.startswith("exec")]
