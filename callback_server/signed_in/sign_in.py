"""Sign-in, from the button to the session. Nothing is stored before the id_token is verified."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from callback_server import refusals
from callback_server.cookie import is_same_browser
from callback_server.limits import Bulkhead, Clicks
from callback_server.signed_in.destinations import Destination, destination_of
from callback_server.signed_in.issuer import Issuer
from callback_server.signed_in.sessions import NoKeys, SessionStore, SignedIn
from callback_server.signed_in.trail import Trail
from callback_server.signed_in.under_way import UnderWay, begun, opened, sealed
from datasource.cluster.api_errors import ApiError, Unavailable
from datasource.cluster.link_keys import LinkKeyStore
from datasource.oauth2.callback import AuthorizationResponse, RefusedCallback, parse_callback

logger = structlog.get_logger(__name__)

PATH = "/signed-in"
"""Where the issuer sends browsers back to, below the external URL."""

_ALL = "sign-in"


class Tries(Clicks):
    """How often one sign-in may be finished. A code that the issuer refused may be sent once or twice more."""

    PER_LINK = (0.05, 3)


class NotStored(Exception):
    """A code was spent, but no session could be stored. A reload would send the spent code again."""

    def __init__(self, destination: Destination) -> None:
        super().__init__(destination.path)
        self.destination = destination
        """The page that the sign-in leads to. It asks the person to sign in again."""


@dataclass(frozen=True, slots=True)
class Began:
    """A sign-in that has started: the URL at the issuer, and the cookie."""

    url: str
    cookie: str
    """The value of the sign-in cookie."""


@dataclass(frozen=True, slots=True)
class SignInService:
    """The service behind `/sign-in` and `/signed-in`."""

    issuer: Issuer
    sessions: SessionStore
    external_url: str
    link_keys: LinkKeyStore
    bulkhead: Bulkhead
    tries: Tries
    trail: Trail
    now: Callable[[], datetime]
    token_bytes: Callable[[int], bytes] = secrets.token_bytes

    @property
    def redirect_uri(self) -> str:
        """The redirect URI to register at the issuer."""
        return self.external_url + PATH

    async def begin(self, destination: Destination, browser: str) -> Began:
        """Begin a sign-in that leads to one of our pages. `browser` is the browser's cookie.

        Raises:
            Refused: it cannot begin now.
            Exceeded: too many people sign in at this moment.
        """
        under_way = begun(browser, destination.path, self.now(), self.token_bytes)
        cookie = sealed(under_way, self.link_keys.current, self.now())
        if cookie is None:
            logger.error("sign-in needs link keys: the operator has made none yet, or they cannot be read")
            raise refusals.sign_in_is_not_ready()
        async with self.bulkhead.one(_ALL):
            return Began(await self.issuer.front_url(under_way, self.redirect_uri), cookie)

    async def finish(
        self, query: bytes, cookie: str | None, browser: str | None, before: SignedIn | None
    ) -> tuple[SignedIn, Destination]:
        """Finish the sign-in that a query belongs to. Returns a new session, and the page that the sign-in leads to.

        Args:
            query: of the callback.
            cookie: the value of the sign-in cookie.
            browser: the browser's cookie.
            before: the session that the browser had before; it ends.

        Raises:
            Refused: the query belongs to no sign-in of this browser, or it names no user that the cluster can know.
            Exceeded: too many people sign in at this moment, or this sign-in was tried too often.
            NotStored: the session could not be written, and the code is spent.
        """
        response = _parsed(query)
        under_way = self._under_way(response, cookie, browser)
        self.tries.count(under_way.short_name)
        async with self.bulkhead.one(_ALL):
            user = await self.issuer.user(under_way, response, self.redirect_uri)
        destination = destination_of(under_way.leads_to)
        try:
            signed_in = await self.sessions.begin(user)
            if before is not None:
                await self.sessions.end(before)
        except NoKeys:
            raise refusals.sign_in_is_not_ready() from None
        except (ApiError, Unavailable) as error:
            logger.warning("a session could not be stored", error=str(error))
            raise NotStored(destination) from None
        self.trail.came_in(user)
        return signed_in, destination

    def _under_way(self, response: AuthorizationResponse, cookie: str | None, browser: str | None) -> UnderWay:
        found = None if cookie is None else opened(cookie, self.link_keys.current, self.now())
        if found is None or not found.is_answered_by(response.state) or not is_same_browser(browser, found.browser):
            raise refusals.unknown_sign_in()
        return found


def _parsed(query: bytes) -> AuthorizationResponse:
    try:
        return parse_callback(query)
    except RefusedCallback as error:
        raise refusals.not_an_authorization_response(str(error)) from None
