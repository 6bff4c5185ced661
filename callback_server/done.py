"""The done page: how a flow ended, with the dialog around it, and whether the Datasource is AUTHORIZED already."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import HTMLResponse

from callback_server import refusals
from callback_server.consent import Consent
from callback_server.cookie import is_same_browser
from callback_server.flows import FlowStore
from callback_server.language import Words, read_back, text
from callback_server.pages import (
    UNBRANDED,
    Banner,
    Dialog,
    Message,
    authorize_host_of,
    dialog_page,
    message_page,
    progress_page,
    refusal_page,
    time_in_words,
)
from callback_server.parameter_rows import Shown
from callback_server.references import reference_of
from callback_server.refusals import Refused
from callback_server.shared_reads import Lanes
from callback_server.signed_in.destinations import Destination
from callback_server.situation import Observer, Situation, effective_parameters
from callback_server.way_on import WayOn
from datasource.api.names import authorization_link, ticket_in
from datasource.api.objects import Datasource
from datasource.api.presets import scopes_included
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
"""How often the Datasource is read before the page is shown. The operator usually needs less than a second."""

MOST_GRANTED = 20
"""Scopes that the page shows; the status lists every one."""

PAUSE = 0.25
"""Seconds between two reads."""


MaySee = Callable[[Flow, str], Awaitable[WayOn | None]]
"""Called with a flow and the ID of its done page. It raises where the person may not see how the flow ended, and else returns
the links that lead on; None: there are none."""


async def the_browser_that_began(_flow: Flow, _done_id: str) -> WayOn | None:
    """The check where people do not sign in: the browser that began the flow may see how it ended."""
    return None


@dataclass(frozen=True, slots=True)
class DoneService:
    """The work behind `/done/{id}`: it shows how a flow ended."""

    settings: Settings
    observer: Observer
    flows: FlowStore
    lanes: Lanes
    link_keys: LinkKeyStore
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic

    async def show(self, done_id: str, cookie: str | None, may_see: MaySee = the_browser_that_began) -> HTMLResponse:
        """Make the page. It first waits up to 3 seconds for the flow to end and for the operator to see the credential.

        Raises:
            Refused: there is no such page for this browser.
        """
        key = parse_flow_key(done_id)
        if key is None:
            raise refusals.unknown_flow()
        if cookie is None:
            raise refusals.cookie_is_missing()
        # Any other browser than the one that began causes this read and no more.
        origin = flow_key_origin(key, Purpose.DONE, self.link_keys.current, utc_now())
        lane = self.lanes.lane(origin, key.digest, refused=refusals.unknown_flow())
        found = await lane.record(key, has_key=lambda found: done_id_is_of(key, found.flow))
        flow = _own_flow(key, cookie, found)
        way_on = await may_see(flow, done_id)
        # Where the API server is slow, the reads themselves take long.
        last = self.monotonic() + LOOKS * PAUSE
        for look in range(LOOKS):
            datasource = await self.observer.datasource(flow.namespace, flow.name)
            if datasource is None or datasource.metadata.uid != flow.uid:
                return refusal_page(refusals.datasource_is_gone(), way_on=way_on)
            situation = await self._situation(datasource)
            if look == LOOKS - 1 or self.monotonic() >= last or _is_over(flow, situation):
                return self._page(flow, datasource, situation, way_on)
            await self.sleep(PAUSE)
            flow = _own_flow(key, cookie, await self.flows.find(key))
        raise AssertionError("unreachable: the last look returns")

    async def _situation(self, datasource: Datasource) -> Situation | None:
        """The situation; None where the Datasource cannot be shown as it is now. The page then has only the outcome."""
        try:
            return await self.observer.situation(datasource)
        except Refused:
            return None

    def _page(
        self, flow: Flow, datasource: Datasource, situation: Situation | None, way_on: WayOn | None
    ) -> HTMLResponse:
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
                    way_on=way_on,
                )
            )
        show_reload = banner.is_success and not _is_seen_by_operator(flow, situation)
        effective = _effective(situation, flow)
        return dialog_page(
            Dialog(
                situation,
                self.settings.external_url,
                effective,
                banner=banner,
                again=again,
                show_reload=show_reload,
                branding=self.settings.branding,
                gained=tuple(gained(situation, authorize_host_of(effective))) if banner.is_success else (),
                way_on=way_on,
            )
        )

    def _link_to_begin_again(self, flow: Flow, datasource: Datasource) -> str | None:
        """The link with which this browser began, if it is still offered."""
        if flow.user is not None:
            # A person who signed in began at the page of the Datasource.
            return self.settings.external_url + Destination(flow.namespace, flow.name).path
        ticket = ticket_in(datasource.status.authorization_link)
        if ticket is None or ticket_hash(ticket) != flow.ticket_hash:
            return None
        return authorization_link(self.settings.external_url, flow.namespace, flow.name, ticket)


def _effective(situation: Situation, flow: Flow) -> Effective | None:
    """The parameters with the provider's metadata from when the flow began. For a page it is not asked again."""
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
    """Whether the page has nothing left to wait for."""
    if flow.outcome is Outcome.NOT_STORED:
        return True
    return _was_stored(flow, situation) and (situation is None or _is_seen_by_operator(flow, situation))


def _was_stored(flow: Flow, situation: Situation | None) -> bool:
    """Whether a credential was stored. Where the flow record does not show it yet, the ID of the credential does."""
    if flow.outcome is not Outcome.UNDER_WAY:
        return flow.outcome is Outcome.STORED
    return flow.claim is not None and situation is not None and situation.credential_id == flow.claim


def _is_seen_by_operator(flow: Flow, situation: Situation) -> bool:
    """Whether the state is AUTHORIZED and the used link is no longer offered."""
    ticket = ticket_in(situation.status.authorization_link)
    used_link_is_gone = ticket is None or ticket_hash(ticket) != flow.ticket_hash
    return situation.status.state == State.AUTHORIZED and used_link_is_gone


def _banner(flow: Flow, situation: Situation | None) -> Banner | None:
    if flow.outcome is Outcome.NOT_STORED:
        title, message, advice = _outcome_texts(flow)
        return Banner(title, message, is_success=False, advice=advice, reference=reference_of(flow))
    if _was_stored(flow, situation):
        return Banner(text("done.stored"), _success_message(flow, situation), is_success=True)
    return None


def _success_message(flow: Flow, situation: Situation | None) -> str:
    if situation is None:
        return text("done.cannot_be_shown")
    if not _is_seen_by_operator(flow, situation):
        return text("done.not_seen_yet")
    stored = situation.credential
    included = scopes_included(situation.oauth2.provider)
    missed = gaps(stored.facts, included) if isinstance(stored, StoredCredential) else ()
    said: str = text("done.authorized")
    for each in (*missed, text("done.nothing_left")):
        said = text("page.two", first=said, second=each)
    return said


def _outcome_texts(flow: Flow) -> tuple[str, str, str]:
    """Title, message and advice in the reader's language, or in English where another version recorded them."""
    in_english = (flow.outcome_title, flow.outcome_message, flow.outcome_advice)
    if len(flow.outcome_texts) != len(in_english):
        return tuple(Words(each) for each in in_english)  # type: ignore[return-value]
    title, message, advice = map(read_back, flow.outcome_texts, in_english)
    return title, message, advice


def gained(situation: Situation, authorize_host: str) -> Iterator[Shown]:
    """Rows for the person who consented: what was granted, for how long, and how to withdraw it."""
    if not isinstance(situation.credential, StoredCredential):
        return
    facts, consent = situation.credential.facts, Consent(situation, UNBRANDED, authorize_host)
    if facts.authorized_as is not None:
        yield Shown(text("done.authorized_as"), (facts.authorized_as,))
    granted = consent.said_of(facts.granted_scopes[:MOST_GRANTED])
    yield Shown(text("done.granted"), granted or (text("done.granted_unknown"),))
    yield Shown(text("done.access_token"), (_lifetime(facts),))
    secret = situation.spec.token_secret_name(situation.name)
    yield Shown(text("done.for_apps"), (text("done.in_secret", secret=secret),))
    service = consent.named_service
    how = (
        text("done.withdraw_or_ask", service=service, contact=consent.contact)
        if consent.contact
        else text("done.withdraw", service=service)
    )
    yield Shown(text("done.take_back"), (how,))


def _lifetime(facts: CredentialFacts) -> str:
    """How long the access token lasts, and what happens then."""
    if facts.has_refresh_token and facts.expires_at is not None:
        return text("done.renewed_before", time=time_in_words(facts.expires_at))
    if facts.has_refresh_token:
        return text("done.renewed")
    if facts.expires_at is None:
        return text("done.until_taken_back")
    return text("done.until", time=time_in_words(facts.expires_at))


def gaps(facts: CredentialFacts, included: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Sentences about what the service did not grant, for the person who can still correct it.

    `included` has the scopes that the service grants together with another one.
    """
    if missing := scopes_not_granted(facts.requested_scopes, facts.granted_scopes, included):
        yield text("done.not_granted", scopes=", ".join(missing))
    if not facts.has_refresh_token:
        if facts.expires_at is None:
            yield text("done.no_refresh_token")
        else:
            yield text("done.no_refresh_token_until", time=time_in_words(facts.expires_at))
