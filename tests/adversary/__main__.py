"""`make adversary`: two tenants on the real stack; one attacks with all that he may do, and the other must notice nothing.

Prints a table beside that of a run without the attack, and writes build/adversary.json and build/adversary-details.json. Ends
with 1 where a figure is not as it is wanted, with 2 where something never came to happen at all. ADVERSARY_SECONDS (300),
ADVERSARY_SEED (1) and others bound it (tests/adversary/parameters.py).
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.bare import Bare
from bench.figures import Report, machine, versions
from bench.world import World, world
from deploy.local.cache import REPOSITORY
from deploy.local.processes import Child, StackError
from deploy.local.progress import Ticker, say
from tests.adversary import figures as bounds
from tests.adversary import steps
from tests.adversary.figures import Figures
from tests.adversary.namespaces import enter
from tests.adversary.parameters import LIFETIME, MOST_EXTRA, Parameters
from tests.adversary.pod import Pod
from tests.adversary.steps import Way
from tests.adversary.targets import Target
from tests.adversary.tenant import EGRESS_ALLOW, Tenant, identity
from tests.adversary.victim import NAMESPACE, PEOPLES_NAMESPACE, Victim
from tests.support.junk_load import Load, Outcome

_STALL_WINDOW = 60.0
"""Seconds that the metric of the longest stall looks back."""

_MODULE = "tests.adversary"

_POLITELY = ("nice", "-n", "5")
"""Whoever attacks has machines of their own: what they compute is not to be taken from those who are attacked."""


@dataclass(slots=True)
class Run:
    """One run, with or without the hostile tenant."""

    figures: Figures
    ways: list[Way]
    """Of the victim's people."""
    details: dict[str, Any] = field(default_factory=dict)


async def run(parameters: Parameters, *, attacked: bool) -> Run:
    """Everything from an empty cluster on."""
    name = "adversary" if attacked else "adversary-control"
    async with world(name, Report(), lifetime=LIFETIME) as here:
        victim = await Victim.moves_in(here, parameters)
        environ = {"DATASOURCE_EGRESS_ALLOW": EGRESS_ALLOW, "DATASOURCE_ALLOW_INSECURE_HTTP": "true"}
        processes = {
            "operator": here.stack.operator("operator", DATASOURCE_POD_UID="pod-1", **environ),
            "callback_server": here.stack.callback_server("callback-server", **environ),
        }
        pods = {process: Pod(each, limit_mib=bounds.MEMORY_LIMITS[process]) for process, each in processes.items()}
        async with contextlib.AsyncExitStack() as running:
            for pod in pods.values():
                await asyncio.to_thread(pod.__enter__)
                running.push_async_callback(asyncio.to_thread, pod.__exit__)
            await victim.is_served()
            hostile = await running.enter_async_context(_hostile(here, parameters)) if attacked else None
            return await _measured(parameters, victim, pods, hostile)


@dataclass(slots=True)
class Hostile:
    """All that attacks."""

    tenant: Tenant
    junk: subprocess.Popen[bytes]

    def not_yet(self) -> list[str]:
        """Attacks that never came to happen: what nobody asked for attacked nobody."""
        return [f"nobody asked for {target}" for target, count in self.heard().items() if not count]

    def heard(self) -> dict[str, int]:
        """How often our processes came to each of his endpoints."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.tenant.port}/heard", timeout=10) as answer:
            counts: dict[str, int] = json.load(answer)
        return {target: counts.get(target, 0) for target in Target}


@contextlib.asynccontextmanager
async def _hostile(here: World, parameters: Parameters) -> AsyncIterator[Hostile]:
    control_plane = here.control_plane
    token = await asyncio.to_thread(identity, control_plane.cluster)
    with _provider(here) as port:
        async with Bare(control_plane.url, control_plane.ca_file, token, "hostile") as session:
            tenant = Tenant(session, parameters, port)
            await tenant.move_in()
            junk = _junk(here, parameters)
            try:
                yield Hostile(tenant, junk)
            finally:
                junk.kill()
                junk.wait()


@contextlib.contextmanager
def _provider(here: World) -> Iterator[int]:
    file = here.stack.folder / "hostile-port"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    command = [*_POLITELY, sys.executable, "-m", f"{_MODULE}.provider", str(file)]
    log = here.stack.folder / "hostile-provider.log"
    child = Child("hostile-provider", command, log, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    child.start()
    try:
        child.wait_until_ready(lambda: file.exists() and bool(file.read_text()), seconds=30)
        yield int(file.read_text())
    finally:
        child.stop()


def _junk(here: World, parameters: Parameters) -> subprocess.Popen[bytes]:
    load = Load(
        url=here.stack.external_url,
        namespace=PEOPLES_NAMESPACE,
        name="datasource-00000",
        clients=max(parameters.junk // 2, 1),
        seconds=float(parameters.seconds),
        most_requests=10**9,
        pause=0.5,
    )
    command = [*_POLITELY, sys.executable, "-m", f"{_MODULE}.junk", msgspec.json.encode(load).decode()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)  # noqa: S603 - ourselves


async def _measured(parameters: Parameters, victim: Victim, pods: dict[str, Pod], hostile: Hostile | None) -> Run:
    begun, window = time.time(), min(_STALL_WINDOW, parameters.seconds / 2)
    for pod in pods.values():
        pod.measure(stalls_after=window)
    works = [victim.apps.run(), victim.people.run(), *([hostile.tenant.attack()] if hostile else [])]
    tasks = [asyncio.create_task(each) for each in works]
    ticker = Ticker(say)
    try:
        unfinished = ["everything"]
        while unfinished and time.time() < begun + parameters.seconds + MOST_EXTRA:
            left = max(begun + parameters.seconds - time.time(), 1.0)
            ended, _ = await asyncio.wait(tasks, timeout=min(left, 5.0), return_when=asyncio.FIRST_EXCEPTION)
            for task in ended:
                task.result()
            ticker.tick(lambda: _so_far(victim, pods, hostile))
            if time.time() >= begun + parameters.seconds:
                unfinished = await victim.not_yet(begun) + (hostile.not_yet() if hostile else [])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    measured = await _run_of(victim, pods, hostile, begun)
    measured.details["unfinished"] = unfinished
    return measured


def _so_far(victim: Victim, pods: dict[str, Pod], hostile: Hostile | None) -> str:
    memory = ", ".join(
        f"{name} {pod.peak_mib:.0f} MiB, stall {pod.longest_stall['wall'] * 1000:.0f} ms" for name, pod in pods.items()
    )
    done = sum(hostile.tenant.done.values()) if hostile else 0
    people = victim.people
    return (
        f"{len(people.seconds)} authorizations, {len(people.failures)} failed; dead {victim.apps.dead_seconds:.0f} s; "
        f"{memory}; {done} hostile acts"
    )


async def _run_of(victim: Victim, pods: dict[str, Pod], hostile: Hostile | None, begun: float) -> Run:
    people = victim.people
    figures = Figures(
        refreshes_late=await victim.late(begun),
        dead_token_seconds=round(victim.apps.dead_seconds, 1),
        authorizations=len(people.seconds) - len(people.failures),
        authorize_p99_seconds=round(bounds.percentile_99(people.seconds), 2),
        peak_mib={name: round(pod.peak_mib, 1) for name, pod in pods.items()},
        longest_stall_ms=round(1000 * max(pod.longest_stall["wall"] for pod in pods.values()), 1),
        restarts=sum(len(pod.ends) for pod in pods.values()),
    )
    details: dict[str, Any] = {
        "states": await victim.states(),
        "cpu_seconds": {name: round(pod.cpu_seconds, 1) for name, pod in pods.items()},
        "failed_authorizations": people.failures,
        "authorizations_by_step": steps.details(people.ways),
        "dead_tokens": victim.apps.dead,
        "ends": {name: pod.ends for name, pod in pods.items()},
        "longest_stall_ms": {
            name: {clock: round(1000 * seconds, 1) for clock, seconds in pod.longest_stall.items()}
            for name, pod in pods.items()
        },
    }
    if hostile is not None:
        details["heard"] = hostile.heard()
        details["done"] = dict(sorted(hostile.tenant.done.items()))
        details["junk"] = msgspec.to_builtins(await asyncio.to_thread(_outcome, hostile.junk))
    return Run(figures, people.ways, details)


def _outcome(junk: subprocess.Popen[bytes]) -> Outcome:
    printed, _ = junk.communicate(timeout=90)
    return msgspec.json.decode(printed, type=Outcome)


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    asked = [git, "-C", str(REPOSITORY), "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def _write(parameters: Parameters, attacked: Run, control: Run | None) -> None:
    told = parameters.told()
    report = {**msgspec.to_builtins(attacked.figures), "parameters": told, "seed": parameters.seed}
    details = {
        "commit": _commit(),
        "machine": machine(),
        "versions": versions(),
        "control": None if control is None else {**msgspec.to_builtins(control.figures), **control.details},
        **attacked.details,
    }
    parameters.folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("adversary.json", report), ("adversary-details.json", details)):
        (parameters.folder / name).write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Measure, tell, judge."""
    parameters = Parameters.of(os.environ)
    say(f"{parameters.seconds} s, seed {parameters.seed}; apps in {NAMESPACE}, people in {PEOPLES_NAMESPACE}")
    control: Run | None = None
    if parameters.control:
        say("[1/2] without the hostile tenant")
        control = uvloop.run(run(parameters, attacked=False))
    say("[2/2] attacked")
    attacked = uvloop.run(run(parameters, attacked=True))
    _write(parameters, attacked, control)
    say(bounds.table(attacked.figures, None if control is None else control.figures, parameters.seconds))
    for title, each in (("attacked", attacked), ("control", control)):
        if each is not None:
            say(f"{title}: longest stalls in ms {each.details['longest_stall_ms']}, states {each.details['states']}")
            say(f"{title}: authorizations, of which those that took longest\n{steps.table(each.ways)}")
    say(f"written to {_shown(parameters.folder / 'adversary.json')}; what was done and heard beside it")
    if attacked.details["unfinished"]:
        say("\n".join(attacked.details["unfinished"]))
        sys.exit(2)
    if missed := bounds.missed(attacked.figures, parameters.seconds):
        say("\n".join(missed))
        sys.exit(1)


def _shown(path: Path) -> str:
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)


if __name__ == "__main__":
    enter(_MODULE)
    try:
        main()
    except StackError as error:
        sys.exit(str(error))
