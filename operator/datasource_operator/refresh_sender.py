"""I/O: send one refresh token, and see whose the tokens are that come back."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from prometheus_client import Counter

from datasource.api.spec import OAuth2
from datasource.cluster.clients import ClientMaterial, Clients
from datasource.oauth2.errors import MetadataUnavailable, MetadataUnusable, OAuth2Error
from datasource.oauth2.id_token import IdentityMismatch, check_claims, unverified_claims
from datasource.oauth2.identity import IdentityChanged, kept_claims, read_kept_claims, require_same_subject
from datasource.oauth2.token_request import refresh_request
from datasource.oauth2.token_response import TokenResponse
from datasource.outbound.provider_request import ProviderRequest
from datasource.providers.deadline import Extension
from datasource.providers.exchange import Recorder, request_token
from datasource.providers.transport import Transport
from datasource.providers.verifier import IdTokenVerifier
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.effective import refresh_options, reply_options
from datasource.records.intent import LEADER_WAITS, REQUEST_DEADLINE
from datasource.records.turn import Turn
from datasource_operator.cache import Key
from datasource_operator.decisions.refresh_outcome import Answer, Identified, UnverifiedReply

logger = structlog.get_logger(__name__)

REFRESHES = Counter(
    "datasource_refreshes",
    "Refreshes by how they ended: stored, dropped (something newer was there), or the class of the error.",
    ["result"],
)
for _result in ("stored", "dropped"):
    # There from the start: a rate needs a zero to rise from.
    REFRESHES.labels(_result)


@dataclass(slots=True)
class RefreshSender:
    """Sends refresh tokens; what comes of it is an answer, and never an exception of the protocol."""

    transport: Transport
    clients: Clients
    verifier: IdTokenVerifier
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    may_wait: Callable[[], bool] = lambda: False
    """Whether a late answer is still waited for, as nobody else may send the refresh token meanwhile."""
    answered: Callable[[Key], None] = lambda _: None
    """Told when the provider has answered, or did not: it may be sent the next request."""

    async def send(self, key: Key, turn: Turn, material: ClientMaterial, record: Recorder | None = None) -> Answer:
        """Send the refresh token, and see whose the tokens are that come back.

        Args:
            key: the Datasource.
            turn: what is sent.
            material: what the client proves itself with.
            record: writes a reply with tokens down, before anything else is done with it.
        """
        parameters, ca_bundle = material.parameters, material.ca_bundle
        sent_at = self.monotonic()
        try:
            response = await request_token(
                self.transport,
                self._request(turn.data, material),
                tenant=key.namespace,
                now=self.now,
                deadline=REQUEST_DEADLINE,
                options=reply_options(parameters, refreshed=turn.facts),
                ca_bundle=ca_bundle,
                record=record,
                extension=Extension(LEADER_WAITS - REQUEST_DEADLINE, self.may_wait),
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
        return await self.judged(key, turn, response, parameters, ca_bundle, at=self.now())

    async def judged(
        self, key: Key, turn: Turn, response: TokenResponse, parameters: OAuth2, ca_bundle: str | None, *, at: datetime
    ) -> Answer:
        """See whose the tokens are that came back; `at` is when."""
        if turn.facts.is_unproven:
            return await self._identified(key, turn, response, parameters, ca_bundle, at)
        kept, issuer = read_kept_claims(turn.data.identity), parameters.issuer
        if response.id_token is None or kept is None or issuer is None:
            return response
        # One that comes with a refresh is about the one who authorized (OIDC Core section 12.2), or apps get nothing.
        try:
            claims = await self._claims(response.id_token, issuer, key.namespace, ca_bundle, parameters.discovery_url)
            require_same_subject(claims, kept)
            check_claims(claims, issuer=issuer, client_id=turn.data.client_id, nonce=None, now=at)
        except (IdentityChanged, IdentityMismatch) as error:
            REFRESHES.labels(type(error).__name__).inc()
            logger.error("an id_token of a refresh was refused", datasource=str(key), error=str(error))
            # Where nobody is expected, only somebody else's name says that the tokens are not ours.
            is_refused = isinstance(error, IdentityChanged) or parameters.expected_identity
            return UnverifiedReply(response, error) if is_refused else response
        return response

    async def _identified(
        self, key: Key, turn: Turn, response: TokenResponse, parameters: OAuth2, ca_bundle: str | None, at: datetime
    ) -> Answer:
        """Who stands behind a refresh token that somebody brought along: nobody has said so yet."""
        id_token, issuer = response.id_token, parameters.issuer
        if id_token is None:
            return response
        try:
            claims = (
                unverified_claims(id_token)
                if issuer is None
                else await self._claims(id_token, issuer, key.namespace, ca_bundle, parameters.discovery_url)
            )
            who = check_claims(claims, issuer=issuer, client_id=turn.data.client_id, nonce=None, now=at)
        except IdentityMismatch as error:
            logger.warning("it is not known whose an imported grant is", datasource=str(key), why=str(error))
            return Identified(response, problem=str(error))
        return Identified(response, who.shown, None if issuer is None else kept_claims(claims))

    async def prepare(self, key: Key, facts: CredentialFacts, material: ClientMaterial) -> None:
        """Have the issuer's keys at hand before anything is sent: while a reply is in memory alone, nobody is waited for."""
        issuer = material.parameters.issuer
        if issuer is None or "openid" not in facts.requested_scopes:
            return
        try:
            await self.verifier.prepare(
                issuer,
                tenant=key.namespace,
                ca_bundle=material.ca_bundle,
                discovery_url=material.parameters.discovery_url,
            )
        except (MetadataUnavailable, MetadataUnusable) as error:
            logger.info("no keys to verify an id_token of a refresh with yet", datasource=str(key), error=str(error))

    async def _claims(
        self, id_token: str, issuer: str, namespace: str, ca_bundle: str | None, discovery_url: str | None
    ) -> Mapping[str, Any]:
        """Verified where the issuer's keys can be had. A refresh token is spent by now: while they cannot, the TLS of the token
        endpoint stands in for the signature (OIDC Core section 3.1.3.7 point 6), rather than to lose the grant."""
        try:
            return await self.verifier.claims(
                id_token,
                issuer,
                tenant=namespace,
                ca_bundle=ca_bundle,
                discovery_url=discovery_url,
            )
        except (MetadataUnavailable, MetadataUnusable) as error:
            logger.warning(
                "no keys to verify an id_token of a refresh with",
                namespace=namespace,
                issuer=issuer,
                error=str(error),
            )
            return unverified_claims(id_token)

    def _request(self, data: CredentialData, material: ClientMaterial) -> ProviderRequest:
        """Options are those that hold now; where it goes is what is recorded with the tokens."""
        return refresh_request(
            data.refresh_endpoint or data.token_endpoint,
            self.clients.client(material, token_endpoint=data.token_endpoint),
            refresh_token=data.refresh_token or "",
            redirect_uri=data.redirect_uri if material.parameters.redirect_uri_on_refresh else None,
            options=refresh_options(material.parameters),
        )
