"""Rounds of real kills: many replies are let go by the provider at once, and whoever reads them dies by SIGKILL.

What each reply had come to is read off the disk and the API server before anything runs again. The truth is what the provider
says of the refresh token that is stored in the end (RFC 7662), and what anybody was told meanwhile.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from datasource.api.names import Annotation
from datasource.process.installation import SYSTEM_NAMESPACE
from datasource.records.journal_entry import place_of
from deploy.local.controlplane import ControlPlane
from deploy.local.provider import LONGEST_HOLD, Provider
from deploy.local.stack import Stack
from tests.faults.armed import OF_A_RECORD, OF_THE_INTENT
from tests.faults.behind_proxy import release_lease
from tests.faults.fault_run import leads
from tests.faults.kill_figures import ELSEWHERE, Stage, Trial
from tests.faults.pods import Pod, Pods, callback_servers, operators, system_calls, traced
from tests.support.api import DATASOURCES
from tests.support.person import STORED, Person
from tests.support.user import CLIENT_SECRET, User, eventually

SETTLED_WITHIN = 150.0
"""Seconds until a wait for the end gives up: a bound against hanging."""

LONG = 60.0
"""Seconds: another operator leads while a pod is away for so long."""

SHORT_LIVED = timedelta(seconds=75)
"""Of access tokens, while a pod is lost: nobody waits for its journal for 15 minutes then."""


@dataclass(frozen=True)
class Blow:
    """How a process is killed: at a step of armed.py, or by strace at a system call; nothing of both: not at all."""

    step: str = ""
    number: int = 1
    system_call: int = 0
    again: str = ""
    """At which step its next process is killed as well."""

    def __str__(self) -> str:
        first = f"{self.step} {self.number}" if self.step else f"system call {self.system_call}"
        return f"{first}, then {self.again}" if self.again else first


@dataclass(frozen=True)
class Restart:
    """When the process is started again, and whether in its pod."""

    after: float
    elsewhere: bool = False

    def __str__(self) -> str:
        return ELSEWHERE if self.elsewhere else f"after {self.after:g} s"


@dataclass(frozen=True)
class Stored:
    """What a credential Secret says."""

    credential_id: str
    refresh_token: str = field(repr=False)
    has_intent: bool


@dataclass(frozen=True, eq=False)
class Grant:
    """One Datasource, and what its provider makes of refresh tokens that were used."""

    user: User
    name: str
    provider: str

    def stored(self) -> Stored:
        """What is stored now."""
        secret = self.user.credential(self.name)
        assert secret is not None, f"{self.name} has no credential"
        annotations = secret["metadata"]["annotations"]
        token = self.user.decoded(secret["metadata"]["name"], "refresh_token") or ""
        return Stored(annotations[Annotation.CREDENTIAL_ID], token, Annotation.INTENT in annotations)

    def works(self, refresh_token: str) -> bool:
        """Whether the provider would take it. Nothing is rotated by that."""
        answer = httpx.post(
            self.user.provider.introspection_url,
            data={"token": refresh_token, "token_type_hint": "refresh_token"},
            auth=(self.user.client_id, CLIENT_SECRET),
        )
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["active"])

    def ask(self, request: str, value: str) -> None:
        """By annotation."""
        change = {"metadata": {"annotations": {f"datasource.dev/{request}": value}}}
        self.user.api.patch(DATASOURCES, self.name, change, self.user.namespace)

    def needs_person(self) -> bool:
        """Whether it waits for a consent."""
        status = self.user.status(self.name)
        return status.get("state") == "NOT AUTHORIZED" and "authorizationLink" in status

    def is_calm(self) -> bool:
        """Whether it is authorized, and asks nobody for anything."""
        return self.user.reason(self.name) == "Authorized" and "authorizationLink" not in self.user.status(self.name)

    def has_handled(self, request: str, value: str) -> bool:
        """Whether the operator says so, and all is well."""
        status = self.user.status(self.name)
        is_well = self.user.reason(self.name) == "Authorized"
        return is_well and status.get("handled", {}).get(request) == value and not self.stored().has_intent

    def entries_in(self, pod: Pod) -> list[Path]:
        """Its replies that are in a journal."""
        place = place_of(self.user.namespace, self.name)
        return [path for path in (*pod.entries, *pod.without_name) if f".{place}." in path.name]

    def __str__(self) -> str:
        return f"{self.user.namespace}/{self.name}"


@dataclass
class Kills:
    """Where processes are killed. Use `kills` below."""

    control_plane: ControlPlane
    provider: Provider
    users: dict[str, User]
    operators: Pods
    callback_servers: Pods
    folder: Path
    leader: Pod = field(init=False)
    """The operator."""
    pages: Pod = field(init=False)
    """The callback server."""
    grants: list[Grant] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    _values: Iterator[int] = field(default_factory=lambda: count(1))

    def prepare(self, each: int) -> None:
        """Start everything, and get `each` credentials from either provider."""
        self.pages = self.callback_servers.new()
        self.leader = self.operators.new()
        for pod in (self.leader, self.pages):
            pod.process.start()
        for provider, user in self.users.items():
            user.cluster.kubectl("create", "namespace", user.namespace)
            self._register(provider)
            user.create_client_secret()
            names = [f"grant-{number}" for number in range(each)]
            manifests = [user.datasource(user.oauth2(), name=name) for name in names]
            user.kubectl("create", "-f", "-", stdin="\n---\n".join(json.dumps(one) for one in manifests))
            self.grants += [Grant(user, name, provider) for name in names]
        # In turn: of replies that come one after the other, either provider has early and late ones.
        self.grants.sort(key=lambda grant: grant.name)
        self._authorize(self.grants)

    # The operator.

    def hit_the_operator(self, blow: Blow, restart: Restart) -> list[Trial]:
        """Replies to refreshes; returns what became of each of them."""
        if restart.elsewhere:
            self._live_for(SHORT_LIVED)
        pod, value = self.leader, f"hit-{next(self._values)}"
        before = {grant: grant.stored() for grant in self.grants}
        began = {pod: pod.process.child.log.stat().st_size}
        if blow.step:
            # No reply comes before the provider lets it go, so none of these steps is taken before.
            pod.arm(blow.step, blow.number)
        if blow.step in OF_THE_INTENT:
            self._ask("refresh", value)
            pod.wait_until_dead()
        else:
            self._hold(partial(self._ask, "refresh", value), "refresh_token", self.grants)
            self._strike(pod, blow, lambda: all(grant.has_handled("refresh", value) for grant in self.grants))
        if not pod.is_dead:
            return []
        stages = self._stages(pod, before, blow)
        release_lease(self.control_plane, SYSTEM_NAMESPACE)
        self.leader = self.operators.new() if restart.elsewhere else pod
        with self._standby(restart) as others:
            self._restart(pod, self.leader, blow, restart)
        self._settle("refresh", value)
        interrupted = self._told_that_they_were_interrupted(dict.fromkeys((self.leader, *others), 0) | began)
        made = [
            Trial(
                "operator",
                grant.provider,
                str(blow),
                str(restart),
                stage,
                not grant.works(grant.stored().refresh_token),
                str(grant) in interrupted,
            )
            for grant, stage in stages.items()
        ]
        self.trials += made
        self._authorize([grant for grant in self.grants if grant.needs_person()])
        if restart.elsewhere:
            self._live_for(None)
        return made

    @contextmanager
    def _standby(self, restart: Restart) -> Iterator[list[Pod]]:
        """While the pod is away for long, another operator leads. It sends nothing that would make a reply void, and ends once
        the pod is back: what the pod had begun and not written down is for the pod to begin again; others wait for 15 minutes.
        """
        if restart.elsewhere or restart.after < LONG:
            yield []
            return
        other, made = self.operators.new(), len(self.provider.token_requests())
        other.process.start()
        try:
            eventually("another operator leads", lambda: leads(other.process))
            yield [other]
            assert len(self.provider.token_requests()) == made, "nobody sends anything while the pod may come back"
        finally:
            other.process.stop()

    def _settle(self, request: str, value: str) -> None:
        def is_settled(grant: Grant) -> bool:
            return grant.has_handled(request, value) or grant.needs_person()

        waiting = list(self.grants)

        def all_are() -> bool:
            waiting[:] = [grant for grant in waiting if not is_settled(grant)]
            return not waiting and not self.leader.entries

        eventually("all settle", all_are, lambda: self._seen(waiting), seconds=SETTLED_WITHIN)
        assert not self.leader.set_aside

    def _seen(self, grants: Sequence[Grant]) -> object:
        return [(str(grant), grant.user.status(grant.name), grant.stored()) for grant in grants[:2]]

    def _told_that_they_were_interrupted(self, began: dict[Pod, int]) -> set[str]:
        """As the operators said since."""
        told = set()
        for pod, size in began.items():
            with pod.process.child.log.open() as log:
                log.seek(size)
                for line in log:
                    with suppress(ValueError):
                        said = json.loads(line)
                        if said.get("verdict") == "RefreshInterrupted":
                            told.add(str(said["datasource"]))
        return told

    def _live_for(self, lifetime: timedelta | None) -> None:
        """Have access tokens of another lifetime from now on, and one for each grant."""
        for provider in self.users:
            self._register(provider, lifetime)
        value = f"live-{next(self._values)}"
        self._ask("refresh", value)
        for grant in self.grants:
            eventually(f"{grant} has one", partial(grant.has_handled, "refresh", value), seconds=SETTLED_WITHIN)

    # The callback server.

    def hit_the_callback_server(self, blow: Blow, restart: Restart, grants: Sequence[Grant]) -> list[Trial]:
        """Replies to codes; returns what became of each of them."""
        pod = self.pages
        before = {grant: grant.stored() for grant in grants}
        with ThreadPoolExecutor(len(grants)) as crowd, ExitStack() as browsers:
            people = [browsers.enter_context(Person()) for _ in grants]
            callbacks = list(crowd.map(self._consented, people, grants))
            if blow.step and blow.step not in OF_A_RECORD:
                pod.arm(blow.step, blow.number)
            came: list[Future[Any]] = []

            def come_back() -> None:
                came.extend(
                    crowd.submit(_come_back, person, url) for person, url in zip(people, callbacks, strict=True)
                )

            self._hold(come_back, "authorization_code", grants)
            self._strike(pod, blow, lambda: all(each.done() for each in came))
        if not pod.is_dead:
            return []
        stages = self._stages(pod, before, blow)
        self.pages = self.callback_servers.new() if restart.elsewhere else pod
        self._restart(pod, self.pages, blow, restart)
        eventually("what was written down is dealt with", lambda: not self.pages.entries, seconds=SETTLED_WITHIN)
        assert not self.pages.set_aside
        made = [
            Trial(
                "callback server",
                grant.provider,
                str(blow),
                str(restart),
                stages[grant],
                (now := grant.stored()).credential_id == before[grant].credential_id
                or not grant.works(now.refresh_token),
                interrupted=False,
            )
            for grant in stages
        ]
        self.trials += made
        for trial, grant in zip(made, stages, strict=True):
            if not trial.lost:
                eventually(f"{grant} is calm", grant.is_calm)
        return made

    def _consented(self, person: Person, grant: Grant) -> str:
        """Where the provider sends somebody who asks for a new credential."""
        if "authorizationLink" not in grant.user.status(grant.name):
            grant.ask("new-credential", f"new-{next(self._values)}")
        deadline = time.monotonic() + SETTLED_WITHIN
        while True:
            grant.user.wait_for_link(grant.name)
            with suppress(AssertionError, httpx.TransportError):
                # The operator may be about to take a link back that was used a moment ago.
                return person.consent(person.begin(grant.user.link(grant.name)))
            if time.monotonic() > deadline:
                raise AssertionError(f"{grant} let nobody consent")
            time.sleep(0.3)

    # Both.

    def _hold(self, act: Callable[[], object], grant_type: str, grants: Sequence[Grant]) -> None:
        """Do something that makes a token request for each grant; the provider acts on them, and keeps its replies."""
        since = len(self.provider.token_requests())
        for provider, user in self.users.items():
            if times := sum(grant.provider == provider for grant in grants):
                self.provider.fault(client_id=user.client_id, hold_reply=LONGEST_HOLD, times=times)
        act()

        def are_held() -> bool:
            made = self.provider.token_requests()[since:]
            return sum(each.grant_type == grant_type and each.status == 200 for each in made) == len(grants)

        eventually("the provider has acted on all", are_held, lambda: self.provider.token_requests()[since:])

    def _strike(self, pod: Pod, blow: Blow, is_over: Callable[[], bool]) -> None:
        """Let the replies go, and wait until the process is dead, or all is over before it was."""
        with self._aimed_at(pod, blow):
            self.provider.let_go()
            if blow.step:
                pod.wait_until_dead()
                assert pod.has_sprung
            else:
                eventually("it is dead or done", lambda: pod.is_dead or is_over(), seconds=SETTLED_WITHIN)
        self.provider.forget_faults()
        pod.disarm()

    @contextmanager
    def _aimed_at(self, pod: Pod, blow: Blow) -> Iterator[None]:
        if blow.step:
            if blow.step in OF_A_RECORD:
                # Claims of flows are records, too.
                pod.arm(blow.step, blow.number)
            yield
        else:
            with traced(pod, self.trace_of(blow), kill_at=blow.system_call or None):
                yield

    def trace_of(self, blow: Blow) -> Path:
        """Where strace says what it saw."""
        return self.folder / f"trace-{blow.system_call}.log"

    def calls_of(self, blow: Blow) -> list[str]:
        """The system calls of a round in which strace only looked, up to the end of the last entry: all stores stand then."""
        calls = system_calls(self.trace_of(blow))
        ends = [number for number, name in enumerate(calls, start=1) if name.startswith("unlink")]
        return calls[: max(ends, default=len(calls))]

    def _stages(self, pod: Pod, before: dict[Grant, Stored], blow: Blow) -> dict[Grant, Stage]:
        """How far each reply had come: nothing of ours runs that would change it."""
        if blow.step in OF_THE_INTENT:
            return {}
        found = {}
        for grant, was in before.items():
            if grant.stored() != was and grant.stored().refresh_token != was.refresh_token:
                found[grant] = Stage.STORED
            else:
                found[grant] = Stage.WRITTEN_DOWN if grant.entries_in(pod) else Stage.UNDER_WAY
        return found

    def _restart(self, dead: Pod, following: Pod, blow: Blow, restart: Restart) -> None:
        dead.disarm()
        time.sleep(restart.after)
        if blow.again:
            following.arm(blow.again)
            # It may be dead before it was ready.
            following.process.child.start()
            following.wait_until_dead()
            assert following.has_sprung
            following.disarm()
            release_lease(self.control_plane, SYSTEM_NAMESPACE)
        following.process.start()

    def _ask(self, request: str, value: str) -> None:
        for grant in self.grants:
            grant.ask(request, value)

    def _register(self, provider: str, lifetime: timedelta | None = None) -> None:
        is_lenient = provider == "lenient"
        self.users[provider].register_application(takes_used_refresh_tokens=is_lenient, access_token_lifetime=lifetime)

    def _authorize(self, grants: Sequence[Grant]) -> None:
        with ThreadPoolExecutor(4) as crowd:
            list(crowd.map(self._authorized, grants))

    def _authorized(self, grant: Grant) -> None:
        with Person() as person:
            page = person.come_back(self._consented(person, grant))
            assert STORED in page.text, page.text
        eventually(f"{grant} is calm", grant.is_calm)


def _come_back(person: Person, url: str) -> None:
    # The process dies while they wait for a page.
    with suppress(httpx.TransportError):
        person.come_back(url)


@contextmanager
def kills(control_plane: ControlPlane, provider: Provider, stack: Stack, folder: Path) -> Iterator[Kills]:
    """Everything but the control plane and the provider; `stack` runs ARMED_STACK."""
    users = {
        provider_kind: User(control_plane.cluster, f"kills-{provider_kind}", provider, stack.external_url)
        for provider_kind in ("strict", "lenient")
    }
    with operators(stack, folder) as of_operators, callback_servers(stack, folder) as of_callback_servers:
        yield Kills(control_plane, provider, users, of_operators, of_callback_servers, folder)
