"""What one request has in the journal, from the reply until all that it asks for is done."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from datasource.api.requests import Requests
from datasource.api.spec import OAuth2
from datasource.cluster.recording import Recording
from datasource.cluster.replays import Replays
from datasource.outbound.provider_request import Reply
from datasource.process.journal import MOST_UNCLAIMED_PER_NAMESPACE, open_journal
from datasource.process.journal_file import LARGEST_ENTRY
from datasource.records.credential import CredentialData
from datasource.records.intent import Intent
from datasource.records.journal_entry import RecordedReply, RefreshEntry, decode_entry, place_of
from datasource.records.turn import Turn
from tests.unit.datasource.builders import NOW, facts

DATA = CredentialData("at-1", "Bearer", "https://login.example.com/token", "f", "my-app", refresh_token="rt-1")


def turn() -> Turn:
    intent = Intent("0a", "p", "q", NOW)
    return Turn("shop", "calendar", facts(), intent, "7", Requests(), DATA)


def entry_of(reply: RecordedReply) -> RefreshEntry:
    return RefreshEntry.of(turn(), OAuth2(), reply)


def reply(body: bytes = b"{}") -> RecordedReply:
    return RecordedReply.of(Reply(200, {}, body), is_whole=True, sent_at=NOW, received_at=NOW)


@pytest.fixture
def replays(tmp_path: Path) -> Iterator[Replays]:
    async def deal_with(_: bytes) -> None:
        """Nobody is asked to."""

    journal = open_journal(str(tmp_path))
    yield Replays(journal, deal_with)
    journal.close()


def recorded(replays: Replays, body: bytes = b"{}") -> Recording:
    recording = Recording(replays, "shop", "calendar", "0a", entry_of)
    assert recording.recorder is not None
    recording.recorder(reply(body))
    return recording


def test_reply_lies_there_under_its_intent_until_all_is_done(replays: Replays) -> None:
    recording = recorded(replays)
    (entry,) = replays.journal.waiting
    assert (entry.namespace, entry.place, entry.id) == ("shop", place_of("shop", "calendar"), "0a")
    assert decode_entry(replays.journal.read(entry), RefreshEntry).reply == reply()
    assert replays.journal.is_claimed(entry)
    recording.is_done()
    recording.leave()
    assert replays.journal.waiting == []


def test_reply_that_was_not_seen_through_is_left_to_whoever_deals_with_the_journal(replays: Replays) -> None:
    recording = recorded(replays)
    recording.leave()
    (entry,) = replays.journal.waiting
    assert not replays.journal.is_claimed(entry)


def test_reply_may_be_left_where_it_is_written_down_and_its_namespace_has_left_few(replays: Replays) -> None:
    assert recorded(replays).may_be_left
    assert not recorded(replays, b"x" * LARGEST_ENTRY).may_be_left
    assert not Recording(replays, "shop", "calendar", "0a", entry_of).may_be_left
    for number in range(MOST_UNCLAIMED_PER_NAMESPACE):
        entry = replays.journal.write("shop", f"{number:032x}", "01", b"{}")
        assert entry is not None
        replays.journal.leave(entry)
    assert not recorded(replays).may_be_left


def test_without_a_journal_there_is_nothing_to_write_to() -> None:
    recording = Recording(None, "shop", "calendar", "0a", entry_of)
    assert (recording.recorder, recording.may_be_left) == (None, False)
    recording.is_done()
    recording.leave()
