"""What is to be done about a reply that was found in the journal, by what stands in its credential Secret. Pure.

What follows from the reply itself is decided where it always is (`refresh_outcome`); here it is decided whether it counts.
"""

from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import msgspec

from datasource.records.contents import Contents, StoredCredential, still_there
from datasource.records.credential import CredentialFacts, Unreadable
from datasource.records.intent import TAKEOVER_AFTER, Intent
from datasource.records.journal_entry import RefreshEntry, token_hash


class Standing(Enum):
    """How a reply stands to what there is."""

    COUNTS = auto()
    """What was sent stands there, or what it came from, out of a backup: what follows from the reply is written."""
    STORED = auto()
    """It was stored, though nobody unlinked it."""
    SUPERSEDED = auto()
    """Somebody stored a newer reply, or other tokens."""
    DROPPED = auto()
    """The credential was cleared, deleted or replaced."""
    WAITS_FOR_ANOTHER = auto()
    """Another process began a refresh, and may be waiting for its answer."""
    CANNOT_BE_READ = auto()
    """Somebody altered the Secret: nothing is put over it, and nothing is given up."""


def standing_of_reply(
    entry: RefreshEntry, found: Contents | None, refresh_token: str | None, seen_unchanged: timedelta
) -> Standing:
    """Decide how a reply stands.

    Args:
        entry: from the journal.
        found: what stands in the credential Secret now, read live; None where there is none of ours.
        refresh_token: of its data.
        seen_unchanged: how long the intent that stands there was seen unchanged.
    """
    there, turn = still_there(found), entry.turn
    if isinstance(there, Unreadable):
        return Standing.CANNOT_BE_READ
    if not isinstance(there, StoredCredential) or there.facts.credential_id != turn.facts.credential_id:
        return Standing.DROPPED
    facts = there.facts
    if facts.stored_by == turn.intent.id:
        return Standing.STORED
    stands_as_sent = facts.revision == turn.facts.revision and token_hash(refresh_token or "") == entry.sent_hash
    if not stands_as_sent and not is_brought_back(facts, turn.facts, entry.reply.received_at):
        return Standing.SUPERSEDED
    if is_another(facts.intent, turn.intent) and seen_unchanged < TAKEOVER_AFTER:
        return Standing.WAITS_FOR_ANOTHER
    return Standing.COUNTS


def is_another(found: Intent | None, ours: Intent) -> bool:
    """Whether an intent that stands there is somebody else's, or of another request."""
    return found is not None and found.id != ours.id


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def is_brought_back(found: CredentialFacts, sent: CredentialFacts, received_at: datetime) -> bool:
    """Whether a backup brought back what stands there: an earlier revision of the very credential that was sent.

    The reply is newer than all that led to it, and may hold the only refresh token that works. But where somebody refreshed
    what was brought back, those tokens are newer: some providers take an old refresh token, and end what they gave before.

    Args:
        found: what stands there.
        sent: what was known of the credential when it was sent.
        received_at: when the reply came.
    """
    is_earlier = found.credential_id == sent.credential_id and found.revision < sent.revision
    came_at = max(received_at, sent.refreshed_at or _LONG_AGO)
    return is_earlier and (found.refreshed_at or _LONG_AGO) <= came_at


def caught_up(found: StoredCredential, sent: CredentialFacts) -> StoredCredential:
    """What a backup brought back, as a reply is put over it whose other data are those that stand there.

    What the refresh token is told by is as it was when it was sent. What nobody brought back is told as it is.
    """
    if found.facts.revision == sent.revision:
        return found
    facts = msgspec.structs.replace(
        found.facts,
        revision=sent.revision,
        granted_scopes=sent.granted_scopes,
        grant_expires_at=sent.grant_expires_at,
        grant_lifetime=sent.grant_lifetime,
        handled=found.facts.handled.with_all(sent.handled),
    )
    return msgspec.structs.replace(found, facts=facts)


def gone_on_from(found: StoredCredential, sent: CredentialFacts) -> StoredCredential:
    """The same for a reply whose other data are those that were sent. What somebody asks for there stays."""
    facts = msgspec.structs.replace(
        sent,
        handled=found.facts.handled.with_all(sent.handled),
        page_request=found.facts.page_request,
        history=found.facts.history,
        intent=found.facts.intent,
    )
    return msgspec.structs.replace(found, facts=facts)
