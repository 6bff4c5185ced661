"""What the demo is told with variables, and what it makes of the examples."""

from pathlib import Path

import pytest
import yaml

from deploy.local import demo
from deploy.local.cluster import Cluster
from deploy.local.demo import EXAMPLES, Choices, at_host, choices_in
from deploy.local.processes import StackError


@pytest.mark.parametrize("value", ["", "0"])
def test_without_node_both_processes_run_without_pods(value: str) -> None:
    assert choices_in({"CLUSTER": "local", "NODE": value}) == Choices("local", auto=False, node=False)


def test_node_brings_up_a_cluster_of_its_own() -> None:
    assert choices_in({"NODE": "1", "AUTO": "1"}) == Choices("local", auto=True, node=True)


@pytest.mark.parametrize("cluster", ["kind", "current"])
def test_node_with_somebody_elses_cluster_is_refused(cluster: str) -> None:
    with pytest.raises(StackError, match=f"leave CLUSTER={cluster} out"):
        choices_in({"NODE": "1", "CLUSTER": cluster})


def test_people_sign_in_where_that_is_asked_for() -> None:
    assert choices_in({"CLUSTER": "local", "SIGN_IN": "1"}) == Choices("local", auto=False, sign_in=True)
    assert not choices_in({"CLUSTER": "local", "SIGN_IN": "0"}).sign_in


@pytest.mark.parametrize("other", ["AUTO", "NODE"])
def test_sign_in_is_tried_by_a_person(other: str) -> None:
    with pytest.raises(StackError, match="leave AUTO and NODE out"):
        choices_in({"CLUSTER": "local", "SIGN_IN": "1", other: "1"})


def test_only_what_pods_ask_is_moved_to_the_host_that_they_see() -> None:
    text = (EXAMPLES / "calendar.yaml").read_text()
    before, after = (yaml.safe_load(each)["spec"]["oauth2"] for each in (text, at_host(text, "10.99.0.1")))
    moved = {name for name in before if before[name] != after[name]}
    assert moved == {"tokenURL", "revocationURL"}
    assert after["tokenURL"].startswith("http://10.99.0.1:")
    assert at_host(text, "127.0.0.1") == text


def test_cluster_that_does_not_answer_for_a_moment_ends_no_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trouble = StackError("TLS handshake timeout")
    answers: list[str | StackError] = ["calendar is AUTHORIZED", trouble, trouble, "calendar is ERROR"]

    def state(_cluster: object) -> str:
        answer = answers.pop(0)
        if isinstance(answer, StackError):
            raise answer
        return answer

    monkeypatch.setattr(demo, "state", state)
    monkeypatch.setattr(demo, "_reason", lambda _cluster: "")
    cluster, seen = Cluster(Path("none"), Path("none")), ""
    for _ in range(4):
        seen = demo._look(cluster, seen)

    said = [line.split(None, 1)[1] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert said == [
        "calendar is AUTHORIZED",
        "The cluster does not answer. The demo tries again each second. TLS handshake timeout",
        "calendar is ERROR",
    ]
