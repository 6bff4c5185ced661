"""The history of a credential: the last few acts of people, kept in the data of the credential Secret. Pure.

The write that makes a change also appends the entry, so the two always agree. The history is for people who look after a
credential. Accounts that may edit the Secret can edit the history, so a mark shows which entries are ours. Auditors read the
log stream `audit` instead.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import msgspec

from datasource.api.clock import Moment, rfc3339
from datasource.outbound.printable import printable
from datasource.records.link_keys import MARK_LENGTH, LinkKeys, Origin, Purpose

ENTRIES = 5
"""How many entries are kept. The oldest are dropped first."""

LONGEST_TEXT = 256
"""Characters of one text of an entry. A longer name is cut here, and whole in the log stream `audit`."""

_LARGEST = 64 * 1024
"""Characters of all entries. Our processes never write more."""


class Act(StrEnum):
    """What a person did."""

    NEW_CREDENTIAL = "NewCredential"
    CLEAR = "ClearCredential"
    REFRESH = "Refresh"


class By(StrEnum):
    """Who did it, where it is not a person who had signed in."""

    ANNOTATION = "annotation"
    """An account that may edit the Datasource: a person or a pipeline."""
    LINK = "link"
    """A person who had the link."""
    IMPORT = "import"
    """An account that imported a refresh token."""
    UNPROVEN = "unproven"
    """The entry has no mark of ours, so an account that may edit the Secret wrote it. The name in it does not count."""


SUCCEEDED = "Succeeded"
STORED = "Stored"
"""The result of an import. The provider has not accepted the refresh token yet, and may refuse it."""


class HistoryEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One act. `id` is the ID of its line in the log stream `audit`."""

    id: str
    time: Moment
    what: str
    by: str
    result: str = ""
    mark: str = ""
    """Shows that the operator or the callback server wrote the entry, for this Datasource."""

    def marked(self, keys: LinkKeys, place: tuple[str, str]) -> "HistoryEntry":
        """The same entry with a mark by the newest link key, for the Datasource of that namespace and name."""
        key = keys.newest()
        mark = "" if key is None else key.mark(Purpose.HISTORY, self._marked_text(place))
        return msgspec.structs.replace(self, mark=mark)

    def is_ours(self, keys: LinkKeys, place: tuple[str, str], now: datetime) -> bool:
        """Whether the operator or the callback server wrote the entry as it is now."""
        return keys.origin(Purpose.HISTORY, self._marked_text(place), self.mark, now) is Origin.OURS

    def _marked_text(self, place: tuple[str, str]) -> str:
        told = (*place, self.id, rfc3339(self.time), self.what, self.by, self.result)
        return msgspec.json.encode(told).decode()

    def bounded(self) -> "HistoryEntry":
        """The same entry, with texts that are printable and short enough to be kept."""
        return HistoryEntry(
            id=_short(self.id),
            time=self.time,
            what=_short(self.what),
            by=_short(self.by),
            result=_short(self.result),
            mark=self.mark[:MARK_LENGTH],
        )


History = tuple[HistoryEntry, ...]
"""The entries, the oldest first."""


def by_user(name: str) -> str:
    """How the history names a person who had signed in. A person whose name is a value of `By` gets `user` before it."""
    return f"user {name}" if name in frozenset(By) else name


def read_history(text: str | None) -> History:
    """Read the entries under the data key `history`.

    No decision depends on them. So entries that cannot be parsed are left out, and so are unknown fields.
    """
    if text is None or len(text) > _LARGEST:
        return ()
    try:
        raw = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (ValueError, RecursionError):
        return ()
    return tuple(entry for entry in map(_entry, raw) if entry is not None)[-ENTRIES:]


def appended(text: str | None, entry: HistoryEntry) -> str:
    """The stored history with one more entry, as text. An earlier entry with the same ID is replaced."""
    before = (each for each in read_history(text) if each.id != entry.id)
    return _encoded((*before, entry.bounded()))


def entry_of(entry_id: str, what: Act, *, by: str, at: datetime, result: str = SUCCEEDED) -> HistoryEntry:
    """A new entry, as it is stored."""
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
