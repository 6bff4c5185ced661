"""The way back: check, claim, exchange, store; each flow at most once."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec
import structlog

from callback_server import refusals
from callback_server.code_exchange import CodeExchange, NoTokens
from callback_server.cookie import is_same_browser
from callback_server.credentials import CredentialStore
from callback_server.dialog import what_is_missing
from callback_server.flows import ClaimedFlow, FlowStore
from callback_server.identity import Authorizer, IdentityCheck, NotAccepted
from callback_server.limits import Places
from callback_server.looks import Looks
from callback_server.metrics import count_refused, count_stored
from callback_server.references import reference_of
from callback_server.refusals import Refused
from callback_server.revocation import GrantRevoker
from callback_server.situation import Observer, Situation, effective_parameters
from datasource.api.spec import DeletionPolicy
from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.clients import ClientMaterial, Clients
from datasource.cluster.link_keys import LinkKeyStore
from datasource.oauth2.callback import AuthorizationResponse, RefusedCallback, check_issuer, parse_callback
from datasource.oauth2.token_response import TokenResponse, captured_text
from datasource.outbound.redaction import said
from datasource.records.contents import StoredTombstone
from datasource.records.credential import CredentialData, CredentialFacts
from datasource.records.effective import Effective
from datasource.records.fingerprint import fingerprint
from datasource.records.flow import (
    Flow,
    FlowKey,
    StoredFlow,
    came_back_to,
    flow_key_origin,
    parse_flow_key,
    state_is_of,
)
from datasource.records.link_keys import Purpose

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Everything was found in order, and nothing is spent yet."""

    situation: Situation
    effective: Effective
    response: AuthorizationResponse
    material: ClientMaterial


@dataclass(frozen=True, slots=True)
class CallbackService:
    """What stands behind `/callback/{namespace}` and `/callback/{namespace}/{name}`."""

    clients: Clients
    exchange: CodeExchange
    observer: Observer
    flows: FlowStore
    looks: Looks
    places: Places
    link_keys: LinkKeyStore
    credentials: CredentialStore
    revoker: GrantRevoker
    identity: IdentityCheck
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes] = secrets.token_bytes

    async def finish(self, namespace: str, name: str | None, query: bytes, cookie: str | None) -> str:
        """Finish the flow that the query belongs to; returns the id of its done page, which tells how it ended.

        `name` is that of the Datasource, where the redirect URI has it.

        A reload, or a second callback at once, exchanges nothing: it gets the same id.

        Raises:
            Refused: the query belongs to no flow of this browser.
            Exceeded: too much is going on at this moment; nothing was spent.
            ApiError, Unavailable: the API server refused or did not answer before anything was spent.
        """
        response = _parsed(query)
        key, stored = await self._flow_of(response, (namespace, name), cookie)
        if stored.flow.claim is None:
            # Only now: strangers must not take places.
            async with self.places.one(namespace):
                await self._finish(key, stored, response)
        return stored.flow.done_id

    async def _flow_of(
        self, response: AuthorizationResponse, place: tuple[str, str | None], cookie: str | None
    ) -> tuple[FlowKey, StoredFlow]:
        key = parse_flow_key(response.state or "")
        if cookie is not None and response.state is None and response.error_as_sent is not None:
            # Some services leave it out, against RFC 6749 section 4.1.2.1. What they say is all that is known.
            raise refusals.refused_without_state(response.error_as_sent, response.description_as_sent)
        if key is None:
            raise refusals.unknown_flow()
        if cookie is None:
            raise refusals.cookie_is_missing()
        origin = flow_key_origin(key, Purpose.STATE, self.link_keys.current, self.now())
        lane = self.looks.lane(origin, key.digest, refused=refusals.unknown_flow())
        stored = await lane.record(key, has_key=lambda found: state_is_of(key, found.flow))
        if stored is None or not state_is_of(key, stored.flow) or not came_back_to(stored.flow, *place):
            raise refusals.unknown_flow()
        if not is_same_browser(cookie, stored.flow.cookie_hash):
            raise refusals.cookie_is_missing()
        return key, stored

    async def _finish(self, key: FlowKey, stored: StoredFlow, response: AuthorizationResponse) -> None:
        log = logger.bind(datasource=f"{stored.flow.namespace}/{stored.flow.name}")
        refused: Refused | None = None
        prepared: _Prepared | None = None
        try:
            prepared = await self._prepare(stored.flow, response)
        except Refused as refusal:
            refused = refusal
        claimed = await self.flows.claim(key, stored, self.token_bytes(16).hex())
        if claimed is None:
            log.info("authorization is being finished by another request")
            return
        if prepared is not None:
            try:
                await self._exchange_and_store(claimed.flow, prepared)
            except Refused as refusal:
                refused = refusal
        if refused is None:
            count_stored()
        else:
            count_refused(refused)
        log.info(
            "authorization ended",
            outcome="stored" if refused is None else refused.kind,
            reference=reference_of(claimed.flow),
            # From the button to here, the person's time at the provider included.
            seconds=round((self.now() - stored.flow.created_at).total_seconds(), 1),
        )
        await self._record(claimed, refused)

    async def _prepare(self, flow: Flow, response: AuthorizationResponse) -> _Prepared:
        """Check everything that can be checked before the code is spent.

        Raises:
            Refused: with what stands in the way.
        """
        datasource = await self.observer.datasource(flow.namespace, flow.name)
        if datasource is None or datasource.metadata.uid != flow.uid:
            raise refusals.datasource_is_gone()
        situation = await self.observer.situation(datasource)
        _check_answer(situation, flow, response)
        if flow.has_expired(self.now()):
            raise refusals.flow_has_expired()
        _check_nothing_changed(situation, flow)
        # With what the provider said when the flow began: the code goes where the person saw that it would.
        effective = effective_parameters(situation, flow.metadata).chosen_by(response.other)
        with what_is_missing(situation):
            material = await self.clients.material(situation.namespace, situation.oauth2, effective.endpoints)
        # How the client authenticates may be told by the provider's metadata.
        material = replace(material, parameters=effective.parameters)
        await self.identity.prepare(effective.parameters, flow, material.ca_bundle)
        await self.credentials.rehearse(situation)
        self.clients.client(material, token_endpoint=effective.token_url)
        return _Prepared(situation, effective, response, material)

    async def _exchange_and_store(self, flow: Flow, prepared: _Prepared) -> None:
        situation = prepared.situation
        response = await self._exchange(flow, prepared)
        facts, data = self._credential(flow, prepared, response)
        try:
            authorizer = await self.identity.authorizer(
                prepared.effective.parameters, flow, response, prepared.material.ca_bundle
            )
        except NotAccepted as error:
            await self.revoker.revoke_unaccepted(situation, prepared.material, data, error.shown)
            raise error.refused from None
        facts, data = authorized_by(authorizer, facts, data)
        try:
            await self.credentials.store(situation, facts, data, known=flow.known, until=flow.expires_at)
        except Refused:
            await self.revoker.revoke_dropped(situation, prepared.material, data)
            raise

    async def _exchange(self, flow: Flow, prepared: _Prepared) -> TokenResponse:
        code, material = prepared.response.code or "", prepared.material
        try:
            return await self.exchange.tokens(flow, prepared.effective, material, code)
        except NoTokens as failed:
            if failed.refresh_token is not None:
                left = TokenResponse("", "Bearer", refresh_token=failed.refresh_token)
                _, data = self._credential(flow, prepared, left)
                await self.revoker.revoke_dropped(prepared.situation, material, data)
            raise refusals.exchange_failed(failed.error, named_server(prepared.response)) from None

    def _credential(
        self, flow: Flow, prepared: _Prepared, response: TokenResponse
    ) -> tuple[CredentialFacts, CredentialData]:
        return new_credential(
            prepared.situation,
            prepared.effective,
            flow,
            response,
            captured=captured_on_the_way_back(prepared.effective, prepared.response),
            # The claim's ID, so that the done page knows the credential even where the outcome could not be recorded.
            credential_id=flow.claim or "",
            material=prepared.material,
            refreshed_at=self.now(),
        )

    async def _record(self, claimed: ClaimedFlow, refused: Refused | None) -> None:
        """Tell the done page; it finds a stored credential by itself where this cannot be written."""
        try:
            await self.flows.record_outcome(claimed, refused)
        except (ApiError, Unavailable) as error:
            logger.warning("could not record how an authorization ended", error=str(error))


def new_credential(
    situation: Situation,
    effective: Effective,
    flow: Flow,
    response: TokenResponse,
    *,
    captured: Mapping[str, str],
    credential_id: str,
    material: ClientMaterial,
    refreshed_at: datetime,
) -> tuple[CredentialFacts, CredentialData]:
    """The credential that a token response makes; the set of handled requests is filled in when it is stored."""
    scopes = effective.parameters.scopes
    bound_to = fingerprint(situation.oauth2)
    facts = CredentialFacts(
        credential_id=credential_id,
        replaces=situation.credential_id,
        fingerprint=bound_to,
        requested_scopes=scopes,
        granted_scopes=scopes if response.scopes is None else response.scopes,
        expires_at=response.expires_at,
        told_lifetime=response.told_lifetime,
        expiry_hint=response.expiry_hint,
        grant_expires_at=response.grant_expires_at,
        grant_lifetime=None if response.grant_expires_at is None else response.grant_expires_at - refreshed_at,
        refreshed_at=refreshed_at,
        authorized_at=refreshed_at,
        has_refresh_token=response.refresh_token is not None,
        ticket_hash=flow.ticket_hash,
        is_revocable=effective.revocation_url is not None,
        promised=None if flow.metadata is None else flow.metadata.promises,
    )
    data = CredentialData(
        access_token=response.access_token,
        token_type=response.token_type,
        token_endpoint=effective.token_url,
        fingerprint=bound_to,
        client_id=effective.client_id,
        refresh_token=response.refresh_token,
        redirect_uri=flow.redirect_uri if effective.parameters.redirect_uri_on_refresh else None,
        revocation_endpoint=effective.revocation_url,
        refresh_endpoint=effective.parameters.refresh_url or None,
    )
    is_to_be_revoked = situation.spec.deletion_policy is DeletionPolicy.REVOKE
    recorded = material.recorded_in(data, is_to_be_revoked=is_to_be_revoked)
    return facts, recorded.with_captured({**captured, **response.captured})


def captured_on_the_way_back(effective: Effective, response: AuthorizationResponse) -> Mapping[str, str]:
    """The captured fields that stand in the callback's query, where a person's browser brought them."""
    names = effective.parameters.captured_fields.callback
    found = {name: captured_text(response.other.get(name)) for name in names}
    return {name: text for name, text in found.items() if text is not None}


def named_server(response: AuthorizationResponse) -> str | None:
    """The server that keeps the account, where the service names one (Zoho: accounts-server).

    A browser brought it, so nothing is sent there.
    """
    named = response.other.get("accounts-server")
    return said(named) if named else None


def authorized_by(
    authorizer: Authorizer, facts: CredentialFacts, data: CredentialData
) -> tuple[CredentialFacts, CredentialData]:
    """The same credential, with who authorized."""
    known = msgspec.structs.replace(
        facts,
        authorized_as=authorizer.shown,
        identity_problem=authorizer.problem,
        identity_checked=authorizer.checked,
        identity_fits=authorizer.checked is not None,
    )
    return known, msgspec.structs.replace(data, identity=authorizer.kept)


def clear_is_newer(situation: Situation, flow: Flow) -> bool:
    """Whether a clear was asked for that the flow did not know of when it began."""
    handled = situation.handled.with_all(flow.known)
    return handled.pending(situation.requests).clear_credential is not None


def _parsed(query: bytes) -> AuthorizationResponse:
    try:
        return parse_callback(query)
    except RefusedCallback as error:
        raise refusals.not_an_authorization_response(str(error)) from None


def _check_answer(situation: Situation, flow: Flow, response: AuthorizationResponse) -> None:
    """The issuer first: an error may be a trick, too (RFC 9207 section 2.4)."""
    promised = flow.metadata is not None and flow.metadata.authorization_response_iss_parameter_supported
    try:
        whole = situation.oauth2.expanded()
        check_issuer(response.iss, expected=whole.issuer, authorize_url=whole.authorize_url, required=promised)
    except RefusedCallback as error:
        raise refusals.issuer_is_another(str(error)) from None
    if response.error is not None:
        raise refusals.consent_was_denied(response.error, response.error_description)


def _check_nothing_changed(situation: Situation, flow: Flow) -> None:
    if situation.spec.suspend:
        raise refusals.suspended_meanwhile()
    if situation.parameters_hash != flow.parameters_hash:
        raise refusals.parameters_changed_meanwhile()
    if clear_is_newer(situation, flow):
        raise refusals.cleared_meanwhile()
    if situation.credential_id != flow.replaces:
        was_cleared = isinstance(situation.credential, StoredTombstone)
        raise refusals.cleared_meanwhile() if was_cleared else refusals.another_was_first()
