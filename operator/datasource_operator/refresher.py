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
from typing import Any

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
    EgressDenied,
    InvalidClient,
    InvalidGrant,
    MalformedTokenResponse,
    MetadataUnavailable,
    MetadataUnusable,
    OAuth2Error,
    OutcomeUnknown,
    ReplyOptions,
    Throttled,
    TokenRequest,
    TokenResponse,
    UnexpectedStatus,
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
from datasource.states import Reason
from datasource_operator.cache import Cache, Key
from datasource_operator.policy import Observed, Trouble, immutable_secret, refresh_is_wanted
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

BLOCKED_PAUSE = timedelta(minutes=1)
"""How soon to try again what only a person can mend; a change of the Secret concerned is noticed sooner."""

STORE_BACKOFF = Backoff(timedelta(milliseconds=200), timedelta(seconds=5), half_jitter(random.random))
"""Between tries to write what must not be lost: short, the API server is ours."""


class NotNow(Exception):
    """The refresh cannot be done now; carries what to tell and when to try again."""

    def __init__(
        self, reason: Reason, message: str, *, pause: timedelta | None = None, look_again_at: str | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.pause = pause
        self.look_again_at = look_again_at


@dataclass(frozen=True, slots=True)
class _Turn:
    """Our intent stands on the Secret: from here on every way out is a write."""

    key: Key
    facts: CredentialFacts
    """With our intent in them."""
    intent: Intent
    resource_version: str
    requests: Requests


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
            self._remember(key, seen, not_now)

    async def _refresh(self, key: Key, seen: Observed, credential: StoredCredential, oauth2: OAuth2) -> None:
        await self._require_turn(key, credential.facts)
        client_secret = await self._client_secret(key, oauth2)
        ca_bundle = await self._ca_bundle(key, oauth2)
        turn, secret = await self._begin(key, seen, credential)
        data = await self._data_to_send(turn, secret, client_secret)
        parameters = oauth2.expanded()
        request = self._request(parameters, data, client_secret)
        options = reply_options(parameters, is_refresh=True)
        sent_at = self.monotonic()
        try:
            response = await self._answer_to(key, request, options, ca_bundle)
        except OAuth2Error as error:
            logger.warning(
                "a refresh failed",
                datasource=str(key),
                sends=turn.intent.sends,
                seconds=round(self.monotonic() - sent_at, 3),
                error=str(error),
            )
            await self._not_refreshed(turn, error, None if client_secret is None else client_secret.name)
        else:
            recorded = _recorded(data, parameters, client_secret, seen, ca_bundle)
            reply = _Reply(recorded, response, parameters, client_secret, ca_bundle)
            await self._require_identity(turn, reply)
            stored = await self._store(turn, recorded, response)
            window = self.monotonic() - sent_at
            logger.info(
                "refreshed"
                if stored
                else "a reply was dropped: the credential was cleared, deleted or replaced meanwhile",
                datasource=str(key),
                revision=turn.facts.revision + 1,
                # Between the two a crash would lose the grant.
                seconds_from_request_to_store=round(window, 3),
            )
            self.memory.succeeded(key)
            REFRESHES.labels("stored" if stored else "dropped").inc()
            if not stored:
                await self._revoke_dropped(key, reply)

    async def _answer_to(
        self, key: Key, request: TokenRequest, options: ReplyOptions, ca_bundle: str | None
    ) -> TokenResponse:
        try:
            return await request_token(
                self.transport,
                request,
                now=self.now,
                deadline=REQUEST_DEADLINE,
                options=options,
                ca_bundle=ca_bundle,
            )
        finally:
            self.answered(key)

    async def _require_identity(self, turn: _Turn, reply: _Reply) -> None:
        """An id_token that comes with a refresh is about the one who authorized (OIDC Core section 12.2), or apps get nothing.

        Raises:
            NotNow: it is not as it should be.
        """
        kept, issuer = read_kept_claims(reply.recorded.identity), reply.parameters.issuer
        id_token = reply.response.id_token
        if id_token is None or kept is None or issuer is None:
            return
        try:
            claims = await self._claims(id_token, issuer, reply.ca_bundle)
            require_same_subject(claims, kept)
            check_claims(claims, issuer=issuer, client_id=reply.recorded.client_id, nonce=None, now=self.now())
        except IdentityChanged as error:
            logger.error("the grant is somebody else's now", datasource=str(turn.key))
            REFRESHES.labels("IdentityChanged").inc()
            await self._judge(turn)
            await self._revoke_reply(turn.key, reply)
            raise NotNow(Reason.REFRESH_FAILING, str(error)) from None
        except IdentityMismatch as error:
            logger.error("an id_token of a refresh was refused", datasource=str(turn.key), error=str(error))
            REFRESHES.labels("IdentityMismatch").inc()
            await self._keep_refresh_token(turn, reply)
            message = (
                f"The access token could not be refreshed. {error} The new one was dropped, the refresh token is kept."
            )
            raise NotNow(Reason.REFRESH_FAILING, message, pause=self.memory.pause(turn.key)) from None

    async def _claims(self, id_token: str, issuer: str, ca_bundle: str | None) -> Mapping[str, Any]:
        """Verified where the issuer's keys can be had. A refresh token is spent by now: while they cannot, the TLS of the token
        endpoint stands in for the signature (OIDC Core section 3.1.3.7 point 6), rather than to lose the grant."""
        try:
            return await self.verifier.claims(id_token, issuer, ca_bundle=ca_bundle)
        except (MetadataUnavailable, MetadataUnusable) as error:
            logger.warning("no keys to verify an id_token of a refresh with", issuer=issuer, error=str(error))
            return unverified_claims(id_token)

    async def _keep_refresh_token(self, turn: _Turn, reply: _Reply) -> None:
        """Nothing of the reply reaches apps; but the old refresh token may be used up, and the grant is not to be lost."""
        data = msgspec.structs.replace(reply.recorded, refresh_token=reply.refresh_token)

        def change(found: CredentialFacts) -> dict[str, Any]:
            # The same revision: it is still the old access token that stands there.
            return {"facts": msgspec.structs.replace(found, intent=None, stored_by=turn.intent.id), "data": data}

        await self._write_until_it_stands(turn, change, is_done=lambda found: found.stored_by == turn.intent.id)

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
                self.transport, request, now=self.now, ca_bundle=reply.ca_bundle, sleep=self.sleep
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
        raise NotNow(
            Reason.REFRESH_FAILING,
            "Another process began to refresh the token and has not finished; it is taken over if it stays so.",
            pause=LOOK_GAP,
        )

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
            raise NotNow(
                Reason.REFRESH_FAILING,
                f"The access token cannot be refreshed: {error}",
                pause=BLOCKED_PAUSE,
                look_again_at=None if ref is None else ref.name,
            ) from None

    async def _ca_bundle(self, key: Key, oauth2: OAuth2) -> str | None:
        try:
            return await read_ca_bundle(self.kube, key.namespace, oauth2)
        except InvalidSpec as error:
            raise NotNow(
                Reason.REFRESH_FAILING, f"The access token cannot be refreshed: {error}", pause=BLOCKED_PAUSE
            ) from None

    async def _begin(self, key: Key, seen: Observed, credential: StoredCredential) -> tuple[_Turn, Secret]:
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
        requests = Requests(refresh=seen.requests.refresh)
        return _Turn(key, facts, intent, secret.metadata.resource_version, requests), secret

    async def _data_to_send(self, turn: _Turn, secret: Secret, client_secret: ClientSecret | None) -> CredentialData:
        """The data that authorizes the request.

        Raises:
            NotNow: a reply could not be stored, the data cannot be read, or the client secret may not go where they say; the
                intent is taken back, nothing was sent.
        """
        name = credential_secret_name(turn.key.name)
        if secret.immutable:
            await self._take_back(turn)
            finding = immutable_secret(name, turn.key.namespace, is_credential=True)
            raise NotNow(finding.reason, finding.message, pause=BLOCKED_PAUSE, look_again_at=name)
        try:
            data = _readable_data(secret, turn.facts)
            if client_secret is not None:
                client_secret.require_allowed(
                    {"tokenURL": data.token_endpoint, "refreshURL": data.refresh_endpoint or data.token_endpoint}
                )
            return data
        except InvalidSpec as error:
            await self._take_back(turn)
            raise NotNow(
                Reason.REFRESH_FAILING,
                f"The access token cannot be refreshed: {error}",
                pause=BLOCKED_PAUSE,
                look_again_at=None if client_secret is None else client_secret.name,
            ) from None
        except UnreadableCredential as error:
            await self._take_back(turn)
            raise NotNow(
                Reason.CREDENTIAL_UNREADABLE,
                error.advice(turn.key.name),
                pause=BLOCKED_PAUSE,
                look_again_at=name,
            ) from None

    async def _not_refreshed(self, turn: _Turn, error: OAuth2Error, client_secret_name: str | None) -> None:
        """Do what the class of the error asks for.

        Raises:
            NotNow: it is tried again later.
        """
        REFRESHES.labels(type(error).__name__).inc()
        where = "spec.oauth2.tokenURL: " if isinstance(error, EgressDenied) else ""
        message = f"The access token could not be refreshed. {where}{error}"
        if isinstance(error, InvalidGrant):
            await self._judge(turn)
            return
        if _may_have_rotated(error):
            # The intent stays: it says that the old refresh token may be used up.
            raise NotNow(Reason.REFRESH_FAILING, message)
        await self._take_back(turn)
        if isinstance(error, InvalidClient):
            raise NotNow(
                Reason.CLIENT_REJECTED,
                f"{message}. Compare spec.oauth2.clientID, the client Secret and spec.oauth2.clientAuthentication with the "
                "application's registration; the credential is kept.",
                pause=BLOCKED_PAUSE,
                look_again_at=client_secret_name,
            )
        wait = error.retry_after if isinstance(error, Throttled) else None
        raise NotNow(Reason.REFRESH_FAILING, message, pause=self.memory.pause(turn.key, wait or timedelta(0)))

    async def _take_back(self, turn: _Turn) -> None:
        """The request was surely not processed. Earlier ones whose outcome nobody knows stay on record."""
        left = None if turn.intent.sends == 1 else msgspec.structs.replace(turn.intent, sends=turn.intent.sends - 1)

        def change(found: CredentialFacts) -> dict[str, Any]:
            return {"facts": msgspec.structs.replace(found, intent=left)}

        await self._write_until_it_stands(turn, change, is_done=lambda found: found.intent != turn.intent)

    async def _judge(self, turn: _Turn) -> None:
        """`invalid_grant`. After a send whose answer was lost, the grant was most likely rotated away by it."""
        verdict = Reason.REFRESH_INTERRUPTED if turn.intent.sends > 1 else Reason.GRANT_REVOKED

        def change(found: CredentialFacts) -> dict[str, Any]:
            handled = found.handled.with_requests(turn.requests)
            return {"facts": msgspec.structs.replace(found, intent=None, verdict=verdict, handled=handled)}

        stands = await self._write_until_it_stands(
            turn, change, is_done=lambda found: found.intent != turn.intent, reread_first=True
        )
        logger.info("the refresh token is dead", datasource=str(turn.key), verdict=verdict.value, written=stands)

    async def _store(self, turn: _Turn, sent: CredentialData, response: TokenResponse) -> bool:
        """Store the reply; False where something newer than the refresh stands there."""
        received_at = self.now()
        data = msgspec.structs.replace(
            sent,
            access_token=response.access_token,
            token_type=response.token_type,
            # A reply without one keeps the old one (RFC 6749 section 6).
            refresh_token=successor(sent.refresh_token, response),
        ).with_captured(response.captured)

        def change(found: CredentialFacts) -> dict[str, Any]:
            facts = msgspec.structs.replace(
                found,
                revision=turn.facts.revision + 1,
                granted_scopes=found.granted_scopes if response.scopes is None else response.scopes,
                expires_at=response.expires_at,
                refreshed_at=received_at,
                has_refresh_token=True,
                is_revocable=data.revocation_endpoint is not None,
                handled=found.handled.with_requests(turn.requests),
                intent=None,
                stored_by=turn.intent.id,
                # Somebody who took over may have been told invalid_grant, because our request had rotated the token.
                verdict=None,
            )
            return {"facts": facts, "data": data}

        return await self._write_until_it_stands(turn, change, is_done=lambda found: found.stored_by == turn.intent.id)

    async def _write_until_it_stands(
        self,
        turn: _Turn,
        change: Callable[[CredentialFacts], dict[str, Any]],
        *,
        is_done: Callable[[CredentialFacts], bool],
        reread_first: bool = False,
    ) -> bool:
        """Write a change to the credential that was sent, and to no other; True if it stands in the end.

        Conflicts and unclear answers are resolved by reading: the same credential and revision is written again on its
        new resourceVersion (somebody merely labelled it); anything else is newer than us and stays. Tried for as long as
        the process lives.
        """
        facts, resource_version = turn.facts, turn.resource_version
        attempt = 0
        while True:
            if attempt or reread_first:
                found = await self._read_until_answered(turn.key)
                if found is None or found.facts.credential_id != turn.facts.credential_id:
                    return False
                if attempt and is_done(found.facts):
                    return True
                if found.facts.revision != turn.facts.revision or found.facts.tombstone is not None:
                    return False
                facts, resource_version = found.facts, found.resource_version
            try:
                await self._write(turn.key, resource_version, change(facts))
                return True
            except (ApiError, Unavailable) as error:
                attempt += 1
                if not isinstance(error, Conflict | NotFound):
                    logger.warning(
                        "could not write a credential yet", datasource=str(turn.key), attempt=attempt, error=str(error)
                    )
                    await self.sleep(self.backoff.pause(attempt).total_seconds())

    async def _write(self, key: Key, resource_version: str, change: dict[str, Any]) -> None:
        name = credential_secret_name(key.name)
        make = credential_secret.patch if "data" in change else credential_secret.facts_patch
        patch = make(datasource_name=key.name, resource_version=resource_version, **change)
        written = await self.kube.merge_patch(SECRETS, key.namespace, name, patch, PartialObject, manager=FIELD_MANAGER)
        self.cache.store_secret(written.metadata)
        if "data" in change:
            self.steps.hand_over(key, written.metadata.resource_version, change["data"])

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

    def _remember(self, key: Key, seen: Observed, not_now: NotNow) -> None:
        if seen.facts is None:
            return
        pause = self.memory.pause(key) if not_now.pause is None else not_now.pause
        trouble = Trouble(
            credential_id=seen.facts.credential_id,
            revision=seen.facts.revision,
            reason=not_now.reason,
            message=not_now.message,
            try_again_at=self.now() + pause,
            look_again_at=not_now.look_again_at,
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


def _may_have_rotated(error: OAuth2Error) -> bool:
    """Whether the provider may have acted on the request, so that the old refresh token may be used up."""
    if isinstance(error, UnexpectedStatus):
        return error.status >= 500
    return isinstance(error, OutcomeUnknown | MalformedTokenResponse)
