"""`make faults`: many Datasources with short-lived tokens, two operators, two callback servers, and one fault after another.

Prints a table and writes build/faults.json. Ends with 1 if a grant was lost that should not be, a family was revoked, or
something got stuck. FAULTS_SECONDS (600), FAULTS_DATASOURCES (200) and FAULTS_SEED (1) bound it.
"""

import base64
import json
import os
import random
import shutil
import sys
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from datasource.api.names import Annotation, SecretType
from deploy.local.build import KUBE_APISERVER
from deploy.local.cache import BUILD
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import StackError, free_ports
from deploy.local.progress import say
from deploy.local.provider import Provider, TokenRequest
from deploy.local.provider import install as install_provider
from deploy.local.stack import Process, Stack, install, running
from tests.faults.balancer import Balancer
from tests.faults.pods import volume
from tests.support import etcd
from tests.support.api import DATASOURCES, NO_ANSWER, SECRETS, api_of
from tests.support.person import STORED, Person
from tests.support.user import User, eventually

FOLDER = BUILD / "faults"
REPORT = BUILD / "faults.json"
NAMESPACE = "storm"
TOKEN_LIFETIME = timedelta(seconds=60)
NOTICED_WITHIN = timedelta(seconds=2)
"""A token whose grant is gone is taken from apps when it runs out; that, and seeing it, takes a moment."""

FAULT_EVERY = 10
"""One token request in so many meets a fault, in the phase of the provider's faults."""


@dataclass(frozen=True)
class Bounds:
    """How long, how many, and from which seed."""

    seconds: int
    datasources: int
    seed: int

    @classmethod
    def of(cls, environ: dict[str, str]) -> "Bounds":
        """Read them from the environment."""
        return cls(
            seconds=int(environ.get("FAULTS_SECONDS", "600")),
            datasources=int(environ.get("FAULTS_DATASOURCES", "200")),
            seed=int(environ.get("FAULTS_SEED", "1")),
        )


@dataclass
class Row:
    """What one fault did."""

    fault: str
    injected: int = 0
    refreshes: int = 0
    token_requests_per_rotation_max: int = 0
    grants_lost: int = 0
    grants_interrupted: int = 0
    families_revoked: int = 0
    dead_token_seconds: float = 0.0
    window_seconds_max: float = 0.0
    """The longest time between a refresh request and its store, in which a crash would lose the grant."""
    flows: int = 0
    stuck: int = 0
    """Datasources that neither had a live token nor offered a link long after the fault was over."""
    states: dict[str, int] = field(default_factory=dict)


class DeadTokens:
    """Looks once a second whether any token Secret holds a token that has run out; adds up for how long."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seconds = 0.0

    def __enter__(self) -> "DeadTokens":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        api = api_of(self._control_plane.kubeconfig)
        last = datetime.now(UTC)
        while not self._ending.wait(1.0):
            with suppress(*NO_ANSWER):
                items = api.all_of(SECRETS, NAMESPACE, fields=f"type={SecretType.TOKEN}")
                now = datetime.now(UTC)
                first_death = min((_expiry(item) + NOTICED_WITHIN for item in items), default=now)
                # What ran out while the API server did not answer counts, too: apps had a dead token then.
                self.seconds += max((now - max(first_death, last)).total_seconds(), 0.0)
                last = now


def _expiry(secret: dict[str, Any]) -> datetime:
    text = base64.b64decode(secret["data"]["expires_at"]).decode()
    return datetime.fromisoformat(text)


class Storm:
    """Everything that runs, and what is done to it."""

    def __init__(self, bounds: Bounds, control_plane: ControlPlane, provider: Provider, stack: Stack) -> None:
        self.bounds = bounds
        self.random = random.Random(bounds.seed)  # noqa: S311 - a storm that can be repeated
        self.control_plane = control_plane
        self.provider = provider
        self.user = User(control_plane.cluster, NAMESPACE, provider, stack.external_url)
        self.names = [f"datasource-{number:03d}" for number in range(bounds.datasources)]
        self.operators: list[Process] = []
        self.callback_servers: list[Process] = []
        self._requests = 0
        self._logs_begin: dict[Path, int] = {}

    def prepare(self) -> None:
        """Make the Datasources, and get a credential for each."""
        self.control_plane.cluster.kubectl("create", "namespace", NAMESPACE)
        self.user.register_application(access_token_lifetime=TOKEN_LIFETIME)
        self.user.create_client_secret()
        manifests = [self.user.datasource(self.user.oauth2(), name=name) for name in self.names]
        self.user.kubectl("create", "-f", "-", stdin="\n---\n".join(json.dumps(each) for each in manifests))
        self.authorize(self.names)

    def datasources(self) -> dict[str, dict[str, Any]]:
        """All of them, by name."""
        return {each["metadata"]["name"]: each for each in self.user.all_of(DATASOURCES)}

    def authorize(self, names: Sequence[str]) -> int:
        """Go through the flow for each that offers a link, until all are AUTHORIZED or nothing moves any more."""
        done = 0
        deadline = time.monotonic() + 120
        waiting = set(names)
        with ThreadPoolExecutor(4) as people:
            while waiting and time.monotonic() < deadline:
                found = self.datasources()
                waiting = {name for name in waiting if found[name].get("status", {}).get("state") != "AUTHORIZED"}
                links = [found[name].get("status", {}).get("authorizationLink") for name in sorted(waiting)]
                done += sum(people.map(_authorized, [link for link in links if link]))
                time.sleep(0.5)
        return done

    def ask_for_new_credentials(self, ending: threading.Event) -> int:
        """Meanwhile, somebody gets a new credential for one Datasource after another."""
        done = 0
        while not ending.wait(2.0):
            name = self.random.choice(self.names)
            with suppress(*NO_ANSWER, StackError, AssertionError, KeyError, OSError, ValueError):
                self.user.annotate("new-credential", str(time.time_ns()), name)
                for _ in range(20):
                    link = self.user.status(name).get("authorizationLink")
                    if link or ending.wait(0.25):
                        break
                done += _authorized(link) if link else 0
        return done

    def phase(self, fault: str, inject: Callable[["Storm", float], int], seconds: float) -> Row:
        """Inject a fault for a while, let everything settle, and see what is left."""
        row = Row(fault)
        # A leader that the last fault killed is replaced only by somebody who watches its Lease run out.
        self.wait_for_a_leader()
        self._requests = len(self.provider.token_requests())
        self._logs_begin = {log: log.stat().st_size for log in self._logs()}
        ending = threading.Event()
        with DeadTokens(self.control_plane) as dead, ThreadPoolExecutor(1) as somebody:
            flows = somebody.submit(self.ask_for_new_credentials, ending)
            row.injected = inject(self, time.monotonic() + seconds)
            ending.set()
            row.flows = flows.result()
            self.provider.forget_faults()
            row.stuck = len(self.stuck_after_settling())
            row.dead_token_seconds = round(dead.seconds, 1)
        self._count(row)
        healed = self.authorize(self.names)
        say(f"      {row.fault}: {row.refreshes} refreshes, {row.flows} flows, {healed} to be authorized again")
        return row

    def _logs(self) -> list[Path]:
        return [operator.child.log for operator in self.operators]

    def _said(self) -> list[dict[str, Any]]:
        """What the operators logged in this phase."""
        lines: list[dict[str, Any]] = []
        for log in self._logs():
            with log.open() as text:
                text.seek(self._logs_begin[log])
                for line in text:
                    with suppress(ValueError):
                        lines.append(json.loads(line))
        return lines

    def wait_for_a_leader(self) -> None:
        """Until one of the operators leads."""
        eventually("somebody leads", lambda: any(leads(each) for each in self.operators))

    def stuck_after_settling(self) -> list[str]:
        """Wait until every Datasource has a live token or waits for a person; returns those that never came to it."""
        deadline = time.monotonic() + 90
        stuck = self.names
        while stuck and time.monotonic() < deadline:
            time.sleep(1)
            with suppress(*NO_ANSWER):
                unresolved = self.unresolved()
                found = self.datasources().items()
                stuck = [name for name, each in found if name in unresolved or not _is_settled(each)]
        for name in stuck[:3]:
            say(f"      stuck: {name}: {self.user.status(name)}")
        return stuck

    def unresolved(self) -> set[str]:
        """Whose refresh is under way, or had an answer that nobody knows: how that ends is not told yet."""
        kept = self.user.all_of(SECRETS, fields=f"type={SecretType.CREDENTIAL}")
        found = [each["metadata"]["annotations"] for each in kept]
        return {each[Annotation.DATASOURCE] for each in found if Annotation.INTENT in each}

    def _count(self, row: Row) -> None:
        found = self.datasources()
        reasons = Counter(_reason(each) for each in found.values())
        states = Counter(str(each.get("status", {}).get("state")) for each in found.values())
        row.states = dict(sorted(states.items()))
        said = self._said()
        # From the logs: somebody may have got a new credential since.
        row.grants_interrupted = sum(each.get("verdict") == "RefreshInterrupted" for each in said)
        row.window_seconds_max = max((each.get("seconds_from_request_to_store", 0.0) for each in said), default=0.0)
        row.grants_lost = len(found) - sum(
            reasons[each] for each in ("Authorized", "RefreshFailing", "RefreshInterrupted")
        )
        made = [each for each in self.provider.token_requests()[self._requests :] if each.grant_type == "refresh_token"]
        row.refreshes = sum(each.status == 200 for each in made)
        sends = _sends_by_token(made)
        # The largest are what an interruption explains: sent once more because the outcome was unknown.
        unexplained = sends[row.grants_interrupted :]
        row.token_requests_per_rotation_max = max(unexplained, default=0)
        row.families_revoked = sum(count > 1 for count in unexplained)


def _authorized(link: str) -> int:
    """Go through the flow; 1 if a credential was stored."""
    with suppress(AssertionError, StopIteration, OSError, KeyError, ValueError, Exception), Person() as person:
        return int(STORED in person.authorize(link).text)
    return 0


def _reason(datasource: dict[str, Any]) -> str:
    conditions = datasource.get("status", {}).get("conditions", [])
    return next((str(each["reason"]) for each in conditions if each["type"] == "Ready"), "")


def _is_settled(datasource: dict[str, Any]) -> bool:
    status = datasource.get("status", {})
    if status.get("state") != "AUTHORIZED":
        return bool(status.get("authorizationLink"))
    expires = datetime.fromisoformat(status["expiresAt"])
    return _reason(datasource) == "Authorized" and expires > datetime.now(UTC)


def _sends_by_token(requests: Sequence[TokenRequest]) -> list[int]:
    """How often each refresh token was sent to a provider that acted on it; largest first."""
    counts: Counter[str | None] = Counter()
    for request in requests:
        staged = request.fault or {}
        if not {"status", "hang", "dropBefore"} & set(staged):
            counts[request.refresh_token_sha256] += 1
    return sorted(counts.values(), reverse=True)


# Faults. Each injects until a moment (monotonic), and returns how often.


def none(storm: Storm, until: float) -> int:
    """Nothing: what the other rows are compared with."""
    time.sleep(max(until - time.monotonic(), 0))
    return 0


def kill_the_leader(storm: Storm, until: float) -> int:
    """SIGKILL at random moments."""
    injected = 0
    while time.monotonic() < until:
        time.sleep(storm.random.uniform(5, 15))
        leader = next((each for each in storm.operators if leads(each)), None)
        if leader is not None:
            leader.child.kill()
            injected += 1
            time.sleep(2)
            leader.start()
    return injected


def leads(operator: Process) -> bool:
    """Whether it says that it holds the Lease."""
    with (
        suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{operator.health_port}/metrics", timeout=2) as response,
    ):
        return b'leader_election_master_status{name="datasource-operator"} 1.0' in response.read()
    return False


def roll(storm: Storm, until: float) -> int:
    """SIGTERM one after the other, as a rolling update does."""
    injected = 0
    while time.monotonic() < until:
        for process in (*storm.operators, *storm.callback_servers):
            process.stop()
            process.start()
            injected += 1
            time.sleep(2)
    return injected


def freeze_the_api_server(storm: Storm, until: float) -> int:
    """It accepts connections and answers nothing for 30 seconds."""
    injected = 0
    while time.monotonic() < until:
        storm.control_plane.component(KUBE_APISERVER.name).freeze()
        time.sleep(30)
        storm.control_plane.component(KUBE_APISERVER.name).thaw()
        injected += 1
        time.sleep(15)
    return injected


def restart_the_api_server(storm: Storm, until: float) -> int:
    """SIGTERM, and up again."""
    injected = 0
    while time.monotonic() < until:
        storm.control_plane.component(KUBE_APISERVER.name).stop()
        storm.control_plane.start_component(KUBE_APISERVER.name)
        injected += 1
        time.sleep(15)
    return injected


def compact_etcd(storm: Storm, until: float) -> int:
    """Watches that go on from an older revision get 410."""
    injected = 0
    while time.monotonic() < until:
        etcd.compact(storm.control_plane.etcd_client_url)
        injected += 1
        time.sleep(5)
    return injected


def provider_answers_badly(storm: Storm, until: float) -> int:
    """503, 429, slow answers, and connections cut before the provider acted, for one request in ten."""
    kinds: list[dict[str, Any]] = [
        {"status": 503},
        {"status": 429, "retry_after": 2},
        {"hold_reply": timedelta(seconds=3)},
        {"status": 502},
        {"drop_before": True},
    ]
    return _stage(storm, until, kinds)


def provider_cuts_after_rotating(storm: Storm, until: float) -> int:
    """The new refresh token is lost on the way, for one request in ten: nobody can prevent that."""
    return _stage(storm, until, [{"drop_after": True}])


def _stage(storm: Storm, until: float, kinds: list[dict[str, Any]]) -> int:
    injected = 0
    staged_at = len(storm.provider.token_requests())
    while time.monotonic() < until:
        made = len(storm.provider.token_requests())
        if made >= staged_at + FAULT_EVERY:
            storm.provider.fault(client_id=storm.user.client_id, **storm.random.choice(kinds))
            injected += 1
            staged_at = made
        time.sleep(0.2)
    return injected


FAULTS: dict[str, Callable[[Storm, float], int]] = {
    "none": none,
    "leader killed (SIGKILL)": kill_the_leader,
    "rolling restart (SIGTERM)": roll,
    "API server frozen 30 s": freeze_the_api_server,
    "API server restarted": restart_the_api_server,
    "etcd compacted": compact_etcd,
    "provider: 503, 429, slow, cut before": provider_answers_badly,
    "provider: cut after it rotated": provider_cuts_after_rotating,
}


@contextmanager
def everything(bounds: Bounds) -> Iterator[Storm]:
    """Control plane, provider, two operators, two callback servers behind a balancer."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    install_provider()
    port, *pages = free_ports(3)
    with ControlPlane(FOLDER / "cluster") as control_plane, Provider(FOLDER / "provider") as provider:
        install(control_plane.cluster)
        stack = Stack(control_plane.cluster, FOLDER / "logs", port)
        storm = Storm(bounds, control_plane, provider, stack)
        # kubelet starts a killed container again in its pod.
        storm.operators = [
            stack.operator(name, DATASOURCE_POD_UID=f"pod-of-{name}", **volume(FOLDER, name))
            for name in ("operator-1", "operator-2")
        ]
        storm.callback_servers = [
            stack.callback_server(name, DATASOURCE_LISTEN=f"127.0.0.1:{page}", **volume(FOLDER, name))
            for name, page in zip(("callback-server-1", "callback-server-2"), pages, strict=True)
        ]
        with Balancer(port, pages), running(*storm.operators, *storm.callback_servers):
            yield storm


def table(rows: Sequence[Row]) -> str:
    """The rows, for people."""
    columns = (
        "injected",
        "refreshes",
        "per rotation",
        "lost",
        "interrupted",
        "families",
        "dead s",
        "window s",
        "flows",
        "stuck",
        "states",
    )
    lines = [f"{'fault':38}" + "".join(f"{column:>13}" for column in columns)]
    for row in rows:
        values = (
            row.injected,
            row.refreshes,
            row.token_requests_per_rotation_max,
            row.grants_lost,
            row.grants_interrupted,
            row.families_revoked,
            row.dead_token_seconds,
            row.window_seconds_max,
            row.flows,
            row.stuck,
        )
        states = ", ".join(f"{count} {state}" for state, count in row.states.items())
        lines.append(f"{row.fault:38}" + "".join(f"{value:>13}" for value in values) + f"  {states}")
    return "\n".join(lines)


def verdict(rows: Sequence[Row]) -> list[str]:
    """What should not have happened."""
    found = defaultdict(list)
    for row in rows:
        if row.grants_lost:
            found[row.fault].append(f"{row.grants_lost} grants lost")
        if row.families_revoked:
            found[row.fault].append(f"{row.families_revoked} families revoked")
        if row.token_requests_per_rotation_max > 1:
            found[row.fault].append(f"a refresh token was sent {row.token_requests_per_rotation_max} times")
        if row.stuck:
            found[row.fault].append(f"{row.stuck} Datasources got stuck")
        if row.dead_token_seconds and row.fault not in OUTLASTS_THE_MARGIN:
            found[row.fault].append(f"{row.dead_token_seconds} s with a dead token")
        if row.grants_interrupted and row.fault not in MAY_INTERRUPT:
            found[row.fault].append(f"{row.grants_interrupted} grants interrupted")
    return [f"{fault}: {', '.join(what)}" for fault, what in found.items()]


MAY_INTERRUPT = {"leader killed (SIGKILL)", "provider: cut after it rotated"}
"""Where a reply can be lost for good; anywhere else, an interruption is a fault of ours."""

OUTLASTS_THE_MARGIN = {"leader killed (SIGKILL)", "API server frozen 30 s"}
"""Tokens of 60 s are refreshed 20 s before their end: an outage longer than that leaves dead ones, and no other fault may.

A killed leader is replaced after 15 s, and an intent that it left is respected for 35 s.
"""


def main() -> None:
    """Run all faults."""
    bounds = Bounds.of(dict(os.environ))
    each = max(bounds.seconds / len(FAULTS) - 25, 15)
    say(
        f"{bounds.datasources} Datasources, tokens of {TOKEN_LIFETIME}, {len(FAULTS)} faults of {each:.0f} s each, "
        f"seed {bounds.seed}"
    )
    with everything(bounds) as storm:
        begun = time.monotonic()
        storm.prepare()
        say(f"      all are authorized after {time.monotonic() - begun:.0f} s")
        rows = [storm.phase(fault, inject, each) for fault, inject in FAULTS.items()]
    say(table(rows))
    REPORT.write_text(json.dumps({"seed": bounds.seed, "faults": [asdict(row) for row in rows]}, indent=1))
    say(f"written to {REPORT.relative_to(Path.cwd())}" if REPORT.is_relative_to(Path.cwd()) else str(REPORT))
    if problems := verdict(rows):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
