"""The way back: check, claim, exchange, store; each flow at most once."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from callback_server import refusals
from callback_server.acceptance import Acceptance, Granted
from callback_server.code_exchange import CodeExchange, NoTokens
from callback_server.code_recording import CodeRecording
from callback_server.cookie import is_same_browser
from callback_server.credentials import CredentialStore
from callback_server.dialog import what_is_missing
from callback_server.flows import ClaimedFlow, FlowStore
from callback_server.identity import IdentityCheck
from callback_server.limits import Bulkhead
from callback_server.long_work import LongWork
from callback_server.metrics import count_refused, count_stored
from callback_server.new_credential import (
    NewCredential,
    blank_credential,
    captured_on_the_way_back,
    filled,
    named_server,
    scopes_on_the_way_back,
)
from callback_server.references import reference_of
from callback_server.refusals import Refused
from callback_server.revocation import GrantRevoker
from callback_server.shared_reads import Lanes
from callback_server.signed_in.gate import Gate
from callback_server.situation import Observer, Situation, effective_parameters
from datasource.cluster.api_errors import ApiError, Conflict, NotFound, Unavailable
from datasource.cluster.clients import ClientMaterial, Clients
from datasource.cluster.link_keys import LinkKeyStore
from datasource.cluster.patience import FOR_WORK, waiting
from datasource.cluster.replays import Replays
from datasource.oauth2.callback import AuthorizationResponse, RefusedCallback, check_issuer, parse_callback
from datasource.oauth2.token_response import TokenResponse
from datasource.records.contents import StoredTombstone
from datasource.records.effective import Effective
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
from datasource.records.standing import gives_way, is_to_be_cleared

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The results of all checks that come before the code is sent."""

    situation: Situation
    effective: Effective
    response: AuthorizationResponse
    material: ClientMaterial


@dataclass(frozen=True, slots=True)
class CallbackService:
    """The work behind `/callback/{namespace}` and `/callback/{namespace}/{name}`: it finishes authorizations."""

    clients: Clients
    exchange: CodeExchange
    observer: Observer
    flows: FlowStore
    lanes: Lanes
    bulkhead: Bulkhead
    link_keys: LinkKeyStore
    acceptance: Acceptance
    now: Callable[[], datetime]
    replays: Replays | None = None
    """Stores the replies in the journal; None where there is no journal."""
    gate: Gate | None = None
    """Checks the rights of people who signed in, before a code is sent; None where people do not sign in."""
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    long_work: LongWork = field(default_factory=LongWork)

    @property
    def credentials(self) -> CredentialStore:
        """The store for credentials."""
        return self.acceptance.credentials

    @property
    def revoker(self) -> GrantRevoker:
        """Revokes tokens that are not stored."""
        return self.acceptance.revoker

    @property
    def identity(self) -> IdentityCheck:
        """Finds out which account authorized."""
        return self.acceptance.identity

    async def finish(
        self, namespace: str, name: str | None, query: bytes, cookie: str | None, signed_in_as: str | None = None
    ) -> str:
        """Finish the flow that the query belongs to. A reload, or a second callback at the same time, exchanges nothing.

        Args:
            namespace: of the redirect URI.
            name: of the redirect URI; None where it has none.
            query: the query of the callback, as it was sent.
            cookie: of the browser; None where it sent none.
            signed_in_as: the name of the person who is signed in now; None where nobody is.

        Returns:
            The ID of the done page, which shows how the flow ended.

        Raises:
            Refused: the query belongs to no flow of this browser. Or the work takes long, and goes on behind the page.
            Exceeded: a limit is reached. The code was not sent.
            ApiError, Unavailable: the API server refused or did not answer. The code was not sent.
        """
        response = _parsed(query)
        key, stored = await self._flow_of(response, (namespace, name), cookie)
        self._check_who_it_is(stored.flow, signed_in_as)
        if stored.flow.claim is None:

            async def finish() -> None:
                # Only after these checks, so that strangers take no places.
                async with self.bulkhead.one(namespace):
                    await self._finish(key, stored, response)

            if not await self.long_work.has_ended(stored.flow.state_hash, finish):
                # The page's address keeps the code. If this process ends before it claims the flow, a reload begins again.
                raise refusals.goes_on()
        return stored.flow.done_id

    async def _flow_of(
        self, response: AuthorizationResponse, place: tuple[str, str | None], cookie: str | None
    ) -> tuple[FlowKey, StoredFlow]:
        key = parse_flow_key(response.state or "")
        if cookie is not None and response.state is None and response.error_as_sent is not None:
            # Some services leave out the state, against RFC 6749 section 4.1.2.1. Only their error is known then.
            raise refusals.refused_without_state(response.error_as_sent, response.description_as_sent)
        if key is None:
            raise refusals.unknown_flow()
        if cookie is None:
            raise refusals.cookie_is_missing()
        origin = flow_key_origin(key, Purpose.STATE, self.link_keys.current, self.now())
        lane = self.lanes.lane(origin, key.digest, refused=refusals.unknown_flow())
        stored = await lane.record(key, has_key=lambda found: state_is_of(key, found.flow))
        if stored is None or not state_is_of(key, stored.flow) or not came_back_to(stored.flow, *place):
            raise refusals.unknown_flow()
        if not is_same_browser(cookie, stored.flow.cookie_hash):
            raise refusals.cookie_is_missing()
        return key, stored

    def _check_who_it_is(self, flow: Flow, signed_in_as: str | None) -> None:
        """Check that the person is the one who began the flow. Their session may have ended meanwhile.

        Raises:
            Refused: another person is signed in, or people do not sign in any more.
        """
        if flow.user is None:
            return
        if self.gate is None:
            # People signed in when the flow began, and do not any more. Their rights cannot be checked.
            raise refusals.unknown_flow()
        if signed_in_as not in {None, flow.user.name}:
            is_over = flow.claim is not None
            raise refusals.another_person_authorized() if is_over else refusals.another_person_is_signed_in()

    async def _finish(self, key: FlowKey, stored: StoredFlow, response: AuthorizationResponse) -> None:
        log = logger.bind(datasource=f"{stored.flow.namespace}/{stored.flow.name}")
        refused: Refused | None = None
        prepared: _Prepared | None = None
        try:
            prepared = await self._prepare(stored.flow, response)
        except Refused as refusal:
            refused = refusal
        # A claimed flow cannot be begun again. So this waits for however long the API server takes.
        with waiting(FOR_WORK):
            claimed = await self.flows.claim(key, stored, self.token_bytes(16).hex())
            if claimed is None:
                log.info("authorization is being finished by another request")
                return
            recording = CodeRecording(self.replays, claimed)
            try:
                if prepared is not None:
                    refused = await self._exchange_and_store(claimed.flow, prepared, recording)
                await self._tell(claimed, refused, recording)
            finally:
                # A reply that was not stored, for whatever reason, is stored from the journal later.
                recording.leave()

    async def _tell(self, claimed: ClaimedFlow, refused: Refused | None, recording: CodeRecording) -> None:
        if refused is None:
            count_stored()
        else:
            count_refused(refused)
        logger.info(
            "authorization ended",
            datasource=f"{claimed.flow.namespace}/{claimed.flow.name}",
            outcome="stored" if refused is None else refused.kind,
            reference=reference_of(claimed.flow),
            # From the button until now, with the person's time at the provider.
            seconds=round((self.now() - claimed.flow.created_at).total_seconds(), 1),
        )
        if await self._record(claimed, refused):
            recording.is_done()

    async def _prepare(self, flow: Flow, response: AuthorizationResponse) -> _Prepared:
        """Check everything that can be checked before the code is sent.

        Raises:
            Refused: a check failed.
        """
        datasource = await self.observer.datasource(flow.namespace, flow.name)
        if datasource is None or datasource.metadata.uid != flow.uid:
            raise refusals.datasource_is_gone()
        situation = await self.observer.situation(datasource)
        _check_answer(situation, flow, response)
        if flow.has_expired(self.now()):
            raise refusals.flow_has_expired()
        _check_nothing_changed(situation, flow)
        # With the metadata from when the flow began, so that the code goes to the token URL that the person saw.
        effective = effective_parameters(situation, flow.metadata).chosen_by(response.other)
        with what_is_missing(situation):
            material = await self.clients.material(situation.namespace, situation.oauth2, effective.endpoints)
        # The provider's metadata may say how the client authenticates.
        material = replace(material, parameters=effective.parameters)
        await self.identity.prepare(effective.parameters, flow, material.ca_bundle)
        await self.credentials.rehearse(situation)
        self.clients.client(material, token_endpoint=effective.token_url)
        if self.gate is not None:
            await self.gate.before_code(flow, situation)
        return _Prepared(situation, effective, response, material)

    async def _exchange_and_store(self, flow: Flow, prepared: _Prepared, recording: CodeRecording) -> Refused | None:
        """Exchange the code and store the tokens. Returns why nothing was stored; None where the tokens are."""
        blank = self._credential(flow, prepared)
        recording.of(blank, prepared.effective.parameters, named_server(prepared.response), prepared.situation.template)
        material = prepared.material
        try:
            response = await self.exchange.tokens(
                flow, prepared.effective, material, prepared.response.code or "", recording
            )
        except NoTokens as failed:
            if failed.refresh_token is not None:
                left = TokenResponse("", "Bearer", refresh_token=failed.refresh_token)
                _, data = filled(blank, left, self.now())
                await self.revoker.revoke_dropped(prepared.situation, material, data)
            return refusals.exchange_failed(failed.error, named_server(prepared.response))
        credential = filled(blank, response, self.now())
        return await self.acceptance.store(
            Granted(flow, prepared.situation, prepared.effective.parameters, credential, response), material
        )

    def _credential(self, flow: Flow, prepared: _Prepared) -> NewCredential:
        return blank_credential(
            prepared.situation,
            prepared.effective,
            flow,
            captured=captured_on_the_way_back(prepared.effective, prepared.response),
            granted=scopes_on_the_way_back(prepared.effective, prepared.response),
            # The ID of the claim, so that the done page finds the credential even where the outcome could not be recorded.
            credential_id=flow.claim or "",
            material=prepared.material,
        )

    async def _record(self, claimed: ClaimedFlow, refused: Refused | None) -> bool:
        """Record how the flow ended, for the done page. Returns whether that needs no further try.

        Where it cannot be recorded, the done page finds a stored credential by itself.
        """
        try:
            await self.flows.record_outcome(claimed, refused)
        except (ApiError, Unavailable) as error:
            logger.warning("could not record how an authorization ended", error=str(error))
            # A flow record that is gone, or was written by another request, needs no outcome of ours.
            return isinstance(error, Conflict | NotFound)
        return True


def clear_is_newer(situation: Situation, flow: Flow) -> bool:
    """Whether a clear was requested after the flow began."""
    handled = situation.handled.with_all(flow.known)
    return handled.pending(situation.requests).clear_credential is not None


def _parsed(query: bytes) -> AuthorizationResponse:
    try:
        return parse_callback(query)
    except RefusedCallback as error:
        raise refusals.not_an_authorization_response(str(error)) from None


def _check_answer(situation: Situation, flow: Flow, response: AuthorizationResponse) -> None:
    """Check the authorization response. The issuer comes first, because an error may be forged, too (RFC 9207 section 2.4)."""
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
    there = situation.credential
    if situation.credential_id == flow.replaces or gives_way(there, flow.replaces):
        return
    if isinstance(there, StoredTombstone) or is_to_be_cleared(there):
        raise refusals.cleared_meanwhile()
    was_imported = there is not None and there.facts.imported is not None
    raise refusals.imported_meanwhile() if was_imported else refusals.another_was_first()
