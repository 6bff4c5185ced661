"""What one exchange has in the journal: the last reply that may still count, until all that it asks for is done."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from callback_server.code_recording import CodeRecording
from callback_server.flows import ClaimedFlow
from datasource.cluster.replays import Replays
from datasource.outbound.provider_request import Reply
from datasource.process.journal import open_journal
from datasource.records.flow import FlowKey, StoredFlow
from datasource.records.journal_entry import CodeEntry, RecordedReply, decode_entry
from tests.unit.callback_server.test_new_credential import blank
from tests.unit.datasource.builders import NOW, oauth2
from tests.unit.datasource.records.test_flow import flow


@pytest.fixture
def replays(tmp_path: Path) -> Iterator[Replays]:
    async def deal_with(_: bytes) -> None:
        """Nobody is asked to."""

    journal = open_journal(str(tmp_path))
    yield Replays(journal, deal_with)
    journal.close()


def recording_of(replays: Replays | None) -> CodeRecording:
    claimed = msgspec.structs.replace(flow(), claim="0a")
    return CodeRecording(replays, ClaimedFlow(FlowKey("d", 3, "text"), StoredFlow(claimed, "7")))


def reply(body: bytes) -> RecordedReply:
    return RecordedReply.of(Reply(200, {}, body), is_whole=True, sent_at=NOW, received_at=NOW)


def entries(replays: Replays) -> list[CodeEntry]:
    return [decode_entry(replays.journal.read(entry), CodeEntry) for entry in replays.journal.waiting]


def record(recording: CodeRecording, body: bytes, *, renewed: str | None = None) -> None:
    recorder = recording.recorder(renewed=renewed)
    assert recorder is not None
    recorder(reply(body))


def test_reply_is_written_down_with_the_flow_as_it_was_claimed(replays: Replays) -> None:
    recording = recording_of(replays)
    recording.of(blank(), oauth2(), "https://accounts.example.eu")
    record(recording, b"{}")
    (entry,) = entries(replays)
    assert (entry.flow.claim, entry.slot, entry.renewed, entry.reply.body) == ("0a", 3, None, b"{}")
    assert entry.named_server == "https://accounts.example.eu"
    assert [each.id for each in replays.journal.waiting] == ["0a"]
    recording.is_done()
    assert entries(replays) == []
    recording.leave()


def test_reply_of_no_use_goes_before_its_refresh_token_is_sent(replays: Replays) -> None:
    """To send that once more would be worse than to begin again."""
    recording = recording_of(replays)
    recording.of(blank(), oauth2(), None)
    record(recording, b"{}")
    recorder = recording.recorder(renewed="rt-1")
    assert entries(replays) == []
    assert recorder is not None
    recorder(reply(b"[]"))
    assert [(entry.renewed, entry.reply.body) for entry in entries(replays)] == [("rt-1", b"[]")]
    recording.leave()
    assert not any(replays.journal.is_claimed(entry) for entry in replays.journal.waiting)


def test_nothing_is_written_without_a_journal_or_before_anything_was_sent(replays: Replays) -> None:
    without = recording_of(None)
    without.of(blank(), oauth2(), None)
    assert without.recorder() is None
    nothing_yet = recording_of(replays)
    assert nothing_yet.recorder() is None
    for each in (without, nothing_yet):
        each.is_done()
        each.leave()
    with pytest.raises(ValueError, match="nothing was sent yet"):
        nothing_yet._entry(reply(b"{}"))
