"""Whether a reply that was found in the journal still counts, by what stands in its credential Secret."""

from datetime import timedelta

import msgspec
import pytest

from datasource.api.requests import HandledSet, Requests
from datasource.api.states import Reason
from datasource.outbound.provider_request import Reply
from datasource.records.contents import Contents, Leaving, StoredCredential, StoredTombstone
from datasource.records.credential import CredentialData, TombstoneFacts, Unreadable
from datasource.records.intent import TAKEOVER_AFTER, Intent
from datasource.records.journal_entry import RecordedReply, RefreshEntry
from datasource.records.turn import Turn
from datasource_operator.decisions.replay import (
    Standing,
    caught_up,
    gone_on_from,
    is_brought_back,
    standing_of_reply,
)
from tests.support.builders import NOW, facts, spec

OURS = Intent(id="0a", process="p", pod="q", at=NOW)
ANOTHER = Intent(id="0b", process="p-2", pod="q-2", at=NOW)
SENT = msgspec.structs.replace(facts(), revision=4, intent=OURS)


def entry() -> RefreshEntry:
    data = CredentialData("at-1", "Bearer", "https://login.example.com/token", "f", "my-app", refresh_token="rt-1")
    turn = Turn("shop", "calendar", SENT, OURS, "7", Requests(), data)
    came = RecordedReply.of(Reply(200, {}, b"{}"), is_whole=True, sent_at=NOW, received_at=NOW)
    parameters = spec().oauth2
    assert parameters is not None
    return RefreshEntry.of(turn, parameters, came)


def stored(**changes: object) -> StoredCredential:
    return StoredCredential(msgspec.structs.replace(SENT, **changes), "9", owners=())


TOMBSTONE = StoredTombstone(TombstoneFacts("another", Reason.CREDENTIAL_CLEARED), "9", owners=())


@pytest.mark.parametrize(
    ("found", "refresh_token", "standing"),
    [
        pytest.param(stored(), "rt-1", Standing.COUNTS, id="as it was sent"),
        pytest.param(stored(intent=None), "rt-1", Standing.COUNTS, id="and somebody took our intent away"),
        pytest.param(
            stored(intent=None, verdict=Reason.REFRESH_INTERRUPTED),
            "rt-1",
            Standing.COUNTS,
            id="and was judged as dead",
        ),
        pytest.param(stored(revision=5, stored_by="0a", intent=None), "rt-2", Standing.STORED, id="stored by us"),
        pytest.param(
            stored(revision=5, stored_by="0a", intent=ANOTHER), "rt-2", Standing.STORED, id="and gone on from"
        ),
        pytest.param(stored(revision=5, stored_by="0b"), "rt-3", Standing.SUPERSEDED, id="a newer reply"),
        pytest.param(stored(revision=3), "rt-0", Standing.COUNTS, id="an older one, from a backup"),
        pytest.param(stored(revision=3, refreshed_at=None), "rt-0", Standing.COUNTS, id="the first, from a backup"),
        pytest.param(
            stored(revision=3, refreshed_at=NOW + timedelta(seconds=1)),
            "rt-0",
            Standing.SUPERSEDED,
            id="an older one, which somebody refreshed since",
        ),
        pytest.param(
            stored(revision=3, intent=ANOTHER), "rt-0", Standing.WAITS_FOR_ANOTHER, id="an older one, taken over"
        ),
        pytest.param(
            stored(revision=3, credential_id="new"), "rt-0", Standing.DROPPED, id="an older one of another credential"
        ),
        pytest.param(stored(), "rt-9", Standing.SUPERSEDED, id="other tokens under the same revision"),
        pytest.param(stored(), None, Standing.SUPERSEDED, id="no refresh token any more"),
        pytest.param(stored(intent=ANOTHER), "rt-1", Standing.WAITS_FOR_ANOTHER, id="taken over"),
        pytest.param(stored(credential_id="new"), "rt-1", Standing.DROPPED, id="another credential"),
        pytest.param(TOMBSTONE, None, Standing.DROPPED, id="cleared"),
        pytest.param(None, None, Standing.DROPPED, id="gone"),
        pytest.param(
            Leaving(stored(), is_deleted=True), "rt-1", Standing.COUNTS, id="leaving, to be revoked with the rest"
        ),
        pytest.param(Leaving(TOMBSTONE, is_deleted=True), None, Standing.DROPPED, id="leaving, and cleared"),
        pytest.param(Unreadable("annotation x"), None, Standing.CANNOT_BE_READ, id="altered"),
    ],
)
def test_reply_stands_as_what_is_there_says(
    found: Contents | None, refresh_token: str | None, standing: Standing
) -> None:
    assert standing_of_reply(entry(), found, refresh_token, timedelta(0)) is standing


@pytest.mark.parametrize(
    ("unchanged", "standing"),
    [
        (TAKEOVER_AFTER - timedelta(microseconds=1), Standing.WAITS_FOR_ANOTHER),
        (TAKEOVER_AFTER, Standing.COUNTS),
    ],
)
def test_intent_of_another_process_is_waited_for_until_its_sender_waits_no_more(
    unchanged: timedelta, standing: Standing
) -> None:
    assert standing_of_reply(entry(), stored(intent=ANOTHER), "rt-1", unchanged) is standing


def test_clock_that_was_ahead_when_both_were_obtained_tells_nothing() -> None:
    ahead = NOW + timedelta(days=400)
    sent = msgspec.structs.replace(SENT, refreshed_at=ahead)
    found = msgspec.structs.replace(sent, revision=3, refreshed_at=ahead - timedelta(hours=1))
    assert is_brought_back(found, sent, NOW)
    assert not is_brought_back(msgspec.structs.replace(found, refreshed_at=ahead + timedelta(hours=1)), sent, NOW)
    assert not is_brought_back(found, msgspec.structs.replace(SENT, refreshed_at=None), NOW)


def test_what_nobody_brought_back_is_told_as_it_is() -> None:
    found = stored(granted_scopes=("mail",))
    assert caught_up(found, SENT) is found


def test_what_was_brought_back_keeps_what_is_asked_for_there_and_nothing_older() -> None:
    asked, handled = HandledSet(refresh=("a",)), HandledSet(refresh=("b",))
    sent = msgspec.structs.replace(SENT, handled=handled, granted_scopes=("mail",), authorized_as="ada")
    found = stored(revision=3, handled=asked, intent=ANOTHER, history="h", authorized_as=None)
    both = asked.with_all(handled)
    beside_its_data = caught_up(found, sent).facts
    assert (beside_its_data.revision, beside_its_data.handled, beside_its_data.granted_scopes) == (4, both, ("mail",))
    assert (beside_its_data.authorized_as, beside_its_data.intent) == (None, ANOTHER)
    beside_ours = gone_on_from(found, sent)
    assert beside_ours.resource_version == found.resource_version
    assert beside_ours.facts == msgspec.structs.replace(sent, handled=both, intent=ANOTHER, history="h")
