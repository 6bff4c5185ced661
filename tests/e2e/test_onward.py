"""From the button to the provider in a real browser: by a page of ours that leads on, and not by a form's redirect."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from deploy.local.browser import BUTTON, allow, sign_in, wait_for_sign_in
from deploy.local.provider import DEMO_LOGIN, DEMO_PASSWORD
from tests.e2e.conftest import Shoot, flows, heading, violations
from tests.support.person import STORED, parameters_of
from tests.support.site import Answer, Visit, site
from tests.support.user import User, eventually

pytestmark = pytest.mark.e2e

LINK = "Go to 127.0.0.1"


@dataclass
class FrontDoor:
    """The host of an authorize URL that leads on to another one; it keeps who came, and may be told not to answer."""

    leads_to: str
    port: int = 0
    visits: list[Visit] = field(default_factory=list)
    is_silent: bool = False

    @property
    def url(self) -> str:
        """Its authorize URL."""
        return f"http://127.0.0.1:{self.port}/authorize"

    def answer(self, visit: Visit) -> Answer:
        """A redirect with the same query."""
        if urlsplit(visit.target).path == "/favicon.ico":
            return Answer(status=404)
        self.visits.append(visit)
        if self.is_silent:
            return Answer(status=204)  # a browser stays where it is
        target = f"{self.leads_to}?{urlsplit(visit.target).query}"
        return Answer(status=302, headers=[b"Location: " + target.encode()])


@pytest.fixture
def front_door(user: User) -> Iterator[FrontDoor]:
    """An origin of its own: ours is on localhost, that of the provider at another port of 127.0.0.1."""
    door = FrontDoor(user.provider.authorize_url)
    with site(door.answer) as door.port:
        yield door


def press(page: Page, link: str) -> None:
    page.goto(link)
    page.get_by_role("button", name=BUTTON).click()


def finish(page: Page) -> None:
    """At the provider."""
    sign_in(page, DEMO_LOGIN, DEMO_PASSWORD)
    allow(page)
    page.wait_for_url("**/done/*")
    assert heading(page) == STORED


@pytest.mark.parametrize("is_pushed", [False, True], ids=["in front", "pushed"])
def test_authorize_url_that_leads_on_to_another_host_is_no_dead_button(
    user: User, page: Page, front_door: FrontDoor, shoot: Shoot, is_pushed: bool
) -> None:
    pushed = {"pushedAuthorization": "auto", "pushedAuthorizationURL": f"{user.provider.issuer}/request"}
    press(page, user.ready_to_authorize(authorizeURL=front_door.url, **(pushed if is_pushed else {})))

    wait_for_sign_in(page)
    shoot(page, "two-hops")
    finish(page)

    (visit,) = front_door.visits
    assert ("request_uri=" in visit.target) is is_pushed
    assert "referer" not in visit.headers
    user.wait_for_reason("Authorized")


def test_hops_that_lead_straight_back_end_at_our_page(user: User, page: Page, front_door: FrontDoor) -> None:
    """Who is signed in already, and asked nothing, sees no page between two of ours."""

    def denies(visit: Visit) -> Answer:
        asked = parameters_of(visit.target)
        answer = f"error=access_denied&state={asked['state']}&iss={quote(user.provider.issuer, safe='')}"
        return Answer(status=303, headers=[f"Location: {asked['redirect_uri']}?{answer}".encode()])

    with site(denies) as port:
        front_door.leads_to = f"http://127.0.0.1:{port}/silent"
        press(page, user.ready_to_authorize(authorizeURL=front_door.url))
        page.wait_for_url("**/done/*")

    assert heading(page) == "Consent was denied"


def test_way_back_from_the_provider_is_the_dialog_and_begins_nothing(
    user: User, page: Page, front_door: FrontDoor, shoot: Shoot
) -> None:
    link = user.ready_to_authorize(authorizeURL=front_door.url)
    press(page, link)
    wait_for_sign_in(page)

    page.go_back()

    shoot(page, "back")
    assert page.url == link
    assert heading(page).endswith("for the app calendar.")
    assert len(front_door.visits) == flows(user) == 1
    page.go_forward()
    wait_for_sign_in(page)
    page.go_back()
    page.get_by_role("button", name=BUTTON).click()
    finish(page)
    assert len(front_door.visits) == 2


def test_page_between_can_be_read_and_gone_on_from_where_the_browser_stays_on_it(
    user: User, page: Page, front_door: FrontDoor, shoot: Shoot
) -> None:
    front_door.is_silent = True
    press(page, user.ready_to_authorize(authorizeURL=front_door.url))
    page.get_by_role("link", name=LINK).wait_for()

    shoot(page, "onward")
    assert heading(page) == f"On to 127.0.0.1:{front_door.port}"
    assert f"Datasource calendar in namespace {user.namespace}" in page.locator("main").inner_text()
    assert violations(page) == ""
    front_door.is_silent = False
    page.keyboard.press("Tab")
    shoot(page, "focus")
    page.keyboard.press("Enter")
    wait_for_sign_in(page)
    assert ["referer" in visit.headers for visit in front_door.visits] == [False, False]
    finish(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_between_fits_a_phone_and_needs_no_script(
    user: User, browser: Browser, front_door: FrontDoor, shoot: Shoot, scheme: str
) -> None:
    phone = browser.new_context(
        viewport={"width": 320, "height": 640}, color_scheme="dark" if scheme == "dark" else "light"
    )
    plain = browser.new_context(java_script_enabled=False)
    page, without_script = phone.new_page(), plain.new_page()
    link = user.ready_to_authorize(authorizeURL=front_door.url)
    front_door.is_silent = True
    press(page, link)
    page.get_by_role("link", name=LINK).wait_for()
    shoot(page, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert violations(page) == ""

    front_door.is_silent = False
    press(without_script, link)
    wait_for_sign_in(without_script)
    phone.close()
    plain.close()


def test_second_press_and_a_reload_of_the_page_between_begin_anew_and_end_well(
    user: User, page: Page, front_door: FrontDoor
) -> None:
    front_door.is_silent = True
    page.goto(user.ready_to_authorize(authorizeURL=front_door.url))
    page.get_by_role("button", name=BUTTON).dblclick()
    page.get_by_role("link", name=LINK).wait_for()
    front_door.is_silent = False

    page.reload()  # sends the form again

    wait_for_sign_in(page)
    states = [parameters_of(visit.target)["state"] for visit in front_door.visits]
    assert len(set(states)) == len(states) >= 2
    finish(page)


def test_second_press_after_the_credential_was_stored_leads_to_the_result(
    user: User, page: Page, front_door: FrontDoor
) -> None:
    link = user.ready_to_authorize(authorizeURL=front_door.url)
    other = page.context.new_page()
    front_door.is_silent = True
    press(other, link)
    other.get_by_role("link", name=LINK).wait_for()
    front_door.is_silent = False
    press(page, link)
    finish(page)

    other.reload()

    assert heading(other) == STORED


@pytest.mark.parametrize(
    "path",
    [
        "/a;b,c;url=http://127.0.0.1:1/,0;x",
        "/it's%20'quoted'",
        "/';%20url='http://127.0.0.1:1/",
        "/url=x;URL=y",
        "/%22%3Cscript%3E&amp;&quot;&lt;",
        "//127.0.0.1:1/",
        "/a%0d%0aX-Injected:%201",
    ],
)
def test_browser_arrives_at_the_very_url(user: User, page: Page, front_door: FrontDoor, path: str) -> None:
    """What a refresh, its quotes and its separators make of a URL, in the browser itself."""
    front_door.is_silent = True
    url = front_door.url.removesuffix("/authorize") + path
    press(page, user.ready_to_authorize(authorizeURL=url))
    link = page.get_by_role("link", name=LINK)
    link.wait_for()
    eventually("the page led on", lambda: len(front_door.visits) == 1)

    link.click()
    eventually("the link led on", lambda: len(front_door.visits) == 2)

    by_refresh, by_link = front_door.visits
    assert by_refresh.target.partition("?")[0] == path
    assert parameters_of(by_refresh.target)["redirect_uri"] == f"{user.external_url}/callback/{user.namespace}"
    assert by_link.target == by_refresh.target


def test_url_that_is_too_long_for_any_header_arrives_whole(user: User, page: Page, front_door: FrontDoor) -> None:
    front_door.is_silent = True
    long = {f"claims_{number}": "x" * 1024 for number in range(32)}
    press(page, user.ready_to_authorize(authorizeURL=front_door.url, authorizeParameters=long))
    page.get_by_role("link", name=LINK).wait_for()
    eventually("the page led on", lambda: len(front_door.visits) == 1)

    asked = parameters_of(front_door.visits[0].target)
    assert {name: asked[name] for name in long} == long
    assert len(asked["state"]) > 40
