"""I/O: refresh one credential without ever losing the grant.

1. The refresher writes an intent to the credential Secret. It takes the refresh token from the answer to that write, so no
   other process sends the same token.
2. It sends the refresh token to the endpoint that the token was obtained from.
3. It writes the reply to the journal, if there is one, before it does anything else with it.
4. It stores the reply, and tries that again through any outage. Or it withdraws the intent, or it writes a verdict.

Every write is a compare-and-swap on the Secret's resourceVersion. After an unclear answer the Secret is read again.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NoReturn

import msgspec
import structlog

from datasource.api.names import credential_secret_name
from datasource.api.objects import Secret
from datasource.api.requests import Requests
from datasource.api.spec import DeletionPolicy, OAuth2, Spec, redirect_uri_of
from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.clients import ClientMaterial, ClientMaterialMissing, Clients
from datasource.cluster.credential_secrets import CredentialSecrets, Stale
from datasource.cluster.dropped_grants import DroppedGrant, DroppedGrants
from datasource.cluster.recording import Recording
from datasource.cluster.replays import Replays
from datasource.process.clock import utc_now
from datasource.process.journal import Journal
from datasource.providers.transport import Transport
from datasource.providers.verifier import IdTokenVerifier
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialFacts, UnreadableCredential
from datasource.records.credential_patches import facts_patch
from datasource.records.intent import (
    SLOWEST_START,
    TAKEOVER_AFTER,
    Intent,
    Process,
    may_be_taken,
    next_intent,
)
from datasource.records.journal_entry import RefreshEntry, place_of
from datasource.records.sendable_data import sendable_data
from datasource.records.turn import Turn
from datasource_operator.cache import Key
from datasource_operator.decisions.observed import Observed
from datasource_operator.decisions.obstacles import immutable_secret
from datasource_operator.decisions.predicates import asked_for_refresh
from datasource_operator.decisions.refresh_outcome import (
    KeepRefreshToken,
    LeaveIntent,
    Store,
    TakeBack,
    Verdict,
    refresh_outcome,
    tokens_in,
)
from datasource_operator.decisions.setbacks import (
    NotNow,
    Setback,
    another_process_refreshes,
    api_server_refused,
    client_is_not_ready,
    credential_is_damaged,
    intent_took_too_long,
    journal_may_hold_the_reply,
    reply_could_not_be_stored,
    reply_is_in_the_journal,
    stopped_before_it_was_sent,
)
from datasource_operator.decisions.timing import provider_for, refresh_is_wanted, token_life
from datasource_operator.executor import Executor
from datasource_operator.observer import DatasourceGone
from datasource_operator.outcome_writer import OutcomeWriter, words_of
from datasource_operator.refresh_memory import LOOK_GAP, RefreshMemory
from datasource_operator.refresh_sender import REFRESHES, RefreshSender
from datasource_operator.replayer import Replayer
from datasource_operator.tasks import spawn
from datasource_operator.waiting_replies import WaitingReplies

logger = structlog.get_logger(__name__)

DROPPED = "a reply was dropped: the credential was cleared, deleted or replaced meanwhile"


@dataclass(frozen=True, slots=True)
class _Begun:
    """The Secret has our intent. From here on every result is a write."""

    facts: CredentialFacts
    """The facts with our intent."""
    intent: Intent
    secret: Secret
    """The Secret as the API server returned it for that write. Its refresh token is the one to send."""


@dataclass(slots=True)
class Refresher:
    """Refreshes credentials, one call of `refresh` for each. `process` names this process in its intents."""

    transport: Transport
    steps: Executor
    memory: RefreshMemory
    process: Process
    verifier: IdTokenVerifier
    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    waiting: WaitingReplies = field(default_factory=WaitingReplies)
    is_stopping: bool = False
    """Whether to begin no more requests, because the process ends or is no longer the leader. What was sent is completed."""
    sender: RefreshSender = field(init=False, repr=False)
    outcomes: OutcomeWriter = field(init=False, repr=False)
    replayer: Replayer = field(init=False, repr=False)
    replays: Replays | None = field(init=False, default=None, repr=False)
    """Stores the replies in the journal; None where there is no journal."""
    _clients: Clients = field(init=False, repr=False)
    _credential_secrets: CredentialSecrets = field(init=False, repr=False)
    _dropped_grants: DroppedGrants = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._clients = Clients(self.steps.kube, self.steps.settings.require_allowed_hosts, self.now, self.token_bytes)
        self.sender = RefreshSender(self.transport, self._clients, self.verifier, self.now, self.monotonic)
        self.sender.may_wait = lambda: not self.is_stopping
        secrets, memory = self.steps.credential_secrets, self.memory
        self._credential_secrets = secrets
        self._dropped_grants = DroppedGrants(self.transport, self._clients, secrets, self.now, self.sleep)
        self.outcomes = OutcomeWriter(self.steps, memory, self.now, self.waiting, self.monotonic)
        self.replayer = Replayer(secrets, self.sender, self._clients, self._dropped_grants, memory)

    def keep(self, journal: Journal | None, stored: Callable[[Key], None] = lambda _: None) -> None:
        """Use a journal for replies, if there is one. `stored` is called for each credential that is written from it."""
        self.replayer.changed = stored
        self.replays = None if journal is None else Replays(journal, self.replayer.replay, self.monotonic)

    def start(self) -> list[asyncio.Task[None]]:
        """Start the task that stores the replies in the journal. It runs whether or not this process leads."""
        return [] if self.replays is None else [spawn("replays", self.replays.run)]

    async def drain(self) -> None:
        """Try to store all replies in the journal now, because the journal is deleted with the pod."""
        if self.replays is not None:
            await self.replays.drain()

    async def refresh(self, key: Key) -> None:
        """Refresh the credential of a Datasource, if that is still wanted. A failure is remembered, not raised."""
        try:
            seen = self.steps.observer.observe(key)
            if refresh_is_wanted(seen) and isinstance(seen.credential, StoredCredential) and seen.oauth2 is not None:
                await self._refresh(key, seen, seen.credential, seen.oauth2)
        except DatasourceGone:
            return
        except Stale as error:
            logger.debug("somebody wrote meanwhile", datasource=str(key), what=str(error))
        except NotNow as not_now:
            self._remember(key, seen, not_now.setback, not_now.about)
        except (ApiError, Unavailable) as error:
            # It counts like a failure of the provider. It shows in the status once the token has expired, and the pause grows.
            logger.warning("the API server let no refresh begin", datasource=str(key), error=str(error))
            self._remember(key, seen, api_server_refused(words_of(error), error.retry_after))

    async def _refresh(self, key: Key, seen: Observed, credential: StoredCredential, oauth2: OAuth2) -> None:
        if self.replays is not None and self.replays.lies_there(place_of(*key)):
            # Whatever that reply says, it may have used up the refresh token in the Secret.
            await self._replay(key, self.replays)
            return
        await self._require_turn(key, credential.facts)
        material = await self._material(key, oauth2)
        await self.sender.prepare(key, credential.facts, material)
        if self.is_stopping:
            raise Stale("the next leader refreshes it")
        began_at = self.monotonic()
        begun = await self._begin(key, credential)
        turn = await self._turn(key, seen, begun, material)
        material = material.as_recorded(turn.data)
        if self.is_stopping:
            # The API server may have been slow, and kubelet ends the pod after its grace period.
            await self._take_back(key, begun, stopped_before_it_was_sent())
        if self.monotonic() - began_at > SLOWEST_START.total_seconds():
            await self._take_back(key, begun, intent_took_too_long())
        self.memory.sends(key)
        entry_of = partial(RefreshEntry.of, turn, material.parameters)
        recording = Recording(self.replays, *key, turn.intent.id, entry_of)
        try:
            await self._send(key, turn, material, recording)
        finally:
            # A reply that was not stored, for whatever reason, is stored from the journal later.
            recording.leave()

    async def _send(self, key: Key, turn: Turn, material: ClientMaterial, recording: Recording) -> None:
        sent_at = self.monotonic()
        answer = await self.sender.send(key, turn, material, recording.recorder)
        outcome = refresh_outcome(turn, answer, self.now())
        stands = isinstance(outcome, LeaveIntent) or await self.outcomes.write_or_leave(
            key, turn, outcome, recording, is_stopping=lambda: self.is_stopping
        )
        if isinstance(outcome, Store):
            REFRESHES.labels("stored" if stands else "dropped").inc()
            logger.info(
                "refreshed" if stands else DROPPED,
                datasource=str(key),
                revision=turn.facts.revision + 1,
                # A crash in this time would lose the grant if there were no journal.
                seconds_from_request_to_store=round(self.monotonic() - sent_at, 3),
            )
        if (replied := tokens_in(turn.data, answer)) is not None:
            grant = DroppedGrant(key.namespace, key.name, replied, material)
            if outcome.revoke:
                await self._dropped_grants.revoke(grant)
            elif not stands:
                await self._dropped_grants.revoke_where_none_stands(grant)
        recording.is_done()
        if isinstance(outcome, Verdict):
            logger.info("the refresh token is dead", datasource=str(key), verdict=outcome.verdict.value, written=stands)
        if outcome.trouble is not None:
            raise NotNow(outcome.trouble, outcome.facts_after() if isinstance(outcome, KeepRefreshToken) else None)
        if isinstance(outcome, Store):
            self.memory.succeeded(key)

    async def _replay(self, key: Key, replays: Replays) -> None:
        """Store a reply from the journal.

        Raises:
            NotNow: the reply is still only in the journal.
        """
        rest = await replays.replay(place_of(*key))
        if replays.lies_there(place_of(*key)):
            words = "none yet" if rest is None else rest.why
            raise NotNow(reply_is_in_the_journal(words, LOOK_GAP))

    async def _require_turn(self, key: Key, facts: CredentialFacts) -> None:
        """Check that no other process refreshes this credential: NotNow while its intent may not be taken over yet."""
        intent, now = facts.intent, self.now()
        if intent is None:
            return
        unchanged = self.memory.seen_unchanged(key, intent)
        life = token_life(facts, now)
        if may_be_taken(intent, self.process, seen_unchanged=unchanged, age=now - intent.at, life=life):
            return
        live = await self._credential_secrets.facts(*key)
        if isinstance(live, StoredCredential) and live.facts.intent is not None:
            self.memory.looked(key, live.facts.intent)
        logger.info("a refresh waits for another process", datasource=str(key), intent=intent.id)
        is_dead = unchanged >= TAKEOVER_AFTER
        raise NotNow(journal_may_hold_the_reply(LOOK_GAP) if is_dead else another_process_refreshes(LOOK_GAP))

    async def _material(self, key: Key, oauth2: OAuth2) -> ClientMaterial:
        try:
            # The endpoints that the tokens came from are checked later, once their data were read.
            return await self._clients.material(key.namespace, oauth2, {})
        except ClientMaterialMissing as error:
            raise NotNow(client_is_not_ready(error, error.secret)) from None

    async def _begin(self, key: Key, credential: StoredCredential) -> _Begun:
        """Write the intent to the Secret, by compare-and-swap. The returned Secret has the refresh token to send.

        Raises:
            Stale: another process wrote first.
        """
        before = credential.facts.intent
        intent = next_intent(
            before,
            self.process,
            intent_id=self.token_bytes(12).hex(),
            now=self.now(),
            was_sent=self.memory.may_have_been_sent(key, before),
        )
        self.memory.begins(key, intent)
        facts = msgspec.structs.replace(credential.facts, intent=intent)
        patch = facts_patch(datasource_name=key.name, resource_version=credential.resource_version, facts=facts)
        try:
            secret = await self._credential_secrets.swap(*key, patch, Secret)
        except Stale:
            # The cache is older than the Secret. The read brings it up to date before the watch does.
            await self._credential_secrets.facts(*key)
            raise
        return _Begun(facts, intent, secret)

    async def _turn(self, key: Key, seen: Observed, begun: _Begun, material: ClientMaterial) -> Turn:
        """Collect all that the request is made of, and that its answer is checked against and stored with.

        Raises:
            NotNow: a reply could not be stored, the data cannot be read, or the client secret may not go to their endpoint. The
                intent is withdrawn, and nothing was sent.
        """
        name = credential_secret_name(key.name)
        try:
            if begun.secret.immutable:
                finding = immutable_secret(name, key.namespace, is_credential=True)
                raise NotNow(reply_could_not_be_stored(finding.reason, finding.message, name))
            ours = redirect_uri_of(material.parameters, self.steps.settings.external_url, *key)
            data = sendable_data(begun.secret, begun.facts, material.parameters, ours)
            material.require_allowed(
                {"tokenURL": data.token_endpoint, "refreshURL": data.refresh_endpoint or data.token_endpoint}
            )
        except ClientMaterialMissing as error:
            await self._take_back(key, begun, client_is_not_ready(error, error.secret))
        except UnreadableCredential as error:
            await self._take_back(key, begun, credential_is_damaged(error.unreadable.advice(key.name), name))
        except NotNow as not_now:
            await self._take_back(key, begun, not_now.setback)
        is_to_be_revoked = isinstance(seen.spec, Spec) and seen.spec.deletion_policy is DeletionPolicy.REVOKE
        asked = asked_for_refresh(seen)
        return Turn(
            namespace=key.namespace,
            name=key.name,
            facts=begun.facts,
            intent=begun.intent,
            resource_version=begun.secret.metadata.resource_version,
            requests=Requests(refresh=seen.requests.refresh),
            data=material.as_recorded(data).recorded_in(data, is_to_be_revoked=is_to_be_revoked),
            client_secret_name=material.secret_name,
            last_try_after=self.steps.settings.last_try_after,
            failure_before=None if seen.trouble is None else seen.trouble.message,
            asked_by="" if seen.asked_refresh is None else asked.by,
            page_request=asked.page_request,
            history=begun.secret.history,
        )

    async def _take_back(self, key: Key, begun: _Begun, setback: Setback) -> NoReturn:
        """Withdraw the intent, because nothing was sent.

        Raises:
            NotNow: always, with the setback.
        """
        outcome = TakeBack(begun.intent, setback)
        await self.outcomes.write(key, begun.facts, begun.secret.metadata.resource_version, outcome)
        raise NotNow(setback) from None

    def _remember(self, key: Key, seen: Observed, setback: Setback, about: CredentialFacts | None = None) -> None:
        facts = about or seen.facts
        if facts is None:
            return
        pause = self.memory.pause(key, setback.at_least) if setback.pause is None else setback.pause
        now = self.now()
        trouble = setback.trouble(facts, pause, now, seen.asked_refresh, provider_for(seen))
        self.memory.failed(key, seen.generation, trouble, now)
