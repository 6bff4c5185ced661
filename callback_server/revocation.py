"""I/O: grants that were refused after the exchange should not live on at the provider."""

from dataclasses import dataclass

from callback_server.credentials import Target
from datasource.api.objects import PartialObject
from datasource.cluster.api_errors import ApiError, NotFound, Unavailable
from datasource.cluster.clients import ClientMaterial
from datasource.cluster.dropped_grants import DroppedGrant, DroppedGrants
from datasource.cluster.kube import Kube
from datasource.cluster.resources import DATASOURCES
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialData


@dataclass(frozen=True, slots=True)
class GrantRevoker:
    """Revokes grants that were refused after the exchange. It tries for some seconds and never fails its caller."""

    grants: DroppedGrants
    kube: Kube

    async def revoke_dropped(self, situation: Target, material: ClientMaterial, data: CredentialData) -> None:
        """Revoke what could not be stored, unless another credential stands."""
        grant = DroppedGrant(situation.namespace, situation.name, data, material)
        if await self._datasource_is_gone(situation):
            # Whatever stands there still is about to go, too.
            await self.grants.revoke(grant)
        else:
            await self.grants.revoke_where_none_stands(grant)

    async def revoke_unaccepted(
        self, situation: Target, material: ClientMaterial, data: CredentialData, authorized_as: str | None
    ) -> None:
        """Revoke the grant of somebody who is not expected; where it may be the one whose credential stands, drop it only."""
        credential = situation.credential
        stands = credential.facts.authorized_as if isinstance(credential, StoredCredential) else None
        if authorized_as is not None and stands is not None and authorized_as != stands:
            await self.grants.revoke(DroppedGrant(situation.namespace, situation.name, data, material))
        else:
            await self.revoke_dropped(situation, material, data)

    async def _datasource_is_gone(self, situation: Target) -> bool:
        """Whether it surely is: rights that do not reach it any more prove nothing."""
        place = (situation.namespace, situation.name)
        try:
            await self.kube.get(DATASOURCES, *place, PartialObject, metadata_only=True)
        except NotFound:
            return True
        except (ApiError, Unavailable):
            return False
        return False
