"""The routes of people who sign in, below the path of the external URL. No decisions are made here."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from callback_server import refusals
from callback_server.cookie import BROWSER, new_cookie
from callback_server.dialog import parse_form
from callback_server.form_body import body_of
from callback_server.language import text
from callback_server.pages import Message, Onward, message_page, onward_page
from callback_server.refusals import Kind, Refused
from callback_server.security import is_from_our_page, is_navigation, token_for
from callback_server.signed_in.datasources import DatasourceService, Place
from callback_server.signed_in.destinations import EVERYTHING, HOME, NAME, NAMESPACE, Destination, destination_of
from callback_server.signed_in.gate import Gate
from callback_server.signed_in.pages import (
    HomePage,
    SignInPage,
    clear_page,
    datasource_page,
    home_page,
    list_page,
    sign_in_page,
)
from callback_server.signed_in.sessions import SESSION, SessionStore, SignedIn
from callback_server.signed_in.sign_in import PATH, NotStored, SignInService
from callback_server.signed_in.under_way import SIGN_IN
from callback_server.signed_in.visitors import SIGN_OUT, SignInNeeded, Visitor, Visitors, cookie_of, require_token
from callback_server.way_on import WayOn
from datasource.api.states import State
from datasource.process.settings import Settings
from datasource.records.flow import Flow
from datasource.records.page_request import RequestKind

BODY_SECONDS = 10.0

_Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class People:
    """What the routes call. It exists only where sign-in is on."""

    sign_in: SignInService
    sessions: SessionStore
    visitors: Visitors
    datasources: DatasourceService
    gate: Gate
    settings: Settings

    async def name_of(self, request: Request) -> str | None:
        """The name of the person who signed in with the browser that comes back from a provider; None: no person has."""
        signed_in = (await self.visitors.of(request)).signed_in
        return None if signed_in is None else signed_in.user.name

    async def check_may_see(self, request: Request, flow: Flow, done_id: str) -> WayOn | None:
        """Check that a person may see how an authorization ended: it is the person who began it, and still has the right.

        Returns the page where the person goes on; None for an authorization that began with a link.

        Raises:
            SignInNeeded: no person has signed in.
            Refused: another person began it, or the right is gone.
        """
        if flow.user is None:
            return None
        signed_in = (await self.visitors.of(request)).require(Destination(done_id=done_id))
        if signed_in.user.name != flow.user.name:
            raise refusals.another_person_authorized()
        await self.datasources.may_see(signed_in, (flow.namespace, flow.name))
        return self.visitors.way_on(signed_in, Destination(flow.namespace, flow.name))

    def way_on(self, request: Request, refused: Refused, place: tuple[str | None, str | None]) -> WayOn | None:
        """The page where a person goes on after a refusal; None where no person has signed in.

        After a sign-in that was refused, it is the first page.
        """
        if request.scope["path"] in {self.visitors.path("/sign-in"), self.visitors.path(PATH)}:
            # An earlier session does not matter here: this page is about a new sign-in.
            return self.visitors.way_on(None)
        signed_in = getattr(request.state, "signed_in", None)
        return None if signed_in is None else self.visitors.way_on(signed_in, nearest(refused.kind, *place))

    def sign_in_page(self, request: Request, needed: SignInNeeded) -> Response:
        """The page with the button that leads to the issuer."""
        browser = cookie_of(request, BROWSER)
        visitor = Visitor(browser or new_cookie(self.visitors.token_bytes), browser is None, None)
        leads_to = needed.destination.path
        page = SignInPage(
            action=self.visitors.path("/sign-in"),
            leads_to=leads_to,
            token=token_for(visitor.browser, "sign-in", leads_to),
            issuer_host=urlsplit(self.sign_in.issuer.settings.issuer).netloc,
            branding=self.settings.branding,
            was_lost=needed.was_lost,
        )
        status = HTTPStatus.FORBIDDEN if needed.was_lost else HTTPStatus.OK
        return visitor.take_along(sign_in_page(page, status))


def people_routes(people: People) -> list[Route]:
    """All routes of people who sign in."""
    visitors = people.visitors

    async def home(request: Request) -> Response:
        visitor, signed_in = await _looking(visitors, request, HOME)
        path = visitors.path(EVERYTHING.path)
        all_path = path if people.datasources.rights.everything_is_served else None
        page = HomePage(visitors.account(signed_in), path, signed_in.user.groups, all_path=all_path)
        return visitor.take_along(home_page(page))

    async def find(request: Request) -> Response:
        """The list of all namespaces, or a redirect to the list of one.

        The form of the first page sends a namespace in the query. The page of a namespace has it in its path.
        """
        if "namespace" not in request.query_params:
            return await listed(request, EVERYTHING)
        namespace = request.query_params["namespace"].strip().lower()
        destination = Destination(namespace) if NAMESPACE.fullmatch(namespace) else HOME
        return RedirectResponse(visitors.page(destination), HTTPStatus.SEE_OTHER)

    async def listing(request: Request) -> Response:
        return await listed(request, Destination(_namespace(request)))

    async def listed(request: Request, destination: Destination) -> Response:
        visitor, signed_in = await _looking(visitors, request, destination)
        query = request.query_params
        state = next((each for each in State if each == query.get("state")), None)
        found = await people.datasources.listed(signed_in, destination.namespace, state, query.get("continue", ""))
        if found is None:
            return RedirectResponse(visitors.page(destination), HTTPStatus.SEE_OTHER)
        return visitor.take_along(list_page(found))

    async def datasource(request: Request) -> Response:
        place = _place(request)
        visitor, signed_in = await _looking(visitors, request, Destination(*place))
        return visitor.take_along(datasource_page(await people.datasources.shown(signed_in, place)))

    async def get_credential(request: Request) -> Response:
        place = _place(request)
        visitor, signed_in, form = await _acting(people, request, Destination(*place))
        token = form.get("token", "")
        return onward_page(await people.datasources.begin(signed_in, place, token, visitor.browser))

    async def clear(request: Request) -> Response:
        place = _place(request)
        if request.method == "POST":
            return await ask(request, place, RequestKind.CLEAR)
        visitor, signed_in = await _looking(visitors, request, Destination(*place))
        return visitor.take_along(clear_page(await people.datasources.asks_to_clear(signed_in, place)))

    async def refresh(request: Request) -> Response:
        return await ask(request, _place(request), RequestKind.REFRESH)

    async def ask(request: Request, place: Place, kind: RequestKind) -> Response:
        _, signed_in, form = await _acting(people, request, Destination(*place))
        await people.datasources.ask(signed_in, place, kind, form)
        return RedirectResponse(visitors.page(Destination(*place)), HTTPStatus.SEE_OTHER)

    async def sign_in(request: Request) -> Response:
        _require_ours(people, request)
        form = await _form(request)
        browser = cookie_of(request, BROWSER)
        if browser is None:
            raise refusals.cookie_is_missing()
        leads_to = form.get("to", "")
        require_token(form.get("token", ""), browser, "sign-in", leads_to)
        began = await people.sign_in.begin(destination_of(leads_to), browser)
        page = onward_page(Onward("", "", began.url), "onward_to_sign_in.html")
        page.headers.append("Set-Cookie", SIGN_IN.header(began.cookie))
        return page

    async def signed_in(request: Request) -> Response:
        visitor = await visitors.of(request)
        browser = None if visitor.is_new else visitor.browser
        query, under_way = request.scope["query_string"], cookie_of(request, SIGN_IN)
        try:
            made, destination = await people.sign_in.finish(query, under_way, browser, visitor.signed_in)
        except NotStored as error:
            return RedirectResponse(visitors.page(error.destination), HTTPStatus.SEE_OTHER)
        except Refused as refused:
            if refused.kind is not Kind.THIS_SIGN_IN_IS_NOT_KNOWN or visitor.signed_in is None:
                raise
            # Two tabs asked to sign in, and the other one was faster. So the person is signed in already.
            return RedirectResponse(visitors.page(), HTTPStatus.SEE_OTHER)
        # A clean URL: code and state leave the address bar and the history.
        response = RedirectResponse(visitors.page(destination), HTTPStatus.SEE_OTHER)
        response.headers.append("Set-Cookie", SESSION.header(made.secret))
        response.headers.append("Set-Cookie", SIGN_IN.removal)
        return response

    async def sign_out(request: Request) -> Response:
        if request.method != "POST":
            return await signed_out(request)
        _require_ours(people, request)
        visitor = await visitors.of(request)
        if visitor.signed_in is not None:
            form = await _form(request)
            require_token(form.get("token", ""), visitor.signed_in.secret, "sign-out")
            await people.sessions.end(visitor.signed_in)
            people.sign_in.trail.went_out(visitor.signed_in.user)
        # To a page with a URL of its own. So the back button never sends the form again.
        response = RedirectResponse(f"{visitors.external_url}{SIGN_OUT}", HTTPStatus.SEE_OTHER)
        response.headers.append("Set-Cookie", SESSION.removal)
        # A new cookie: the next person at this browser cannot finish what this person started.
        response.headers.append("Set-Cookie", BROWSER.header(new_cookie(visitors.token_bytes)))
        return response

    async def signed_out(request: Request) -> Response:
        if not is_navigation(request.headers):
            raise refusals.form_is_not_ours()
        visitor = await visitors.of(request)
        if visitor.signed_in is not None:
            # Opening this URL ends no session. The person has signed in again since the sign-out.
            return RedirectResponse(visitors.page(), HTTPStatus.SEE_OTHER)
        said = Message(
            text("account.signed_out"),
            text("account.signed_out_message"),
            text("account.signed_out_advice"),
            again=visitors.path("/"),
            again_label=text("account.sign_in_again"),
            branding=people.settings.branding,
        )
        return visitor.take_along(message_page(said))

    way_back = Route(PATH, signed_in)
    # Starlette adds HEAD to GET. A program that checks the link with HEAD must not spend the code.
    way_back.methods = {"GET"}
    one = "/datasources/{namespace}/{name}"
    return [
        Route("/", home),
        Route(EVERYTHING.path, find),
        Route("/datasources/{namespace}", listing),
        Route(one, datasource),
        Route(f"{one}/authorize", get_credential, methods=["POST"]),
        Route(f"{one}/clear", clear, methods=["GET", "POST"]),
        Route(f"{one}/refresh", refresh, methods=["POST"]),
        Route("/sign-in", sign_in, methods=["POST"]),
        way_back,
        Route(SIGN_OUT, sign_out, methods=["GET", "POST"]),
    ]


def nearest(kind: Kind, namespace: str | None, name: str | None) -> Destination:
    """The page nearest to a refused one that the person can probably see."""
    if namespace is None or kind is Kind.NOT_ALLOWED:
        return HOME
    return Destination(namespace) if kind is Kind.THERE_IS_NO_SUCH_DATASOURCE else Destination(namespace, name)


async def _looking(visitors: Visitors, request: Request, destination: Destination) -> tuple[Visitor, SignedIn]:
    """The visitor and the person of a request that only shows a page. Scripts and frames are refused."""
    if not is_navigation(request.headers):
        raise refusals.form_is_not_ours()
    visitor = await visitors.of(request)
    return visitor, visitor.require(destination)


async def _acting(
    people: People, request: Request, destination: Destination
) -> tuple[Visitor, SignedIn, dict[str, str]]:
    """The visitor, the person and the form of a request that changes something.

    Without a live session, a page asks the person to sign in, and nothing is changed.
    """
    _require_ours(people, request)
    visitor = await people.visitors.of(request)
    signed_in = visitor.require(destination, was_lost=True)
    if visitor.is_new:
        raise refusals.cookie_is_missing()
    return visitor, signed_in, await _form(request)


def _require_ours(people: People, request: Request) -> None:
    if not is_from_our_page(request.headers, people.settings.external_url):
        raise refusals.form_is_not_ours()


async def _form(request: Request) -> dict[str, str]:
    return parse_form(request.headers.get("content-type", ""), await body_of(request, seconds=BODY_SECONDS))


def _namespace(request: Request) -> str:
    namespace: str = request.path_params["namespace"]
    if not NAMESPACE.fullmatch(namespace):
        raise refusals.page_not_found()
    return namespace


def _place(request: Request) -> Place:
    name: str = request.path_params["name"]
    if not NAME.fullmatch(name):
        raise refusals.page_not_found()
    return _namespace(request), name
