"""What of ours runs where, as far as this user is told."""

import json
from importlib.metadata import version as package_version
from typing import Any

import pytest

from kubectl_datasource.versions import Versions, told
from tests.unit.kubectl_datasource.fake_cluster import Cluster, listing, plugin

CLIENT = package_version("kubectl-datasource")
API = {"versions": [{"version": "v1alpha1"}, {"version": "v1beta1"}]}


def deployment(component: str, image: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": component}
    spec = {"template": {"spec": {"containers": [{"name": "it", "image": image}]}}}
    return {"metadata": {"name": f"datasource-{component}", "labels": labels}, "spec": spec}


def test_client_alone_asks_no_cluster(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin("version", "--client") == 0
    assert capsys.readouterr() == (f"kubectl datasource: {CLIENT}\n", "")
    assert cluster.asked == []


def test_processes_and_api_of_the_cluster_are_told(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    pinned = "registry:5000/x@sha256:" + "a" * 64
    cluster.says("get --raw /apis/datasource.dev", API)
    cluster.says("get deployments", listing(deployment("operator", "x:0.2.0"), deployment("callback-server", pinned)))
    assert plugin("version") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"kubectl datasource: {CLIENT}",
        f"callback-server: {pinned}",
        "operator: 0.2.0",
        "API: datasource.dev/v1alpha1, datasource.dev/v1beta1",
    ]


def test_programs_get_the_same(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.says("get --raw /apis/datasource.dev", API)
    cluster.says("get deployments", listing(deployment("operator", "x:0.2.0")))
    assert plugin("version", "-o", "json", "--system-namespace", "elsewhere") == 0
    assert json.loads(capsys.readouterr().out) == {
        "client": CLIENT,
        "processes": {"operator": "0.2.0"},
        "api": ["v1alpha1", "v1beta1"],
    }
    assert any("--namespace=elsewhere" in each for each in cluster.asked)


@pytest.mark.parametrize(
    "complaint",
    [
        "The connection to the server was refused",
        'Error from server (Forbidden): deployments.apps is forbidden: User "ada" cannot list resource',
    ],
)
def test_what_is_not_told_takes_nothing_away_from_what_is(
    complaint: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says("get --raw /apis/datasource.dev", API)
    cluster.refuses("get deployments", complaint)
    assert plugin("version") == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == f"kubectl datasource: {CLIENT}"
    assert "API: datasource.dev/v1alpha1" in printed.out
    assert complaint.rpartition(": ")[2] in printed.err


@pytest.mark.parametrize("answer", ["{}", '{"versions": [7]}', '{"versions": null}'])
def test_answer_of_another_shape_is_said_to_be_unreadable(
    answer: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says("get --raw /apis/datasource.dev", answer)
    assert plugin("version") == 0
    assert "cannot be read" in capsys.readouterr().err


def test_image_that_would_paint_the_terminal_is_printed_harmlessly(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.says("get --raw /apis/datasource.dev", API)
    cluster.says("get deployments", listing(deployment("operator", "x:1\x1b[31m")))
    plugin("version")
    assert "\x1b" not in capsys.readouterr().out


def test_a_cluster_without_ours_is_said_to_be_one() -> None:
    assert told(Versions("1", processes={}, api=()), "datasource-system") == [
        "kubectl datasource: 1",
        "operator: none in namespace datasource-system",
        "API: not in this cluster",
    ]
