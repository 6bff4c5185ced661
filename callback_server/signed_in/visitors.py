"""I/O: who stands before a page: a browser, and perhaps somebody who has signed in with it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from callback_server import refusals
from callback_server.cookie import BROWSER, LookAlike, OurCookie, new_cookie
from callback_server.language import text
from callback_server.security import is_form_token, token_for, token_is_for
from callback_server.signed_in.destinations import HOME, Destination
from callback_server.signed_in.sessions import SESSION, SessionStore, SignedIn
from callback_server.way_on import Account, WayOn


class SignInNeeded(Exception):
    """Nobody has signed in, or the session is over: the page is the same for each of our pages, whatever stands behind it."""

    def __init__(self, destination: Destination, *, was_lost: bool = False) -> None:
        super().__init__("sign in")
        self.destination = destination
        self.was_lost = was_lost


@dataclass(frozen=True, slots=True)
class Visitor:
    """One browser, and who has signed in with it."""

    browser: str = field(repr=False)
    is_new: bool
    signed_in: SignedIn | None

    def require(self, destination: Destination, *, was_lost: bool = False) -> SignedIn:
        """Who it is.

        Raises:
            SignInNeeded: nobody.
        """
        if self.signed_in is None:
            raise SignInNeeded(destination, was_lost=was_lost)
        return self.signed_in

    def take_along(self, response: Response) -> Response:
        """Give a new browser its cookie."""
        if self.is_new:
            response.headers.append("Set-Cookie", BROWSER.header(self.browser))
        return response


SIGN_OUT = "/sign-out"


@dataclass(frozen=True, slots=True)
class Visitors:
    """Tells who comes."""

    sessions: SessionStore
    external_url: str
    token_bytes: Callable[[int], bytes] = field(repr=False)

    async def of(self, request: Request) -> Visitor:
        """Who comes with that request.

        Raises:
            Refused: a cookie is in the way that another host may have set.
            Exceeded: that session is asked for too often.
            ApiError, Unavailable: it cannot be looked up.
        """
        browser, session = cookie_of(request, BROWSER), cookie_of(request, SESSION)
        signed_in = None if session is None else await self.sessions.of(session)
        # For the page that tells of a refusal, whatever is refused from here on.
        request.state.signed_in = signed_in
        return Visitor(browser or new_cookie(self.token_bytes), browser is None, signed_in)

    def account(self, signed_in: SignedIn) -> Account:
        """What stands at the top of their pages."""
        return Account(signed_in.user.name, self.path(SIGN_OUT), token_for(signed_in.secret, "sign-out"))

    def way_on(self, signed_in: SignedIn | None, destination: Destination = HOME) -> WayOn:
        """A page where they, or whoever is to sign in, go on."""
        account = None if signed_in is None else self.account(signed_in)
        return WayOn(self.path(destination.path), _label_of(destination), account)

    def path(self, path: str) -> str:
        """The path of a page of ours, below that of the external URL."""
        return urlsplit(self.external_url).path + path

    def page(self, destination: Destination = HOME) -> str:
        """The URL of a page of ours."""
        return self.external_url + destination.path


def _label_of(destination: Destination) -> str:
    if destination.namespace is None:
        return text("list.another")
    if destination.name is None:
        return text("list.title", namespace=destination.namespace)
    return f"Datasource {destination.name}"


def cookie_of(request: Request, cookie: OurCookie) -> str | None:
    """Not `request.cookies`: Starlette folds what is not our name into it.

    Raises:
        Refused: somebody else may have set it.
    """
    try:
        return cookie.value_in(request.scope["headers"])
    except LookAlike:
        raise refusals.cookie_is_not_ours() from None


def require_token(presented: str, secret: str, *said: str) -> None:
    """Check that a form is of a page that we showed to whoever has that secret, about what is there now.

    Raises:
        Refused: it is not.
    """
    if not is_form_token(presented) or not token_is_for(presented, secret, *said):
        raise refusals.form_is_not_ours()
