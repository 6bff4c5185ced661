"""`make soak`: an hour of everything that goes wrong in a cluster, while apps use their tokens and people change their minds.

500 Datasources with tokens of 90 s; two operators and two callback servers behind a balancer; a disturbance every few seconds
(disturbances.py), and somebody who clears, edits and authorizes anew (people.py). Apps look at their token Secrets once a
second, and try their tokens at the provider in turn (apps.py).

Prints a table and writes build/soak.json. Ends with 1 where a figure is not as it is wanted (figures.py). SOAK_SECONDS (3600),
SOAK_DATASOURCES (500), SOAK_SEED (1) and SOAK_TRIES (60) bound it.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from bench.figures import machine
from deploy.local.cache import BUILD, REPOSITORY
from deploy.local.controlplane import ControlPlane
from deploy.local.processes import free_ports
from deploy.local.progress import Steps, Ticker, say
from deploy.local.provider import Provider
from deploy.local.provider import install as install_provider
from deploy.local.stack import Stack, install, running
from tests.faults.balancer import Balancer
from tests.faults.pods import volume
from tests.soak import figures as wanted
from tests.soak.apps import Apps
from tests.soak.disturbances import DISTURBANCES, Surroundings
from tests.soak.figures import Figures
from tests.soak.parameters import TOKEN_LIFETIME, Parameters
from tests.soak.people import People
from tests.soak.under_way import UnderWay
from tests.support.api import api_of
from tests.support.user import User, eventually

FOLDER = BUILD / "soak"
REPORT = BUILD / "soak.json"
NAMESPACE = "soak"


@contextmanager
def surroundings(parameters: Parameters) -> Iterator[tuple[Surroundings, Stack]]:
    """Control plane, provider, two operators, two callback servers behind a balancer."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    install_provider()
    port, *pages = free_ports(3)
    with ControlPlane(FOLDER / "cluster") as control_plane, Provider(FOLDER / "provider") as provider:
        install(control_plane.cluster)
        stack = Stack(control_plane.cluster, FOLDER / "logs", port)
        operators = [
            stack.operator(name, DATASOURCE_POD_UID=f"pod-of-{name}", **volume(FOLDER, name))
            for name in ("operator-1", "operator-2")
        ]
        callback_servers = [
            stack.callback_server(name, DATASOURCE_LISTEN=f"127.0.0.1:{page}", **volume(FOLDER, name))
            for number, page in enumerate(pages, start=1)
            if (name := f"callback-server-{number}")
        ]
        with Balancer(port, pages), running(*operators, *callback_servers):
            chance = random.Random(parameters.seed)  # noqa: S311 - a soak that can be repeated
            yield Surroundings(control_plane, provider, operators, callback_servers, chance), stack


def disturb(around: Surroundings, seconds: float, apps: Apps, people: People) -> Counter[str]:
    """One disturbance after another, with a pause between them in which a token can be refreshed."""
    done: Counter[str] = Counter()
    ticker = Ticker(say)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _wait(min(around.chance.uniform(10, 25), max(end - time.monotonic(), 0)), ticker, apps, people)
        if time.monotonic() < end:
            name = around.chance.choice(sorted(DISTURBANCES))
            DISTURBANCES[name](around)
            done[name] += 1
    return done


def _wait(seconds: float, ticker: Ticker, apps: Apps, people: People) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        ticker.tick(lambda: _so_far(apps, people))


def _so_far(apps: Apps, people: People) -> str:
    with apps.lock:
        share, missing = apps.seconds.share, sum(apps.seconds.worst.values())
    return (
        f"valid {share:.6f}, {missing:.0f} s without a valid token; {apps.tried} tries, {apps.refused} refused; "
        f"{len(people.lost)} lost, {len(people.interrupted)} interrupted, {len(people.cut_off)} cut off; "
        f"{sum(people.done.values())} changes by people"
    )


def prepare(parameters: Parameters, user: User) -> list[str]:
    """The Datasources, and what they need; returns their names."""
    user.cluster.kubectl("create", "namespace", NAMESPACE)
    user.register_application(access_token_lifetime=TOKEN_LIFETIME)
    user.create_client_secret()
    names = [f"datasource-{number:03d}" for number in range(parameters.datasources)]
    manifests = [user.datasource(user.oauth2(), name=name) for name in names]
    user.kubectl("create", "-f", "-", stdin="\n---\n".join(json.dumps(each) for each in manifests))
    return names


def soak(parameters: Parameters) -> dict[str, Any]:
    """Everything from an empty cluster on; returns the report."""
    steps = Steps(3)
    steps.next(
        f"{parameters.datasources} Datasources with tokens of {TOKEN_LIFETIME.seconds} s, seed {parameters.seed}"
    )
    with surroundings(parameters) as (around, stack):
        user = User(around.control_plane.cluster, NAMESPACE, around.provider, stack.external_url)
        names = prepare(parameters, user)
        apps = Apps(api_of(user.cluster.kubeconfig), NAMESPACE, around.provider.userinfo_url, parameters.tries)
        under_way = UnderWay(user, names, FOLDER / "volumes")
        around.killed = under_way.strike
        people = People(user, apps, parameters.seed, under_way.was_cut_off)
        with apps:
            people.authorize_all(names)
            steps.next(f"{parameters.seconds} s of disturbances")
            with people:
                done = disturb(around, parameters.seconds, apps, people)
                people.rest()
                steps.next("until all are calm")
                eventually("somebody leads", around.leader)
                around.provider.forget_faults()
                _wait(TOKEN_LIFETIME.total_seconds(), Ticker(say), apps, people)
        return _report(parameters, around, apps, people, done, under_way)


def _report(
    parameters: Parameters,
    around: Surroundings,
    apps: Apps,
    people: People,
    done: Counter[str],
    under_way: UnderWay,
) -> dict[str, Any]:
    refreshes = sum(
        each.grant_type == "refresh_token" and each.status == 200 for each in around.provider.token_requests()
    )
    found = Figures(
        refreshes=refreshes,
        valid_share=apps.seconds.share,
        grants_lost=len(people.lost),
        grants_interrupted=len(people.interrupted),
        refreshes_cut_off=under_way.count,
        grants_cut_off=len(people.cut_off),
    )
    return {
        **msgspec.to_builtins(found),
        "lost_at_most": found.lost_at_most(),
        "parameters": asdict(parameters),
        "commit": _commit(),
        "machine": machine(),
        "token_seconds": round(apps.seconds.expected),
        "tokens_tried": apps.tried,
        "tokens_refused": apps.refused,
        "seconds_without_a_valid_token": {name: round(each, 1) for name, each in sorted(apps.seconds.worst.items())},
        "disturbances": dict(done + people.done),
        "lost": people.lost,
        "interrupted": people.interrupted,
        "cut_off": people.cut_off,
        "given_up": people.given_up,
        "ended": apps.ended,
    }


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False)  # noqa: S607
    return asked.stdout.strip()


def main() -> None:
    """Run it, print the table, judge."""
    report = soak(Parameters.of(os.environ))
    REPORT.write_text(json.dumps(report, indent=1))
    found = msgspec.convert(report, Figures)
    say(wanted.table(found, report["disturbances"]))
    say(f"written to {REPORT.relative_to(Path.cwd())}" if REPORT.is_relative_to(Path.cwd()) else str(REPORT))
    problems = wanted.missed(found) + [f"nobody could finish: {each}" for each in report["given_up"]]
    problems += [f"apps were not looked after any more: {each}" for each in report["ended"]]
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
