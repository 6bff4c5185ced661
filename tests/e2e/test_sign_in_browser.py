"""People sign in with a real browser, through the real stack: the issuer, the API server's RBAC, the provider, both processes.

What a page says and what then stands in the cluster are looked at together: status, Secret, and the history with a name.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState

from datasource.process.installation import SYSTEM_NAMESPACE
from deploy.local import demo_sign_in
from deploy.local.browser import BUTTON, allow, sign_in
from deploy.local.cluster import Cluster
from deploy.local.processes import free_ports
from deploy.local.provider import Provider
from deploy.local.stack import Process, Stack, install, running
from tests.e2e.conftest import Shoot, allow_but_stay, flows, heading, violations
from tests.support.api import ROLE_BINDINGS, SECRETS, Api, api_of
from tests.support.employee import Employee
from tests.support.person import STORED
from tests.support.user import User, eventually

pytestmark = pytest.mark.e2e

DEMO, ADA = "demo", "ada"
VIEWER, AUTHORIZER, EDITOR = "datasource-viewer", "datasource-authorizer", "datasource-editor"
ONLY_WITH = {VIEWER: "list", AUTHORIZER: "authorize", EDITOR: "patch"}
"""A verb of each role that tells whether the API server knows of its binding by now."""

SESSION = "__Host-datasource-session"
DENIED = "You may not do that"
SIGN_IN = "Please sign in"
RESOURCE = "datasources.datasource.dev"

Come = Callable[[str], Page]


class Ready(Protocol):
    """`ready(stored=DEMO, demo=EDITOR, ada=VIEWER)`."""

    def __call__(self, stored: str | None = None, **roles: str) -> str: ...


@pytest.fixture(scope="module")
def company(cluster: Cluster, folder: Path, provider: Provider, operator: Process) -> Iterator[Stack]:
    """Everything with the component sign-in, whose issuer is the provider. The stack of all other tests rests meanwhile."""
    stack = Stack(cluster, folder / "logs", free_ports(1)[0], environ=demo_sign_in.settings(provider, folder))
    install(cluster, str(demo_sign_in.kustomization(folder / "sign-in")))
    demo_sign_in.register(provider, stack.external_url)
    processes = (stack.operator("operator-of-a-company"), stack.callback_server("callback-server-of-a-company"))
    operator.stop()
    try:
        with running(*processes):
            yield stack
    finally:
        # Other files have the same cluster, and count them.
        end_all_sessions(api_of(cluster.kubeconfig))
        install(cluster)
        operator.start()


def end_all_sessions(api: Api) -> None:
    for session in api.all_of(SECRETS, SYSTEM_NAMESPACE, fields="type=datasource.dev/session"):
        api.delete(SECRETS, session["metadata"]["name"], SYSTEM_NAMESPACE)


@pytest.fixture
def tenant(cluster: Cluster, namespace: str, provider: Provider, company: Stack) -> User:
    """Who runs the namespace, with kubectl."""
    return User(cluster, namespace, provider, company.external_url)


@pytest.fixture(scope="module")
def kept() -> dict[str, StorageState]:
    """What the browsers of people hold once they signed in: it is done once for most tests."""
    return {}


@pytest.fixture
def come(browser: Browser, company: Stack, kept: dict[str, StorageState]) -> Iterator[Come]:
    """Somebody signs in with a browser of their own; returns its tab."""
    opened: list[BrowserContext] = []

    def come(login: str) -> Page:
        context = browser.new_context(storage_state=kept.get(login))
        opened.append(context)
        page = context.new_page()
        page.goto(f"{company.external_url}/")
        if heading(page) == SIGN_IN:
            come_in(page, login)
            page.wait_for_url(f"{company.external_url}/")
        kept[login] = context.storage_state()
        return page

    yield come
    for context in opened:
        context.close()


def come_in(page: Page, login: str) -> None:
    """From our page that asks to sign in to the one that it leads to."""
    press(page, "Sign in")
    through(page, login)


def through(page: Page, login: str) -> None:
    """Whatever the issuer asks on the way to a page of ours: it may know this browser already, and it may not."""
    name, allowing = page.get_by_label("User name"), page.get_by_role("button", name="Allow")
    ours = page.locator("header.account")
    name.or_(allowing).or_(ours).first.wait_for()
    if name.is_visible():
        sign_in(page, login, login)
        allowing.or_(ours).first.wait_for()
    if allowing.is_visible():
        allow(page)
        ours.wait_for()


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()


def at_consent(page: Page, tenant: User, name: str = "calendar", login: str = DEMO) -> None:
    """Up to the provider's question."""
    page.goto(page_of(tenant, name))
    press(page, BUTTON)
    to_consent(page, login)


def to_consent(page: Page, login: str = DEMO) -> None:
    """At the provider, which may know this browser already."""
    asked = page.get_by_role("heading", name="Allow access?")
    asked.or_(page.get_by_label("User name")).first.wait_for()
    if not asked.is_visible():
        sign_in(page, login, login)
        asked.wait_for()


def finish(page: Page) -> None:
    allow(page)
    page.wait_for_url("**/done/*")


def page_of(tenant: User, name: str = "calendar") -> str:
    return f"{tenant.external_url}/datasources/{tenant.namespace}/{name}"


def text_of(page: Page) -> str:
    return page.locator("main").inner_text()


def buttons(page: Page) -> set[str]:
    """What can be pressed on a page, but for what is on each."""
    return set(page.locator("button, a.button").all_inner_texts()) - {"Sign out"}


def give(tenant: User, login: str, role: str) -> None:
    """A RoleBinding, and wait until the API server knows it."""
    tenant.api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": f"{login}-{role}", "namespace": tenant.namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": address(login)}],
        }
    )
    eventually(f"{login} is {role}", lambda: may(tenant, login, ONLY_WITH[role]))


def take(tenant: User, login: str, role: str) -> None:
    """The RoleBinding is deleted, and the API server knows."""
    tenant.api.delete(ROLE_BINDINGS, f"{login}-{role}", tenant.namespace)
    eventually(f"{login} is no {role} any more", lambda: not may(tenant, login, ONLY_WITH[role]))


def may(tenant: User, login: str, verb: str) -> bool:
    return tenant.api.may(verb, RESOURCE, tenant.namespace, user=address(login))


def address(login: str) -> str:
    return f"{login}@{demo_sign_in.DOMAIN}"


def history(tenant: User, name: str = "calendar") -> list[tuple[str, str, str]]:
    return [(each["what"], each["by"], each["result"]) for each in tenant.status(name).get("history", [])]


def did(act: str, login: str) -> tuple[str, str, str]:
    return (act, address(login), "Succeeded")


def wait_for_history(tenant: User, *acts: tuple[str, str, str]) -> None:
    eventually("the history tells all of it", lambda: history(tenant) == list(acts), lambda: history(tenant))


@pytest.fixture
def ready(tenant: User) -> Ready:
    """People have rights; a Datasource waits for a credential, or has one that somebody got; returns its link."""

    def ready(stored: str | None = None, **roles: str) -> str:
        for login, role in roles.items():
            give(tenant, login, role)
        link = tenant.ready_to_authorize()
        if stored is not None:
            stored_by(tenant, stored)
        return link

    return ready


def stored_by(tenant: User, login: str) -> None:
    """A credential stands there, which somebody got with another browser."""
    with Employee(login) as employee:
        assert STORED in employee.get_credential(page_of(tenant)).text
    tenant.wait_for_reason("Authorized")


def forge(page: Page, path: str, **fields: str) -> None:
    """Send a form that no page of ours showed, as whoever can do with the pages in their own browser."""
    script = """([path, fields]) => {
        const form = document.createElement("form");
        form.method = "post";
        form.action = path;
        for (const [name, value] of Object.entries(fields)) {
            const field = document.createElement("input");
            [field.name, field.value] = [name, value];
            form.append(field);
        }
        document.body.append(form);
        form.submit();
    }"""
    with page.expect_navigation():
        page.evaluate(script, [path, fields])


def token_on(page: Page) -> str:
    """A token of a form that is on the page."""
    return page.locator("input[name=token]").first.input_value()


def test_person_signs_in_lists_authorizes_refreshes_clears_and_signs_out(
    tenant: User, ready: Ready, company: Stack, page: Page, shoot: Shoot
) -> None:
    assert ready(demo=EDITOR) == page_of(tenant)
    page.goto(f"{company.external_url}/")
    shoot(page, "1-please-sign-in")
    assert heading(page) == SIGN_IN
    assert buttons(page) == {"Sign in"}
    come_in(page, DEMO)
    page.wait_for_url(f"{company.external_url}/")
    shoot(page, "2-home")
    assert f"You are signed in as {address(DEMO)}." in text_of(page)

    page.get_by_label("Namespace").fill(tenant.namespace)
    press(page, "Show its Datasources")
    shoot(page, "3-list")
    assert page.locator("tbody tr").all_inner_texts() == ["calendar\tNOT AUTHORIZED\t\t"]
    page.get_by_role("link", name="calendar").click()
    shoot(page, "4-datasource")
    assert page.url == page_of(tenant)
    assert buttons(page) == {BUTTON}
    press(page, BUTTON)
    to_consent(page)
    finish(page)
    shoot(page, "5-done")
    assert heading(page) == STORED
    assert "The Datasource is AUTHORIZED." in text_of(page)
    tenant.wait_for_reason("Authorized")
    assert tenant.status()["authorizedAs"] == address(DEMO)
    page.get_by_role("link", name="Datasource calendar").click()
    assert page.url == page_of(tenant)
    wait_for_history(tenant, got := did("NewCredential", DEMO))

    page.goto(f"{company.external_url}/datasources/{tenant.namespace}")
    shoot(page, "6-list")
    assert page.locator("tbody .state").all_inner_texts() == ["AUTHORIZED"]
    assert address(DEMO) in page.locator("tbody").inner_text()
    page.get_by_role("link", name="calendar").click()
    shoot(page, "7-datasource")
    assert buttons(page) == {BUTTON, "Refresh now", "Clear credential"}
    before = tenant.decoded("calendar-token", "access_token")
    press(page, "Refresh now")
    shoot(page, "8-refresh")
    assert page.url == page_of(tenant)
    wait_for_history(tenant, got, refreshed := did("Refresh", DEMO))
    eventually(
        "apps have the new token", lambda: tenant.decoded("calendar-token", "access_token") not in {None, before}
    )

    page.get_by_role("link", name="Clear credential").click()
    shoot(page, "9-clear")
    assert heading(page) == "Clear the credential of calendar?"
    assert f"{address(DEMO)} gave this access." in text_of(page)
    page.get_by_role("link", name="Back, and change nothing").click()
    assert page.url == page_of(tenant)
    assert tenant.state() == "AUTHORIZED"
    page.get_by_role("link", name="Clear credential").click()
    press(page, "Clear it")
    assert page.url == page_of(tenant)
    tenant.wait_for_reason("CredentialCleared")
    wait_for_history(tenant, got, refreshed, did("ClearCredential", DEMO))
    eventually("no token is left", lambda: tenant.tokens() == {} and tenant.secret("calendar-token") is None)
    page.reload()
    shoot(page, "10-cleared")
    assert buttons(page) == {BUTTON}
    rows = page.locator("tbody tr").all_inner_texts()
    assert len(rows) == 3
    assert all(address(DEMO) in row for row in rows)

    press(page, "Sign out")
    shoot(page, "11-signed-out")
    assert heading(page) == "You are signed out"
    assert SESSION not in {each["name"] for each in page.context.cookies()}
    assert buttons(page) == {"Sign in again"}
    page.go_back()
    shoot(page, "12-back")
    assert heading(page) == SIGN_IN
    assert tenant.namespace not in text_of(page)
    page.go_forward()
    assert heading(page) == "You are signed out"
    page.reload()
    assert heading(page) == "You are signed out"


def test_main_pages_of_who_signed_in_are_without_fault_for_axe_and_fit_a_phone(
    tenant: User, ready: Ready, come: Come, shoot: Shoot
) -> None:
    ready(stored=DEMO, demo=EDITOR)
    page = come(DEMO)
    for where in ("", f"/datasources/{tenant.namespace}", "/datasources/kube-system"):
        page.goto(tenant.external_url + where)
        assert violations(page) == ""
    for path in ("", "/clear"):
        page.goto(page_of(tenant) + path)
        assert violations(page) == ""
    page.set_viewport_size({"width": 320, "height": 640})
    for number, path in enumerate(("", "/clear", "/../../kube-system")):
        page.goto(page_of(tenant) + path)
        shoot(page, f"phone-{number}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_viewer_sees_no_button_and_forms_of_their_own_change_nothing(
    tenant: User, ready: Ready, come: Come, shoot: Shoot
) -> None:
    ready(stored=DEMO, demo=EDITOR, ada=VIEWER)
    credential = tenant.credential()
    page = come(ADA)

    page.goto(page_of(tenant))
    shoot(page, "seen")
    assert buttons(page) == set()
    assert "You may not get a credential for it." in text_of(page)
    token = token_on(page)
    for act in ("authorize", "clear", "refresh"):
        page.goto(page_of(tenant))
        forge(page, f"{page_of(tenant)}/{act}", token=token)
        shoot(page, act)
        assert heading(page) == DENIED, act
        assert address(ADA) in text_of(page)
    page.goto(f"{page_of(tenant)}/clear")
    assert heading(page) == DENIED
    assert tenant.credential() == credential
    assert history(tenant) == [did("NewCredential", DEMO)]


def test_who_may_authorize_alone_gets_a_first_credential_and_replaces_none(
    tenant: User, ready: Ready, come: Come, shoot: Shoot
) -> None:
    ready(stored=DEMO, demo=EDITOR, ada=AUTHORIZER)
    credential = tenant.credential()
    page = come(ADA)

    page.goto(page_of(tenant))
    shoot(page, "standing")
    assert buttons(page) == set()
    assert "You may get a first credential, but you may not replace this one." in text_of(page)
    begun = flows(tenant)
    forge(page, f"{page_of(tenant)}/authorize", token=token_on(page))
    assert heading(page) == DENIED
    assert "may not change credentials" in text_of(page)
    assert flows(tenant) == begun
    assert tenant.credential() == credential

    tenant.clear("1")
    tenant.wait_for_reason("CredentialCleared")
    at_consent(page, tenant, login=ADA)
    finish(page)
    assert heading(page) == STORED
    tenant.wait_for_reason("Authorized")
    assert history(tenant)[-1] == did("NewCredential", ADA)


def test_authorization_ends_well_where_the_session_ended_meanwhile_and_is_shown_after_the_next_sign_in(
    tenant: User, ready: Ready, come: Come, shoot: Shoot
) -> None:
    ready(demo=EDITOR)
    page = come(DEMO)
    at_consent(page, tenant)
    end_all_sessions(tenant.api)

    finish(page)
    shoot(page, "done-asks-who")
    assert heading(page) == SIGN_IN
    assert tenant.namespace not in text_of(page)
    tenant.wait_for_reason("Authorized")
    wait_for_history(tenant, did("NewCredential", DEMO))
    come_in(page, DEMO)
    assert heading(page) == STORED
    assert "demo@example.com" in text_of(page)


def test_right_that_was_taken_away_meanwhile_ends_an_authorization_before_its_code_is_spent(
    tenant: User, come: Come, shoot: Shoot
) -> None:
    give(tenant, DEMO, VIEWER)
    give(tenant, DEMO, AUTHORIZER)
    tenant.ready_to_authorize()
    page = come(DEMO)
    at_consent(page, tenant)
    take(tenant, DEMO, AUTHORIZER)

    finish(page)

    shoot(page, "done")
    assert heading(page) == "You may not do that any more"
    assert "The code was not used and nothing was stored." in text_of(page)
    assert not [each for each in tenant.provider.token_requests() if each.client_id == tenant.client_id]
    assert tenant.credential_id() == ""
    assert history(tenant) == []


def test_buttons_of_pages_that_were_opened_with_more_rights_do_nothing(
    tenant: User, ready: Ready, come: Come, shoot: Shoot
) -> None:
    ready(stored=DEMO, demo=EDITOR, ada=EDITOR)
    credential, begun = tenant.credential(), flows(tenant)
    context = come(ADA).context
    tabs = {}
    for button, below in ((BUTTON, ""), ("Refresh now", ""), ("Clear it", "/clear")):
        tabs[button] = context.new_page()
        tabs[button].goto(page_of(tenant) + below)
    take(tenant, ADA, EDITOR)

    for button, tab in tabs.items():
        press(tab, button)
        shoot(tab, button)
        assert heading(tab) == DENIED, button

    assert tenant.credential() == credential
    assert flows(tenant) == begun


def test_two_people_at_once_store_one_credential_in_the_name_of_the_first(
    tenant: User, ready: Ready, come: Come, shoot: Shoot
) -> None:
    ready(demo=EDITOR, ada=AUTHORIZER)
    demo, ada = come(DEMO), come(ADA)
    at_consent(demo, tenant)
    at_consent(ada, tenant, login=ADA)

    finish(ada)
    finish(demo)

    shoot(demo, "second")
    assert heading(ada) == STORED
    assert heading(demo) == "Another person was faster"
    tenant.wait_for_reason("Authorized")
    wait_for_history(tenant, did("NewCredential", ADA))
    assert tenant.status()["authorizedAs"] == address(ADA)


def test_way_back_in_the_middle_leads_to_the_page_with_the_button_and_the_second_try_ends_well(
    tenant: User, ready: Ready, come: Come, shoot: Shoot
) -> None:
    ready(demo=EDITOR)
    page = come(DEMO)
    at_consent(page, tenant)

    for _ in range(3):
        # The provider's pages are some steps; ours between is none.
        page.go_back()
        if page.url == page_of(tenant):
            break
    shoot(page, "back")
    assert page.url == page_of(tenant)
    press(page, BUTTON)
    to_consent(page)
    finish(page)
    done = page.url
    assert heading(page) == STORED
    page.goto("about:blank")
    page.go_back()
    assert page.url == done
    assert heading(page) == STORED
    tenant.wait_for_reason("Authorized")
    assert history(tenant) == [did("NewCredential", DEMO)]


def test_link_opens_nothing_for_who_has_no_right_and_does_not_say_whether_there_is_something(
    tenant: User, come: Come, shoot: Shoot
) -> None:
    link = tenant.ready_to_authorize()
    page = come(ADA)
    said = list[str]()
    for where in (link, page_of(tenant, "nothing"), link.replace("/datasources/", "/authorize/")):
        page.goto(where)
        shoot(page, f"denied-{len(said)}")
        assert heading(page) == DENIED
        assert buttons(page) == set()
        said.append(text_of(page).partition("Reference:")[0])
    assert len(set(said)) == 1
    assert f"--user={address(ADA)} --namespace={tenant.namespace}" in said[0]
    assert "calendar" not in said[0]


def test_second_press_of_any_button_does_no_harm(
    tenant: User, ready: Ready, company: Stack, page: Page, shoot: Shoot
) -> None:
    page.goto(ready(demo=EDITOR))
    page.get_by_role("button", name="Sign in").dblclick()
    through(page, DEMO)
    page.wait_for_url(page_of(tenant))

    page.get_by_role("button", name=BUTTON).dblclick()
    to_consent(page)
    finish(page)
    assert heading(page) == STORED
    tenant.wait_for_reason("Authorized")

    page.goto(page_of(tenant))
    page.get_by_role("button", name="Refresh now").dblclick()
    shoot(page, "refresh")
    assert page.url == page_of(tenant)
    eventually("it was refreshed", lambda: did("Refresh", DEMO) in history(tenant))
    assert tenant.state() == "AUTHORIZED"

    # The second press leads to the page once more, perhaps later than the refresh is done.
    page.wait_for_load_state("networkidle")
    page.goto(f"{page_of(tenant)}/clear")
    page.get_by_role("button", name="Clear it").dblclick()
    tenant.wait_for_reason("CredentialCleared")
    shoot(page, "clear")
    assert page.url == page_of(tenant)
    assert history(tenant).count(did("ClearCredential", DEMO)) == 1

    page.get_by_role("button", name="Sign out").dblclick()
    page.get_by_text("You are signed out").wait_for()
    shoot(page, "signed-out")


def test_two_tabs_of_one_person_authorize_a_datasource_each(tenant: User, ready: Ready, come: Come) -> None:
    ready(demo=EDITOR)
    tenant.apply(tenant.datasource(tenant.oauth2(), name="mail"))
    tenant.wait_for_reason("AuthorizationRequired", "mail")
    calendar = come(DEMO)
    mail = calendar.context.new_page()
    at_consent(calendar, tenant)
    at_consent(mail, tenant, "mail")

    for tab, name in ((calendar, "calendar"), (mail, "mail")):
        finish(tab)
        assert heading(tab) == STORED
        assert f"Datasource {tenant.namespace}/{name}" in tab.title()
        tenant.wait_for_reason("Authorized", name)
        assert history(tenant, name) == [did("NewCredential", DEMO)]
    assert tenant.credential_id() != tenant.credential_id("mail")


def test_authorization_is_not_finished_by_another_person_in_the_same_browser(
    tenant: User, ready: Ready, come: Come, shoot: Shoot
) -> None:
    ready(demo=EDITOR, ada=EDITOR)
    page = come(DEMO)
    at_consent(page, tenant)
    callback = allow_but_stay(page)
    # The session ran out, and whoever sits there now signs in.
    page.context.clear_cookies(name=SESSION)
    page.context.clear_cookies(domain="127.0.0.1")
    page.goto(page_of(tenant))
    come_in(page, ADA)
    page.wait_for_url(page_of(tenant))

    page.goto(callback)

    shoot(page, "another")
    assert heading(page) == "Another person is signed in"
    assert tenant.credential_id() == ""
    assert not [each for each in tenant.provider.token_requests() if each.client_id == tenant.client_id]


def test_sign_out_in_another_tab_ends_what_was_begun(
    tenant: User, ready: Ready, company: Stack, page: Page, shoot: Shoot
) -> None:
    page.goto(ready(demo=EDITOR))
    come_in(page, DEMO)
    page.wait_for_url(page_of(tenant))
    at_consent(page, tenant)
    other = page.context.new_page()
    other.goto(f"{company.external_url}/")
    press(other, "Sign out")
    assert heading(other) == "You are signed out"

    allow(page)
    page.wait_for_url(f"{company.external_url}/**")

    shoot(page, "ended")
    assert heading(page) == "Please finish in the browser where you started"
    assert tenant.credential_id() == ""


def test_authorization_of_a_browser_that_lost_our_cookies_is_not_finished(
    tenant: User, ready: Ready, come: Come, company: Stack, shoot: Shoot
) -> None:
    ready(demo=EDITOR)
    page = come(DEMO)
    at_consent(page, tenant)
    page.context.clear_cookies(domain="localhost")

    allow(page)
    page.wait_for_url(f"{company.external_url}/**")

    shoot(page, "lost")
    assert heading(page) == "Please finish in the browser where you started"
    assert tenant.credential_id() == ""
    page.goto(page_of(tenant))
    come_in(page, DEMO)
    page.wait_for_url(page_of(tenant))
    at_consent(page, tenant)
    finish(page)
    assert heading(page) == STORED


def test_form_of_a_session_that_is_over_changes_nothing_and_leads_back_after_the_next_sign_in(
    tenant: User, ready: Ready, come: Come, shoot: Shoot
) -> None:
    ready(stored=DEMO, demo=EDITOR)
    credential = tenant.credential()
    page = come(DEMO)
    page.goto(f"{page_of(tenant)}/clear")
    page.context.clear_cookies(name=SESSION)

    press(page, "Clear it")

    shoot(page, "over")
    assert heading(page) == SIGN_IN
    assert "Your session is over, so nothing was changed." in text_of(page)
    come_in(page, DEMO)
    page.wait_for_url(page_of(tenant))
    assert buttons(page) == {BUTTON, "Refresh now", "Clear credential"}
    assert tenant.credential() == credential


def test_clear_is_of_the_credential_that_was_seen_and_of_no_later_one(
    tenant: User, ready: Ready, come: Come, shoot: Shoot
) -> None:
    ready(stored=DEMO, demo=EDITOR)
    page = come(DEMO)
    page.goto(f"{page_of(tenant)}/clear")
    first = tenant.credential_id()
    with Employee(ADA) as ada:
        give(tenant, ADA, EDITOR)
        assert STORED in ada.get_credential(page_of(tenant)).text
    tenant.wait_for_status("it is hers", lambda status: status["authorizedAs"] == address(ADA))
    credential = tenant.credential()

    press(page, "Clear it")

    shoot(page, "later")
    assert heading(page) == "Nothing was asked for"
    assert "There is another credential now than the one that you saw." in text_of(page)
    page.get_by_role("link", name="Datasource calendar").click()
    assert page.url == page_of(tenant)
    assert tenant.credential() == credential
    assert tenant.credential_id() != first


def test_longest_names_fit_every_page_of_a_phone(tenant: User, company: Stack, come: Come, shoot: Shoot) -> None:
    namespace = "n" * 63
    tenant.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    long = User(tenant.cluster, namespace, tenant.provider, tenant.external_url)
    name = "x" * 200
    give(long, DEMO, EDITOR)
    long.register_application()
    long.create_client_secret()
    long.apply(long.datasource(long.oauth2(), name=name))
    long.wait_for_reason("AuthorizationRequired", name)
    page = come(DEMO)
    page.set_viewport_size({"width": 320, "height": 640})

    def fits(what: str) -> None:
        shoot(page, what)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, what

    page.goto(f"{company.external_url}/datasources/{namespace}")
    fits("list")
    page.get_by_role("link", name=name).click()
    fits("page")
    press(page, BUTTON)
    to_consent(page)
    finish(page)
    fits("done")
    assert heading(page) == STORED
    long.wait_for_reason("Authorized", name)
    page.goto(f"{page_of(long, name)}/clear")
    fits("clear")
    press(page, "Clear it")
    long.wait_for_reason("CredentialCleared", name)
    fits("cleared")
    wait_for_history = [did("NewCredential", DEMO), did("ClearCredential", DEMO)]
    eventually("the history tells both", lambda: history(long, name) == wait_for_history)
    page.goto(f"{company.external_url}/datasources/{namespace}/{'y' * 253}")
    fits("nothing")
