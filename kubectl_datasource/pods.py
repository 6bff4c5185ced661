"""Why a pod of ours is not ready, in words: the cause first. Pure."""

from dataclasses import dataclass
from typing import Any

import msgspec

from datasource.api.objects import Metadata
from kubectl_datasource.installation import Deployment

_NO_IMAGE = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
)
_NOT_MADE = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})
_WORDS = 300


class Waiting(msgspec.Struct, frozen=True):
    """Why a container does not run yet."""

    reason: str = ""
    message: str = ""


class Terminated(msgspec.Struct, frozen=True, rename="camel"):
    """How a container ended. The message is the end of its log (terminationMessagePolicy)."""

    reason: str = ""
    message: str = ""
    exit_code: int = 0


class ContainerState(msgspec.Struct, frozen=True):
    """At most one of them is there."""

    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    """One container of a pod."""

    image: str = ""
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Condition(msgspec.Struct, frozen=True):
    """A condition of a pod."""

    type: str = ""
    status: str = ""
    message: str = ""


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """`status` of a Pod."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(msgspec.Struct, frozen=True):
    """A Pod, as far as it tells why it is not ready."""

    metadata: Metadata
    status: PodStatus = PodStatus()

    @property
    def component(self) -> str:
        """Whose it is: `operator`, `callback-server`."""
        return self.metadata.labels.get("app.kubernetes.io/component", "")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why pods are not ready, as half a sentence, and what to do."""

    why: str
    remedy: str


def why_not_ready(deployment: Deployment, pods: tuple[Pod, ...], namespace: str) -> Cause | None:
    """The first cause that one of its pods tells, or the Deployment where none could be made; None where all are ready."""
    own = [each for each in pods if each.component == deployment.component]
    causes = (_of_pod(each, namespace) for each in own if each.metadata.deletion_timestamp is None)
    found = next((each for each in causes if each is not None), None)
    if found is not None or own:
        return found
    refused = next((each for each in deployment.status.conditions if each.type == "ReplicaFailure"), None)
    if refused is None or refused.status != "True":
        return None
    return Cause(
        f"no pod can be made: {_short(refused.message)}", "Correct what refuses it: a quota, a policy, Pod Security."
    )


def _of_pod(pod: Pod, namespace: str) -> Cause | None:
    status, name = pod.status, pod.metadata.name
    unscheduled = next(
        (each for each in status.conditions if (each.type, each.status) == ("PodScheduled", "False")), None
    )
    if unscheduled is not None:
        return Cause(
            f"pod {name} finds no node: {_short(unscheduled.message)}", "Give the cluster room, or change requests."
        )
    if status.phase == "Failed":
        return Cause(
            f"pod {name} failed: {_short(status.message or status.reason)}", "Look at the node that it ran on."
        )
    causes = (_of_container(each, name, namespace) for each in status.container_statuses if not each.ready)
    return next((each for each in causes if each is not None), None)


def _of_container(container: ContainerStatus, pod: str, namespace: str) -> Cause | None:
    waiting = container.state.waiting or Waiting()
    ended = container.state.terminated or container.last_state.terminated
    if waiting.reason in _NO_IMAGE:
        return Cause(
            f"image {container.image} cannot be pulled ({waiting.reason}): {_short(waiting.message)}",
            "Correct image and tag, or give the nodes access to the registry (imagePullSecrets).",
        )
    if waiting.reason in _NOT_MADE:
        return Cause(f"pod {pod} cannot start ({waiting.reason}): {_short(waiting.message)}", "Create what it names.")
    if ended is not None:
        kind = waiting.reason or ended.reason
        said = last_words(ended.message) or f"exit code {ended.exit_code}, {ended.reason or 'no reason'}"
        return Cause(
            f"pod {pod} ends again and again ({kind}): {said}", f"kubectl logs -n {namespace} {pod} --previous"
        )
    if waiting.reason:
        return None  # ContainerCreating: it is on its way
    return Cause(
        f"pod {pod} runs and is not ready", f"Its logs tell what it waits for: kubectl logs -n {namespace} {pod}"
    )


def last_words(log: str) -> str:
    """What the last line of a log says: its event and error where it is JSON, as our processes write it."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if not lines:
        return ""
    try:
        said: Any = msgspec.json.decode(lines[-1].encode())
    except msgspec.DecodeError:
        return _short(lines[-1])
    if not isinstance(said, dict):
        return _short(lines[-1])
    told = [str(said[key]) for key in ("event", "error", "exception") if said.get(key)]
    return _short(": ".join(told) or lines[-1])


def _short(text: str) -> str:
    """On one line, and no longer than people read."""
    line = " ".join(text.split())
    return line if len(line) <= _WORDS else line[: _WORDS - 1] + "…"
