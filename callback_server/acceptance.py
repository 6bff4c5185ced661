"""I/O: tokens that a code brought: seen whose they are, stored, or revoked; when they come, or from the journal."""

from dataclasses import dataclass
from datetime import datetime

from callback_server.credentials import CredentialStore, Target
from callback_server.identity import IdentityCheck, NotAccepted
from callback_server.new_credential import NewCredential, authorized_by
from callback_server.refusals import Refused
from callback_server.revocation import GrantRevoker
from datasource.api.spec import OAuth2
from datasource.cluster.clients import ClientMaterial
from datasource.oauth2.token_response import TokenResponse
from datasource.records.flow import Flow
from datasource.records.history import By, by_user


@dataclass(frozen=True, slots=True)
class Granted:
    """What a code brought, and where it belongs."""

    flow: Flow
    target: Target
    parameters: OAuth2
    credential: NewCredential
    response: TokenResponse


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Decides on grants, and carries it out."""

    credentials: CredentialStore
    revoker: GrantRevoker
    identity: IdentityCheck

    async def store(
        self, granted: Granted, material: ClientMaterial, *, replayed_from: datetime | None = None
    ) -> Refused | None:
        """Store a credential, or revoke what must not be stored; returns why it was not.

        Args:
            granted: the tokens, and where they belong.
            material: what the client proves itself with.
            replayed_from: where the reply comes from the journal, when it came. Then nobody is waited for: what cannot be had
                now is tried again.

        Raises:
            MetadataUnavailable: there are no keys to verify an id_token with now; only for a reply from the journal.
            ApiError, Unavailable: the API server refused or did not answer; only for one from the journal.
        """
        flow, target = granted.flow, granted.target
        try:
            authorizer = await self.identity.authorizer(
                granted.parameters, flow, granted.response, material.ca_bundle, replayed_from=replayed_from
            )
        except NotAccepted as error:
            await self.revoker.revoke_unaccepted(target, material, granted.credential[1], error.shown)
            return error.refused
        facts, data = authorized_by(authorizer, granted.credential)
        try:
            await self.credentials.store(
                target,
                facts,
                data,
                known=flow.known,
                until=flow.expires_at,
                by=By.LINK if flow.user is None else by_user(flow.user.name),
                waits=replayed_from is None,
            )
        except Refused as refused:
            await self.revoker.revoke_dropped(target, material, data)
            return refused
        return None
