"""The dialog: GET shows it and changes nothing; POST begins an authorization and leads on to the provider."""

import secrets
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

import structlog

from callback_server import refusals
from callback_server.consent import expected_account, other_account
from callback_server.cookie import cookie_hash
from callback_server.flows import FlowStore, NoSlot
from callback_server.granted import NotGranted
from callback_server.limits import Bulkhead, Clicks
from callback_server.metrics import count_begun
from callback_server.pages import Dialog, Form, Onward
from callback_server.refusals import Refused
from callback_server.security import form_token, form_token_fits, is_form_token
from callback_server.shared_reads import Lanes
from callback_server.situation import Observer, Situation, effective_parameters
from datasource.api import link_ticket
from datasource.api.names import authorization_link, ticket_in
from datasource.api.objects import Datasource
from datasource.api.requests import HandledSet
from datasource.cluster.api_errors import ApiError, Forbidden, Invalid, Unavailable
from datasource.cluster.clients import (
    ClientMaterial,
    ClientMaterialMissing,
    Clients,
    ConfigMapsForbidden,
    SecretsForbidden,
)
from datasource.cluster.link_keys import LinkKeyStore
from datasource.oauth2.authorize import authorization_parameters, front_url, new_secret, pushed_url, s256_challenge
from datasource.oauth2.errors import OAuth2Error
from datasource.oauth2.kubernetes_user import User
from datasource.oauth2.provider_metadata import ProviderMetadata
from datasource.oauth2.pushed_authorization import pushed_authorization_request
from datasource.process.settings import Settings
from datasource.providers.exchange import push_authorization
from datasource.providers.transport import Transport
from datasource.records.effective import Effective
from datasource.records.flow import FLOW_LIFETIME, Flow, FlowKey, key_hash, new_flow_key, parse_flow_key
from datasource.records.link_keys import Origin, Purpose
from datasource.records.ticket import is_ticket, same_ticket, ticket_hash, ticket_origin

logger = structlog.get_logger(__name__)

LARGEST_FORM = 16_384
"""Bytes; a ticket and a form token take less than 200."""


@dataclass(frozen=True, slots=True)
class Beginner:
    """The person who chose the button: one who has the ticket of a link, or one who signed in."""

    cookie: str
    """The cookie of the browser."""
    click: Hashable
    """The key by which clicks are counted (`limits.Clicks`)."""
    saw: Callable[[Situation, str, str], bool]
    """Whether the form is of a page that we showed this person, with this situation, authorize URL and token URL."""
    ticket_hash: str = ""
    """The hash of the ticket; empty for a person who signed in."""
    user: User | None = None
    """The person who signed in; None for one who has a ticket."""
    chooses_account: bool = False
    """Whether the person wants the service to ask for the account."""


@dataclass(frozen=True, slots=True)
class DialogService:
    """The work behind `/authorize/{namespace}/{name}`: it shows the dialog, and begins authorizations."""

    clients: Clients
    transport: Transport
    settings: Settings
    observer: Observer
    flows: FlowStore
    lanes: Lanes
    clicks: Clicks
    bulkhead: Bulkhead
    link_keys: LinkKeyStore
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes] = secrets.token_bytes

    async def show(self, namespace: str, name: str, ticket: str, cookie: str) -> Dialog:
        """Make the dialog for a person who has the live link. Nothing is changed.

        Raises:
            Refused: the link is not live, or the Datasource is not ready for an authorization.
        """
        _require_ticket(ticket)
        situation = await self._live(namespace, name, ticket)
        # Only a visitor with the live ticket causes a request to a provider.
        with what_is_missing(situation):
            ca_bundle = await self.clients.ca_bundle(situation.namespace, situation.oauth2)
        effective = effective_parameters(situation, await self.observer.metadata(situation, ca_bundle))
        link = authorization_link(self.settings.external_url, situation.namespace, situation.name, ticket)
        token = form_token(cookie, situation, ticket, effective.authorize_url, effective.token_url)
        form = Form(action=urlsplit(link).path, ticket=ticket, token=token)
        return Dialog(situation, self.settings.external_url, effective, form=form, branding=self.settings.branding)

    async def begin(self, namespace: str, name: str, form: Mapping[str, str], cookie: str | None) -> Onward:
        """Begin an authorization for a person who has a ticket. Returns the URL at the provider (RFC 6749 section 4.1.1).

        Raises:
            Refused: the cookie, the form, the link or the Datasource does not fit. Nothing was begun.
            Exceeded: a limit is reached. Nothing was begun.
        """
        if cookie is None:
            raise refusals.cookie_is_missing()
        ticket, token = form.get("ticket", ""), form.get("token", "")
        _require_ticket(ticket)
        if not is_form_token(token):
            raise refusals.form_is_not_ours()
        situation = await self._live(namespace, name, ticket)
        hash_ = ticket_hash(ticket)

        def saw(live: Situation, *shown: str) -> bool:
            return form_token_fits(token, cookie, live, ticket, *shown)

        return await self.begin_for(situation, Beginner(cookie, hash_, saw, hash_, chooses_account="account" in form))

    async def begin_for(self, situation: Situation, by: Beginner) -> Onward:
        """Begin an authorization for a person whose ticket or right was checked. Returns the URL at the provider.

        Raises:
            Refused: the form or the Datasource does not fit, or the provider refused. Nothing was begun.
            Exceeded: a limit is reached. Nothing was begun.
        """
        with what_is_missing(situation):
            ca_bundle = await self.clients.ca_bundle(situation.namespace, situation.oauth2)
        metadata = await self.observer.metadata(situation, ca_bundle)
        effective = effective_parameters(situation, metadata)
        if not by.saw(situation, effective.authorize_url, effective.token_url):
            raise refusals.form_is_not_ours()
        # Counted only after these checks, so that strangers do not use up the clicks of a person who has the link.
        self.clicks.count(by.click)
        async with self.bulkhead.one(situation.namespace):
            with what_is_missing(situation):
                secret = await self.clients.client_secret(situation.namespace, situation.oauth2, effective.endpoints)
                headers = await self.clients.headers(situation.namespace, situation.oauth2, effective.endpoints)
            flow, state = await self._record(situation, effective, metadata, by)
            count_begun()
            logger.info("authorization began", datasource=f"{situation.namespace}/{situation.name}")
            chosen = other_account(situation.oauth2) if by.chooses_account else {}
            parameters = _request_parameters(effective, flow, state, chosen)
            material = ClientMaterial(effective.parameters, secret, ca_bundle, headers)
            try:
                url = await self._front_url(situation.namespace, effective, material, parameters)
            except Refused as refused:
                await self._give_up(state, refused)
                raise
            return Onward(situation.namespace, situation.name, url)

    async def done_with(self, namespace: str, name: str, ticket: str, cookie: str) -> str | None:
        """The ID of the done page for an authorization that this browser completed with a link that has ended.

        None where there is none, or its flow record is gone. Something is read only for a ticket that the operator made, and
        flow records are searched only for the ticket that the credential was obtained with.
        """
        origin = ticket_origin(ticket, namespace, name, self.link_keys.current, self.now())
        if origin is not Origin.OURS:
            return None
        lane = self.lanes.lane(origin, namespace, refused=refusals.link_has_ended())
        situation = await lane.situation(namespace, name, has_key=lambda found: found.ticket_got_it(ticket))
        if situation is None or not situation.ticket_got_it(ticket):
            return None
        return await self.flows.done_with(situation.uid, ticket_hash(ticket), cookie)

    async def _live(self, namespace: str, name: str, ticket: str) -> Situation:
        # A ticket that was never ours costs nothing. One that is not live any more costs a shared read.
        origin = ticket_origin(ticket, namespace, name, self.link_keys.current, self.now())
        lane = self.lanes.lane(origin, namespace, refused=refusals.link_has_ended())
        datasource = await lane.datasource(namespace, name, has_key=lambda found: _offers(found, ticket))
        if datasource is not None and datasource.spec.get("suspend") is True:
            # Only a visitor with a ticket that was issued learns of the suspension. The link is no longer in the status.
            situation = await lane.situation(namespace, name, has_key=lambda found: found.ticket_was_issued(ticket))
            issued = situation is not None and situation.ticket_was_issued(ticket)
            raise refusals.suspended() if issued else refusals.link_has_ended()
        if datasource is None or not _offers(datasource, ticket):
            raise refusals.link_has_ended()
        situation = await self.observer.situation(datasource)
        if not situation.ticket_is_live(ticket):
            raise refusals.link_has_ended()
        return situation

    async def _record(
        self, situation: Situation, effective: Effective, metadata: ProviderMetadata | None, by: Beginner
    ) -> tuple[Flow, str]:
        """Write a flow record. Returns it with the state parameter, of which the record has only a hash."""
        verifier = new_secret(self.token_bytes) if effective.code_challenge_is_sent else None
        wants_nonce = "openid" in effective.parameters.scopes and effective.parameters.nonce is not False
        nonce = new_secret(self.token_bytes) if wants_nonce else None
        states: dict[str, str] = {}

        def make(slot: int) -> Flow:
            state = self._new_key(Purpose.STATE, situation.uid, slot)
            flow = Flow(
                state_hash=key_hash(state),
                done_id=self._new_key(Purpose.DONE, situation.uid, slot).text,
                code_verifier=verifier,
                nonce=nonce,
                namespace=situation.namespace,
                name=situation.name,
                uid=situation.uid,
                parameters_hash=situation.parameters_hash,
                replaces=situation.credential_id,
                requested=HandledSet().with_requests(situation.requests),
                cookie_hash=cookie_hash(by.cookie),
                ticket_hash=by.ticket_hash,
                redirect_uri=situation.redirect_uri(self.settings.external_url),
                created_at=self.now(),
                expires_at=self.now() + FLOW_LIFETIME,
                metadata=None if metadata is None else metadata.without_lists,
                user=by.user,
            )
            states[flow.state_hash] = state.text
            return flow

        try:
            begun = await self.flows.begin(make, situation.uid)
        except NoSlot:
            raise refusals.too_many_at_once() from None
        except (Forbidden, Invalid) as error:
            logger.warning("an authorization could not be recorded", error=error.message)
            raise refusals.record_is_refused(error.message) from None
        return begun, states[begun.state_hash]

    async def _give_up(self, state: str, refused: Refused) -> None:
        """Write into the flow record why the authorization failed. The operator shows it in the status."""
        key = parse_flow_key(state)
        if key is None:
            return
        try:
            await self.flows.give_up(key, self.token_bytes(16).hex(), refused)
        except (ApiError, Unavailable) as error:
            logger.warning("could not record how an authorization ended", error=str(error))

    def _new_key(self, purpose: Purpose, uid: str, slot: int) -> FlowKey:
        return new_flow_key(
            uid, slot, self.token_bytes, lambda text: self.link_keys.current.mark(purpose, text, self.now())
        )

    async def _front_url(
        self, namespace: str, effective: Effective, material: ClientMaterial, parameters: list[tuple[str, str]]
    ) -> str:
        """The authorize URL with the request, or with the reference to it once it was pushed (RFC 9126)."""
        if effective.pushed_authorization_url is None:
            return front_url(effective.authorize_url, parameters)
        client = self.clients.client(material, token_endpoint=effective.token_url)
        request = pushed_authorization_request(effective.pushed_authorization_url, client, parameters)
        try:
            reference = await push_authorization(
                self.transport, request, tenant=namespace, now=self.now, ca_bundle=material.ca_bundle
            )
        except OAuth2Error as error:
            logger.warning("a pushed authorization request failed", namespace=namespace, error=str(error))
            raise refusals.request_was_not_taken(error) from None
        return pushed_url(effective.authorize_url, client_id=effective.client_id, request_uri=reference)


def _offers(datasource: Datasource, ticket: str) -> bool:
    """Whether the Datasource offers a link with this ticket: in its status, or made by the plugin beside a link without one."""
    link = datasource.status.authorization_link
    offered = ticket_in(link)
    if offered is None:
        return link is not None and link_ticket.is_offered(
            datasource.metadata.annotations, datasource.metadata.generation, ticket
        )
    return same_ticket(ticket, offered)


def _require_ticket(text: str) -> None:
    """Refuse a text that has not the form of a ticket, without a read."""
    if not is_ticket(text):
        raise refusals.link_has_ended()


def _request_parameters(effective: Effective, flow: Flow, state: str, chosen: dict[str, str]) -> list[tuple[str, str]]:
    parameters = effective.parameters
    audience = {} if not parameters.audience else {"audience": parameters.audience}
    account = expected_account(parameters.expected_identity)
    # OIDC Core section 3.1.2.1: the provider offers the expected account first, not another one that is signed in there.
    hint = {} if account is None else {"login_hint": account}
    return authorization_parameters(
        client_id=effective.client_id,
        redirect_uri=flow.redirect_uri,
        state=state,
        scopes=parameters.scopes,
        scope_separator=parameters.scope_separator or " ",
        code_challenge=None if flow.code_verifier is None else s256_challenge(flow.code_verifier),
        nonce=flow.nonce,
        resources=parameters.resource,
        extra=hint | parameters.authorize_parameters | audience | chosen,
    )


@contextmanager
def what_is_missing(situation: Situation) -> Iterator[None]:
    """Turn errors from reading the client Secret, the headers or the CA bundle into pages.

    Raises:
        Refused: something is missing, and the page says what.
        NotGranted: the callback server has no right to read it.
    """
    try:
        yield
    except ClientMaterialMissing as error:
        raise refusals.not_configured(str(error)) from None
    except SecretsForbidden as error:
        raise NotGranted(error, what=f"Secret {error.secret}", namespace=situation.namespace) from None
    except ConfigMapsForbidden as error:
        bundle = situation.oauth2.ca_bundle_ref
        raise NotGranted(
            error, what=f"ConfigMap {bundle.name if bundle else ''}", namespace=situation.namespace
        ) from None


def parse_form(content_type: str, body: bytes) -> dict[str, str]:
    """Parse the fields of a form. Empty where the body is no form, or has a field twice, which readers may take differently."""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return {}
    try:
        said = parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=10)
    except ValueError:
        return {}
    fields = dict(said)
    return fields if len(fields) == len(said) else {}
