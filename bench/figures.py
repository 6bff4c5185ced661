"""What was measured: figures of several runs, their bounds, a table for people and a file for machines."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deploy.local.cache import BUILD
from deploy.local.progress import Say, say

REPORT = BUILD / "bench.json"

_PACKAGES = ("aiohttp", "httpx", "kopf", "kubernetes", "msgspec", "starlette", "uvicorn", "uvloop")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bound. What counts is the median of the runs; with `every_run` it is the worst of them."""

    bound: float
    at_least: bool = False
    every_run: bool = False

    def is_met(self, samples: Sequence[float]) -> bool:
        """Whether the runs keep it."""
        worst = min(samples) if self.at_least else max(samples)
        judged = worst if self.every_run else statistics.median(samples)
        return judged >= self.bound if self.at_least else judged <= self.bound

    def __str__(self) -> str:
        every = ", each run" if self.every_run else ""
        return f"{'at least' if self.at_least else 'at most'} {self.bound:g}{every}"


def at_least(bound: float) -> Wanted:
    """The median must reach it."""
    return Wanted(bound, at_least=True)


def at_most(bound: float) -> Wanted:
    """The median must not be beyond it."""
    return Wanted(bound)


def never_above(bound: float) -> Wanted:
    """No run may be beyond it: for counts, which do not depend on the machine."""
    return Wanted(bound, every_run=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one bench; `wanted` is None for a figure without a bound."""

    name: str
    figure: str
    unit: str
    samples: tuple[float, ...]
    wanted: Wanted | None = None

    @property
    def met(self) -> bool | None:
        """Whether it keeps its bound; None where it has none."""
        return None if self.wanted is None else self.wanted.is_met(self.samples)

    def as_json(self) -> dict[str, Any]:
        """As it stands in the report."""
        return {
            "name": self.name,
            "figure": self.figure,
            "unit": self.unit,
            "median": round(statistics.median(self.samples), 4),
            "min": round(min(self.samples), 4),
            "max": round(max(self.samples), 4),
            "wanted": None if self.wanted is None else str(self.wanted),
            "met": self.met,
        }


@dataclass(slots=True)
class Report:
    """Collects samples run by run; figures keep the order in which they first came."""

    out: Say = say
    _samples: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    _units: dict[tuple[str, str], str] = field(default_factory=dict)
    _wanted: dict[tuple[str, str], Wanted | None] = field(default_factory=dict)

    def add(self, name: str, figure: str, unit: str, sample: float, wanted: Wanted | None = None) -> None:
        """Add one run's value of a figure."""
        key = (name, figure)
        self._samples.setdefault(key, []).append(sample)
        self._units[key], self._wanted[key] = unit, wanted
        self.out(f"      {name}: {figure} {sample:.4g} {unit}")

    @property
    def figures(self) -> list[Figure]:
        """All of them."""
        return [
            Figure(name, figure, self._units[name, figure], tuple(samples), self._wanted[name, figure])
            for (name, figure), samples in self._samples.items()
        ]

    def write(self, path: Path = REPORT) -> None:
        """Write the report."""
        content = {
            "machine": machine(),
            "versions": versions(),
            "benches": [figure.as_json() for figure in self.figures],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")


def table(figures: Iterable[Figure]) -> str:
    """The table for people."""
    lines = [f"{'bench':10} {'figure':46} {'median':>9} {'min':>9} {'max':>9} {'unit':10} {'wanted':24} met"]
    for each in figures:
        told = each.as_json()
        met = {True: "yes", False: "NO", None: ""}[each.met]
        numbers = " ".join(f"{told[key]:>9.4g}" for key in ("median", "min", "max"))
        lines.append(f"{each.name:10} {each.figure:46} {numbers} {each.unit:10} {told['wanted'] or '':24} {met}")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What it ran on; the load average tells whether it had the machine to itself."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "load_average": [round(load, 1) for load in os.getloadavg()],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def versions() -> dict[str, str]:
    """The versions of what the figures depend on."""
    return {"python": sys.version.split()[0], **{package: version(package) for package in _PACKAGES}}
