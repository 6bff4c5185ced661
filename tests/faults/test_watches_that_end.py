"""Watches that end, are refused or fall silent, and an API server that goes away: the operator misses nothing.

It catches up, or it ends and is started again, as kubelet would. While it is in trouble the first steps of some stories
happen, deletions among them; what is left of the stories in the end is what is left where nothing was in the way.

The operators serve one namespace each: one of them is left with silent watches for as long as it takes to notice that,
while the other is in one trouble after the other.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.build import KUBE_APISERVER
from deploy.local.controlplane import ControlPlane
from deploy.local.provider import Provider
from deploy.local.stack import CALLBACK_SERVER, OPERATOR, Stack
from tests.faults import behind_proxy
from tests.faults.api_proxy import everything, is_read_of_many, is_watch, token_file_of, write_secret
from tests.faults.behind_proxy import BehindProxy
from tests.faults.stage import Case, Outcome, Stage, Story
from tests.faults.stories import SECRETS_DELETED, STORIES
from tests.support import etcd
from tests.support.api import NAMESPACES, ROLE_BINDINGS, ROLES, api_of
from tests.support.user import User, eventually

pytestmark = pytest.mark.cluster

MISSED = [each for each in (*STORIES, *SECRETS_DELETED) if each.name != "new credential"]
"""What happens meanwhile."""

WATCHES = 5
"""Of one namespace: Datasources, the three types of Secrets, and token Secrets of other types by their label."""

LONG = timedelta(minutes=2)
"""Longer than any trouble here: it ends when it is told to."""

LONGER_THAN_A_LEASE = timedelta(seconds=12)
"""The operator leads no more when it could not renew its Lease for 10 s."""

NOTICES_SILENCE_WITHIN = timedelta(seconds=150)
"""It takes 90 s without a byte to give a watch up; the rest is for a slow machine."""

MOST_RESTARTS = 8
"""In the whole module: kopf ends at some errors."""

Trouble = Callable[[Stage], AbstractContextManager[None]]


@contextmanager
def watches_end(stage: Stage) -> Iterator[None]:
    """As they do after timeoutSeconds: the operator goes on from where it was."""
    with stage.operator.proxy.delay(is_read_of_many, LONG):
        assert stage.operator.proxy.end_watches() == WATCHES
        yield


@contextmanager
def watches_are_cut(stage: Stage) -> Iterator[None]:
    """The connections break."""
    with stage.operator.proxy.delay(is_read_of_many, LONG):
        assert stage.operator.proxy.cut_watches() == WATCHES
        yield


@contextmanager
def watches_fail(stage: Stage) -> Iterator[None]:
    """An ERROR event that is not a 410: kopf ends at it."""
    with stage.operator.proxy.delay(is_read_of_many, LONG):
        assert stage.operator.proxy.fail_watches(500) == WATCHES
        yield


@contextmanager
def etcd_is_compacted(stage: Stage) -> Iterator[None]:
    """410 for real: neither the API server, which is started anew, nor etcd knows what happened meanwhile."""
    proxy = stage.operator.proxy
    before = len(proxy.events)
    with proxy.delay(is_watch, LONG) as reconnects:
        assert proxy.end_watches() == WATCHES
        eventually("the operator wants to go on", lambda: reconnects.met == WATCHES)
        yield
        etcd.compact(stage.control_plane.etcd_client_url)
        restart_api_server(stage.control_plane)
    eventually(
        "it is told that it cannot", lambda: [each.code for each in proxy.events[before:] if each.type == "ERROR"]
    )


@contextmanager
def token_was_replaced(stage: Stage) -> Iterator[None]:
    """kubelet put a new token into the file in time; the old one has run out."""
    old = replace_token(stage)
    refused = stage.operator.proxy.answer(401, lambda call: call.token == old)
    stage.operator.proxy.cut_watches()
    eventually("the old token is refused", lambda: refused.met)
    yield


@contextmanager
def token_is_replaced_late(stage: Stage) -> Iterator[None]:
    """The old token has run out before there is a new one in the file."""
    old = token_file_of(stage.operator.kubeconfig).read_text()
    refused = stage.operator.proxy.answer(401, lambda call: call.token == old)
    stage.operator.proxy.cut_watches()
    yield
    eventually("the old token is refused again and again", lambda: refused.met > WATCHES)
    replace_token(stage)


@contextmanager
def everything_is_refused(stage: Stage, status: int, retry_after: timedelta | None = None) -> Iterator[None]:
    """By RBAC, by priority and fairness, or by a broken API server; for a while."""
    with stage.operator.proxy.answer(status, everything, retry_after=retry_after) as refused:
        stage.operator.proxy.cut_watches()
        yield
        eventually("it was refused again and again", lambda: refused.met > WATCHES)


@contextmanager
def api_server_restarts(stage: Stage) -> Iterator[None]:
    """Its last events got lost on the way."""
    assert stage.operator.proxy.stall_watches() == WATCHES
    yield
    restart_api_server(stage.control_plane, meanwhile=stage.operator.proxy.cut_watches)


@contextmanager
def api_server_freezes(stage: Stage) -> Iterator[None]:
    """It accepts connections and answers nothing, just when there is much to do."""
    api_server = stage.control_plane.component(KUBE_APISERVER.name)
    with stage.operator.proxy.hold_watches():
        yield
        api_server.freeze()
    time.sleep(LONGER_THAN_A_LEASE.total_seconds())
    api_server.thaw()


TROUBLES: dict[str, Trouble] = {
    "watches end": watches_end,
    "watches are cut": watches_are_cut,
    "watches fail": watches_fail,
    "etcd is compacted": etcd_is_compacted,
    "token was replaced": token_was_replaced,
    "token is replaced late": token_is_replaced_late,
    "403": partial(everything_is_refused, status=403),
    "429": partial(everything_is_refused, status=429, retry_after=timedelta(seconds=1)),
    "500": partial(everything_is_refused, status=500),
    "API server restarts": api_server_restarts,
    "API server freezes": api_server_freezes,
}


@pytest.mark.parametrize("name", TROUBLES)
def test_operator_misses_nothing(
    name: str, troubled: Stage, expected: dict[Story, Outcome], subtests: pytest.Subtests, folder: Path
) -> None:
    troubled.log = folder / "logs" / f"faults-watches-that-end-{name.replace(' ', '-')}.log"
    with troubled.logged():
        cases = begun(troubled)
        with TROUBLES[name](troubled):
            happen(troubled, cases)
        for story, case in cases.items():
            with subtests.test(str(story)):
                go_on(troubled, story, case)
        troubled.wait_until_quiet()
        assert {story: troubled.outcome(case) for story, case in cases.items()} == expected
        troubled.forget_cases()


def test_silence_is_noticed(silenced: "Silenced", expected: dict[Story, Outcome], subtests: pytest.Subtests) -> None:
    """Half-open connections: no byte comes, and no end. The silence began before the other tests."""
    stage = silenced.stage
    with stage.logged():
        patiently(lambda: len(stage.operator.proxy.open_watches) == WATCHES, silenced.since)
        for story, case in silenced.cases.items():
            with subtests.test(str(story)):
                go_on(stage, story, case)
        stage.wait_until_quiet()
        assert {story: stage.outcome(case) for story, case in silenced.cases.items()} == expected


# How it is told.


@pytest.fixture(scope="module")
def troubled(
    control_plane: ControlPlane,
    stack: Stack,
    provider: Provider,
    disturbed_callback_server: BehindProxy,
    silenced: "Silenced",
    folder: Path,
) -> Iterator[Stage]:
    """A namespace whose operator gets into trouble."""
    with namespace_of_its_own(control_plane, "watches-that-end") as namespace:
        user = user_in(namespace, control_plane, provider, stack)
        with behind_proxy.operator(
            control_plane,
            stack,
            "operator-watches-that-end",
            most_restarts=MOST_RESTARTS,
            DATASOURCE_NAMESPACES=namespace,
        ) as operator:
            log = folder / "logs" / "faults-watches-that-end.log"
            yield Stage(control_plane, user, operator, disturbed_callback_server, log)


@pytest.fixture(scope="module")
def expected(troubled: Stage) -> dict[Story, Outcome]:
    """What is left of each story where nothing is in the way."""
    with troubled.logged():
        cases = dict(troubled.begun(MISSED))
        for story, case in cases.items():
            troubled.play(story, case)
        troubled.wait_until_quiet()
        return {story: troubled.outcome(case) for story, case in cases.items()}


@dataclass(frozen=True)
class Silenced:
    """A namespace whose operator hears nothing any more, since then (monotonic)."""

    stage: Stage
    cases: dict[Story, Case]
    since: float


@pytest.fixture(scope="module", autouse=True)
def silenced(
    control_plane: ControlPlane,
    stack: Stack,
    provider: Provider,
    disturbed_callback_server: BehindProxy,
    folder: Path,
) -> Iterator[Silenced]:
    """Begins before all tests, because it takes longest."""
    with namespace_of_its_own(control_plane, "watches-in-silence") as namespace:
        user = user_in(namespace, control_plane, provider, stack)
        allow_lease_in(namespace, control_plane)
        allow_callback_server_in(namespace, control_plane)
        with behind_proxy.operator(
            control_plane,
            stack,
            "operator-in-silence",
            most_restarts=1,
            DATASOURCE_NAMESPACES=namespace,
            DATASOURCE_SYSTEM_NAMESPACE=namespace,
        ) as operator:
            log = folder / "logs" / "faults-watches-that-end-silence.log"
            stage = Stage(control_plane, user, operator, disturbed_callback_server, log)
            with stage.logged():
                cases = begun(stage)
                assert operator.proxy.stall_watches() == WATCHES
                happen(stage, cases)
            yield Silenced(stage, cases, time.monotonic())


@contextmanager
def namespace_of_its_own(control_plane: ControlPlane, name: str) -> Iterator[str]:
    api = api_of(control_plane.kubeconfig)
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    api.delete(NAMESPACES, name)


def allow_lease_in(namespace: str, control_plane: ControlPlane) -> None:
    """An election of its own, or one operator would stand by: the rights that deploy/ gives in the system namespace."""
    api = api_of(control_plane.kubeconfig)
    for resource in (ROLES, ROLE_BINDINGS):
        right = api.get(resource, f"{OPERATOR}-lease", SYSTEM_NAMESPACE)
        right["metadata"] = {"name": right["metadata"]["name"], "namespace": namespace}
        api.apply(right)
    # The policy knows one Lease, that of the system namespace.
    elsewhere = {
        "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [namespace]}]
    }
    change = json.dumps({"spec": {"matchResources": {"namespaceSelector": elsewhere}}})
    binding = ("validatingadmissionpolicybinding", "lease-writes.datasource.dev")
    control_plane.cluster.kubectl("patch", *binding, "--type=merge", "-p", change)


def allow_callback_server_in(namespace: str, control_plane: ControlPlane) -> None:
    """What this operator would give to the callback server of its own system namespace, where none runs."""
    there, account = ("-n", namespace), f"--serviceaccount={SYSTEM_NAMESPACE}:{CALLBACK_SERVER}"
    control_plane.cluster.kubectl(*there, "create", "role", "callback", "--verb=get,patch", "--resource=secrets")
    control_plane.cluster.kubectl(*there, "create", "rolebinding", "callback", "--role=callback", account)


def user_in(namespace: str, control_plane: ControlPlane, provider: Provider, stack: Stack) -> User:
    return User(control_plane.cluster, namespace, provider, stack.external_url)


def begun(stage: Stage) -> dict[Story, Case]:
    cases = dict(stage.begun(MISSED))
    stage.wait_until_quiet()
    eventually("the operator watches", lambda: len(stage.operator.proxy.open_watches) == WATCHES)
    return cases


def happen(stage: Stage, cases: dict[Story, Case]) -> None:
    """The first step of each story."""
    first = {case.name: story.steps[0] for story, case in cases.items()}
    stage.at_once(lambda case: first[case.name].do(case), cases.values())


def go_on(stage: Stage, story: Story, case: Case) -> None:
    """What has to come of the first step, and the other steps."""
    first, *others = story.steps
    stage.eventually(story, case, partial(first.until, case))
    stage.play(Story(story.name, tuple(others)), case)


def patiently(is_so: Callable[[], bool], since: float) -> None:
    while not is_so():
        assert time.monotonic() - since < NOTICES_SILENCE_WITHIN.total_seconds(), "the silence was not noticed"
        time.sleep(0.5)


def replace_token(stage: Stage) -> str:
    """As kubelet does; returns the old one."""
    file = token_file_of(stage.operator.kubeconfig)
    old = file.read_text()
    write_secret(file, stage.control_plane.cluster.service_account_token(SYSTEM_NAMESPACE, OPERATOR))
    assert file.read_text() != old
    return old


def restart_api_server(control_plane: ControlPlane, meanwhile: Callable[[], object] = lambda: None) -> None:
    control_plane.component(KUBE_APISERVER.name).kill()
    meanwhile()
    control_plane.start_component(KUBE_APISERVER.name)
