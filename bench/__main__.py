"""`python -m bench [NAME ...]`: the benches named, or all.

`smoke`: counts and growth alone, in less than a minute. `scale`: 100,000 Datasources, half an hour.
"""

import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import click
import uvloop

from bench import settled, smoke, unrelated, writing
from bench.figures import REPORT, Report, table
from bench.returning import callback
from bench.scale import scale
from bench.signed_in import people
from deploy.local.cache import REPOSITORY
from deploy.local.progress import Steps, say

Run = Callable[[Report], Coroutine[Any, Any, None]]

BENCHES: dict[str, Run] = {
    "onboard": writing.onboard,
    "authorize": writing.authorize,
    "storm": writing.storm,
    "callback": callback,
    "people": people,
    "growth": writing.growth,
    "fairness": writing.fairness,
    "noise": unrelated.noise,
}
"""Benches that are independent of each other. Those of `settled.SHARING` share 10,000 objects, which are loaded once."""

ALONE: dict[str, Run] = {"smoke": smoke.smoke, "scale": scale}
"""Only where they are asked for, and then nothing else."""


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice([*BENCHES, *settled.SHARING, *ALONE]))
def main(names: tuple[str, ...]) -> None:
    """Run benches one after the other and report the results."""
    report = Report()
    begun = time.monotonic()
    failed = [] if _all_ran(names, report) else ["not every bench could be run"]
    say(table(report.figures))
    say(f"{time.monotonic() - begun:.0f} s; written to {REPORT.relative_to(REPOSITORY)}")
    if "smoke" in names:
        missed = [figure for figure in report.figures if figure.met is False]
        failed += [f"{each.name}: {each.figure} is not {each.wanted}" for each in missed]
    if failed:
        sys.exit("; ".join(failed))


def _all_ran(names: tuple[str, ...], report: Report) -> bool:
    """Run them. One that fails does not stop the others, and the results are written after each."""
    runs = _runs(names)
    steps = Steps(len(runs))
    all_ran = True
    for title, run in runs.items():
        steps.next(title)
        try:
            uvloop.run(run(report))
        except Exception:
            say(traceback.format_exc())
            all_ran = False
        report.write()
    return all_ran


def _runs(names: tuple[str, ...]) -> dict[str, Run]:
    alone = {name: run for name, run in ALONE.items() if name in names}
    if alone:
        return alone
    chosen = [name for name in (*BENCHES, *settled.SHARING) if name in (names or (*BENCHES, *settled.SHARING))]
    runs = {name: BENCHES[name] for name in chosen if name in BENCHES}
    sharing = tuple(name for name in chosen if name in settled.SHARING)
    if sharing:
        runs[", ".join(sharing)] = partial(settled.run, names=sharing)
    return runs


if __name__ == "__main__":
    main()
