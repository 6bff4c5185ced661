"""The reply to a code, written down before anything else is done with it."""

from dataclasses import dataclass

from callback_server.flows import ClaimedFlow
from callback_server.new_credential import NewCredential
from datasource.api.secret_metadata import NO_METADATA, SecretMetadata
from datasource.api.spec import OAuth2
from datasource.cluster.recording import Recording
from datasource.cluster.replays import Replays
from datasource.providers.exchange import Recorder
from datasource.records.journal_entry import CodeEntry, RecordedReply


@dataclass(slots=True)
class CodeRecording:
    """What one exchange has in the journal: the reply to the code, or, where that was of no use, to the refresh after it."""

    replays: Replays | None
    claimed: ClaimedFlow
    _recording: Recording | None = None
    _known: tuple[NewCredential, OAuth2, str | None, SecretMetadata] | None = None
    _renewed: str | None = None

    def of(
        self,
        blank: NewCredential,
        parameters: OAuth2,
        named_server: str | None,
        template: SecretMetadata = NO_METADATA,
    ) -> None:
        """Before the code is sent: what its reply is judged by and stored with."""
        self._known = (blank, parameters, named_server, template)

    def recorder(self, *, renewed: str | None = None) -> Recorder | None:
        """Writes the next reply down; None without a journal.

        Args:
            renewed: the refresh token that is sent, where it is not the code. What was written down before is of no use then,
                and to send that refresh token once more would be worse.
        """
        self.is_done()
        if self.replays is None or self._known is None:
            return None
        flow = self.claimed.flow
        self._renewed = renewed
        self._recording = Recording(self.replays, flow.namespace, flow.name, flow.claim or "", self._entry)
        return self._recording.recorder

    def is_done(self) -> None:
        """All that the reply asks for is done."""
        if self._recording is not None:
            self._recording.is_done()

    def leave(self) -> None:
        """Nobody works on it any more."""
        if self._recording is not None:
            self._recording.leave()

    def _entry(self, reply: RecordedReply) -> CodeEntry:
        if self._known is None:
            raise ValueError("nothing was sent yet")
        blank, parameters, named, template = self._known
        return CodeEntry.of(
            self.claimed.flow, self.claimed.key.slot, blank, parameters, named, reply, self._renewed, template
        )
