"""`python -m tests.faults.kill_run`, a part of `make faults`: real SIGKILLs of both processes at every step of a reply.

By fault points before and after each file call of the journal and each write to the API server, and by strace at system calls
counted up from the provider's reply until the stores stand. Each process is started again in the same pod after 1, 10 and
120 s, or never: then its journal is lost. While an operator is away for long, another one leads. Two providers: one that
rotates and ends a grant whose refresh token is used twice, and one that takes it once more.

Prints a table and writes build/kills.json. Ends with 1 where a reply was lost that was written down. FAULTS_SEED (1) and
KILLS_ROUNDS (1: how often each of it) bound it.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.figures import machine
from deploy.local.cache import BUILD, REPOSITORY
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import free_ports
from deploy.local.progress import say
from deploy.local.provider import Provider
from deploy.local.provider import install as install_provider
from deploy.local.stack import Stack, install
from tests.faults.armed import OF_A_RECORD, OF_THE_INTENT, OF_THE_JOURNAL, OF_THE_STORE
from tests.faults.kill_figures import Trial, missed, quantiles, rows, survived, table
from tests.faults.kills import Blow, Kills, Restart, kills
from tests.faults.pods import ARMED_STACK

FOLDER = BUILD / "kills"
REPORT = BUILD / "kills.json"

EACH = 6
"""Datasources at either provider."""

PEOPLE = 4
"""Grants at either provider that a callback server gets codes for at once: more would wait for each other."""

SYSTEM_CALLS = 20
"""Of so many, spread over all from the reply to the store, each ends an operator in one round; of half as many a callback
server."""

SOON, LATER, LATE = Restart(1), Restart(10), Restart(120)
NEVER = Restart(1, elsewhere=True)


@dataclass(frozen=True)
class Bounds:
    """How often, and from which seed."""

    rounds: int
    seed: int

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Bounds":
        """Read them from the environment."""
        return cls(int(environ.get("KILLS_ROUNDS", "1")), int(environ.get("FAULTS_SEED", "1")))


def blows_at_an_operator(chance: random.Random) -> Iterator[tuple[Blow, Restart]]:
    """At each step once, and at those that matter most with longer pauses."""
    for step in (*OF_THE_INTENT, *OF_THE_JOURNAL, *OF_THE_STORE):
        yield Blow(step, chance.randint(EACH, 2 * EACH)), SOON
    for again in ("after rename", "before store", "after store", "before unlink"):
        yield Blow("after rename", 2 * EACH, again=again), SOON
    for step in ("after rename", "before store", "after store"):
        yield Blow(step, chance.randint(EACH, 2 * EACH)), LATER
        yield Blow(step, chance.randint(EACH, 2 * EACH)), NEVER
    yield Blow("after rename", 2 * EACH), LATE
    yield Blow("before store", chance.randint(EACH, 2 * EACH)), LATE


def blows_at_a_callback_server(chance: random.Random) -> Iterator[tuple[Blow, Restart]]:
    """The same."""
    for step in (*OF_THE_JOURNAL, *OF_THE_STORE, *OF_A_RECORD):
        yield Blow(step, chance.randint(1, PEOPLE)), SOON
    for again in ("after rename", "before store", "after store", "before unlink"):
        yield Blow("after rename", 2 * PEOPLE, again=again), SOON
    for step in ("after rename", "before store"):
        yield Blow(step, chance.randint(1, 2 * PEOPLE)), LATER
        yield Blow(step, chance.randint(1, 2 * PEOPLE)), NEVER
    yield Blow("after rename", 2 * PEOPLE), LATE


def spread(calls: int, number: int, chance: random.Random) -> list[int]:
    """Numbers of system calls, one in each part of all of them."""
    parts = [(part * calls // number + 1, (part + 1) * calls // number) for part in range(number)]
    return [chance.randint(first, max(first, last)) for first, last in parts]


def run(struck: Kills, chance: random.Random) -> Iterator[str]:
    """Every blow once; what came of each."""
    people = [grant for grant in struck.grants if int(grant.name.rpartition("-")[2]) < PEOPLE]
    for blow, restart in blows_at_an_operator(chance):
        yield _told(blow, restart, struck.hit_the_operator(blow, restart))
    struck.hit_the_operator(Blow(), SOON)
    for number in spread(len(struck.calls_of(Blow())), SYSTEM_CALLS, chance):
        blow = Blow(system_call=number)
        yield _told(blow, SOON, struck.hit_the_operator(blow, SOON))
    for blow, restart in blows_at_a_callback_server(chance):
        yield _told(blow, restart, struck.hit_the_callback_server(blow, restart, people))
    struck.hit_the_callback_server(Blow(), SOON, people)
    for number in spread(len(struck.calls_of(Blow())), SYSTEM_CALLS // 2, chance):
        blow = Blow(system_call=number)
        yield _told(blow, SOON, struck.hit_the_callback_server(blow, SOON, people))


def _told(blow: Blow, restart: Restart, trials: Sequence[Trial]) -> str:
    stages = ", ".join(f"{count} {stage}" for stage, count in sorted(Counter(each.stage for each in trials).items()))
    return f"{blow}, restart {restart}: {stages or 'nobody was hit'}; {sum(each.lost for each in trials)} lost"


def report(struck: Kills, bounds: Bounds, commit: str) -> dict[str, Any]:
    """What is written down."""
    kept, at_most = survived(struck.trials)
    windows = {pods.kind.removeprefix("mortal-"): _windows(pods.folder, pods.kind) for pods in _all(struck)}
    return {
        "seed": bounds.seed,
        "rounds": bounds.rounds,
        "commit": commit,
        "machine": machine(),
        "survived": kept,
        "lost_at_most": at_most,
        "window_microseconds": windows,
        "rows": [msgspec.to_builtins(row) for row in rows(struck.trials)],
        "trials": [msgspec.to_builtins(each) for each in struck.trials],
    }


def _all(struck: Kills) -> tuple[Any, ...]:
    return struck.operators, struck.callback_servers


def _windows(folder: Path, kind: str) -> dict[str, float]:
    found = [float(line) for path in folder.glob(f"{kind}-*.window") for line in path.read_text().split()]
    return {"replies": len(found), **quantiles(found)}


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False)  # noqa: S607
    return asked.stdout.strip()


def main() -> None:
    """Run it, print the table, judge."""
    bounds, commit = Bounds.of(os.environ), _commit()
    chance = random.Random(bounds.seed)  # noqa: S311 - kills that can be repeated
    shutil.rmtree(FOLDER, ignore_errors=True)
    install_provider()
    say(f"{2 * EACH} Datasources at two providers, SIGKILL at every step, seed {bounds.seed}")
    with ControlPlane(FOLDER / "cluster") as control_plane, Provider(FOLDER / "provider") as provider:
        install(control_plane.cluster)
        stack = Stack(control_plane.cluster, FOLDER / "logs", free_ports(1)[0], run=ARMED_STACK)
        with kills(control_plane, provider, stack, FOLDER) as struck:
            struck.prepare(EACH)
            for _ in range(bounds.rounds):
                for told in run(struck, chance):
                    say(f"      {told}")
                    # Each time: what was shown is there, whatever comes next.
                    REPORT.write_text(json.dumps(report(struck, bounds, commit), indent=1))
            found = report(struck, bounds, commit)
    say(table(rows(struck.trials)))
    say(f"{found['survived']} replies that had to survive did: at most {found['lost_at_most']:.2%} are lost (95 %)")
    say(f"in memory alone, in microseconds: {found['window_microseconds']}")
    say(f"written to {REPORT}")
    if problems := missed(struck.trials):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
