"""The done page: how a flow ended, with the dialog around it; honest about whether the state is AUTHORIZED already."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from starlette.responses import HTMLResponse

from callback_server import refusals
from callback_server.consent import Consent
from callback_server.cookie import is_same_browser
from callback_server.flows import FlowStore
from callback_server.looks import Looks
from callback_server.pages import (
    UNBRANDED,
    Banner,
    Dialog,
    Message,
    dialog_page,
    message_page,
    progress_page,
    refusal_page,
    time_in_words,
)
from callback_server.parameter_rows import Shown
from callback_server.references import reference_of
from callback_server.refusals import Refused
from callback_server.situation import Observer, Situation, effective_parameters
from datasource.api.clock import rfc3339
from datasource.api.names import authorization_link, ticket_in
from datasource.api.objects import Datasource
from datasource.api.states import State
from datasource.cluster.link_keys import LinkKeyStore
from datasource.oauth2.scopes import scopes_not_granted
from datasource.process.clock import utc_now
from datasource.process.settings import Settings
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialFacts
from datasource.records.effective import Effective
from datasource.records.flow import Flow, FlowKey, Outcome, StoredFlow, done_id_is_of, flow_key_origin, parse_flow_key
from datasource.records.link_keys import Purpose
from datasource.records.ticket import ticket_hash

LOOKS = 12
"""How often the page looks for news before it is shown: the operator usually needs less than a second."""

MOST_GRANTED = 20
"""Scopes that are told; the status lists every one."""

PAUSE = 0.25
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class DoneService:
    """What stands behind `/done/{id}`."""

    settings: Settings
    observer: Observer
    flows: FlowStore
    looks: Looks
    link_keys: LinkKeyStore
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def show(self, done_id: str, cookie: str | None) -> HTMLResponse:
        """The page; waits a moment for the flow to end and the operator to see it.

        Raises:
            Refused: there is no such page for this browser.
        """
        key = parse_flow_key(done_id)
        if key is None:
            raise refusals.unknown_flow()
        if cookie is None:
            raise refusals.cookie_is_missing()
        # Whoever is not the browser that began gets no further than this look.
        origin = flow_key_origin(key, Purpose.DONE, self.link_keys.current, utc_now())
        lane = self.looks.lane(origin, key.digest, refused=refusals.unknown_flow())
        found = await lane.record(key, has_key=lambda found: done_id_is_of(key, found.flow))
        flow = _own_flow(key, cookie, found)
        for look in range(LOOKS):
            datasource = await self.observer.datasource(flow.namespace, flow.name)
            if datasource is None or datasource.metadata.uid != flow.uid:
                return refusal_page(refusals.datasource_is_gone())
            situation = await self._situation(datasource)
            if look == LOOKS - 1 or _is_over(flow, situation):
                return self._page(flow, datasource, situation)
            await self.sleep(PAUSE)
            flow = _own_flow(key, cookie, await self.flows.find(key))
        raise AssertionError("unreachable: the last look returns")

    async def _situation(self, datasource: Datasource) -> Situation | None:
        """None where the Datasource cannot be shown as it is now; the outcome can."""
        try:
            return await self.observer.situation(datasource)
        except Refused:
            return None

    def _page(self, flow: Flow, datasource: Datasource, situation: Situation | None) -> HTMLResponse:
        banner = _banner(flow, situation)
        if banner is None:
            return progress_page()
        again = None if banner.is_success else self._link_to_begin_again(flow, datasource)
        if situation is None:
            return message_page(
                Message(
                    banner.title,
                    banner.message,
                    banner.advice,
                    again=again,
                    reference=banner.reference,
                    branding=self.settings.branding,
                )
            )
        show_reload = banner.is_success and not _is_seen_by_operator(flow, situation)
        return dialog_page(
            Dialog(
                situation,
                self.settings.external_url,
                _effective(situation, flow),
                banner=banner,
                again=again,
                show_reload=show_reload,
                branding=self.settings.branding,
                gained=tuple(gained(situation)) if banner.is_success else (),
            )
        )

    def _link_to_begin_again(self, flow: Flow, datasource: Datasource) -> str | None:
        """The link with which this browser began, if it is still offered."""
        ticket = ticket_in(datasource.status.authorization_link)
        if ticket is None or ticket_hash(ticket) != flow.ticket_hash:
            return None
        return authorization_link(self.settings.external_url, flow.namespace, flow.name, ticket)


def _effective(situation: Situation, flow: Flow) -> Effective | None:
    """With what the provider said when the flow began; that it is shown is not worth asking it again."""
    try:
        return effective_parameters(situation, flow.metadata)
    except Refused:
        return None


def _own_flow(key: FlowKey, cookie: str, stored: StoredFlow | None) -> Flow:
    if stored is None or not done_id_is_of(key, stored.flow):
        raise refusals.unknown_flow()
    if not is_same_browser(cookie, stored.flow.cookie_hash):
        raise refusals.cookie_is_missing()
    return stored.flow


def _is_over(flow: Flow, situation: Situation | None) -> bool:
    """Whether there is nothing left to wait for."""
    if flow.outcome is Outcome.NOT_STORED:
        return True
    return _was_stored(flow, situation) and (situation is None or _is_seen_by_operator(flow, situation))


def _was_stored(flow: Flow, situation: Situation | None) -> bool:
    """The record may lag behind, or never have been written: the credential itself tells, too."""
    if flow.outcome is not Outcome.UNDER_WAY:
        return flow.outcome is Outcome.STORED
    return flow.claim is not None and situation is not None and situation.credential_id == flow.claim


def _is_seen_by_operator(flow: Flow, situation: Situation) -> bool:
    """AUTHORIZED, and the link that was used is gone."""
    ticket = ticket_in(situation.status.authorization_link)
    used_link_is_gone = ticket is None or ticket_hash(ticket) != flow.ticket_hash
    return situation.status.state == State.AUTHORIZED and used_link_is_gone


def _banner(flow: Flow, situation: Situation | None) -> Banner | None:
    if flow.outcome is Outcome.NOT_STORED:
        return Banner(
            flow.outcome_title,
            flow.outcome_message,
            is_success=False,
            advice=flow.outcome_advice,
            reference=reference_of(flow),
        )
    if _was_stored(flow, situation):
        return Banner("The new credential was stored", _success_message(flow, situation), is_success=True)
    return None


def _success_message(flow: Flow, situation: Situation | None) -> str:
    if situation is None:
        return "The Datasource cannot be shown as it is now: look at its state with kubectl describe."
    if not _is_seen_by_operator(flow, situation):
        return "The operator has not taken it up yet."
    stored = situation.credential
    missed = "".join(f" {gap}" for gap in gaps(stored.facts)) if isinstance(stored, StoredCredential) else ""
    return f"The Datasource is AUTHORIZED.{missed} There is nothing more to do. You can close this page."


def gained(situation: Situation) -> Iterator[Shown]:
    """What whoever consented should know: what was granted, for how long, and how to take it back."""
    if not isinstance(situation.credential, StoredCredential):
        return
    facts, consent = situation.credential.facts, Consent(situation, UNBRANDED, "")
    if facts.authorized_as is not None:
        yield Shown("Authorized as", (facts.authorized_as,))
    granted = tuple(consent.words(scope) for scope in facts.granted_scopes[:MOST_GRANTED])
    yield Shown("Granted", granted or ("what the service told you",))
    yield Shown("Access token", (_lifetime(facts),))
    yield Shown("For the apps", (f"in Secret {situation.spec.token_secret_name(situation.name)}",))
    who = f" or ask {consent.contact}" if consent.contact else ""
    service = "the service" if situation.oauth2.preset is None else consent.service
    yield Shown("To take it back", (f"withdraw the access in your account at {service}{who}",))


def _lifetime(facts: CredentialFacts) -> str:
    """How long what was granted lasts, and what happens then."""
    if facts.has_refresh_token and facts.expires_at is not None:
        return f"renewed by itself, for the first time before {time_in_words(facts.expires_at)}"
    if facts.has_refresh_token:
        return "renewed by itself"
    return "until you take it back" if facts.expires_at is None else f"until {time_in_words(facts.expires_at)}"


def gaps(facts: CredentialFacts) -> Iterator[str]:
    """What will be missed later, for the one who can mend it now."""
    if missing := scopes_not_granted(facts.requested_scopes, facts.granted_scopes):
        yield f"The service did not grant all that was asked for; this is missing: {', '.join(missing)}."
    if not facts.has_refresh_token:
        when = "when the access token runs out" if facts.expires_at is None else f"at {rfc3339(facts.expires_at)}"
        yield f"The service gave no refresh token, so somebody has to come back {when}."
