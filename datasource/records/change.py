"""What is written onto a credential Secret: what it says of its tokens, the tokens, and what somebody did. Pure."""

import msgspec

from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.history import HistoryEntry, appended


class Change(msgspec.Struct, frozen=True):
    """What a credential Secret is to say of its tokens."""

    facts: CredentialFacts
    data: CredentialData | None = None
    """None: the tokens stay as they are."""
    entry: HistoryEntry | None = None
    """What somebody did; None: the history stays as it is."""
    history_before: str | None = None
    """What it is appended to."""

    def with_entry(self, history: str | None, entry: HistoryEntry) -> "Change":
        """The same, told of in the history: `history` is what stands there."""
        told = msgspec.structs.replace(self.facts, history=entry.id)
        return Change(told, self.data, entry, history)

    @property
    def history(self) -> str | None:
        """The whole of it; None: it stays as it is."""
        return None if self.entry is None else appended(self.history_before, self.entry)
