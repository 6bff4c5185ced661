"""Every page that our code can show, in each language, in Chromium: axe finds nothing, and no form of it loses anything.

No cluster: pages are made by the very functions that answer requests, and given to the browser with their headers.
Screenshots in four forms (a desk, a dark desk, a phone, forced colours) are left in build/, beside those of the other tests; in
other languages than English of a phone alone.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route
from starlette.responses import Response

from callback_server.language import ENGLISH, LANGUAGES, Words
from callback_server.pages import (
    Banner,
    Dialog,
    Form,
    Onward,
    dialog_page,
    onward_page,
    progress_page,
    refusal_page,
)
from callback_server.presentation import DELIVERED, PRESENTATION
from callback_server.refusals import Kind, Refused, exchange_failed, form_is_not_ours, goes_on
from callback_server.signed_in.pages import (
    Button,
    ClearPage,
    DatasourcePage,
    HomePage,
    ListPage,
    Row,
    SignInPage,
    choices_of,
    clear_page,
    datasource_page,
    home_page,
    list_page,
    sign_in_page,
)
from callback_server.way_on import Account, WayOn
from datasource.api.display import Display
from datasource.api.objects import Status
from datasource.api.states import State
from datasource.oauth2.errors import InvalidGrant
from datasource.process.branding import Branding
from datasource.records.effective import effective_oauth2
from tests.conftest import ARTEFACTS
from tests.e2e.conftest import violations
from tests.support.person import STORED
from tests.unit.callback_server.refusals.test_refused import every_refusal
from tests.unit.callback_server.test_consent import situation
from tests.unit.callback_server.test_pages_in_languages import dialogs

FORMS: dict[str, dict[str, Any]] = {
    "desk": {"viewport": {"width": 1280, "height": 800}},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 320, "height": 640}, "has_touch": True},
    "forced-colours": {"viewport": {"width": 1280, "height": 800}, "forced_colors": "active"},
}
# What 400 % makes of a window of 1280 by 1024 (WCAG 1.4.10).
ENLARGED = {"viewport": {"width": 320, "height": 256}}

LONG_NAME = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
HEBREW, ARABIC = "מערכת יומן החברה", "تطبيق التقويم (الإصدار 2)"
ADDRESS = "https://connect.example.com/page"


@dataclass(frozen=True)
class Shown:
    """A page, by what it is called in names of files."""

    name: str
    make: Any

    def answer(self, language: str) -> Response:
        before = PRESENTATION.set(DELIVERED[language])
        try:
            made: Response = self.make()
            return made
        finally:
            PRESENTATION.reset(before)


def attacked() -> Iterator[Shown]:
    """All that is bounded, at its bound, and all at once."""
    long = "Wort" * 64
    display = Display(title=HEBREW, purpose=f"{ARABIC} {long}"[:256], owner=ARABIC, contact=f"{HEBREW} +49 1")
    there = replace(
        situation(display, provider="google", scopes=[f"https://scope.example/{'s' * 200}/{n}" for n in range(20)]),
        name=LONG_NAME,
        namespace="n" * 63,
    )
    branding = Branding(HEBREW, "c" * 63, "help@example.com")
    form = Form(action="/authorize", ticket="t" * 64, token="f" * 64)
    yield Shown(
        "attacked-dialog",
        lambda: dialog_page(
            Dialog(there, f"https://{LONG_NAME}", effective_oauth2(there.oauth2, None), form=form, branding=branding)
        ),
    )
    # 4 KB of a provider's words, of which a page shows what it may; and all of them, should a check ever miss.
    said = f"{HEBREW} \u202e{'x' * 500} " * 8
    yield Shown(
        "attacked-refusal",
        lambda: refusal_page(exchange_failed(InvalidGrant(said)), reference="r" * 32, branding=branding),
    )
    whole = Refused(
        Kind.STORE_WAS_REFUSED, Words(HEBREW), Words(said), command=f"kubectl get dsrc {LONG_NAME} -n {'n' * 63}"
    )
    yield Shown("attacked-whole", lambda: refusal_page(whole, reference="r" * 32, branding=branding))
    yield Shown(
        "attacked-onward", lambda: onward_page(Onward("n" * 63, LONG_NAME, f"https://{LONG_NAME}/{'p' * 2000}"))
    )


def signed_in(
    name: str, owner: str, user: str, groups: tuple[str, ...]
) -> Iterator[tuple[str, Callable[[], Response]]]:
    """The pages of people who signed in, about a Datasource of that name."""
    account = Account(user, "/sign-out", "t")
    there = replace(situation(Display(title=owner, owner=owner), provider="google"), name=name)
    status = Status(state="AUTHORIZED", authorized_as=owner, expires_at="2026-07-03T12:00:00Z")
    dialog = Dialog(replace(there, status=status), "https://c.example", effective_oauth2(there.oauth2, None))
    rows = tuple(Row(name, "/x", state, "3 July 2026, 12:00 UTC", owner) for state in (*map(str, State), ""))
    button, path = Button("/x", "t"), "/datasources/shop"
    acts = (("3 July 2026, 12:00 UTC", "cleared", owner, "done"),)
    branding = Branding(owner, "prod-eu", "help@example.com")
    lost = SignInPage("/sign-in", "/", "t", "login.example.com", branding, was_lost=True)
    whole = DatasourcePage(account, path, dialog, button, "", button, f"{path}/x/clear", "", acts)
    yield "sign-in", lambda: sign_in_page(lost, HTTPStatus.OK)
    yield "sign-in-onward", lambda: onward_page(Onward("", "", "https://login.example.com/x"), "onward_to_sign_in.html")
    yield "home", lambda: home_page(HomePage(account, "/datasources", groups, all_path="/datasources"))
    by_state = choices_of(path, State.NOT_AUTHORIZED)
    yield "list", lambda: list_page(ListPage(account, "shop", "/", rows, f"{path}?continue=x", by_state))
    everywhere = tuple(replace(row, namespace="n" * 63) for row in rows)
    yield "list-all", lambda: list_page(ListPage(account, None, "/", everywhere, None, by_state))
    yield "list-empty", lambda: list_page(ListPage(account, "shop", "/", (), None))
    yield "datasource", lambda: datasource_page(whole)
    yield "datasource-seen", lambda: datasource_page(DatasourcePage(account, path, dialog, None, "It may be seen."))
    way_on = WayOn(f"{path}/{name}", f"Datasource {name}", account)
    banner = Banner(STORED, "It is AUTHORIZED.", is_success=True)
    yield "done", lambda: dialog_page(replace(dialog, banner=banner, way_on=way_on))
    yield "refusal", lambda: refusal_page(form_is_not_ours(), reference="3f2a9c", way_on=way_on)
    yield "clear", lambda: clear_page(ClearPage(account, "shop", name, owner, button, "/"))


def shown() -> Iterator[Shown]:
    for name, make in signed_in("calendar", "Team Facilities", "ada@example.com", ("staff", "system:authenticated")):
        yield Shown(f"signed-in-{name}", make)
    for name, make in signed_in(LONG_NAME, ARABIC, "u" * 1024, tuple(f"{HEBREW}-{'g' * 200}" for _ in range(20))):
        yield Shown(f"attacked-signed-in-{name}", make)
    for number, dialog in enumerate(dialogs()):
        yield Shown(f"dialog-{number}", lambda dialog=dialog: dialog_page(dialog))
    yield Shown("onward", lambda: onward_page(Onward("shop", "calendar", "https://login.example.com/authorize")))
    yield Shown("progress", progress_page)
    yield Shown("looks-again", lambda: refusal_page(goes_on(), reference="3f2a9c", reloads=True))
    for refused in every_refusal():
        told = refused.about("shop", "calendar")
        yield Shown(
            str(refused.kind),
            lambda told=told: refusal_page(told, reference="3f2a9c", again="https://connect.example.com/x"),
        )
    yield from attacked()


def arrive(page: Page, answer: Response) -> None:
    """Open a page as if our server had sent it. Where it leads on to answers nothing, so that it stays."""

    def respond(route: Route) -> None:
        if route.request.url == ADDRESS:
            # A page that looks again by itself stays as long as it is looked at.
            headers = {name: value for name, value in answer.headers.items() if name != "refresh"}
            route.fulfill(status=200, headers=headers, body=bytes(answer.body))
        else:
            route.fulfill(status=204)

    page.unroute_all()
    page.route("**/*", respond)
    page.goto(ADDRESS)


def in_a_form(browser: Browser, form: dict[str, Any]) -> Iterator[Page]:
    context = browser.new_context(**form)
    yield context.new_page()
    context.close()


def is_wider_than_the_window(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def opened(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")


PAGES = list(shown())


def in_language(language: str) -> list[Shown]:
    """All pages in English. Of another language one of each shape: what axe sees in two pages of a shape is the same."""
    return PAGES if language == ENGLISH else of_each_shape(language)


def of_each_shape(language: str) -> list[Shown]:
    """One page of each sequence of elements, where nothing depends on the words."""
    shapes: dict[tuple[str, ...], Shown] = {}
    for each in PAGES:
        tags = re.findall(r"<(\w+)", bytes(each.answer(language).body).decode())
        shapes.setdefault(tuple(tags), each)
    return list(shapes.values())


of_each_language = pytest.mark.parametrize("language", LANGUAGES)


@of_each_language
def test_axe_finds_nothing_on_any_page_and_its_one_heading_comes_first(browser: Browser, language: str) -> None:
    found: dict[str, str] = {}
    for page in in_a_form(browser, FORMS["desk"]):
        for each in in_language(language):
            arrive(page, each.answer(language))
            opened(page)
            found[each.name] = violations(page)
            levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(each => each.tagName)")
            assert (levels[0], levels.count("H1")) == ("H1", 1), each.name

    assert {name: said for name, said in found.items() if said} == {}
    assert len(found) > (40 if language == ENGLISH else 5)


@of_each_language
@pytest.mark.parametrize("form", FORMS)
def test_page_is_whole_in_every_form(browser: Browser, language: str, form: str) -> None:
    folder: Path = ARTEFACTS / "pages" / form
    folder.mkdir(parents=True, exist_ok=True)
    wide = list[str]()
    for page in in_a_form(browser, FORMS[form]):
        # Colours move nothing.
        for each in in_language(language) if form in {"desk", "phone"} else of_each_shape(language):
            arrive(page, each.answer(language))
            if is_wider_than_the_window(page):
                wide.append(each.name)
            # To draw a page costs more than to look at it: in other languages where they are tightest alone.
            if language == ENGLISH or form == "phone":
                name = re.sub(r"[^a-z0-9-]+", "-", each.name)
                page.screenshot(path=folder / f"{name}.{language}.png", full_page=form != "phone")
    assert wide == []


@of_each_language
def test_nothing_is_cut_off_at_four_times_the_size(browser: Browser, language: str) -> None:
    wide = list[str]()
    for page in in_a_form(browser, ENLARGED):
        for each in in_language(language):
            arrive(page, each.answer(language))
            opened(page)
            if is_wider_than_the_window(page):
                wide.append(each.name)
    assert wide == []


def buttons(page: Page) -> list[dict[str, Any]]:
    """What looks like a button, whether it is one or a link."""
    found: list[dict[str, Any]] = page.evaluate(
        """[...document.querySelectorAll("button, a.button")].map(each => {
            const style = getComputedStyle(each), box = each.getBoundingClientRect();
            const is_quiet = each.classList.contains("quiet"), border = style.borderTopStyle + " " + style.borderTopWidth;
            return {border, is_quiet, bottom: box.bottom, height: box.height};
        })"""
    )
    return found


PHONES = [(320, 568), (320, 640), (390, 844)]


@pytest.mark.parametrize(("width", "height"), PHONES)
def test_who_has_signed_in_leaves_most_of_a_phone_s_first_screen(browser: Browser, width: int, height: int) -> None:
    """The instance: a name of 1,024 characters, which filled it."""
    seen = 0
    for page in in_a_form(browser, {"viewport": {"width": width, "height": height}, "has_touch": True}):
        for each in PAGES:
            if each.name.startswith(("signed-in", "attacked-signed-in")):
                arrive(page, each.answer(ENGLISH))
                for account in page.locator("header.account").all():
                    assert account.evaluate("each => each.getBoundingClientRect().bottom") <= 0.4 * height, each.name
                    seen += 1
                if each.name in {"attacked-signed-in-datasource", "attacked-signed-in-home"}:
                    page.screenshot(path=ARTEFACTS / "pages" / f"{each.name}.{width}x{height}.png")
    assert seen > 10


@of_each_language
@pytest.mark.parametrize(("width", "height"), PHONES)
def test_button_is_on_the_first_screen_of_a_phone_and_large_enough_to_touch(
    browser: Browser, language: str, width: int, height: int
) -> None:
    seen = 0
    for page in in_a_form(browser, {"viewport": {"width": width, "height": height}, "has_touch": True}):
        for each in in_language(language):
            arrive(page, each.answer(language))
            for button in buttons(page):
                # What a page is for; not what else one may do there.
                assert button["is_quiet"] or button["bottom"] <= height, each.name
                # WCAG 2.5.5.
                assert button["height"] >= 44, each.name
                seen += 1
            opened(page)
            assert not is_wider_than_the_window(page), each.name
            # Nor are words broken letter by letter to have it so.
            cells = page.locator("td:visible").evaluate_all("all => all.map(each => each.clientWidth)")
            assert min(cells, default=320) >= 120, each.name
    assert seen > 10


def test_button_and_state_have_a_border_where_colours_are_the_reader_s(browser: Browser) -> None:
    seen = 0
    for page in in_a_form(browser, FORMS["forced-colours"]):
        for each in of_each_shape(ENGLISH):
            arrive(page, each.answer("en"))
            opened(page)
            for button in buttons(page):
                assert button["border"] == "solid 1px", each.name
                seen += 1
            for state in page.locator(".state").all():
                assert state.evaluate("each => getComputedStyle(each).borderTopStyle") == "solid"
                seen += 1
    assert seen > 10


@of_each_language
def test_keyboard_reaches_all_that_can_be_used_and_shows_where_it_is(browser: Browser, language: str) -> None:
    for page in in_a_form(browser, FORMS["desk"]):
        for each in of_each_shape(language):
            arrive(page, each.answer(language))
            usable = page.locator("a[href], button, summary").count()
            outlines = list[str]()
            for _ in range(usable):
                page.keyboard.press("Tab")
                outlines.append(str(page.evaluate("getComputedStyle(document.activeElement).outlineStyle")))
            assert outlines == ["solid"] * usable, each.name


def test_page_that_waits_looks_again_by_itself_and_the_way_back_leads_past_it(browser: Browser) -> None:
    """Without a script, though it is an error to programs, and with the code in its address."""
    waits = refusal_page(goes_on(), reloads=True)
    waits.headers["Refresh"] = "0"
    asked = list[str]()

    def respond(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) > 2:
            route.fulfill(status=200, content_type="text/html", body="<h1>Done</h1>")
        else:
            route.fulfill(status=waits.status_code, headers=dict(waits.headers), body=bytes(waits.body))

    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.route("**/callback/**", respond)
    page.goto("https://connect.example.com/callback/shop?code=c&state=s", wait_until="commit")
    page.get_by_role("heading", name="Done").wait_for()
    assert asked == ["https://connect.example.com/callback/shop?code=c&state=s"] * 3
    context.close()


def test_words_from_right_to_left_do_not_turn_what_is_ours_around(browser: Browser) -> None:
    """A sentence of ours goes on after the tenant's words where it would with words of its own direction."""
    for page in in_a_form(browser, FORMS["desk"]):
        (dialog,) = (each for each in PAGES if each.name == "attacked-dialog")
        arrive(page, dialog.answer("en"))
        for isolated in page.locator("h1 bdi, p bdi").all():
            assert isolated.evaluate("each => getComputedStyle(each).unicodeBidi") == "isolate"
        assert page.locator("h1 bdi").count() == 2
        # The cluster's name, which comes after both, is right of them on their line, or on a later one.
        boxes = page.locator("h1").evaluate(
            """heading => {
                const last = heading.lastChild, range = document.createRange();
                range.selectNodeContents(last);
                const app = heading.querySelector("q").getBoundingClientRect(), rest = range.getClientRects()[0];
                return [app.bottom, app.right, rest.top, rest.left];
            }"""
        )
        bottom, right, top, left = boxes
        assert top >= bottom - 1 or left >= right - 1
