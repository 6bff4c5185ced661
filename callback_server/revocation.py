"""I/O: tokens that were issued and will never be stored should not live on at the provider."""

from dataclasses import dataclass

import structlog

from callback_server.refusals import Refused
from callback_server.situation import Observer, Situation
from datasource.clock import Now
from datasource.credential import CredentialData
from datasource.kube import ApiError, Unavailable
from datasource.oauth2 import Client, OAuth2Error, revocation_request, token_and_hint
from datasource.oauth2.exchange import revoke_token_patiently
from datasource.oauth2.transport import Transport

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class GrantRevoker:
    """Revokes grants that were refused after the exchange. It tries for some seconds and never fails its caller."""

    transport: Transport
    observer: Observer
    now: Now

    async def revoke_dropped(
        self, situation: Situation, client: Client, data: CredentialData, ca_bundle: str | None
    ) -> None:
        """Revoke what could not be stored.

        Where another credential stands the tokens are only dropped: some providers would revoke its grant with them.
        """
        if await self._is_cleared_or_gone(situation):
            await self._revoke(situation, client, data, ca_bundle)

    async def revoke_unaccepted(
        self,
        situation: Situation,
        client: Client,
        data: CredentialData,
        authorized_as: str | None,
        ca_bundle: str | None,
    ) -> None:
        """Revoke the grant of somebody who is not expected; where it may be the one whose credential stands, drop it only."""
        stands = None if situation.credential is None else situation.credential.facts.authorized_as
        if authorized_as is not None and stands is not None and authorized_as != stands:
            await self._revoke(situation, client, data, ca_bundle)
        else:
            await self.revoke_dropped(situation, client, data, ca_bundle)

    async def _revoke(self, situation: Situation, client: Client, data: CredentialData, ca_bundle: str | None) -> None:
        """Revoke a grant, at the endpoint that would have been recorded with it; nothing where none is known."""
        if data.revocation_endpoint is None:
            return
        log = logger.bind(datasource=f"{situation.namespace}/{situation.name}")
        token, hint = token_and_hint(data.access_token, data.refresh_token)
        request = revocation_request(data.revocation_endpoint, client, token=token, hint=hint)
        try:
            await revoke_token_patiently(
                self.transport, request, tenant=situation.namespace, now=self.now, ca_bundle=ca_bundle
            )
        except OAuth2Error as error:
            log.error("a refused grant could not be revoked", error=str(error))
        else:
            log.info("revoked a refused grant")

    async def _is_cleared_or_gone(self, situation: Situation) -> bool:
        """Whether surely no credential stands there."""
        try:
            datasource = await self.observer.datasource(situation.namespace, situation.name)
            if datasource is None:
                return True
            now = await self.observer.situation(datasource)
        except (ApiError, Unavailable, Refused):
            return False
        return now.credential is None or now.credential.facts.tombstone is not None
