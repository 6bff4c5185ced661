"""Another host of our domain sets cookies that the browser sends to us, too: with those very bytes, in a real browser."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page

from deploy.local.browser import BUTTON, allow, chromium, sign_in
from deploy.local.processes import free_ports
from deploy.local.provider import DEMO_LOGIN, DEMO_PASSWORD
from deploy.local.stack import Stack, running
from tests.e2e.conftest import Shoot, heading
from tests.support.person import OUR_COOKIE, STORED
from tests.support.site import Answer, site
from tests.support.tls_front import TlsFront
from tests.support.user import CLIENT_SECRET, User

pytestmark = pytest.mark.e2e

DOMAIN = "corp.example"
OUR_NAME = OUR_COOKIE.encode()
PLANTED = {
    "byte A0": b"\xa0" + OUR_NAME,
    "byte 85": b"\x85" + OUR_NAME,
    "en quad": "\u2000".encode() + OUR_NAME,
    "byte A0 behind": OUR_NAME + b"\xa0",
    "in a list": b"$Version=1," + OUR_NAME,
    "no name": b"=" + OUR_NAME,
    "capitals": OUR_NAME.upper(),
}
REFUSED = {"A cookie of another site blocks this page", "Please finish in the browser where you started"}


@dataclass(frozen=True)
class Domain:
    """Our server at one host of a domain, and its sibling, which an attacker has."""

    ours: str
    sibling_port: int
    planted: list[bytes]

    @property
    def sibling(self) -> str:
        """What the victim is made to open."""
        return f"http://promotion.{DOMAIN}:{self.sibling_port}/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for which all hosts of the domain are on this machine."""
    with chromium(f"--host-resolver-rules=MAP *.{DOMAIN} 127.0.0.1") as started:
        yield started


@pytest.fixture(scope="module")
def domain(stack: Stack) -> Iterator[Domain]:
    """https, as in life: only there, and on localhost, which has no siblings, do browsers take our cookie."""
    (port,) = free_ports(1)
    planted: list[bytes] = []
    with TlsFront(port) as front, site(lambda _: Answer("A prize for you", headers=planted)) as sibling_port:
        ours = f"https://connect.{DOMAIN}:{front.port}"
        server = stack.callback_server(
            "callback-server-domain", DATASOURCE_EXTERNAL_URL=ours, DATASOURCE_LISTEN=f"127.0.0.1:{port}"
        )
        with running(server):
            yield Domain(ours, sibling_port, planted)


def offered(user: User, domain: Domain) -> str:
    """The link of a Datasource that is ready, at that host."""
    link = user.ready_to_authorize()
    user.provider.register_client(user.client_id, CLIENT_SECRET, [f"{domain.ours}/callback/{user.namespace}"])
    return link.replace(user.external_url, domain.ours)


@pytest.fixture
def somebody(browser: Browser) -> Iterator[Callable[[], Page]]:
    """Makes people: each has a browser with cookies of its own."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(browser.new_context(ignore_https_errors=True)).new_page()


def plant(page: Page, domain: Domain, name: bytes, value: str) -> None:
    domain.planted[:] = [b"Set-Cookie: %s=%s; Domain=%s; Path=/" % (name, value.encode(), DOMAIN.encode())]
    page.goto(domain.sibling)


def cookie_of(page: Page) -> str:
    return next(each["value"] for each in page.context.cookies() if each["name"] == OUR_COOKIE)


def begin_and_hand_over(page: Page, link: str, user: User) -> tuple[str, str]:
    """What an attacker has once he began: the URL at the provider that others can be sent to, and his cookie."""
    page.goto(link)
    with page.expect_request(lambda request: request.url.startswith(user.provider.authorize_url)) as sent:
        page.get_by_role("button", name=BUTTON).click()
    return sent.value.url, cookie_of(page)


@pytest.mark.parametrize("has_been_here", [False, True], ids=["first visit", "has our cookie"])
@pytest.mark.parametrize("name", PLANTED.values(), ids=PLANTED.keys())
def test_flow_of_an_attacker_is_not_finished_by_a_victim_in_whose_browser_he_planted_his_cookie(
    user: User, domain: Domain, somebody: Callable[[], Page], shoot: Shoot, name: bytes, has_been_here: bool
) -> None:
    attacker, victim = somebody(), somebody()
    link = offered(user, domain)
    at_provider, his_cookie = begin_and_hand_over(attacker, link, user)
    if has_been_here:
        victim.goto(link)
        assert cookie_of(victim) != his_cookie

    plant(victim, domain, name, his_cookie)
    victim.goto(at_provider)
    sign_in(victim, DEMO_LOGIN, DEMO_PASSWORD)
    allow(victim)
    victim.wait_for_url(f"{domain.ours}/**")

    shoot(victim, "refused")
    assert heading(victim) in REFUSED
    assert user.credential_id() == ""
    assert not [each for each in user.provider.token_requests() if each.client_id == user.client_id]
    assert user.reason() == "AuthorizationRequired"


def test_browser_with_a_planted_cookie_is_told_and_works_again_once_it_is_gone(
    user: User, domain: Domain, somebody: Callable[[], Page], shoot: Shoot
) -> None:
    page, link = somebody(), offered(user, domain)
    page.goto(link)
    plant(page, domain, PLANTED["byte A0"], "E" * 43)

    page.goto(link)
    shoot(page, "dialog")
    assert heading(page) == "A cookie of another site blocks this page"
    assert page.get_by_role("button").count() == 0

    page.context.clear_cookies()
    page.goto(link)
    page.get_by_role("button", name=BUTTON).click()
    sign_in(page, DEMO_LOGIN, DEMO_PASSWORD)
    allow(page)
    page.wait_for_url("**/done/*")
    assert heading(page) == STORED
