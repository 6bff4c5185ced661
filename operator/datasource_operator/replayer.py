"""I/O: replays replies to refreshes from the journal, as if they had just come.

An earlier process may have written them. No refresh token is sent again for that, and no write of another process is
overwritten. A standby replays as well, because a reply may hold the only refresh token that works. The leader sees the write
and reconciles.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from datasource.cluster.api_errors import Conflict, Forbidden, NotFound
from datasource.cluster.clients import ClientMaterialMissing, Clients
from datasource.cluster.credential_secrets import CredentialSecrets, NotOurs
from datasource.cluster.dropped_grants import DroppedGrant, DroppedGrants
from datasource.cluster.replays import Later
from datasource.oauth2.errors import OAuth2Error
from datasource.oauth2.token_response import TokenResponse
from datasource.process.journal import REPLIES
from datasource.records import standing
from datasource.records.contents import Contents, Readable, StoredCredential, contents_in, still_there
from datasource.records.credential import CredentialData, Unreadable, UnreadableCredential, read_data
from datasource.records.effective import reply_options
from datasource.records.journal_entry import RefreshEntry, decode_entry
from datasource.records.turn import Turn
from datasource_operator.cache import Key
from datasource_operator.decisions.refresh_outcome import (
    Answer,
    KeepRefreshToken,
    LeaveIntent,
    Store,
    TakeBack,
    Verdict,
    refresh_outcome,
    tokens_in,
)
from datasource_operator.decisions.replay import Standing, caught_up, standing_of_reply
from datasource_operator.outcome_writer import CANNOT_BE_READ
from datasource_operator.refresh_memory import LOOK_GAP, RefreshMemory
from datasource_operator.refresh_sender import REFRESHES, RefreshSender

logger = structlog.get_logger(__name__)


def _tell_nobody(_: Key) -> None:
    """For a replayer whose writes are of no interest to others."""


@dataclass(slots=True)
class Replayer:
    """Replays one entry at a time. An exception keeps the entry in the journal (datasource.cluster.replays)."""

    credential_secrets: CredentialSecrets
    sender: RefreshSender
    clients: Clients
    grants: DroppedGrants
    memory: RefreshMemory
    changed: Callable[[Key], None] = _tell_nobody
    """Called with the key of each credential that was written."""

    async def replay(self, content: bytes) -> None:
        """Do all that an entry asks for.

        Raises:
            Later: the entry has to wait.
            ApiError, Unavailable: the API server refused or did not answer.
            msgspec.MsgspecError: the entry cannot be parsed.
        """
        entry = decode_entry(content, RefreshEntry)
        key = Key(entry.turn.namespace, entry.turn.name)
        found, data = await self._found(key)
        there = still_there(found)
        refresh_token = None if data is None else data.refresh_token
        match standing_of_reply(entry, found, refresh_token, self._seen_unchanged(key, there)):
            case Standing.CANNOT_BE_READ:
                raise Later(CANNOT_BE_READ)
            case Standing.WAITS_FOR_ANOTHER:
                raise Later("another process began to refresh the token", LOOK_GAP)
            case Standing.STORED:
                _tell("replayed", key, "stored already")
            case Standing.SUPERSEDED:
                _tell("superseded", key, "something newer is stored")
            case Standing.COUNTS if data is not None and isinstance(there, StoredCredential):
                await self._follow(key, entry, entry.turn_with(data), there)
            case _:
                await self._drop(key, entry, entry.turn)

    async def _found(self, key: Key) -> tuple[Contents | None, CredentialData | None]:
        secret = await self.credential_secrets.whole(*key)
        if secret is None:
            there = await self.credential_secrets.facts(*key)
            may_be_ours = isinstance(there, NotOurs) and there.has_our_type
            return (Unreadable("its annotations of datasource.dev were altered") if may_be_ours else None), None
        contents = contents_in(secret.metadata)
        if not isinstance(still_there(contents), StoredCredential):
            return contents, None
        try:
            return contents, read_data(secret)
        except UnreadableCredential as error:
            return error.unreadable, None

    def _seen_unchanged(self, key: Key, there: object) -> timedelta:
        intent = there.facts.intent if isinstance(there, StoredCredential) else None
        if intent is None:
            return timedelta(0)
        self.memory.looked(key, intent)
        return self.memory.seen_unchanged(key, intent)

    async def _follow(self, key: Key, entry: RefreshEntry, turn: Turn, there: StoredCredential) -> None:
        """Write what follows from a reply that is still valid, and revoke its tokens where that follows from it."""
        answer = await self._judged(key, entry, turn)
        outcome = refresh_outcome(turn, answer, entry.reply.received_at)
        if not isinstance(outcome, LeaveIntent) and not _is_void(outcome, turn, there):
            await self._write(key, outcome, caught_up(there, turn.facts))
        if isinstance(outcome, Store):
            REFRESHES.labels("stored").inc()
            self.memory.succeeded(key)
        replied = tokens_in(turn.data, answer)
        if outcome.revoke and replied is not None:
            await self._revoke(key, entry, replied, self.grants.revoke)
        _tell("replayed", key, type(outcome).__name__)
        self.changed(key)

    async def _judged(self, key: Key, entry: RefreshEntry, turn: Turn) -> Answer:
        parsed = _parsed(entry, turn)
        if isinstance(parsed, OAuth2Error):
            return parsed
        bundle = await self._bundle(key, entry)
        # The times in an id_token are checked for the moment at which the reply came.
        return await self.sender.judged(key, turn, parsed, entry.parameters, bundle, at=entry.reply.received_at)

    async def _write(
        self, key: Key, outcome: Store | KeepRefreshToken | TakeBack | Verdict, there: StoredCredential
    ) -> None:
        """Write an outcome over the credential that was read, and over nothing newer.

        Raises:
            Later: another process wrote meanwhile. The next try reads the credential again.
        """

        def resolve(found: Readable | None) -> standing.Standing:
            is_ours = isinstance(found, StoredCredential) and outcome.stands(found.facts)
            return standing.Standing.STORED if is_ours else standing.Standing.LOST

        written = await self.credential_secrets.write_until_it_stands(
            *key,
            there,
            lambda found: outcome.change(found.facts),
            resolve,
            gives_up=lambda error: not isinstance(error, Conflict | NotFound),
        )
        if not written.stands:
            raise Later("the credential Secret changed meanwhile", LOOK_GAP / 5)

    async def _drop(self, key: Key, entry: RefreshEntry, turn: Turn) -> None:
        """Drop a reply and revoke its tokens, because its credential was cleared, deleted or replaced."""
        replied = tokens_in(turn.data, _parsed(entry, turn))
        if replied is not None:
            await self._revoke(key, entry, replied, self.grants.revoke_where_none_stands)
        REFRESHES.labels("dropped").inc()
        _tell("dropped", key, "the credential was cleared, deleted or replaced meanwhile")

    async def _revoke(self, key: Key, entry: RefreshEntry, replied: CredentialData, revoke: "Revoke") -> None:
        endpoint = replied.revocation_endpoint
        if endpoint is None:
            return
        try:
            material = await self.clients.material(key.namespace, entry.parameters, {"revocationURL": endpoint})
        except (ClientMaterialMissing, Forbidden) as error:
            logger.error("a dropped grant could not be revoked", datasource=str(key), error=str(error))
            return
        await revoke(DroppedGrant(key.namespace, key.name, replied, material))

    async def _bundle(self, key: Key, entry: RefreshEntry) -> str | None:
        """The CA bundle for requests to the issuer. None where it cannot be read; the sender decides what that means."""
        try:
            return await self.clients.ca_bundle(key.namespace, entry.parameters)
        except (ClientMaterialMissing, Forbidden):
            return None


Revoke = Callable[[DroppedGrant], Awaitable[None]]


def _parsed(entry: RefreshEntry, turn: Turn) -> TokenResponse | OAuth2Error:
    sent = tuple(text for text in (turn.data.refresh_token, turn.data.client_secret) if text)
    try:
        return entry.reply.parsed(reply_options(entry.parameters, refreshed=turn.facts), sent)
    except OAuth2Error as error:
        return error


def _is_void(outcome: object, turn: Turn, there: StoredCredential) -> bool:
    """Whether an outcome must not be written over the credential that is there now.

    A verdict holds for its own request only. Of a credential from a backup no request is known, so only tokens are written.
    """
    if isinstance(outcome, Verdict):
        return not outcome.is_about(there.facts)
    return isinstance(outcome, TakeBack) and there.facts.revision != turn.facts.revision


def _tell(result: str, key: Key, what: str) -> None:
    REPLIES.labels(result).inc()
    logger.info("dealt with a reply of the journal", datasource=str(key), result=result, what=what)
