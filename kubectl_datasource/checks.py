"""What a check of `doctor` comes to. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

_NAMED = 3
_LINE = 400


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


def summary(checks: Sequence[Check]) -> str:
    """How many came out how; what could not be looked at is named, since it says nothing."""
    counted = {verdict: sum(check.verdict is verdict for check in checks) for verdict in Verdict}
    said = f"{counted[Verdict.OK]} ok, {counted[Verdict.WARNING]} warnings, {counted[Verdict.FAILED]} failed"
    unknown = counted[Verdict.UNKNOWN]
    return f"{said}, {unknown} could not be looked at: an administrator may see them" if unknown else said


def several(texts: Sequence[str]) -> str:
    """The first few, and how many more: a line is for reading."""
    more = len(texts) - _NAMED
    return "; ".join(texts[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def line(text: str) -> str:
    """A detail on one line, no longer than people read; JSON has all of it."""
    joined = " ".join(text.split())
    return joined if len(joined) <= _LINE else joined[: _LINE - 1] + "…"
