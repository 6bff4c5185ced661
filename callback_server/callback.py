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
from callback_server.limits import Places
from callback_server.long_work import LongWork
from callback_server.looks import Looks
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
from datasource.records.standing import gives_way

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
    acceptance: Acceptance
    now: Callable[[], datetime]
    replays: Replays | None = None
    """What becomes of replies that lie in the journal; None where there is none."""
    gate: Gate | None = None
    """Stands before the codes of people who signed in; None where nobody does."""
    token_bytes: Callable[[int], bytes] = secrets.token_bytes
    long_work: LongWork = field(default_factory=LongWork)

    @property
    def credentials(self) -> CredentialStore:
        """Where credentials are stored."""
        return self.acceptance.credentials

    @property
    def revoker(self) -> GrantRevoker:
        """Revokes what comes to nothing."""
        return self.acceptance.revoker

    @property
    def identity(self) -> IdentityCheck:
        """Says who authorized."""
        return self.acceptance.identity

    async def finish(
        self, namespace: str, name: str | None, query: bytes, cookie: str | None, signed_in_as: str | None = None
    ) -> str:
        """Finish the flow that the query belongs to; returns the id of its done page, which tells how it ended.

        `name` is that of the Datasource, where the redirect URI has it; `signed_in_as` who has signed in at this moment.

        A reload, or a second callback at once, exchanges nothing: it gets the same id.

        Raises:
            Refused: the query belongs to no flow of this browser; or it takes long, and goes on meanwhile.
            Exceeded: too much is going on at this moment; nothing was spent.
            ApiError, Unavailable: the API server refused or did not answer before anything was spent.
        """
        response = _parsed(query)
        key, stored = await self._flow_of(response, (namespace, name), cookie)
        self._check_who_it_is(stored.flow, signed_in_as)
        if stored.flow.claim is None:

            async def finish() -> None:
                # Only now: strangers must not take places.
                async with self.places.one(namespace):
                    await self._finish(key, stored, response)

            if not await self.long_work.has_ended(stored.flow.state_hash, finish):
                # The address keeps the code: should the work be lost with this process before it claims, a reload begins it.
                raise refusals.goes_on()
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

    def _check_who_it_is(self, flow: Flow, signed_in_as: str | None) -> None:
        """In the browser and with the user that it began with, whose session may have ended meanwhile."""
        if flow.user is None:
            return
        if self.gate is None:
            # People signed in when it began. What they may do now, nobody can tell.
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
        # From here on nobody can begin it again: it is waited for however long the API server takes.
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
                # Where it was not seen through, whatever came in between, it is dealt with from the journal.
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
            # From the button to here, the person's time at the provider included.
            seconds=round((self.now() - claimed.flow.created_at).total_seconds(), 1),
        )
        if await self._record(claimed, refused):
            recording.is_done()

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
        if self.gate is not None:
            await self.gate.before_code(flow, situation)
        return _Prepared(situation, effective, response, material)

    async def _exchange_and_store(self, flow: Flow, prepared: _Prepared, recording: CodeRecording) -> Refused | None:
        """Spend the code, and store what comes of it; returns why nothing was stored."""
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
            # The claim's ID, so that the done page knows the credential even where the outcome could not be recorded.
            credential_id=flow.claim or "",
            material=prepared.material,
        )

    async def _record(self, claimed: ClaimedFlow, refused: Refused | None) -> bool:
        """Tell the done page; it finds a stored credential by itself where this cannot be written. Whether there is no more
        to be done about that."""
        try:
            await self.flows.record_outcome(claimed, refused)
        except (ApiError, Unavailable) as error:
            logger.warning("could not record how an authorization ended", error=str(error))
            # What is gone, or somebody else's by now, is told nothing any more.
            return isinstance(error, Conflict | NotFound)
        return True


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
    there = situation.credential
    if situation.credential_id == flow.replaces or gives_way(there, flow.replaces):
        return
    if isinstance(there, StoredTombstone):
        raise refusals.cleared_meanwhile()
    was_imported = there is not None and there.facts.imported is not None
    raise refusals.imported_meanwhile() if was_imported else refusals.another_was_first()
