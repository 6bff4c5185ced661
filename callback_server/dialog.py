"""The dialog: GET shows it and changes nothing; POST begins an authorization and sends the browser to the provider."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

import structlog

from callback_server import refusals
from callback_server.flows import FlowStore, NoSlot
from callback_server.limits import Places
from callback_server.looks import Looks
from callback_server.metrics import count_begun
from callback_server.pages import Dialog, Form
from callback_server.security import cookie_hash, form_token, form_token_fits, is_form_token
from callback_server.situation import Observer, Situation
from datasource.ca_bundle import read_ca_bundle
from datasource.client_secret import ClientSecretNotFound, read_client_secret
from datasource.flow import FLOW_LIFETIME, Flow, key_hash, new_flow_key
from datasource.kube import Forbidden, Kube
from datasource.names import authorization_link, redirect_uri, ticket_in
from datasource.oauth2 import authorize_url, new_secret, s256_challenge
from datasource.settings import Settings
from datasource.spec import InvalidSpec, Pkce
from datasource.ticket import is_ticket, same_ticket, ticket_hash

logger = structlog.get_logger(__name__)

LARGEST_FORM = 16_384
"""Bytes; a ticket and a form token take less than 200."""


@dataclass(frozen=True, slots=True)
class DialogService:
    """What stands behind `/authorize/{namespace}/{name}`."""

    kube: Kube
    settings: Settings
    observer: Observer
    flows: FlowStore
    looks: Looks
    places: Places
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes] = secrets.token_bytes

    async def show(self, namespace: str, name: str, ticket: str, cookie: str) -> Dialog:
        """The dialog for whoever has the live link.

        Raises:
            Refused: the link is not live, or the Datasource is not ready for it.
        """
        _require_ticket(ticket)
        situation = await self._live(namespace, name, ticket)
        return self._dialog(situation, ticket, cookie)

    async def begin(self, namespace: str, name: str, form: Mapping[str, str], cookie: str | None) -> str:
        """Begin an authorization; returns the URL at the provider to send the browser to (RFC 6749 section 4.1.1).

        Raises:
            Refused: nothing was begun.
            Exceeded: too much is going on at this moment; nothing was begun.
        """
        if cookie is None:
            raise refusals.cookie_is_missing()
        ticket, token = form.get("ticket", ""), form.get("token", "")
        _require_ticket(ticket)
        if not is_form_token(token):
            raise refusals.form_is_not_ours()
        situation = await self._live(namespace, name, ticket)
        if not form_token_fits(token, cookie, situation, ticket):
            raise refusals.form_is_not_ours()
        # Only now: strangers must not take places.
        with self.places.one(namespace):
            await require_client_secret(self.kube, situation, self.settings)
            await require_ca_bundle(self.kube, situation)
            return await self._begin(situation, ticket, cookie)

    async def _live(self, namespace: str, name: str, ticket: str) -> Situation:
        # What is not the live ticket costs one read, and that is shared: strangers may send as many as they like.
        datasource = await self.looks.datasource(namespace, name)
        if datasource is not None and datasource.spec.get("suspend") is True:
            # Only whoever had a link is told so; the link itself left the status.
            situation = await self.looks.situation(namespace, name)
            issued = situation is not None and situation.ticket_was_issued(ticket)
            raise refusals.suspended() if issued else refusals.link_has_ended()
        offered = None if datasource is None else ticket_in(datasource.status.authorization_link)
        if datasource is None or offered is None or not same_ticket(ticket, offered):
            raise refusals.link_has_ended()
        situation = await self.observer.situation(datasource)
        if not situation.ticket_is_live(ticket):
            raise refusals.link_has_ended()
        return situation

    def _dialog(self, situation: Situation, ticket: str, cookie: str) -> Dialog:
        link = authorization_link(self.settings.external_url, situation.namespace, situation.name, ticket)
        form = Form(action=urlsplit(link).path, ticket=ticket, token=form_token(cookie, situation, ticket))
        return Dialog(situation, self.settings.external_url, form=form)

    async def _begin(self, situation: Situation, ticket: str, cookie: str) -> str:
        oauth2 = situation.oauth2
        verifier = new_secret(self.token_bytes) if oauth2.pkce is Pkce.S256 else None
        nonce = new_secret(self.token_bytes) if "openid" in oauth2.scopes else None
        callback = redirect_uri(self.settings.external_url, situation.namespace)
        states: dict[str, str] = {}

        def make(slot: int) -> Flow:
            state = new_flow_key(situation.uid, slot, self.token_bytes)
            flow = Flow(
                state_hash=key_hash(state),
                done_id=new_flow_key(situation.uid, slot, self.token_bytes).text,
                code_verifier=verifier,
                nonce=nonce,
                namespace=situation.namespace,
                name=situation.name,
                uid=situation.uid,
                parameters_hash=situation.parameters_hash,
                replaces=situation.credential_id,
                requests=situation.requests,
                cookie_hash=cookie_hash(cookie),
                ticket_hash=ticket_hash(ticket),
                redirect_uri=callback,
                created_at=self.now(),
                expires_at=self.now() + FLOW_LIFETIME,
            )
            states[flow.state_hash] = state.text
            return flow

        try:
            begun = await self.flows.begin(make, situation.uid)
        except NoSlot:
            raise refusals.too_many_at_once() from None
        count_begun()
        logger.info("authorization began", datasource=f"{situation.namespace}/{situation.name}")
        return authorize_url(
            oauth2.authorize_url or "",
            client_id=oauth2.client_id or "",
            redirect_uri=callback,
            state=states[begun.state_hash],
            scopes=oauth2.scopes,
            code_challenge=None if verifier is None else s256_challenge(verifier),
            nonce=nonce,
            extra=oauth2.authorize_parameters,
        )


def _require_ticket(text: str) -> None:
    """What could be no ticket is refused without a read."""
    if not is_ticket(text):
        raise refusals.link_has_ended()


async def require_client_secret(kube: Kube, situation: Situation, settings: Settings) -> str | None:
    """Read the client secret live.

    Raises:
        Refused: it is not there or may not be used.
    """
    try:
        return await read_client_secret(
            kube, situation.namespace, situation.oauth2, require_allowed_hosts=settings.require_allowed_hosts
        )
    except (ClientSecretNotFound, InvalidSpec) as error:
        raise refusals.not_configured(str(error)) from None
    except Forbidden:
        raise refusals.not_configured(
            f"The callback server may not read Secrets in namespace {situation.namespace}. "
            "Ask whoever runs the cluster to give it the rights of deploy/ there."
        ) from None


async def require_ca_bundle(kube: Kube, situation: Situation) -> str | None:
    """Read the CA bundle live.

    Raises:
        Refused: it is not there or cannot be used.
    """
    try:
        return await read_ca_bundle(kube, situation.namespace, situation.oauth2)
    except InvalidSpec as error:
        raise refusals.not_configured(str(error)) from None
    except Forbidden:
        raise refusals.not_configured(
            f"The callback server may not read ConfigMaps in namespace {situation.namespace}. "
            "Ask whoever runs the cluster to give it the rights of deploy/ there."
        ) from None


def parse_form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a small form; empty where it is none."""
    if content_type.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return {}
    try:
        return dict(parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=10))
    except ValueError:
        return {}
