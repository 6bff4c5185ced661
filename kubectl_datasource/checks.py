"""What a check of `doctor` comes to. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It could not be looked at, mostly for want of rights; that alone fails nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check and what came of it."""

    name: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def worst(checks: Iterable[Check]) -> Verdict:
    """What the whole comes to."""
    verdicts = {check.verdict for check in checks}
    return next((each for each in (Verdict.FAILED, Verdict.WARNING) if each in verdicts), Verdict.OK)
