"""What the demo is told with variables, and what it makes of the examples."""

import pytest
import yaml

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
