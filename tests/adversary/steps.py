"""Where the seconds of an authorization went: each step of a person's way is timed. The clock is an argument."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import msgspec

SLOWEST = 10
"""So many ways stand in the table; all of them are in build/adversary-details.json."""


class Step(StrEnum):
    """In the order in which a person takes them."""

    LINK = "link"
    """Ask for a new credential, until the link is in the status. It comes before what `authorize_p99_seconds` counts."""
    OPEN = "open"
    """The page behind the link, until it is there."""
    PRESS = "press"
    """The button, until the page is there that leads to the provider."""
    CONSENT = "consent"
    """At the provider; the victim's asks nothing, so that it takes no request."""
    CALLBACK = "callback"
    """The way back: the code is exchanged and the credential stored."""
    DONE = "done"
    """The page that tells how it ended."""
    TOKEN = "token"
    """Until the new token is in the token Secret."""


class Way(msgspec.Struct, frozen=True):
    """One authorization."""

    name: str
    began: float
    """Seconds after the measurement began."""
    counted: float
    """Seconds that `authorize_p99_seconds` counts for it."""
    steps: dict[Step, float]
    """Seconds of each step that was begun; the last one was not finished where something went wrong."""
    failed_in: Step | None = None


class Stopwatch:
    """Times the steps of one way. A thread may take steps while another one asks how long they took."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._taken: dict[Step, float] = {}
        self._under_way: tuple[Step, float] | None = None

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """Time a step; one that raises stays the one under way, and its time goes on."""
        self._under_way = step, self._monotonic()
        yield
        began, self._under_way = self._under_way[1], None
        self._taken[step] = self._monotonic() - began

    def told(self) -> dict[Step, float]:
        """Seconds of each step so far, the one under way included."""
        under_way = self._under_way
        told = dict(self._taken)
        if under_way is not None:
            told[under_way[0]] = self._monotonic() - under_way[1]
        return {step: round(seconds, 3) for step, seconds in told.items()}

    @property
    def under_way(self) -> Step | None:
        """The step that is not finished."""
        return None if self._under_way is None else self._under_way[0]


def slowest(ways: Sequence[Way], count: int = SLOWEST) -> list[Way]:
    """Those that took longest, the longest first; what came before the link was there counts, too."""
    return sorted(ways, key=lambda way: (-sum(way.steps.values()), way.began))[:count]


def table(ways: Sequence[Way]) -> str:
    """For people: the median of each step and its longest, and then the ways that took longest, all in seconds."""
    heads = "".join(f"{step:>10}" for step in Step)
    lines = [f"{'seconds of each step':30}{heads}"]
    for title, pick in (("median", 0.5), ("longest", 1.0)):
        lines.append(f"{title:30}" + "".join(f"{_cell(_quantile(ways, step, pick)):>10}" for step in Step))
    for way in slowest(ways):
        head = f"{way.name} at {way.began:.0f} s"
        marks = (f"{_cell(way.steps.get(step))}{'!' if step is way.failed_in else ''}" for step in Step)
        lines.append(f"{head:30}" + "".join(f"{mark:>10}" for mark in marks))
    return "\n".join([*lines, "! it failed in this step, or was given up there"])


def details(ways: Sequence[Way]) -> list[dict[str, Any]]:
    """For build/adversary-details.json: each way, in the order in which they ended."""
    told: list[dict[str, Any]] = msgspec.to_builtins(ways)
    return told


def _quantile(ways: Sequence[Way], step: Step, part: float) -> float | None:
    samples = sorted(way.steps[step] for way in ways if step in way.steps)
    return samples[min(int(part * len(samples)), len(samples) - 1)] if samples else None


def _cell(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"
