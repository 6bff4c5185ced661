"""What people did to a credential: the last few acts, kept in the credential Secret's data. Pure.

An entry is appended by the very swap that makes the change, so the two never disagree. It is for whoever looks after a
credential. Who may edit the Secret can edit it, so a mark tells which entries are ours. The record that an auditor reads is
the log stream `audit`.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from datasource.api.clock import Moment, rfc3339
from datasource.outbound.printable import printable
from datasource.records.link_keys import MARK_LENGTH, LinkKeys, Origin, Purpose

ENTRIES = 5
"""How many are kept; the oldest go first."""

LONGEST_TEXT = 256
"""Characters of one text of an entry. A name may be longer: it is cut here, and whole in the log stream `audit`."""

_LARGEST = 64 * 1024
"""Characters of all entries: what is larger was written by nobody of ours."""


class Act(StrEnum):
    """What was done."""

    NEW_CREDENTIAL = "NewCredential"
    CLEAR = "ClearCredential"
    REFRESH = "Refresh"


class By(StrEnum):
    """Who did it, where it is not a person who had signed in."""

    ANNOTATION = "annotation"
    """Whoever may edit the Datasource, people and pipelines alike."""
    LINK = "link"
    """Whoever had the link."""
    IMPORT = "import"
    """Whoever brought a refresh token along."""
    UNPROVEN = "unproven"
    """It says who, but our callback server has not written it: whoever may edit the Secret."""


SUCCEEDED = "Succeeded"
STORED = "Stored"
"""The result of an import: the provider has not said yet whether the refresh token works, and may refuse it."""


class HistoryEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One act. `id` is the one that its line in the log stream `audit` has."""

    id: str
    time: Moment
    what: str
    by: str
    result: str = ""
    mark: str = ""
    """That one of our two processes wrote it, of this Datasource."""

    def marked(self, keys: LinkKeys, place: tuple[str, str]) -> "HistoryEntry":
        """The same with a mark of the newest key, for the Datasource of that namespace and name."""
        key = keys.newest()
        mark = "" if key is None else key.mark(Purpose.HISTORY, self._marked_text(place))
        return msgspec.structs.replace(self, mark=mark)

    def is_ours(self, keys: LinkKeys, place: tuple[str, str], now: datetime) -> bool:
        """Whether one of our two processes wrote it, as it stands there."""
        return keys.origin(Purpose.HISTORY, self._marked_text(place), self.mark, now) is Origin.OURS

    def _marked_text(self, place: tuple[str, str]) -> str:
        told = (*place, self.id, rfc3339(self.time), self.what, self.by, self.result)
        return msgspec.json.encode(told).decode()

    def bounded(self) -> "HistoryEntry":
        """The same, fit to be shown and to be kept."""
        return HistoryEntry(
            id=_short(self.id),
            time=self.time,
            what=_short(self.what),
            by=_short(self.by),
            result=_short(self.result),
            mark=self.mark[:MARK_LENGTH],
        )


History = tuple[HistoryEntry, ...]
"""The oldest first."""


def by_user(name: str) -> str:
    """How somebody who had signed in is named: nobody can pass for an annotation by being called one."""
    return f"user {name}" if name in frozenset(By) else name


def read_history(text: str | None) -> History:
    """Read the entries under the data key `history`.

    Nothing rests on them: what cannot be read is left out, and so are fields that another version wrote.
    """
    if text is None or len(text) > _LARGEST:
        return ()
    try:
        raw = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (ValueError, RecursionError):
        return ()
    return tuple(entry for entry in map(_entry, raw) if entry is not None)[-ENTRIES:]


def appended(text: str | None, entry: HistoryEntry) -> str:
    """The text of the same history with one more entry; an entry with that id is there once."""
    before = (each for each in read_history(text) if each.id != entry.id)
    return _encoded((*before, entry.bounded()))


def entry_of(entry_id: str, what: Act, *, by: str, at: datetime, result: str = SUCCEEDED) -> HistoryEntry:
    """An entry as it is kept."""
    return HistoryEntry(id=entry_id, time=at.replace(microsecond=0), what=what, by=by, result=result).bounded()


def _encoded(entries: Iterable[HistoryEntry]) -> str:
    return msgspec.json.encode(list(entries)[-ENTRIES:]).decode()


def _entry(raw: msgspec.Raw) -> HistoryEntry | None:
    try:
        return msgspec.json.decode(raw, type=HistoryEntry).bounded()
    except (ValueError, RecursionError):
        return None


def _short(text: str) -> str:
    shown = printable(text, LONGEST_TEXT)
    return shown if len(shown) <= LONGEST_TEXT else f"{shown[: LONGEST_TEXT - 3]}..."
