"""`history NAME`: the last things that people did to a credential. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from datasource.api.objects import HistoryEcho
from kubectl_datasource.listing import when
from kubectl_datasource.words import Cell, Line, aligned, printable

_WHAT = {"NewCredential": "new credential", "ClearCredential": "clear", "Refresh": "refresh"}
"""What a newer operator adds is shown as it stands there."""

NOBODY_YET = "Nothing was done yet: no credential was obtained or cleared, and no refresh was asked for."


def history_json(entries: Sequence[HistoryEcho] | None) -> list[dict[str, Any]]:
    """The entries for programs, the oldest first."""
    return [msgspec.to_builtins(each) for each in entries or ()]


def table(entries: Sequence[HistoryEcho], now: datetime) -> list[Line]:
    """The entries for people, the latest last."""
    rows = [
        (
            Cell(when(each.time, now)),
            Cell(_what(each)),
            Cell(printable(each.by)),
            Cell(printable(each.result), "" if each.result == "Succeeded" else "yellow"),
        )
        for each in entries
    ]
    return aligned(("when", "what", "by", "result"), rows)


def lines(entries: Sequence[HistoryEcho] | None, now: datetime) -> Iterator[Line]:
    """The part of `status` that tells it; nothing where nothing was done."""
    if not entries:
        return
    yield from ((Cell(""),), (Cell("History", "bold"),))
    for head, *cells in table(entries, now)[1:]:
        yield (Cell(f"  {head.text}", head.style), *cells)


def _what(entry: HistoryEcho) -> str:
    return _WHAT.get(entry.what, printable(entry.what))
