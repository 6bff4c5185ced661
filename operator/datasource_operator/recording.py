"""I/O: the reply to one refresh, written down before anything else is done with it."""

from dataclasses import dataclass

from datasource.api.spec import OAuth2
from datasource.cluster.replays import Replays
from datasource.process.journal import Entry
from datasource.providers.exchange import Recorder
from datasource.records.journal_entry import RecordedReply, RefreshEntry, encode_entry, place_of
from datasource.records.turn import Turn


@dataclass(slots=True)
class Recording:
    """What one refresh has in the journal; nothing where there is none, or where it cannot be written."""

    turn: Turn
    parameters: OAuth2
    replays: Replays | None
    _entry: Entry | None = None

    @property
    def recorder(self) -> Recorder | None:
        """Writes the reply down; None without a journal."""
        return None if self.replays is None else self._write

    @property
    def may_be_left(self) -> bool:
        """Whether the reply may wait in the journal alone."""
        has_entry = self.replays is not None and self._entry is not None
        return has_entry and self.replays is not None and self.replays.journal.may_leave(self.turn.namespace)

    def is_done(self) -> None:
        """All that the reply asks for is done."""
        if self.replays is not None and self._entry is not None:
            self.replays.journal.remove(self._entry)

    def leave(self) -> None:
        """Nobody works on it any more: where it is there still, it is dealt with from the journal."""
        if self.replays is not None and self._entry is not None:
            self.replays.leave(self._entry)

    def _write(self, reply: RecordedReply) -> None:
        turn = self.turn
        content = encode_entry(RefreshEntry.of(turn, self.parameters, reply))
        place, replays = place_of(turn.namespace, turn.name), self.replays
        if replays is not None:
            self._entry = replays.journal.write(turn.namespace, place, turn.intent.id, content)
