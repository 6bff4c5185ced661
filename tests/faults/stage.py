"""Where fault tests play their stories: somebody in a namespace, and our two processes behind proxies."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local.controlplane import ControlPlane
from deploy.local.provider import TokenRequest
from tests.faults import world
from tests.faults.api_proxy import Call
from tests.faults.behind_proxy import BehindProxy
from tests.support.api import DATASOURCES
from tests.support.person import STORED, Person
from tests.support.refresh import leads_on_to
from tests.support.user import GaveUp, User, eventually

QUIET = 0.7
"""Seconds without a request after which a process counts as settled; what it does later is compared all the same."""

_ATTEMPTS = 5
_PEOPLE = 4


@dataclass(frozen=True, eq=False)
class Case:
    """One Datasource to which a story happens."""

    user: User
    name: str
    callback_server: BehindProxy

    def apply(self, *, token_secret: str | None = None, **oauth2: Any) -> None:
        """Apply the Datasource, with changes."""
        self.user.apply(self.manifest(token_secret=token_secret, **oauth2))

    def manifest(self, *, token_secret: str | None = None, **oauth2: Any) -> dict[str, Any]:
        """The Datasource, with changes."""
        spec = {} if token_secret is None else {"tokenSecret": {"name": token_secret}}
        return self.user.datasource(self.user.oauth2(**oauth2), name=self.name, **spec)

    def has_reason(self, reason: str) -> bool:
        """Whether the operator says so, and has seen the latest parameters."""
        return self.is_observed() and self.user.reason(self.name) == reason

    def is_observed(self) -> bool:
        """Whether the operator has seen the latest parameters."""
        datasource = self.user.get(self.name)
        return bool(datasource["status"]["observedGeneration"] == datasource["metadata"]["generation"])

    def concerns(self, call: Call) -> bool:
        """Whether a call is about this Datasource, its Secrets or its flow records: one flow is under way at a time."""
        return call.namespace == SYSTEM_NAMESPACE or (call.namespace == self.user.namespace and self.owns(call.name))

    def owns(self, name: str) -> bool:
        """Whether an object of the namespace is this Datasource or a Secret of it."""
        return name == self.name or name.startswith(f"{self.name}-")

    def get_credential(self) -> None:
        """Open the link and consent. Who sees an error page, or none, starts again, as a person would."""
        for _ in range(_ATTEMPTS):
            self.user.wait_for_link(self.name)
            if self._try_to_get_credential():
                return
        raise AssertionError(f"a person gave up on {self.name} after {_ATTEMPTS} attempts")

    def _try_to_get_credential(self) -> bool:
        callback = None
        with Person() as person:
            try:
                page = person.get(self.user.link(self.name))
                answer = person.submit(page, "Get new credential") if page.status_code == 200 else page
                at_provider = leads_on_to(answer.text)
                if at_provider is None:
                    return False
                callback = person.consent(at_provider)
                return STORED in person.come_back(callback).text
            except httpx.TransportError:
                self.callback_server.kubelet.wait_until_ready()
                # What one does before a page that did not come: reload it.
                return callback is not None and STORED in person.come_back(callback).text


@dataclass(frozen=True)
class Step:
    """Something that somebody does, and what has to have come of it before the story goes on."""

    do: Callable[[Case], None]
    until: Callable[[Case], object]


@dataclass(frozen=True)
class Story:
    """What happens to a Datasource: to one that is authorized, or, if it begins with nothing, to none."""

    name: str
    steps: tuple[Step, ...]
    begins_with_nothing: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Outcome:
    """What two runs of a story must have in common: what is there, and which Secrets came and went, how often."""

    end: dict[str, Any]
    churn: Counter[tuple[str, str]]


@dataclass
class Stage:
    """A namespace with an application and its client secret, and both processes, calm at the beginning."""

    control_plane: ControlPlane
    user: User
    operator: BehindProxy
    callback_server: BehindProxy
    log: Path
    _churn: world.Churn = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self._churn = world.Churn(self.control_plane.audit_log)
        self.user.register_application()
        self.user.create_client_secret()

    @property
    def processes(self) -> dict[str, BehindProxy]:
        """Both, by their names."""
        return {"operator": self.operator, "callback server": self.callback_server}

    def cases(self, story: Story, number: int) -> list[Case]:
        """Datasources that a story can begin with."""
        return [case for _, case in self.begun([story] * number)]

    def begun(self, stories: Iterable[Story]) -> list[tuple[Story, Case]]:
        """A Datasource for each story to begin with."""
        begun = [(story, Case(self.user, f"zebra{next(self._numbers):03}", self.callback_server)) for story in stories]
        self._authorize([case for story, case in begun if not story.begins_with_nothing])
        return begun

    def _authorize(self, cases: list[Case]) -> None:
        if not cases:
            return
        for case in cases:
            self.user.apply(case.manifest())
        self.at_once(Case.get_credential, cases)
        for case in cases:
            eventually(f"{case.name} is authorized", partial(case.has_reason, "Authorized"))

    def play(self, story: Story, case: Case, *, around_first: AbstractContextManager[object] | None = None) -> None:
        """Let a story happen; `around_first` is what its first step is done in, without waiting for what comes of it."""
        for number, step in enumerate(story.steps):
            with around_first if number == 0 and around_first is not None else nullcontext():
                step.do(case)
            self.eventually(story, case, partial(step.until, case))

    def at_once(self, do: Callable[[Case], None], cases: Iterable[Case]) -> None:
        """Do something to several at the same time."""
        with ThreadPoolExecutor(_PEOPLE) as people:
            list(people.map(do, cases))

    def eventually(self, story: Story, case: Case, is_so: Callable[[], object]) -> None:
        """Wait for something that a story comes to."""
        eventually(f"{story} goes on", is_so, lambda: world.end_state(self.user.api, self.user.namespace, case.name))

    def outcome(self, case: Case) -> Outcome:
        """What is left of a story."""
        return Outcome(
            end=world.end_state(self.user.api, self.user.namespace, case.name),
            churn=self._churn.of(self.user.namespace, case.name),
        )

    def settles(self, case: Case, expected: Outcome) -> None:
        """Wait until that is left; where it never is, show the difference."""
        with suppress(GaveUp):
            eventually("it settles", lambda: self.outcome(case) == expected)
        assert self.outcome(case) == expected

    def settles_at(self, case: Case, end: dict[str, Any]) -> None:
        """Wait until there is that, whatever came and went; where it never is, show the difference."""
        with suppress(GaveUp):
            eventually("it settles", lambda: self.outcome(case).end == end)
        assert self.outcome(case).end == end

    def forget_cases(self) -> None:
        """Delete every Datasource there is: what nobody looks at any more need not be reconciled."""
        self.user.api.delete_all(DATASOURCES, self.user.namespace)

    def wait_until_quiet(self) -> None:
        """Until neither process has asked anything of the API server for a while."""
        calls, since = -1, time.monotonic()
        while time.monotonic() - since < QUIET:
            if calls != (calls := sum(each.proxy.calls_about_work for each in self.processes.values())):
                since = time.monotonic()
            time.sleep(0.1)

    def token_requests(self) -> list[TokenRequest]:
        """What was sent to the token endpoint for this namespace's application."""
        return [each for each in self.user.provider.token_requests() if each.client_id == self.user.client_id]

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Keep what passes the proxies, and what the processes say meanwhile, in a file of this test's own."""
        sizes = {name: each.log.stat().st_size for name, each in self.processes.items()}
        with self.operator.proxy.narrated_in(self.log), self.callback_server.proxy.narrated_in(self.log):
            try:
                yield
            finally:
                for each in self.processes.values():
                    each.proxy.calm()
                self._append_process_logs(sizes)

    def tell(self, what: str) -> None:
        """A heading in the log."""
        with self.log.open("a") as log:
            log.write(f"--- {what}\n")

    def _append_process_logs(self, sizes: dict[str, int]) -> None:
        with self.log.open("ab") as log:
            for name, each in self.processes.items():
                log.write(f"--- said by the {name}\n".encode())
                with each.log.open("rb") as said:
                    said.seek(sizes[name])
                    log.write(said.read())
