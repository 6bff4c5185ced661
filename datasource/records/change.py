"""A change of a credential Secret: the facts about its tokens, the tokens, and an entry of the history. Pure."""

import msgspec

from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.history import HistoryEntry, appended


class Change(msgspec.Struct, frozen=True):
    """What to write to a credential Secret."""

    facts: CredentialFacts
    data: CredentialData | None = None
    """None: the tokens stay as they are."""
    entry: HistoryEntry | None = None
    """The entry to add to the history; None: the history stays as it is."""
    history_before: str | None = None
    """The stored history that the entry is appended to."""

    def with_entry(self, history: str | None, entry: HistoryEntry) -> "Change":
        """The change with an entry for the history. `history` is the stored one."""
        told = msgspec.structs.replace(self.facts, history=entry.id)
        return Change(told, self.data, entry, history)

    @property
    def history(self) -> str | None:
        """The whole history to write; None: it stays as it is."""
        return None if self.entry is None else appended(self.history_before, self.entry)
