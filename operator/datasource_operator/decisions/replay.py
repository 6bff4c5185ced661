"""What is to be done about a reply that was found in the journal, by what stands in its credential Secret. Pure.

What follows from the reply itself is decided where it always is (`refresh_outcome`); here it is decided whether it counts.
"""

from datetime import timedelta
from enum import Enum, auto

from datasource.records.contents import Contents, StoredCredential, still_there
from datasource.records.credential import Unreadable
from datasource.records.intent import TAKEOVER_AFTER, Intent
from datasource.records.journal_entry import RefreshEntry, token_hash


class Standing(Enum):
    """How a reply stands to what there is."""

    COUNTS = auto()
    """The refresh token that was sent stands there, at the revision that was sent: what follows from the reply is written."""
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
    if facts.revision != turn.facts.revision or token_hash(refresh_token or "") != entry.sent_hash:
        return Standing.SUPERSEDED
    if is_another(facts.intent, turn.intent) and seen_unchanged < TAKEOVER_AFTER:
        return Standing.WAITS_FOR_ANOTHER
    return Standing.COUNTS


def is_another(found: Intent | None, ours: Intent) -> bool:
    """Whether an intent that stands there is somebody else's, or of another request."""
    return found is not None and found.id != ours.id
