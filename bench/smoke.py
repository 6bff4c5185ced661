"""smoke: how many writes an object takes, and whether requests grow with the number of objects. Never time."""

import asyncio

from bench.figures import Report, at_most, never_above
from bench.fleet import Fleet
from bench.returning import flows
from bench.world import World, world
from bench.writing import Run, authorized, is_quiet, onboarded, refreshed

SIZES = (20, 80)


async def smoke(report: Report) -> None:
    """The counts of onboard, authorize, storm and callback at two sizes each, and of restart."""
    async with world("smoke", report) as here:
        costs: dict[str, list[float]] = {}
        for size in SIZES:
            fleet = await here.fleet(size)
            _count(here, "onboard", await onboarded(here, fleet), 1, costs)
            _count(here, "authorize", await authorized(here, fleet), 2, costs)
            _count(here, "storm", await refreshed(here, fleet), 4, costs)
        with here.callback_server() as pid:
            for size in SIZES:
                _count(here, "callback", await flows(here, pid, size), 4, costs)
        here.add("restart: writes but the Lease", "writes", await _restarted(here, fleet), wanted=never_above(0))
        for name, (small, large) in costs.items():
            grown = 100 * (large / small - 1)
            here.add(f"{name}: requests an object, {SIZES[1]} over {SIZES[0]}", "%", grown, wanted=at_most(10))


def _count(here: World, name: str, run: Run, writes: float, costs: dict[str, list[float]]) -> None:
    here.add(f"{name}: writes an object", "writes", run.writes, wanted=never_above(writes))
    requests = sum(count for call, count in run.calls.items() if call.verb != "watch" and call.resource != "leases")
    costs.setdefault(name, []).append(requests / run.objects)
    here.report.out(f"      {name}, an object: {run.calls.told(run.objects)}")


async def _restarted(here: World, fleet: Fleet) -> int:
    here.audit.skip()
    async with here.operator(fleet) as operator:
        await asyncio.sleep(1)
        await is_quiet(operator.cpu)
        calls = here.calls(raw=False)
        return calls.writes() + calls.events()
