"""What came of replies whose reader was killed, and what is wanted of it. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from tests.soak.figures import upper_bound

ELSEWHERE = "elsewhere"
"""Where a pod is lost, and its journal with it."""


class Stage(StrEnum):
    """How far a reply had come when its reader was killed, as the disk and the API server show it."""

    UNDER_WAY = "under way"
    """The provider had answered, and no file had all of it yet."""
    WRITTEN_DOWN = "written down"
    """A file had all of it, and the store did not stand."""
    STORED = "stored"
    """The store stood; the entry may have been there still."""


class Trial(msgspec.Struct, frozen=True):
    """One reply whose reader was killed."""

    process: str
    provider: str
    """Strict or lenient."""
    blow: str
    """How it was killed."""
    restart: str
    """After how long, or elsewhere."""
    stage: Stage
    lost: bool
    """Whether the refresh token that is stored in the end works no more at the provider; of a code: whether none is stored."""
    interrupted: bool
    """Whether anybody was told RefreshInterrupted meanwhile."""


class Row(msgspec.Struct, frozen=True):
    """All trials of a kind together."""

    process: str
    provider: str
    restart: str
    stage: Stage
    trials: int
    lost: int
    interrupted: int
    lost_at_most: float
    """The share that is lost, with a confidence of 95 %."""


def rows(trials: Iterable[Trial]) -> list[Row]:
    """The trials by process, provider, restart and stage."""
    kinds: dict[tuple[str, str, str, Stage], Counter[str]] = {}
    for each in trials:
        counted = kinds.setdefault((each.process, each.restart, each.provider, each.stage), Counter())
        counted.update(trials=1, lost=int(each.lost), interrupted=int(each.interrupted))
    return [
        Row(
            process,
            provider,
            restart,
            stage,
            counted["trials"],
            counted["lost"],
            counted["interrupted"],
            round(upper_bound(counted["lost"], counted["trials"]), 4),
        )
        for (process, restart, provider, stage), counted in sorted(kinds.items())
    ]


def must_survive(trial: Trial) -> bool:
    """Whether neither a loss nor an interruption is excused.

    What is stored is. What a file has is, while its pod lives. And a lenient provider takes the old refresh token once
    more, whatever became of the new one; a code is spent at any provider.
    """
    if trial.stage is Stage.STORED:
        return True
    if trial.process == "operator" and trial.provider == "lenient":
        return True
    return trial.stage is Stage.WRITTEN_DOWN and trial.restart != ELSEWHERE


def missed(trials: Sequence[Trial]) -> list[str]:
    """What is not as it is wanted, a sentence each."""
    found = [
        f"{each.process}, {each.provider} provider, {each.blow}, restart {each.restart}: a reply that was {each.stage} "
        f"was {'lost' if each.lost else 'interrupted'}"
        for each in trials
        if must_survive(each) and (each.lost or each.interrupted)
    ]
    shown = Counter(each.process for each in trials if each.stage is Stage.WRITTEN_DOWN and must_survive(each))
    found += [
        f"{process}: no kill hit between entry and store: nothing was shown"
        for process in sorted({each.process for each in trials} - shown.keys())
    ]
    return found if trials else ["no process was killed: nothing was shown"]


def survived(trials: Iterable[Trial]) -> tuple[int, float]:
    """How many trials must survive and did, and the share of which they show that it may be lost at most."""
    counted = [each.lost or each.interrupted for each in trials if must_survive(each)]
    return len(counted) - sum(counted), upper_bound(sum(counted), len(counted))


def quantiles(microseconds: Sequence[float]) -> dict[str, float]:
    """Of the window in which a reply is in memory alone."""
    ordered = sorted(microseconds)
    if not ordered:
        return {}
    at = {"median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: ordered[min(int(share * len(ordered)), len(ordered) - 1)] for name, share in at.items()}


def table(found: Sequence[Row]) -> str:
    """For people."""
    head = f"{'process':16}{'restart':14}{'provider':10}{'reply':14}{'trials':>8}{'lost':>6}{'interr.':>9}{'lost at most':>14}"
    return "\n".join(
        [
            head,
            *(
                f"{row.process:16}{row.restart:14}{row.provider:10}{row.stage:14}{row.trials:>8}{row.lost:>6}"
                f"{row.interrupted:>9}{row.lost_at_most:>14}"
                for row in found
            ),
        ]
    )
