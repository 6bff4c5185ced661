"""I/O: the log stream `audit`, for whoever has to tell later who did what: one JSON line each, on stdout.

Logs go to stderr, may be text, and leave out what is said too often. These lines do neither. Each has an ID, and may come more
than once: whoever stops between an act and its line tells it after the start. No line has a token in it: there is no place for
one.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from datasource.outbound.printable import printable

LONGEST_TEXT = 1024
"""Characters of one text of a line: as many as a user's name may have."""

REMEMBERED = 10_000
"""IDs of lines that are not told again by this process."""


class AuditLine(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="stream", tag="audit"):
    """One line. `event` is what happened, `by` who did it: a person's name in the cluster, or how it was asked for."""

    id: str
    time: datetime
    event: str
    by: str = ""
    result: str = ""
    namespace: str = ""
    datasource: str = ""
    verb: str = ""
    """What a person lacked the right to do."""

    def bounded(self) -> "AuditLine":
        """The same, fit for a line."""
        texts = {
            name: printable(value, LONGEST_TEXT)
            for name, value in msgspec.structs.asdict(self).items()
            if isinstance(value, str)
        }
        return msgspec.structs.replace(self, time=self.time.astimezone(UTC), **texts)


def _to_stdout(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


@dataclass(slots=True)
class AuditLog:
    """Tells lines, where somebody wants them: without sign-in nobody does."""

    is_wanted: bool
    write: Callable[[str], None] = _to_stdout
    _told: OrderedDict[str, None] = field(default_factory=OrderedDict, repr=False)

    def tell(self, line: AuditLine) -> None:
        """Write a line, but for one that this process wrote already."""
        if not self.is_wanted or line.id in self._told:
            return
        self.write(msgspec.json.encode(line.bounded()).decode() + "\n")
        self._told[line.id] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
