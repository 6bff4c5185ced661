"""`python -m bench [NAME ...]`: the benches named, or all; `smoke`: counts and growth alone, in less than a minute."""

import sys
import time
from collections.abc import Awaitable, Callable

import click
import uvloop

from bench import settled, smoke, unrelated, writing
from bench.figures import REPORT, Report, table
from bench.returning import callback
from deploy.local.cache import REPOSITORY
from deploy.local.progress import Steps, say

BENCHES: dict[str, Callable[[Report], Awaitable[None]]] = {
    "onboard": writing.onboard,
    "authorize": writing.authorize,
    "storm": writing.storm,
    "callback": callback,
    "growth": writing.growth,
    "fairness": writing.fairness,
    "noise": unrelated.noise,
    "restart": settled.restart,
    "memory": settled.memory,
    "idle": settled.idle,
}
SHARING = settled.SHARING
"""These load their 10,000 objects once, whichever of them are run."""


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice([*BENCHES, "smoke"]))
def main(names: tuple[str, ...]) -> None:
    """Run benches one after the other and tell what came of them."""
    report = Report()
    begun = time.monotonic()
    if "smoke" in names:
        uvloop.run(smoke.smoke(report))
    else:
        _run(names or tuple(BENCHES), report)
    report.write()
    say(table(report.figures))
    say(f"{time.monotonic() - begun:.0f} s; written to {REPORT.relative_to(REPOSITORY)}")
    missed = [figure for figure in report.figures if figure.met is False]
    if "smoke" in names and missed:
        sys.exit("; ".join(f"{each.name}: {each.figure} is not {each.wanted}" for each in missed))


def _run(names: tuple[str, ...], report: Report) -> None:
    alone = [name for name in BENCHES if name in names and name not in SHARING]
    sharing = tuple(name for name in BENCHES if name in names and name in SHARING)
    steps = Steps(len(alone) + bool(sharing))
    for name in alone:
        steps.next(name)
        uvloop.run(BENCHES[name](report))  # type: ignore[arg-type]
    if sharing:
        steps.next(", ".join(sharing))
        uvloop.run(settled.run(report, sharing))


if __name__ == "__main__":
    main()
