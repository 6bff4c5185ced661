"""Text for people: relative times, aligned columns, and nothing that a terminal would obey."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that move the cursor, hide or reorder text."""

_GAP = "   "


def printable(text: str) -> str:
    """The text with control and format characters made visible.

    What the cluster says was written by others: an escape sequence in it must not drive the terminal (CVE-2021-25743).
    """
    return "".join(
        char if unicodedata.category(char) not in _UNSAFE else char.encode("unicode_escape").decode() for char in text
    )


def duration(span: timedelta) -> str:
    """A time span in its one or two largest units, as kubectl writes ages: `45s`, `12m`, `3h20m`, `9d`."""
    seconds = int(span.total_seconds())
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if days < 2:
        return f"{hours}h"
    return _two(days, "d", hours % 24, "h") if days < 8 else f"{days}d"


def counted(number: int, what: str) -> str:
    """So many of a thing.

    >>> counted(1, "Secret"), counted(0, "Datasource")
    ('1 Secret', '0 Datasources')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def relative(moment: datetime, now: datetime) -> str:
    """`in 12m` or `3h20m ago`."""
    return f"in {duration(moment - now)}" if moment > now else f"{duration(now - moment)} ago"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}" + (f"{small}{small_unit}" if small else "")


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of a line; `style` is shown on terminals that have colours."""

    text: str
    style: str = ""


Line = tuple[Cell, ...]


def aligned(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[Line]:
    """Columns as kubectl prints them: headers in capitals, three spaces apart, nothing cut off."""
    lines = [tuple(Cell(header.upper()) for header in headers), *[tuple(row) for row in rows]]
    widths = [max(len(line[column].text) for line in lines) for column in range(len(headers))]
    return [_padded(line, widths) for line in lines]


def _padded(line: Line, widths: Sequence[int]) -> Line:
    *others, last = zip(line, widths, strict=True)
    return (*(Cell(cell.text.ljust(width) + _GAP, cell.style) for cell, width in others), last[0])
