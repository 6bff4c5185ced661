"""What people do in a browser, against the real identity provider; each page is kept as a screenshot."""

import threading
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from deploy.local.browser import BUTTON, allow, authorize, deny, sign_in, wait_for_sign_in
from deploy.local.processes import free_ports
from deploy.local.provider import DEMO_LOGIN, DEMO_PASSWORD
from deploy.local.stack import Process, Stack
from tests.e2e.conftest import Shoot, allow_but_stay, flows, heading, violations
from tests.support.person import OUR_COOKIE, STORED, Person
from tests.support.site import Answer, site
from tests.support.user import User

pytestmark = pytest.mark.e2e


def begin(page: Page, link: str, login: str = DEMO_LOGIN) -> None:
    """Up to the provider's consent page."""
    page.goto(link)
    page.get_by_role("button", name=BUTTON).click()
    sign_in(page, login, login)
    page.get_by_role("heading", name="Allow access?").wait_for()


def token_requests(user: User) -> int:
    """How many this user's application has made."""
    return sum(each.client_id == user.client_id for each in user.provider.token_requests())


def test_credential_is_got_and_the_page_says_so(user: User, page: Page, shoot: Shoot) -> None:
    page.goto(user.ready_to_authorize())
    shoot(page, "dialog")
    assert heading(page).startswith(f"The team of namespace {user.namespace} asks you to connect ")
    assert user.client_id not in page.locator("main").inner_text(), "whoever consents need not read that"
    page.get_by_text("Technical details").click()
    shoot(page, "details")
    text = page.locator("main").inner_text()
    for shown in (
        user.client_id,
        user.provider.authorize_url,
        user.provider.token_url,
        "offline_access",
        "client-secret",
    ):
        assert shown in text
    assert f"{user.external_url}/callback/{user.namespace}" in text
    assert violations(page) == ""

    page.get_by_role("button", name=BUTTON).click()
    wait_for_sign_in(page)
    shoot(page, "sign-in")
    sign_in(page, DEMO_LOGIN, DEMO_PASSWORD)
    shoot(page, "consent")
    allow(page)
    page.wait_for_url("**/done/*")

    shoot(page, "done")
    assert heading(page) == STORED
    assert "There is nothing more to do." in page.locator(".banner").inner_text()
    assert "demo@example.com" in page.locator("main").inner_text()
    page.get_by_text("Technical details").click()
    assert "AUTHORIZED" in page.locator(".state").inner_text()
    assert "?" not in page.url
    assert violations(page) == ""
    user.wait_for_reason("Authorized")
    assert user.status()["authorizedAs"] == "demo@example.com"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_can_be_read_on_a_phone_without_script(user: User, browser: Browser, shoot: Shoot, scheme: str) -> None:
    phone = browser.new_context(
        viewport={"width": 320, "height": 640},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=False,
    )
    page = phone.new_page()
    link = user.ready_to_authorize()
    page.goto(link)
    shoot(page, "dialog")
    button = page.get_by_role("button", name=BUTTON).bounding_box()
    assert button is not None
    assert button["y"] + button["height"] <= 640, "the button is on the first screen"

    authorize(page, link, DEMO_LOGIN, DEMO_PASSWORD)

    shoot(page, "done")
    assert heading(page) == STORED
    phone.close()
    wide = browser.new_context(
        viewport={"width": 320, "height": 640}, color_scheme="dark" if scheme == "dark" else "light"
    )
    user.annotate("new-credential", "1")
    tab = wide.new_page()
    user.wait_for_link()
    tab.goto(user.link())
    assert tab.evaluate("document.documentElement.scrollWidth") <= 320
    assert violations(tab) == ""
    wide.close()


def test_keyboard_reaches_the_button_and_its_focus_shows(user: User, page: Page, shoot: Shoot) -> None:
    page.goto(user.ready_to_authorize())

    page.keyboard.press("Tab")

    shoot(page, "focus")
    focused = page.evaluate("[document.activeElement.innerText, getComputedStyle(document.activeElement).outlineStyle]")
    assert focused == [BUTTON, "solid"]
    page.keyboard.press("Enter")
    wait_for_sign_in(page)


def test_denied_consent_is_told_and_can_be_tried_again(user: User, page: Page, shoot: Shoot) -> None:
    begin(page, user.ready_to_authorize())

    deny(page)
    page.wait_for_url("**/done/*")

    shoot(page, "denied")
    assert heading(page) == "Consent was denied"
    assert violations(page) == ""
    assert token_requests(user) == 0
    assert user.state() == "NOT AUTHORIZED"
    page.get_by_role("link", name="Try again").click()
    page.get_by_role("button", name=BUTTON).click()
    allow(page)
    page.wait_for_url("**/done/*")
    assert heading(page) == STORED


def test_used_link_leads_whoever_used_it_to_the_result_and_ends_for_everybody_else(
    user: User, page: Page, browser: Browser, shoot: Shoot
) -> None:
    link = user.ready_to_authorize()
    authorize(page, link, DEMO_LOGIN, DEMO_PASSWORD)

    page.goto(link)

    assert heading(page) == STORED
    other = browser.new_context().new_page()
    other.goto(link)
    shoot(other, "ended")
    assert heading(other) == "This link is no longer valid"
    text = other.locator("main").inner_text()
    assert "Ask the person who sent you the link for a new one." in text
    assert f"kubectl get dsrc calendar -n {user.namespace} -o" in text
    assert violations(other) == ""
    other.context.close()


def test_used_link_has_ended_while_the_operator_is_down(
    user: User, page: Page, operator: Process, shoot: Shoot
) -> None:
    link = user.ready_to_authorize()
    user.wait_for_callback_rights()
    operator.stop()
    try:
        authorize(page, link, DEMO_LOGIN, DEMO_PASSWORD)
        shoot(page, "done")
        assert heading(page) == STORED
        assert "has not used it yet" in page.locator("main").inner_text()
        assert "AUTHORIZED" not in page.locator(".banner").inner_text()

        page.goto(link)
        assert heading(page) == STORED
    finally:
        operator.start()
    user.wait_for_reason("Authorized")


def test_flow_cannot_be_finished_in_another_browser(user: User, page: Page, browser: Browser, shoot: Shoot) -> None:
    begin(page, user.ready_to_authorize())
    callback = allow_but_stay(page)
    other = browser.new_context()
    tab = other.new_page()

    tab.goto(callback)

    shoot(tab, "other-browser")
    assert heading(tab) == "Please finish in the browser where you started"
    assert token_requests(user) == 0
    other.close()
    page.goto(callback)
    assert heading(page) == STORED


def test_two_callbacks_at_once_make_one_token_request(user: User, page: Page, context: BrowserContext) -> None:
    begin(page, user.ready_to_authorize())
    callback = allow_but_stay(page)
    cookie = next(each["value"] for each in context.cookies() if each["name"] == OUR_COOKIE)
    user.provider.fault(client_id=user.client_id, hold=timedelta(seconds=1))
    answers: list[str] = []

    def come_back() -> None:
        with Person() as person:
            person.cookie = cookie
            answers.append(person.come_back(callback).text)

    threads = [threading.Thread(target=come_back) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert token_requests(user) == 1
    assert [STORED in answer for answer in answers] == [True] * 4


def test_two_people_at_once_store_one_credential(user: User, page: Page, browser: Browser, shoot: Shoot) -> None:
    link = user.ready_to_authorize()
    begin(page, link)
    other = browser.new_context()
    tab = other.new_page()
    begin(tab, link, "ada")

    allow(page)
    page.wait_for_url("**/done/*")
    allow(tab)
    tab.wait_for_url("**/done/*")

    shoot(tab, "second")
    assert heading(page) == STORED
    assert heading(tab) == "Another person was faster"
    assert token_requests(user) == 1
    user.wait_for_reason("Authorized")
    assert user.status()["authorizedAs"] == "demo@example.com"
    other.close()


def test_form_of_another_site_with_a_known_ticket_starts_nothing(user: User, page: Page, shoot: Shoot) -> None:
    link = user.ready_to_authorize()
    page.goto(link)
    token = page.locator("input[name=token]").get_attribute("value")
    action, _, ticket = link.partition("?ticket=")
    form = f"""<form id="f" method="post" action="{action}"><input name="ticket" value="{ticket}">
        <input name="token" value="{token}"><button>Win</button></form>"""

    # On 127.0.0.1, which is another site than localhost.
    with site(lambda _: Answer(form)) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("button", name="Win").click()
        page.wait_for_url("**/authorize/**")

    shoot(page, "cross-site")
    assert heading(page) == "This page is out of date"
    assert flows(user) == 0


@pytest.mark.parametrize("operator_runs", [True, False], ids=["operator up", "operator down"])
def test_clear_while_under_way_ends_the_flow_unspent(
    user: User, page: Page, operator: Process, shoot: Shoot, operator_runs: bool
) -> None:
    begin(page, user.ready_to_authorize())
    if not operator_runs:
        operator.stop()
    try:
        user.clear("1")
        if operator_runs:
            user.wait_for_handled("clearCredential", "1")
        allow(page)
        page.wait_for_url("**/done/*")
    finally:
        if not operator_runs:
            operator.start()

    shoot(page, "cleared")
    assert heading(page) == "The credential was cleared"
    assert token_requests(user) == 0
    user.wait_for_handled("clearCredential", "1")
    assert user.state() == "NOT AUTHORIZED"


def test_edit_while_under_way_ends_the_flow_unspent(user: User, page: Page, shoot: Shoot) -> None:
    begin(page, user.ready_to_authorize())

    user.apply(user.datasource(user.oauth2(tokenURL=f"{user.provider.issuer}/elsewhere")))
    allow(page)
    page.wait_for_url("**/done/*")

    shoot(page, "edited")
    assert heading(page) == "The parameters have changed"
    assert token_requests(user) == 0
    assert user.credential_id() == ""


def test_edit_between_page_and_click_starts_nothing(user: User, page: Page, shoot: Shoot) -> None:
    page.goto(user.ready_to_authorize())

    user.apply(user.datasource(user.oauth2(tokenURL=f"{user.provider.issuer}/elsewhere")))
    page.get_by_role("button", name=BUTTON).click()

    shoot(page, "edited-before-click")
    assert heading(page) == "This link is no longer valid"
    assert flows(user) == 0


def test_reload_and_back_on_the_callback_url_show_the_outcome(user: User, page: Page, shoot: Shoot) -> None:
    begin(page, user.ready_to_authorize())
    callback = allow_but_stay(page)
    page.goto(callback)
    done = page.url
    assert heading(page) == STORED

    page.reload()
    assert heading(page) == STORED
    page.goto(callback)
    assert page.url == done
    assert heading(page) == STORED
    page.goto("about:blank")
    page.go_back()

    shoot(page, "back")
    assert page.url == done
    assert heading(page) == STORED
    assert token_requests(user) == 1


def test_another_replica_finishes_the_flow(
    user: User, page: Page, stack: Stack, callback_server: Process, shoot: Shoot
) -> None:
    begin(page, user.ready_to_authorize())
    callback_server.stop()
    replica = stack.callback_server("callback-server-2")
    replica.start()
    try:
        allow(page)
        page.wait_for_url("**/done/*")
        shoot(page, "done")
        assert heading(page) == STORED
    finally:
        replica.stop()
        callback_server.start()
    user.wait_for_reason("Authorized")


def test_wrong_client_secret_is_told_and_can_be_mended(user: User, page: Page, shoot: Shoot) -> None:
    link = user.ready_to_authorize()
    user.kubectl("delete", "secret", "app")
    user.create_client_secret("sentinel-wrong-client-secret")

    authorize(page, link, DEMO_LOGIN, DEMO_PASSWORD)

    shoot(page, "wrong-secret")
    assert heading(page) == "The service does not accept the client"
    assert "spec.oauth2.clientID" in page.locator(".banner").inner_text()
    assert violations(page) == ""
    user.kubectl("delete", "secret", "app")
    user.create_client_secret()
    page.get_by_role("link", name="Try again").click()
    page.get_by_role("button", name=BUTTON).click()
    allow(page)
    page.wait_for_url("**/done/*")
    assert heading(page) == STORED


def test_missing_client_secret_is_told_before_anything_begins(user: User, page: Page, shoot: Shoot) -> None:
    page.goto(user.ready_to_authorize())
    user.kubectl("delete", "secret", "app")

    page.get_by_role("button", name=BUTTON).click()

    shoot(page, "no-secret")
    assert heading(page) == "The Datasource is not ready for this"
    assert "Secret app" in page.locator("main").inner_text()
    assert flows(user) == 0


@pytest.mark.parametrize("fault", ["refused connection", "status 503", "cut reply"])
def test_provider_that_does_not_answer_is_told(user: User, page: Page, shoot: Shoot, fault: str) -> None:
    (closed_port,) = free_ports(1)
    changes = {"tokenURL": f"http://127.0.0.1:{closed_port}/token"} if fault == "refused connection" else {}
    link = user.ready_to_authorize(**changes)
    if fault == "status 503":
        user.provider.fault(client_id=user.client_id, status=503)
    if fault == "cut reply":
        user.provider.fault(client_id=user.client_id, drop_after=True)

    authorize(page, link, DEMO_LOGIN, DEMO_PASSWORD)

    shoot(page, "no-answer")
    assert heading(page) == "The service does not answer"
    assert user.credential_id() == ""
    assert user.state() == "NOT AUTHORIZED"


def test_unknown_page_explains_itself(user: User, page: Page, shoot: Shoot) -> None:
    page.goto(f"{user.external_url}/")

    shoot(page, "not-found")
    assert heading(page) == "There is no such page"
    assert violations(page) == ""
