"""I/O: who sends a request: a browser, and perhaps a person who has signed in with it."""

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
    """No person has signed in, or the session is over. The page is the same for each of our pages, whether it exists or not."""

    def __init__(self, destination: Destination, *, was_lost: bool = False) -> None:
        super().__init__("sign in")
        self.destination = destination
        self.was_lost = was_lost


@dataclass(frozen=True, slots=True)
class Visitor:
    """One browser, and the person who has signed in with it; None: no person has."""

    browser: str = field(repr=False)
    is_new: bool
    signed_in: SignedIn | None

    def require(self, destination: Destination, *, was_lost: bool = False) -> SignedIn:
        """The person who has signed in.

        Raises:
            SignInNeeded: no person has.
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
    """Finds out which browser and which person send a request."""

    sessions: SessionStore
    external_url: str
    token_bytes: Callable[[int], bytes] = field(repr=False)

    async def of(self, request: Request) -> Visitor:
        """The visitor who sends that request.

        Raises:
            Refused: a cookie looks like ours, and another host may have set it.
            Exceeded: too many requests with that session.
            ApiError, Unavailable: the session cannot be read.
        """
        browser, session = cookie_of(request, BROWSER), cookie_of(request, SESSION)
        signed_in = None if session is None else await self.sessions.of(session)
        # If this request is refused later, the page of the refusal shows the account.
        request.state.signed_in = signed_in
        return Visitor(browser or new_cookie(self.token_bytes), browser is None, signed_in)

    def account(self, signed_in: SignedIn) -> Account:
        """The top of the person's pages: the name, and the form to sign out."""
        return Account(signed_in.user.name, self.path(SIGN_OUT), token_for(signed_in.secret, "sign-out"))

    def way_on(self, signed_in: SignedIn | None, destination: Destination = HOME) -> WayOn:
        """A link to the page where the person goes on. A person who has not signed in does so there."""
        account = None if signed_in is None else self.account(signed_in)
        return WayOn(self.path(destination.path), _label_of(destination), account)

    def path(self, path: str) -> str:
        """The path of one of our pages. It begins with the path of the external URL."""
        return urlsplit(self.external_url).path + path

    def page(self, destination: Destination = HOME) -> str:
        """The URL of one of our pages."""
        return self.external_url + destination.path


def _label_of(destination: Destination) -> str:
    if destination.namespace is None:
        return text("list.another")
    if destination.name is None:
        return text("list.title", namespace=destination.namespace)
    return f"Datasource {destination.name}"


def cookie_of(request: Request, cookie: OurCookie) -> str | None:
    """The value of a cookie of ours; None where the browser sent none.

    It does not use `request.cookies`, where Starlette puts other names under our name.

    Raises:
        Refused: another host may have set the cookie.
    """
    try:
        return cookie.value_in(request.scope["headers"])
    except LookAlike:
        raise refusals.cookie_is_not_ours() from None


def require_token(presented: str, secret: str, *said: str) -> None:
    """Check that a form is from a page that we showed to the holder of `secret`, and that it is about the current state.

    Raises:
        Refused: it is not.
    """
    if not is_form_token(presented) or not token_is_for(presented, secret, *said):
        raise refusals.form_is_not_ours()
