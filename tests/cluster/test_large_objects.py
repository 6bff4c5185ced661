"""A namespace holds the largest objects that the API server takes, and many of them, while the operator starts.

It has the memory of deploy/, and whoever takes more is killed with SIGKILL, as the kernel does.
"""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from datasource.api.names import FIELD_MANAGER, Annotation, Role, SecretType
from deploy.local.stack import Process, Stack
from tests.adversary.figures import MEMORY_LIMITS
from tests.adversary.pod import Pod
from tests.support.api import DATASOURCES, SECRETS, Manifest, api_of
from tests.support.user import User

pytestmark = pytest.mark.cluster

EACH = 12
"""Objects of each kind, of about a megabyte: as dictionaries they would take a GiB."""

OWNERS = [{"apiVersion": "v1", "kind": "Kind", "name": "n", "uid": f"{number:x}"} for number in range(12_000)]
FINALIZERS = [f"example.com/{number:x}" for number in range(15_000)]
LABELS = {f"l{number:x}": "" for number in range(30_000)}
ANNOTATIONS = {f"a{number:x}": "x" * 20 for number in range(9_000)}
VALUE = base64.b64encode(b"x" * 900_000).decode()


def datasource(name: str, **metadata: Any) -> Manifest:
    return {
        "apiVersion": "datasource.dev/v1alpha1",
        "kind": "Datasource",
        "metadata": {"name": name, **metadata},
        "spec": {"url": "https://api.example.com/"},
    }


def secret(name: str, type_: SecretType, role: Role, value: str = "", **metadata: Any) -> Manifest:
    of_its_kind = "credential" if role is Role.CREDENTIAL else "token"
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": type_,
        "metadata": {
            "name": f"{name}-{of_its_kind}",
            "annotations": {Annotation.DATASOURCE: name, Annotation.ROLE: role},
            **metadata,
        },
        "data": {"value": value},
    }


LARGE: dict[str, Callable[[str], Manifest]] = {
    "owners": lambda name: datasource(name, ownerReferences=OWNERS),
    "labels": lambda name: datasource(name, labels=LABELS),
    "annotations": lambda name: datasource(name, annotations=ANNOTATIONS),
    "owned": lambda name: secret(name, SecretType.CREDENTIAL, Role.CREDENTIAL, ownerReferences=OWNERS),
    "held": lambda name: secret(name, SecretType.CREDENTIAL, Role.CREDENTIAL, finalizers=FINALIZERS),
    "labelled": lambda name: secret(name, SecretType.TOKEN, Role.TOKEN, labels=LABELS),
    "valuable": lambda name: secret(name, SecretType.TOKEN, Role.TOKEN, VALUE),
}


def all_in(namespace: str) -> Iterator[Manifest]:
    """Each of them, one at a time: all at once would be a GiB here, too."""
    for kind, make in LARGE.items():
        for number in range(EACH):
            manifest = make(f"{kind}-{number}")
            manifest["metadata"]["namespace"] = namespace
            yield manifest


@pytest.fixture
def full_namespace(user: User, operator: Process) -> Iterator[str]:
    """Another tenant's namespace, with all of them. No operator runs meanwhile, so that none of them has a state."""
    name, api = f"{user.namespace}-large", api_of(user.cluster.kubeconfig)
    operator.stop()
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        for manifest in all_in(name):
            # Under our own field manager: what is owned there is looked through.
            api.apply(manifest, manager=FIELD_MANAGER)
        yield name
        # One by one: all at once take the API server longer than a client waits.
        for manifest in all_in(name):
            resource = DATASOURCES if manifest["kind"] == "Datasource" else SECRETS
            if manifest["metadata"].get("finalizers"):
                api.patch(resource, manifest["metadata"]["name"], {"metadata": {"finalizers": None}}, name)
            api.delete(resource, manifest["metadata"]["name"], name)
    finally:
        operator.start()


def has_a_state(found: Manifest | None) -> bool:
    return bool((found or {}).get("status", {}).get("state"))


def test_operator_starts_and_serves_others_among_the_largest_objects_that_there_can_be(
    user: User, full_namespace: str, stack: Stack
) -> None:
    with Pod(
        stack.operator("operator-among-large-objects"), limit_mib=MEMORY_LIMITS["operator"], ready_within=300
    ) as pod:
        user.ready_to_authorize()
        api = api_of(user.cluster.kubeconfig)
        # They are looked at, too, and each has a state.
        for kind in ("owners", "labels", "annotations"):
            for number in range(EACH):
                api.wait("a state", DATASOURCES, f"{kind}-{number}", has_a_state, full_namespace)
        print(f"peak {pod.peak_mib:.0f} MiB")
        assert pod.ends == []
        assert 0 < pod.peak_mib < MEMORY_LIMITS["operator"]
