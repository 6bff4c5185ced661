"""I/O: tokens that were issued and are stored nowhere should not live on at the provider."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from datasource.api.clock import Now
from datasource.cluster.api_errors import ApiError, Forbidden, Unavailable
from datasource.cluster.clients import ClientMaterial, Clients
from datasource.cluster.credential_secrets import CredentialSecrets, NotOurs
from datasource.oauth2.errors import OAuth2Error
from datasource.oauth2.revocation import revocation_request, token_and_hint
from datasource.providers.exchange import revoke_token_patiently
from datasource.providers.transport import Transport
from datasource.records.contents import StoredTombstone, still_there
from datasource.records.credential import CredentialData

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DroppedGrant:
    """Tokens that nobody will use, and all that it takes to revoke them."""

    namespace: str
    """Of the Datasource that they were issued for."""
    name: str
    data: CredentialData
    """What would have been stored: the tokens, and where they are revoked."""
    material: ClientMaterial


@dataclass(frozen=True, slots=True)
class DroppedGrants:
    """Revokes them: it tries for some seconds, and never fails its caller."""

    transport: Transport
    clients: Clients
    credential_secrets: CredentialSecrets
    now: Now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def revoke_where_none_stands(self, grant: DroppedGrant) -> None:
        """Revoke what could not be stored, after a clear or a deletion.

        Where another credential stands, or may stand, the tokens are only dropped: some providers would revoke its grant with
        them.
        """
        if await self._none_stands(grant):
            await self.revoke(grant)

    async def revoke(self, grant: DroppedGrant) -> None:
        """Revoke a grant, at the endpoint that would have been recorded with it; nothing where none is known."""
        data = grant.data
        if data.revocation_endpoint is None:
            return
        log = logger.bind(datasource=f"{grant.namespace}/{grant.name}")
        client = self.clients.client(grant.material, token_endpoint=data.token_endpoint)
        token, hint = token_and_hint(data.access_token, data.refresh_token)
        request = revocation_request(data.revocation_endpoint, client, token=token, hint=hint)
        try:
            await revoke_token_patiently(
                self.transport,
                request,
                tenant=grant.namespace,
                now=self.now,
                ca_bundle=grant.material.ca_bundle,
                sleep=self.sleep,
            )
        except OAuth2Error as error:
            log.error("a dropped grant could not be revoked", error=str(error))
        else:
            log.info("revoked a dropped grant")

    async def _none_stands(self, grant: DroppedGrant) -> bool:
        """Whether surely no credential stands there; one that cannot be read may be one."""
        try:
            found = await self.credential_secrets.facts_until_answered(
                grant.namespace, grant.name, gives_up=lambda error: isinstance(error, Forbidden)
            )
        except (ApiError, Unavailable) as error:
            logger.error(
                "a dropped grant is not revoked: another credential may stand in its place",
                datasource=f"{grant.namespace}/{grant.name}",
                error=str(error),
            )
            return False
        # What somebody deleted stands until it is gone.
        return found is None or (not isinstance(found, NotOurs) and isinstance(still_there(found), StoredTombstone))
