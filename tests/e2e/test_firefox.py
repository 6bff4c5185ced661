"""In another browser: Firefox as Debian has it. Where there is none, these are skipped."""

from collections.abc import Iterator

import pytest

from deploy.local.processes import free_ports
from deploy.local.provider import DEMO_LOGIN, DEMO_PASSWORD
from deploy.local.stack import Stack
from tests.conftest import ARTEFACTS
from tests.e2e.test_onward import FrontDoor
from tests.e2e.test_planted_cookie import DOMAIN, PLANTED, REFUSED
from tests.support import firefox as driver
from tests.support.firefox import Firefox, firefox
from tests.support.person import STORED, Person, parameters_of
from tests.support.site import Answer, site
from tests.support.tls_front import TlsFront
from tests.support.user import User

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(driver.BINARY is None, reason="there is no firefox-esr on this machine"),
]

AT_THE_PROVIDER = "input[name=login], button[value=allow]"
"""Its page asks who it is, or what is allowed."""

OURS, SIBLING = f"connect.{DOMAIN}", f"promotion.{DOMAIN}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Firefox]:
    with firefox(OURS, SIBLING) as started:
        yield started


def test_button_leads_over_two_hosts_and_back_and_ends_with_a_credential(user: User, browser: Firefox) -> None:
    door = FrontDoor(user.provider.authorize_url)
    with site(door.answer) as door.port:
        link = user.ready_to_authorize(authorizeURL=door.url)
        browser.open(link)
        browser.press("form button")
        browser.wait_for(AT_THE_PROVIDER)
        browser.back()
        assert browser.url == link
        assert browser.text("h1").endswith("for the app calendar.")

        browser.press("form button")
        browser.fill("input[name=login]", DEMO_LOGIN)
        browser.fill("input[name=password]", DEMO_PASSWORD)
        browser.press("button.main")
        browser.press("button[value=allow]")
        browser.wait_for_url("/done/")
        assert browser.text("h1, .banner h2") == STORED
    browser.shoot(ARTEFACTS / "firefox.done.png")
    user.wait_for_reason("Authorized")
    assert ["referer" in visit.headers for visit in door.visits] == [False, False]


def test_page_between_can_be_read_and_gone_on_from_where_the_browser_stays_on_it(user: User, browser: Firefox) -> None:
    door = FrontDoor(user.provider.authorize_url, is_silent=True)
    with site(door.answer) as door.port:
        browser.open(user.ready_to_authorize(authorizeURL=door.url))
        browser.press("form button")
        assert browser.text("h1") == f"On to 127.0.0.1:{door.port}"
        browser.shoot(ARTEFACTS / "firefox.onward.png")
        door.is_silent = False
        browser.press("main a")
        browser.wait_for(AT_THE_PROVIDER)


def test_planted_cookie_finishes_no_flow_of_an_attacker(user: User, stack: Stack, browser: Firefox) -> None:
    (port,) = free_ports(1)
    planted: list[bytes] = []
    with TlsFront(port) as front, site(lambda _: Answer("A prize for you", headers=planted)) as sibling_port:
        ours = f"https://{OURS}:{front.port}"
        server = stack.callback_server(
            "callback-server-firefox", DATASOURCE_EXTERNAL_URL=ours, DATASOURCE_LISTEN=f"127.0.0.1:{port}"
        )
        server.start()
        with Person() as attacker:
            at_provider = attacker.begin(user.ready_to_authorize())
            state = parameters_of(at_provider)["state"]
            assert attacker.cookie is not None
            his_cookie = attacker.cookie.encode()
        for name in PLANTED.values():
            planted[:] = [b"Set-Cookie: %s=%s; Domain=%s; Path=/" % (name, his_cookie, DOMAIN.encode())]
            browser.open(f"http://{SIBLING}:{sibling_port}/")
            browser.open(f"{ours}/callback/{user.namespace}?code=c&state={state}&iss={user.provider.issuer}")
            assert browser.text("h1, .banner h2") in REFUSED, name
            browser.forget_cookies()
        server.stop()
    assert user.credential_id() == ""
    assert not [each for each in user.provider.token_requests() if each.client_id == user.client_id]
