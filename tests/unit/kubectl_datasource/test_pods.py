"""Why a pod is not ready: the cause, in words, and what to do."""

from typing import Any

import msgspec
import pytest

from kubectl_datasource.installation import Deployment
from kubectl_datasource.pods import Pod, last_words, why_not_ready
from tests.unit.kubectl_datasource.installed import deployment, pod

OPERATOR = deployment("operator", ready=0)
LOG = '{"event": "starts"}\n{"event": "cannot go on", "error": "DATASOURCE_EXTERNAL_URL must be https", "level": "error"}\n'


def why(*pods: Pod, of: Deployment = OPERATOR) -> str:
    found = why_not_ready(of, pods, "datasource-system")
    assert found is not None
    assert found.remedy
    return found.why


def with_status(**status: Any) -> Pod:
    raw = msgspec.to_builtins(pod("operator"))
    return msgspec.convert(raw | {"status": status}, Pod)


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "ErrImagePull", "InvalidImageName"])
def test_image_that_cannot_be_pulled_is_named(reason: str) -> None:
    told = why(pod("operator", image="ghcr.io/x:1", state={"waiting": {"reason": reason, "message": "denied"}}))
    assert told == f"image ghcr.io/x:1 cannot be pulled ({reason}): denied"


def test_pod_that_ends_again_and_again_tells_its_last_words() -> None:
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": LOG}}
    told = why(pod("operator", state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended))
    assert told == (
        "pod operator-1 ends again and again (CrashLoopBackOff): cannot go on: DATASOURCE_EXTERNAL_URL must be https"
    )


def test_pod_that_said_nothing_tells_how_it_ended() -> None:
    told = why(pod("operator", state={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}))
    assert told == "pod operator-1 ends again and again (OOMKilled): exit code 137, OOMKilled"


def test_what_a_container_lacks_is_said() -> None:
    state = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "x" not found'}}
    assert 'secret "x" not found' in why(pod("operator", state=state))


def test_pod_without_a_node_says_why() -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}
    assert why(with_status(phase="Pending", conditions=[unscheduled])) == (
        "pod operator-1 finds no node: 0/2 nodes are available"
    )


def test_pod_that_was_evicted_says_why() -> None:
    assert "The node was low on memory" in why(with_status(phase="Failed", message="The node was low on memory"))


def test_pod_that_runs_and_is_not_ready_is_told() -> None:
    assert why(pod("operator", state={"running": {}})) == "pod operator-1 runs and is not ready"


def test_of_pods_the_first_cause_counts_and_others_are_passed_over() -> None:
    starting = pod("operator", state={"waiting": {"reason": "ContainerCreating"}})
    ready = pod("operator", ready=True)
    other = pod("callback-server", state={"waiting": {"reason": "ErrImagePull"}})
    assert why_not_ready(OPERATOR, (starting, ready, other), "x") is None
    assert "cannot start" in why(starting, pod("operator", state={"waiting": {"reason": "RunContainerError"}}))


def test_pod_that_is_being_deleted_is_no_cause() -> None:
    raw = msgspec.to_builtins(pod("operator", state={"waiting": {"reason": "ErrImagePull"}}))
    raw["metadata"]["deletionTimestamp"] = "2026-07-01T12:00:00Z"
    assert why_not_ready(OPERATOR, (msgspec.convert(raw, Pod),), "x") is None


def test_without_a_pod_the_deployment_says_what_refuses_them() -> None:
    raw = msgspec.to_builtins(OPERATOR)
    raw["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: few"}]
    assert why(of=msgspec.convert(raw, Deployment)) == "no pod can be made: exceeded quota: few"
    assert why_not_ready(OPERATOR, (), "x") is None


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ("\n \n", ""),
        ("Traceback\nValueError: no\n", "ValueError: no"),
        ("[1, 2]", "[1, 2]"),
        ('{"level": "info"}', '{"level": "info"}'),
        ("x" * 5000, "x" * 299 + "…"),
    ],
)
def test_last_words_are_a_short_line(log: str, words: str) -> None:
    assert last_words(log) == words
