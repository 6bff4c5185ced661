"""I/O: replies to codes that lie in the journal, dealt with as if they had just come.

A code is spent, and no other comes in its place: what the reply brought is stored if it still may be, and else revoked. The
person who consented may look at the done page meanwhile; it is told how that ended.
"""

from dataclasses import dataclass, replace

import structlog

from callback_server import refusals
from callback_server.acceptance import Acceptance, Granted
from callback_server.code_exchange import renewal_options
from callback_server.flows import FlowStore
from callback_server.new_credential import NewCredential, filled
from callback_server.refusals import Refused
from datasource.api.objects import PartialObject
from datasource.api.requests import HandledSet
from datasource.api.secret_metadata import SecretMetadata
from datasource.cluster.api_errors import Forbidden, NotFound
from datasource.cluster.clients import ClientMaterial, ClientMaterialMissing, Clients
from datasource.cluster.credential_secrets import CredentialSecrets, NotOurs
from datasource.cluster.dropped_grants import DroppedGrant
from datasource.cluster.kube import Kube
from datasource.cluster.replays import Later
from datasource.cluster.resources import DATASOURCES
from datasource.oauth2.errors import MetadataUnavailable, OAuth2Error
from datasource.oauth2.token_response import TokenResponse, successor
from datasource.process.journal import REPLIES
from datasource.records.contents import Readable, credential_id_in, handled_by
from datasource.records.effective import reply_options
from datasource.records.journal_entry import CodeEntry, decode_entry
from datasource.records.standing import gives_way

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the credential belongs, as it is there now."""

    namespace: str
    name: str
    uid: str
    credential: Readable | None
    template: SecretMetadata

    @property
    def handled(self) -> HandledSet:
        """The requests already acted on."""
        return handled_by(self.credential)


@dataclass(frozen=True, slots=True)
class CodeReplayer:
    """Deals with one entry at a time. What it raises keeps the entry (datasource.cluster.replays)."""

    kube: Kube
    credential_secrets: CredentialSecrets
    clients: Clients
    acceptance: Acceptance
    flows: FlowStore

    async def replay(self, content: bytes) -> None:
        """Do all that an entry asks for.

        Raises:
            Later: it has to wait.
            ApiError, Unavailable: the API server refused or did not answer.
            msgspec.MsgspecError: it cannot be read.
        """
        entry = decode_entry(content, CodeEntry)
        flow = entry.flow
        refused = await self._see_through(entry)
        await self.flows.record_replayed(flow, entry.slot, refused)
        REPLIES.labels("replayed" if refused is None else "dropped").inc()
        logger.info(
            "dealt with a reply of the journal",
            datasource=f"{flow.namespace}/{flow.name}",
            outcome="stored" if refused is None else refused.kind,
        )

    async def _see_through(self, entry: CodeEntry) -> Refused | None:
        """Store what the reply brought, or revoke it; returns why it is not stored."""
        flow = entry.flow
        if not await self._datasource_is_there(entry):
            await self._drop(entry, None)
            return refusals.datasource_is_gone()
        found = await self.credential_secrets.facts(flow.namespace, flow.name, owner=flow.uid)
        there = None if isinstance(found, NotOurs) else found
        if credential_id_in(there) == flow.claim:
            return None
        readable = there if isinstance(there, Readable) else None
        target = _Target(flow.namespace, flow.name, flow.uid, readable, entry.template)
        is_ours_to_replace = credential_id_in(there) == flow.replaces or gives_way(readable, flow.replaces)
        if not is_ours_to_replace or readable is not there or isinstance(found, NotOurs):
            await self._drop(entry, target)
            return refusals.dropped_after_exchange()
        answer = _answer(entry)
        if isinstance(answer, OAuth2Error):
            await self._drop(entry, target)
            return refusals.exchange_failed(answer, entry.named_server)
        return await self._store(entry, target, answer)

    async def _store(self, entry: CodeEntry, target: _Target, response: TokenResponse) -> Refused | None:
        material, facts_and_data = await self._material(entry), _filled(entry, response)
        if entry.keeps_client:
            facts, data = facts_and_data
            facts_and_data = (facts, material.recorded_in(data, is_to_be_revoked=True))
        granted = Granted(entry.flow, target, entry.parameters, facts_and_data, response)
        try:
            return await self.acceptance.store(granted, material, replayed_from=entry.reply.received_at)
        except MetadataUnavailable as error:
            raise Later(f"there are no keys to verify the id_token with: {error}") from None

    async def _datasource_is_there(self, entry: CodeEntry) -> bool:
        """Whether that very Datasource is, read live. Rights that do not reach it prove nothing."""
        flow = entry.flow
        try:
            found = await self.kube.get(DATASOURCES, flow.namespace, flow.name, PartialObject, metadata_only=True)
        except NotFound:
            return False
        return found.metadata.uid == flow.uid

    async def _drop(self, entry: CodeEntry, target: _Target | None) -> None:
        """Revoke what the reply brought: whatever stands there, where the Datasource is gone."""
        answer = _answer(entry)
        if isinstance(answer, OAuth2Error):
            if answer.refresh_token is None:
                return
            answer = TokenResponse("", "Bearer", refresh_token=answer.refresh_token)
        _, data = _filled(entry, answer)
        if data.revocation_endpoint is None:
            return
        flow, material = entry.flow, await self._material(entry)
        grant = DroppedGrant(flow.namespace, flow.name, data, material)
        if target is None:
            await self.acceptance.revoker.grants.revoke(grant)
        else:
            await self.acceptance.revoker.grants.revoke_where_none_stands(grant)

    async def _material(self, entry: CodeEntry) -> ClientMaterial:
        """What the client proves itself with: to revoke, and to be kept with the tokens. Nothing where it is gone."""
        data, parameters = entry.data, entry.parameters
        endpoints = {"tokenURL": data.token_endpoint, "revocationURL": data.revocation_endpoint}
        known = {field: url for field, url in endpoints.items() if url is not None}
        try:
            return await self.clients.material(entry.flow.namespace, parameters, known)
        except (ClientMaterialMissing, Forbidden) as error:
            logger.warning("replays without a client secret", namespace=entry.flow.namespace, error=str(error))
            return ClientMaterial(parameters, None, parameters.ca_bundle)


def _answer(entry: CodeEntry) -> TokenResponse | OAuth2Error:
    options = reply_options(entry.parameters) if entry.renewed is None else renewal_options(entry.parameters)
    try:
        response = entry.reply.parsed(options, () if entry.renewed is None else (entry.renewed,))
    except OAuth2Error as error:
        if entry.renewed is not None and error.refresh_token is None:
            error.refresh_token = entry.renewed
        return error
    return response if entry.renewed is None else replace(response, refresh_token=successor(entry.renewed, response))


def _filled(entry: CodeEntry, response: TokenResponse) -> NewCredential:
    return filled((entry.facts, entry.data), response, entry.reply.received_at)
