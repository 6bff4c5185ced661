"""What is measured of the victim and of our processes, what is wanted of it, and a table. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

MEMORY_LIMITS = {"operator": 512, "callback_server": 256}
"""MiB; those of deploy/."""

AUTHORIZED_WITHIN = 5.0
"""Seconds, from the link to the token Secret."""

LONGEST_STALL = 250.0
"""Milliseconds."""


class Figures(msgspec.Struct, frozen=True):
    """Of one run."""

    refreshes_late: int
    """Refreshes of the victim that its provider heard of later than 5 s after they were due at the latest."""
    dead_token_seconds: float
    """For how long a token Secret of the victim was missing or held a token that had run out; all of them added up."""
    authorizations: int
    """How many the victim's people finished."""
    authorize_p99_seconds: float
    """From opening the link to the new token in the token Secret; one that failed counts as the 30 s for which it is tried."""
    peak_mib: dict[str, float]
    """By process: the kernel's own peak of resident memory (VmHWM)."""
    longest_stall_ms: float
    """Of either event loop."""
    restarts: int
    """Of either process, whatever ended it."""


def percentile_99(samples: Sequence[float]) -> float:
    """The smallest sample that at least 99 % are not above; infinite where there is none."""
    return sorted(samples)[math.ceil(0.99 * len(samples)) - 1] if samples else math.inf


def bounds(seconds: int) -> dict[str, tuple[str, float]]:
    """What is wanted of each figure in a run of so many seconds; of peak_mib by process."""
    at_most = {
        "refreshes_late": 0.0,
        "dead_token_seconds": 0.0,
        "authorize_p99_seconds": AUTHORIZED_WITHIN,
        **{f"peak_mib.{process}": float(limit) for process, limit in MEMORY_LIMITS.items()},
        "longest_stall_ms": LONGEST_STALL,
        "restarts": 0.0,
    }
    # One every 15 s at the very least: a p99 of a few would say nothing.
    return {"authorizations": ("at least", seconds / 15)} | {name: ("at most", each) for name, each in at_most.items()}


def flat(figures: Figures) -> dict[str, float]:
    """By the names of `bounds`."""
    return dict(_flat(msgspec.to_builtins(figures), ""))


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", float(value)


def missed(figures: Figures, seconds: int) -> list[str]:
    """What is not as it is wanted, a sentence each."""
    measured = flat(figures)
    found = []
    for name, (kind, bound) in bounds(seconds).items():
        met = measured[name] >= bound if kind == "at least" else measured[name] <= bound
        if not met:
            found.append(f"{name} is {measured[name]:g}; wanted is {kind} {bound:g}")
    return found


def table(figures: Figures, control: Figures | None, seconds: int) -> str:
    """For people: each figure beside that of the run without the hostile tenant."""
    measured, beside = flat(figures), {} if control is None else flat(control)
    lines = [f"{'figure':28} {'attacked':>10} {'control':>10}  wanted"]
    for name, (kind, bound) in bounds(seconds).items():
        met = measured[name] >= bound if kind == "at least" else measured[name] <= bound
        other = f"{beside[name]:.6g}" if name in beside else ""
        lines.append(f"{name:28} {measured[name]:>10.6g} {other:>10}  {kind} {bound:g}{'' if met else '  NOT MET'}")
    return "\n".join(lines)
