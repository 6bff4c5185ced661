"""Sign-in, from the button to the session: nothing is written before an id_token was verified."""

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
    """How often one sign-in may be finished: a code that the issuer did not take is sent once or twice more, not for ever."""

    PER_LINK = (0.05, 3)


class NotStored(Exception):
    """A code of the issuer is spent, and no session came of it: a reload would spend it again."""

    def __init__(self, destination: Destination) -> None:
        super().__init__(destination.path)
        self.destination = destination
        """Where the sign-in leads: that page asks for another one."""


@dataclass(frozen=True, slots=True)
class Began:
    """A browser that is sent to the issuer."""

    url: str
    cookie: str
    """What it takes along."""


@dataclass(frozen=True, slots=True)
class SignInService:
    """What stands behind `/sign-in` and `/signed-in`."""

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
        """What to register with the issuer."""
        return self.external_url + PATH

    async def begin(self, destination: Destination, browser: str) -> Began:
        """Begin a sign-in of the browser with that cookie, which leads to one of our pages.

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
        """Finish the sign-in that the query belongs to: a session, always a new one, and where it leads.

        Args:
            query: of the callback.
            cookie: what the browser took along to the issuer.
            browser: the browser's cookie.
            before: who had signed in with it before; that session ends.

        Raises:
            Refused: the query belongs to no sign-in of this browser, or nobody came back whom the cluster could know.
            Exceeded: too much is going on at this moment, or this sign-in is tried again and again.
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
