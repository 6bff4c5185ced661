"""Whether a reply in the journal is still to be stored, compared with its credential Secret as it is now. Pure.

This module decides only whether the reply counts. What follows from it is decided in `refresh_outcome`, as for any other reply.
"""

from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import msgspec

from datasource.records.contents import Contents, StoredCredential, still_there
from datasource.records.credential import CredentialFacts, Unreadable
from datasource.records.intent import TAKEOVER_AFTER, Intent
from datasource.records.journal_entry import RefreshEntry, token_hash


class Standing(Enum):
    """How a reply in the journal relates to the content of the credential Secret."""

    COUNTS = auto()
    """The Secret has the token that was sent, or a backup restored an earlier revision. The outcome of the reply is written."""
    STORED = auto()
    """The reply is stored already, but its journal entry was not deleted."""
    SUPERSEDED = auto()
    """The Secret has a newer reply, or other tokens."""
    DROPPED = auto()
    """The credential was cleared, deleted or replaced."""
    WAITS_FOR_ANOTHER = auto()
    """Another process began a refresh, and may be waiting for its answer."""
    CANNOT_BE_READ = auto()
    """The Secret was altered and cannot be parsed. Nothing is written over it, and the journal keeps the entry."""


def standing_of_reply(
    entry: RefreshEntry, found: Contents | None, refresh_token: str | None, seen_unchanged: timedelta
) -> Standing:
    """Decide whether a reply counts.

    Args:
        entry: the entry from the journal.
        found: the content of the credential Secret, read live; None where there is no Secret of ours.
        refresh_token: the refresh token in the data of that Secret.
        seen_unchanged: how long the intent in that Secret was seen unchanged.
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
    """Whether there is an intent in the Secret that is not the one of our request."""
    return found is not None and found.id != ours.id


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def is_brought_back(found: CredentialFacts, sent: CredentialFacts, received_at: datetime) -> bool:
    """Whether a backup restored the credential in the Secret: it is an earlier revision of the one that was sent.

    The reply is newer than every earlier revision, and may have the only refresh token that works. But if the restored
    credential was refreshed after the reply came, its tokens are newer. Some providers accept an old refresh token, and then
    revoke the tokens that they issued before.

    Args:
        found: the facts in the Secret now.
        sent: the facts at the time of the request.
        received_at: when the reply came.
    """
    is_earlier = found.credential_id == sent.credential_id and found.revision < sent.revision
    came_at = max(received_at, sent.refreshed_at or _LONG_AGO)
    return is_earlier and (found.refreshed_at or _LONG_AGO) <= came_at


def caught_up(found: StoredCredential, sent: CredentialFacts) -> StoredCredential:
    """Prepare a credential that a backup restored for a reply from the journal. The other data of the Secret stay.

    The facts that describe the sent refresh token replace those of the backup: revision, scopes and end of the grant. The
    handled requests of both are kept. A credential that was not restored is returned unchanged.
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
    """Prepare a restored credential for a reply that is stored with the data that were sent.

    So the facts are those that were sent, too. The request, the history and the intent in the Secret stay, and the handled
    requests of both are kept.
    """
    facts = msgspec.structs.replace(
        sent,
        handled=found.facts.handled.with_all(sent.handled),
        page_request=found.facts.page_request,
        history=found.facts.history,
        intent=found.facts.intent,
    )
    return msgspec.structs.replace(found, facts=facts)
