"""I/O: refresh one credential without ever losing the grant.

1. An intent is swapped onto the credential Secret; the refresh token is taken from the answer, so nobody else has it too.
2. The refresh token is sent to the endpoint that it was obtained from.
3. The reply is stored, tried again through any outage; or the intent is taken back, or a verdict is written.

Every write is a compare-and-swap on the Secret's resourceVersion; every unclear answer is resolved by reading again.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import msgspec
import structlog
from prometheus_client import Counter

from datasource import credential as credential_secret
from datasource.backoff import Backoff, half_jitter
from datasource.ca_bundle import read_ca_bundle
from datasource.client_secret import ClientSecret, ClientSecretNotFound, read_client_secret
from datasource.credential import (
    CredentialData,
    CredentialFacts,
    StoredCredential,
    UnreadableCredential,
    read_data,
    read_facts,
)
from datasource.effective import client_for, recorded_client, refresh_options, reply_options
from datasource.intent import REQUEST_DEADLINE, Intent, Process, may_be_taken, next_intent
from datasource.kube import SECRETS, ApiError, Conflict, Kube, NotFound, Unavailable
from datasource.names import FIELD_MANAGER, Annotation, credential_secret_name
from datasource.oauth2 import (
    Client,
    MetadataUnavailable,
    MetadataUnusable,
    OAuth2Error,
    TokenRequest,
    TokenResponse,
    refresh_request,
    revocation_request,
    successor,
    token_and_hint,
)
from datasource.oauth2.exchange import request_token, revoke_token_patiently
from datasource.oauth2.id_token import IdentityMismatch, check_claims, unverified_claims
from datasource.oauth2.identity import IdentityChanged, read_kept_claims, require_same_subject
from datasource.oauth2.transport import Transport
from datasource.oauth2.verifier import IdTokenVerifier
from datasource.objects import PartialObject, Secret
from datasource.requests import Requests
from datasource.spec import DeletionPolicy, InvalidSpec, OAuth2, Spec
from datasource.turn import Turn
from datasource_operator.cache import Cache, Key
from datasource_operator.decisions.observed import Observed, Trouble
from datasource_operator.decisions.obstacles import immutable_secret
from datasource_operator.decisions.refresh_outcome import (
    Answer,
    Change,
    KeepRefreshToken,
    LeaveIntent,
    Setback,
    Store,
    TakeBack,
    Unproven,
    Verdict,
    another_process_refreshes,
    client_is_not_ready,
    credential_is_damaged,
    refresh_outcome,
    reply_could_not_be_stored,
)
from datasource_operator.decisions.timing import refresh_is_wanted
from datasource_operator.refresh_memory import LOOK_GAP, RefreshMemory
from datasource_operator.steps import DatasourceGone, Stale, Steps

logger = structlog.get_logger(__name__)

REFRESHES = Counter(
    "datasource_refreshes",
    "Refreshes by how they ended: stored, dropped (something newer stood there), or the class of the error.",
    ["result"],
)
for _result in ("stored", "dropped"):
    # There from the start: a rate needs a zero to rise from.
    REFRESHES.labels(_result)


DROPPED = "a reply was dropped: the credential was cleared, deleted or replaced meanwhile"

STORE_BACKOFF = Backoff(timedelta(milliseconds=200), timedelta(seconds=5), half_jitter(random.random))
"""Between tries to write what must not be lost: short, the API server is ours."""


class NotNow(Exception):
    """The refresh cannot be done now; carries what to tell and when to try again."""

    def __init__(self, setback: Setback) -> None:
        super().__init__(setback.message)
        self.setback = setback


@dataclass(frozen=True, slots=True)
class _Begun:
    """Our intent stands on the Secret: from here on every way out is a write."""

    facts: CredentialFacts
    """With our intent in them."""
    intent: Intent
    secret: Secret
    """As the API server answered the write: what it holds is what is sent."""


@dataclass(frozen=True, slots=True)
class _Reply:
    """What the provider answered, and all that it takes to revoke it."""

    recorded: CredentialData
    response: TokenResponse = field(repr=False)
    parameters: OAuth2
    client_secret: ClientSecret | None
    ca_bundle: str | None

    @property
    def refresh_token(self) -> str | None:
        """The one that holds from now on."""
        return successor(self.recorded.refresh_token, self.response)


@dataclass(slots=True)
class Refresher:
    """Refreshes credentials; `process` is how intents name us."""

    kube: Kube
    transport: Transport
    cache: Cache
    steps: Steps
    memory: RefreshMemory
    process: Process
    verifier: IdTokenVerifier
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    answered: Callable[[Key], None] = lambda _: None
    """Told when the provider has answered, or did not: it may be sent the next request."""
    backoff: Backoff = STORE_BACKOFF

    async def refresh(self, key: Key) -> None:
        """Refresh the credential of a Datasource, if that is still wanted.

        Raises:
            ApiError, Unavailable: the API server refused or did not answer before anything was sent.
        """
        try:
            seen = self.steps.observe(key)
            if refresh_is_wanted(seen) and isinstance(seen.credential, StoredCredential) and seen.oauth2 is not None:
                await self._refresh(key, seen, seen.credential, seen.oauth2)
        except DatasourceGone:
            return
        except Stale as error:
            logger.debug("somebody wrote meanwhile", datasource=str(key), what=str(error))
        except NotNow as not_now:
            self._remember(key, seen, not_now.setback)

    async def _refresh(self, key: Key, seen: Observed, credential: StoredCredential, oauth2: OAuth2) -> None:
        await self._require_turn(key, credential.facts)
        client_secret = await self._client_secret(key, oauth2)
        ca_bundle = await self._ca_bundle(key, oauth2)
        begun = await self._begin(key, credential)
        parameters = oauth2.expanded()
        turn = await self._turn(key, seen, begun, parameters, client_secret, ca_bundle)
        sent_at = self.monotonic()
        answer = await self._answer_to(key, turn, parameters, client_secret, ca_bundle)
        outcome = refresh_outcome(turn, answer, self.now())
        stands = isinstance(outcome, LeaveIntent) or await self._write_until_it_stands(
            key, turn.facts, turn.resource_version, outcome
        )
        if isinstance(outcome, Store):
            REFRESHES.labels("stored" if stands else "dropped").inc()
            logger.info(
                "refreshed" if stands else DROPPED,
                datasource=str(key),
                revision=turn.facts.revision + 1,
                # Between the two a crash would lose the grant.
                seconds_from_request_to_store=round(self.monotonic() - sent_at, 3),
            )
        if not isinstance(answer, OAuth2Error):
            response = answer if isinstance(answer, TokenResponse) else answer.response
            reply = _Reply(turn.data, response, parameters, client_secret, ca_bundle)
            if outcome.revoke:
                await self._revoke_reply(key, reply)
            elif not stands:
                await self._revoke_dropped(key, reply)
        if isinstance(outcome, Verdict):
            logger.info("the refresh token is dead", datasource=str(key), verdict=outcome.verdict.value, written=stands)
        if outcome.trouble is not None:
            raise NotNow(outcome.trouble)
        if isinstance(outcome, Store):
            self.memory.succeeded(key)

    async def _answer_to(
        self,
        key: Key,
        turn: Turn,
        parameters: OAuth2,
        client_secret: ClientSecret | None,
        ca_bundle: str | None,
    ) -> Answer:
        """Send the refresh token, and see whose the tokens are that come back."""
        sent_at = self.monotonic()
        try:
            response = await request_token(
                self.transport,
                self._request(parameters, turn.data, client_secret),
                tenant=key.namespace,
                now=self.now,
                deadline=REQUEST_DEADLINE,
                options=reply_options(parameters, is_refresh=True),
                ca_bundle=ca_bundle,
            )
        except OAuth2Error as error:
            REFRESHES.labels(type(error).__name__).inc()
            logger.warning(
                "a refresh failed",
                datasource=str(key),
                sends=turn.intent.sends,
                seconds=round(self.monotonic() - sent_at, 3),
                error=str(error),
            )
            return error
        finally:
            self.answered(key)
        kept, issuer = read_kept_claims(turn.data.identity), parameters.issuer
        if response.id_token is None or kept is None or issuer is None:
            return response
        # One that comes with a refresh is about the one who authorized (OIDC Core section 12.2), or apps get nothing.
        try:
            claims = await self._claims(response.id_token, issuer, key.namespace, ca_bundle)
            require_same_subject(claims, kept)
            check_claims(claims, issuer=issuer, client_id=turn.data.client_id, nonce=None, now=self.now())
        except (IdentityChanged, IdentityMismatch) as error:
            REFRESHES.labels(type(error).__name__).inc()
            logger.error("an id_token of a refresh was refused", datasource=str(key), error=str(error))
            return Unproven(response, error)
        return response

    async def _claims(self, id_token: str, issuer: str, namespace: str, ca_bundle: str | None) -> Mapping[str, Any]:
        """Verified where the issuer's keys can be had. A refresh token is spent by now: while they cannot, the TLS of the token
        endpoint stands in for the signature (OIDC Core section 3.1.3.7 point 6), rather than to lose the grant."""
        try:
            return await self.verifier.claims(id_token, issuer, tenant=namespace, ca_bundle=ca_bundle)
        except (MetadataUnavailable, MetadataUnusable) as error:
            logger.warning("no keys to verify an id_token of a refresh with", issuer=issuer, error=str(error))
            return unverified_claims(id_token)

    async def _revoke_dropped(self, key: Key, reply: _Reply) -> None:
        """Nobody will ever use these tokens; after a clear or a deletion they should not live on at the provider.

        Where another credential stands they are only dropped: some providers would revoke its grant with them.
        """
        if await self._is_cleared_or_gone(key):
            await self._revoke_reply(key, reply)

    async def _revoke_reply(self, key: Key, reply: _Reply) -> None:
        endpoint = reply.recorded.revocation_endpoint
        if endpoint is None:
            return
        client = self._client(reply.parameters, reply.recorded, reply.client_secret)
        token, hint = token_and_hint(reply.response.access_token, reply.refresh_token)
        request = revocation_request(endpoint, client, token=token, hint=hint)
        try:
            await revoke_token_patiently(
                self.transport,
                request,
                tenant=key.namespace,
                now=self.now,
                ca_bundle=reply.ca_bundle,
                sleep=self.sleep,
            )
        except OAuth2Error as error:
            logger.error("a dropped reply could not be revoked", datasource=str(key), error=str(error))
        else:
            logger.info("revoked a dropped reply", datasource=str(key))

    async def _is_cleared_or_gone(self, key: Key) -> bool:
        """Whether surely no credential stands there; one that cannot be read may be one."""
        attempt = 0
        while True:
            try:
                secret = await self.kube.get(
                    SECRETS, key.namespace, credential_secret_name(key.name), PartialObject, metadata_only=True
                )
            except NotFound:
                return True
            except (ApiError, Unavailable) as error:
                attempt += 1
                logger.warning("could not read a credential back yet", datasource=str(key), error=str(error))
                await self.sleep(self.backoff.pause(attempt).total_seconds())
            else:
                return Annotation.TOMBSTONE in secret.metadata.annotations

    async def _require_turn(self, key: Key, facts: CredentialFacts) -> None:
        """Somebody else's intent: wait until it was seen unchanged for long enough."""
        intent = facts.intent
        if intent is None or may_be_taken(intent, self.process, seen_unchanged=self.memory.seen_unchanged(key, intent)):
            return
        live = await self._read(key)
        if live is not None and live.facts.intent is not None:
            self.memory.looked(key, live.facts.intent)
        logger.info("a refresh waits for another process", datasource=str(key), intent=intent.id)
        raise NotNow(another_process_refreshes(LOOK_GAP))

    def _request(self, parameters: OAuth2, data: CredentialData, client_secret: ClientSecret | None) -> TokenRequest:
        """Options are those that hold now; where it goes is what is recorded with the tokens."""
        return refresh_request(
            data.refresh_endpoint or data.token_endpoint,
            self._client(parameters, data, client_secret),
            refresh_token=data.refresh_token or "",
            options=refresh_options(parameters),
        )

    def _client(self, parameters: OAuth2, data: CredentialData, client_secret: ClientSecret | None) -> Client:
        """For one request."""
        return client_for(
            parameters,
            client_secret,
            token_endpoint=data.token_endpoint,
            now=self.now(),
            token_bytes=self.token_bytes,
        )

    async def _client_secret(self, key: Key, oauth2: OAuth2) -> ClientSecret | None:
        ref = oauth2.client_secret_ref or oauth2.private_key_ref
        try:
            return await read_client_secret(
                self.kube,
                key.namespace,
                oauth2,
                require_allowed_hosts=self.steps.settings.require_allowed_hosts,
            )
        except (ClientSecretNotFound, InvalidSpec) as error:
            raise NotNow(client_is_not_ready(error, None if ref is None else ref.name)) from None

    async def _ca_bundle(self, key: Key, oauth2: OAuth2) -> str | None:
        try:
            return await read_ca_bundle(self.kube, key.namespace, oauth2)
        except InvalidSpec as error:
            raise NotNow(client_is_not_ready(error, None)) from None

    async def _begin(self, key: Key, credential: StoredCredential) -> _Begun:
        """Swap the intent onto the Secret; what the API server answers is what we send.

        Raises:
            Stale: somebody else was first.
        """
        intent = next_intent(
            credential.facts.intent, self.process, intent_id=self.token_bytes(12).hex(), now=self.now()
        )
        facts = msgspec.structs.replace(credential.facts, intent=intent)
        patch = credential_secret.facts_patch(
            datasource_name=key.name, resource_version=credential.resource_version, facts=facts
        )
        name = credential_secret_name(key.name)
        try:
            secret = await self.kube.merge_patch(SECRETS, key.namespace, name, patch, Secret, manager=FIELD_MANAGER)
        except (Conflict, NotFound):
            await self._read(key)
            raise Stale(f"Secret {name} changed meanwhile") from None
        self.cache.store_secret(secret.metadata)
        return _Begun(facts, intent, secret)

    async def _turn(
        self,
        key: Key,
        seen: Observed,
        begun: _Begun,
        parameters: OAuth2,
        client_secret: ClientSecret | None,
        ca_bundle: str | None,
    ) -> Turn:
        """All that the answer is judged by and stored with.

        Raises:
            NotNow: a reply could not be stored, the data cannot be read, or the client secret may not go where they say; the
                intent is taken back, nothing was sent.
        """
        name, secret_name = credential_secret_name(key.name), None if client_secret is None else client_secret.name
        try:
            if begun.secret.immutable:
                finding = immutable_secret(name, key.namespace, is_credential=True)
                raise NotNow(reply_could_not_be_stored(finding.reason, finding.message, name))
            data = _readable_data(begun.secret, begun.facts)
            if client_secret is not None:
                client_secret.require_allowed(
                    {"tokenURL": data.token_endpoint, "refreshURL": data.refresh_endpoint or data.token_endpoint}
                )
        except InvalidSpec as error:
            await self._take_back(key, begun, client_is_not_ready(error, secret_name))
        except UnreadableCredential as error:
            await self._take_back(key, begun, credential_is_damaged(error.advice(key.name), name))
        except NotNow as not_now:
            await self._take_back(key, begun, not_now.setback)
        return Turn(
            namespace=key.namespace,
            name=key.name,
            facts=begun.facts,
            intent=begun.intent,
            resource_version=begun.secret.metadata.resource_version,
            requests=Requests(refresh=seen.requests.refresh),
            data=_recorded(data, parameters, client_secret, seen, ca_bundle),
            client_secret_name=secret_name,
        )

    async def _take_back(self, key: Key, begun: _Begun, setback: Setback) -> NoReturn:
        """Nothing was sent: the intent goes.

        Raises:
            NotNow: always.
        """
        outcome = TakeBack(begun.intent, setback)
        await self._write_until_it_stands(key, begun.facts, begun.secret.metadata.resource_version, outcome)
        raise NotNow(setback) from None

    async def _write_until_it_stands(
        self,
        key: Key,
        sent: CredentialFacts,
        resource_version: str,
        outcome: Store | KeepRefreshToken | TakeBack | Verdict,
    ) -> bool:
        """Write an outcome to the credential that was sent, and to no other; True if it stands in the end.

        Conflicts and unclear answers are resolved by reading: the same credential and revision is written again on its
        new resourceVersion (somebody merely labelled it); anything else is newer than us and stays. Tried for as long as
        the process lives.
        """
        facts, attempt = sent, 0
        while True:
            # A verdict is about what stands there now: a revision that has moved on voids it.
            if attempt or isinstance(outcome, Verdict):
                found = await self._read_until_answered(key)
                if found is None or found.facts.credential_id != sent.credential_id:
                    return False
                if attempt and outcome.stands(found.facts):
                    return True
                if found.facts.revision != sent.revision or found.facts.tombstone is not None:
                    return False
                facts, resource_version = found.facts, found.resource_version
            try:
                await self._write(key, resource_version, outcome.change(facts))
                return True
            except (ApiError, Unavailable) as error:
                attempt += 1
                if not isinstance(error, Conflict | NotFound):
                    logger.warning(
                        "could not write a credential yet", datasource=str(key), attempt=attempt, error=str(error)
                    )
                    await self.sleep(self.backoff.pause(attempt).total_seconds())

    async def _write(self, key: Key, resource_version: str, change: Change) -> None:
        name = credential_secret_name(key.name)
        if change.data is None:
            patch = credential_secret.facts_patch(
                datasource_name=key.name, resource_version=resource_version, facts=change.facts
            )
        else:
            patch = credential_secret.patch(
                datasource_name=key.name, resource_version=resource_version, facts=change.facts, data=change.data
            )
        written = await self.kube.merge_patch(SECRETS, key.namespace, name, patch, PartialObject, manager=FIELD_MANAGER)
        self.cache.store_secret(written.metadata)
        if change.data is not None:
            self.steps.hand_over(key, written.metadata.resource_version, change.data)

    async def _read(self, key: Key) -> StoredCredential | None:
        """The credential's facts, live; None where it is gone or cannot be read."""
        try:
            secret = await self.kube.get(
                SECRETS, key.namespace, credential_secret_name(key.name), PartialObject, metadata_only=True
            )
        except NotFound:
            self.cache.forget_credential(key)
            return None
        self.cache.store_secret(secret.metadata)
        try:
            return read_facts(secret.metadata)
        except UnreadableCredential:
            return None

    async def _read_until_answered(self, key: Key) -> StoredCredential | None:
        attempt = 0
        while True:
            try:
                return await self._read(key)
            except (ApiError, Unavailable) as error:
                attempt += 1
                logger.warning("could not read a credential back yet", datasource=str(key), error=str(error))
                await self.sleep(self.backoff.pause(attempt).total_seconds())

    def _remember(self, key: Key, seen: Observed, setback: Setback) -> None:
        if seen.facts is None:
            return
        pause = self.memory.pause(key, setback.at_least) if setback.pause is None else setback.pause
        trouble = Trouble(
            credential_id=seen.facts.credential_id,
            revision=seen.facts.revision,
            reason=setback.reason,
            message=setback.message,
            try_again_at=self.now() + pause,
            look_again_at=setback.look_again_at,
        )
        self.memory.failed(key, seen.generation, trouble)


def _recorded(
    sent: CredentialData, parameters: OAuth2, client_secret: ClientSecret | None, seen: Observed, ca_bundle: str | None
) -> CredentialData:
    """What to record with the reply: how the client authenticated, and while tokens are revoked on deletion with what."""
    is_to_be_revoked = isinstance(seen.spec, Spec) and seen.spec.deletion_policy is DeletionPolicy.REVOKE
    keeps = is_to_be_revoked and sent.revocation_endpoint is not None
    return msgspec.structs.replace(
        sent,
        client_parameters=recorded_client(parameters),
        client_secret=client_secret.text if keeps and client_secret is not None else None,
        ca_bundle=ca_bundle if keeps else None,
    )


def _readable_data(secret: Secret, facts: CredentialFacts) -> CredentialData:
    data = read_data(secret)
    if data.fingerprint != facts.fingerprint:
        raise UnreadableCredential("data key fingerprint differs from the annotation")
    if data.refresh_token is None:
        raise UnreadableCredential("data key refresh_token is missing")
    return data
