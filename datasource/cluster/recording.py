"""I/O: the reply to one request, written down before anything else is done with it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from datasource.cluster.replays import Replays
from datasource.process.journal_file import Entry
from datasource.providers.exchange import Recorder
from datasource.records.journal_entry import JournalEntry, RecordedReply, encode_entry, place_of


@dataclass(slots=True)
class Recording:
    """What one request has in the journal; nothing where there is none, or where it cannot be written."""

    replays: Replays | None
    namespace: str
    name: str
    """Of the Datasource."""
    id: str
    """Of the intent or the claim, hex."""
    entry_of: Callable[[RecordedReply], JournalEntry]
    _entry: Entry | None = None

    @property
    def recorder(self) -> Recorder | None:
        """Writes the reply down; None without a journal."""
        return None if self.replays is None else partial(self._write, self.replays)

    @property
    def may_be_left(self) -> bool:
        """Whether the reply may wait in the journal alone."""
        return self.replays is not None and self._entry is not None and self.replays.journal.may_leave(self.namespace)

    def is_done(self) -> None:
        """All that the reply asks for is done."""
        if self.replays is not None and self._entry is not None:
            self.replays.journal.remove(self._entry)
            self._entry = None

    def leave(self) -> None:
        """Nobody works on it any more: where it is there still, it is dealt with from the journal."""
        if self.replays is not None and self._entry is not None:
            self.replays.leave(self._entry)

    def _write(self, replays: Replays, reply: RecordedReply) -> None:
        content = encode_entry(self.entry_of(reply))
        place = place_of(self.namespace, self.name)
        self._entry = replays.journal.write(self.namespace, place, self.id, content)
