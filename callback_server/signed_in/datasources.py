"""I/O: lists and pages of Datasources for people who signed in, and what people request there.

The callback server asks the cluster about a person's rights before it reads anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import structlog

from callback_server import refusals
from callback_server.dialog import Beginner, DialogService, what_is_missing
from callback_server.language import text
from callback_server.pages import Dialog, Onward
from callback_server.refusals import Refused
from callback_server.security import token_for
from callback_server.signed_in.destinations import EVERYTHING, Destination
from callback_server.signed_in.gate import needed
from callback_server.signed_in.pages import Button, ClearPage, DatasourcePage, ListPage, choices_of, rows_of, told_of
from callback_server.signed_in.rights import Rights, Verb
from callback_server.signed_in.sessions import SignedIn
from callback_server.signed_in.visitors import Visitors, require_token
from callback_server.situation import Situation, effective_parameters
from datasource.api.states import State
from datasource.cluster.api_errors import ApiError, Expired
from datasource.cluster.kube import Kube
from datasource.cluster.page_requests import NotAsked, PageRequests
from datasource.cluster.resources import DATASOURCES
from datasource.records.contents import StoredCredential
from datasource.records.effective import Effective
from datasource.records.history import By, read_history
from datasource.records.page_request import RequestKind
from datasource.records.ticket import ticket_scope

logger = structlog.get_logger(__name__)

PAGE_SIZE = 100

_LONGEST_CONTINUE = 2048

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class DatasourceService:
    """The service behind the routes `/datasources/...`."""

    kube: Kube
    rights: Rights
    dialog: DialogService
    requests: PageRequests
    visitors: Visitors

    async def listed(
        self, signed_in: SignedIn, namespace: str | None, state: State | None, continue_: str
    ) -> ListPage | None:
        """One page of the list of Datasources; None where the list must start again at its first page.

        It must start again where the continue token has expired, is too long, or is not from the API server.

        Args:
            signed_in: the person who looks.
            namespace: the namespace; None: all namespaces, for a person who may list them all.
            state: only Datasources in this state; None: all of them.
            continue_: the continue token of the page before; empty for the first page.

        Raises:
            Refused: the person may not list them, or the CRD is of another version.
            Exceeded: the user was denied too often lately.
            ApiError, Unavailable: the API server refused or did not answer.
        """
        await self.rights.require(signed_in.user, Verb.LIST, namespace)
        if len(continue_) > _LONGEST_CONTINUE:
            return None
        try:
            found = await self.kube.table(
                DATASOURCES,
                namespace,
                page_size=PAGE_SIZE,
                continue_=continue_,
                # The API server filters by state. So a page is full even where that state is rare.
                field_selector="" if state is None else f"status.state={state}",
            )
        except ApiError as error:
            if continue_ and (isinstance(error, Expired) or error.status == 400):
                return None
            raise
        try:
            rows = rows_of(found, lambda *place: self.visitors.path(Destination(*place).path), namespace)
        except KeyError:
            logger.error("the CRD is of another version: its Datasources have no column Namespace. Apply it again")
            raise refusals.sign_in_is_not_ready() from None
        path = self.visitors.path((EVERYTHING if namespace is None else Destination(namespace)).path)
        query = ({} if state is None else {"state": state}) | {"continue": found.continue_}
        return ListPage(
            account=self.visitors.account(signed_in),
            namespace=namespace,
            home=self.visitors.path("/"),
            rows=rows,
            next_page=f"{path}?{urlencode(query)}" if found.continue_ else None,
            choices=choices_of(path, state),
        )

    async def shown(self, signed_in: SignedIn, place: Place) -> DatasourcePage:
        """The page of a Datasource.

        Raises:
            Refused: the person may not see it, it does not exist, or it cannot be shown.
            Exceeded: too many requests of that namespace wait for a provider.
            ApiError, Unavailable: the API server refused or did not answer.
        """
        await self.rights.require(signed_in.user, Verb.GET, *place)
        situation = await self._situation(place)
        allowed = {
            verb: await self.rights.allows(signed_in.user, verb, *place, anew=False)
            for verb in (Verb.AUTHORIZE, Verb.PATCH)
        }
        why, effective = _why_not(situation, allowed), None
        if why is None:
            try:
                effective = await self._effective(situation)
            except Refused as refused:
                why = text("datasource.cannot_authorize", why=refused.message)
        can_change = allowed[Verb.PATCH] and isinstance(situation.credential, StoredCredential)
        return DatasourcePage(
            account=self.visitors.account(signed_in),
            list_path=self.visitors.path(Destination(place[0]).path),
            dialog=Dialog(
                situation, self.dialog.settings.external_url, effective, branding=self.dialog.settings.branding
            ),
            authorize=None if effective is None else self._begin_button(signed_in, situation, effective),
            why_no_button=why or "",
            refresh=(
                self._request_button(signed_in, situation, RequestKind.REFRESH)
                if can_change and _can_refresh(situation)
                else None
            ),
            clear_path=self._path(situation, "/clear") if can_change else None,
            pending=_pending(situation),
            history=self._history(situation),
        )

    async def begin(self, signed_in: SignedIn, place: Place, token: str, browser: str) -> Onward:
        """Begin an authorization. Returns the URL at the provider.

        Raises:
            Refused: the person may not, the form does not fit, or the Datasource does not allow it. Nothing was started.
            Exceeded: a limit is reached. Nothing was started.
            ApiError, Unavailable: the API server refused or did not answer.
        """
        for verb in (Verb.GET, Verb.AUTHORIZE):
            await self.rights.require(signed_in.user, verb, *place, anew=True)
        situation = await self._situation(place)
        if Verb.PATCH in needed(situation):
            await self.rights.require(signed_in.user, Verb.PATCH, *place, anew=True)
        if situation.spec.suspend:
            raise refusals.suspended()

        def saw(live: Situation, *shown: str) -> bool:
            require_token(token, signed_in.secret, *_begun(live), *shown)
            return True

        click = (signed_in.user.name, situation.uid)
        return await self.dialog.begin_for(situation, Beginner(browser, click, saw, user=signed_in.user))

    async def asks_to_clear(self, signed_in: SignedIn, place: Place) -> ClearPage:
        """The page that asks for confirmation before a clear. It changes nothing.

        Raises:
            Refused: the person may not clear the credential, or there is none.
            Exceeded: the user was denied too often lately.
            ApiError, Unavailable: the API server refused or did not answer.
        """
        for verb in (Verb.GET, Verb.PATCH):
            await self.rights.require(signed_in.user, verb, *place)
        situation = await self._situation(place)
        if not isinstance(situation.credential, StoredCredential):
            raise refusals.nothing_to_ask(NotAsked.NO_CREDENTIAL)
        return ClearPage(
            account=self.visitors.account(signed_in),
            namespace=situation.namespace,
            name=situation.name,
            whose=situation.status.authorized_as,
            form=self._request_button(signed_in, situation, RequestKind.CLEAR),
            back=self._path(situation),
        )

    async def ask(self, signed_in: SignedIn, place: Place, kind: RequestKind, form: Mapping[str, str]) -> None:
        """Request a clear or a refresh of the credential that the person saw. The operator carries it out.

        If the credential is already gone, a clear is no error. That happens when a person presses the button twice.

        Raises:
            Refused: the person may not, the form is not from a page that we showed, or there is nothing to clear or refresh.
            Exceeded: the user was denied too often lately.
            ApiError, Unavailable: the API server refused or did not answer.
        """
        for verb in (Verb.GET, Verb.PATCH):
            await self.rights.require(signed_in.user, verb, *place, anew=True)
        situation = await self._situation(place)
        seen = form.get("seen", "")
        require_token(form.get("token", ""), signed_in.secret, *_asked(situation, kind, seen))
        answer = await self.requests.ask(place, kind, owner=situation.uid, user=signed_in.user.name, seen=seen)
        if answer is NotAsked.NO_CREDENTIAL and kind is RequestKind.CLEAR:
            return
        if isinstance(answer, NotAsked):
            raise refusals.nothing_to_ask(answer)
        self.rights.trail.asked(answer, place)

    async def may_see(self, signed_in: SignedIn, place: Place) -> None:
        """Check that a person may see a Datasource.

        Raises:
            Refused: the person may not.
            Exceeded: the user was denied too often lately.
        """
        await self.rights.require(signed_in.user, Verb.GET, *place)

    async def _situation(self, place: Place) -> Situation:
        datasource = await self.dialog.observer.datasource(*place)
        if datasource is None:
            raise refusals.no_such_datasource(*place)
        return await self.dialog.observer.situation(datasource)

    async def _effective(self, situation: Situation) -> Effective:
        with what_is_missing(situation):
            ca_bundle = await self.dialog.clients.ca_bundle(situation.namespace, situation.oauth2)
        return effective_parameters(situation, await self.dialog.observer.metadata(situation, ca_bundle))

    def _history(self, situation: Situation) -> tuple[tuple[str, ...], ...]:
        """The history, the latest entry first. An entry without a valid mark is shown as `unproven`.

        Accounts that may edit the Secret can write entries, too. Such an entry must not show a person's name.
        """
        keys, now = self.requests.link_keys(), self.requests.now()
        place = (situation.namespace, situation.name)
        entries = read_history(None if situation.credential is None else situation.credential.history)
        return tuple(
            told_of(entry, entry.by if entry.is_ours(keys, place, now) else By.UNPROVEN) for entry in reversed(entries)
        )

    def _begin_button(self, signed_in: SignedIn, situation: Situation, effective: Effective) -> Button:
        shown = (effective.authorize_url, effective.token_url)
        return Button(self._path(situation, "/authorize"), token_for(signed_in.secret, *_begun(situation), *shown))

    def _request_button(self, signed_in: SignedIn, situation: Situation, kind: RequestKind) -> Button:
        seen = situation.credential_id
        return Button(
            self._path(situation, f"/{kind}"), token_for(signed_in.secret, *_asked(situation, kind, seen)), seen
        )

    def _path(self, situation: Situation, below: str = "") -> str:
        return self.visitors.path(Destination(situation.namespace, situation.name).path + below)


def _begun(situation: Situation) -> tuple[str, ...]:
    """What the authorize form is bound to: the Datasource, its parameters, and the credential that a new one would replace."""
    scope = ticket_scope(situation.uid, situation.oauth2, situation.credential)
    return ("authorize", situation.namespace, situation.name, scope.uid, scope.parameters_hash, scope.replaces)


def _asked(situation: Situation, kind: RequestKind, seen: str) -> tuple[str, ...]:
    """What the form for a request is bound to: the kind of request, the Datasource, and the ID of the credential.

    The form sends that ID along. So its token can be checked even if another credential is stored by now.
    """
    return (kind, situation.namespace, situation.name, situation.uid, seen)


def _why_not(situation: Situation, allowed: dict[Verb, bool]) -> str | None:
    """Why there is no button to get a credential; None where there is one."""
    if not allowed[Verb.AUTHORIZE]:
        return text("datasource.may_not_authorize")
    if Verb.PATCH in needed(situation) and not allowed[Verb.PATCH]:
        return text("datasource.may_not_replace")
    if situation.spec.suspend:
        return text("datasource.suspended")
    return None


def _can_refresh(situation: Situation) -> bool:
    stored = situation.credential
    return isinstance(stored, StoredCredential) and stored.facts.has_refresh_token and stored.facts.verdict is None


def _pending(situation: Situation) -> str:
    stored = situation.credential
    asked = stored.facts.page_request if isinstance(stored, StoredCredential) else None
    if asked is None:
        return ""
    is_clear = asked.kind is RequestKind.CLEAR
    return text("datasource.clear_is_pending") if is_clear else text("datasource.refresh_is_pending")
