"""Routes of people who sign in: there where settings say so, and not there otherwise; sign-out."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callback_server.refusals import Kind
from callback_server.signed_in.destinations import HOME, Destination
from callback_server.signed_in.routes import nearest, people_routes
from callback_server.signed_in.sessions import PER_SESSION, Visits
from tests.unit.callback_server.signed_in.company import EXTERNAL, Company, company
from tests.unit.callback_server.visits import visit

SESSION = "__Host-datasource-session"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path / "secret") as made:
        yield made


PATHS = [
    ("GET", "/"),
    ("GET", "/datasources"),
    ("GET", "/datasources/shop"),
    ("GET", "/datasources/shop/calendar"),
    ("POST", "/datasources/shop/calendar/authorize"),
    ("GET", "/datasources/shop/calendar/clear"),
    ("POST", "/datasources/shop/calendar/clear"),
    ("POST", "/datasources/shop/calendar/refresh"),
    ("POST", "/sign-in"),
    ("GET", "/signed-in"),
    ("GET", "/sign-out"),
    ("POST", "/sign-out"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_without_its_settings_nothing_of_it_is_there(method: str, path: str) -> None:
    async with visit() as plain:
        answer = await plain.client.request(method, path)
        assert answer.status_code == 404
        assert "There is no such page" in answer.text
        assert "set-cookie" not in answer.headers


def test_every_path_is_tried_here(there: Company) -> None:
    assert there.served.people is not None
    known = {
        (method, route.path.format(namespace="shop", name="calendar"))
        for route in people_routes(there.served.people)
        for method in route.methods or ()
    }
    assert known - {(method, path) for method, path in known if method == "HEAD"} == set(PATHS)


async def test_sign_out_ends_the_session_and_the_browser_forgets_it(there: Company) -> None:
    browser = await there.signed_in("ada")
    kept = browser.cookies[SESSION]
    assert "You are signed out" in (await browser.sign_out()).text
    assert SESSION not in browser.cookies
    browser.client.cookies.set(SESSION, kept, domain="connect.example.com")
    assert "Please sign in" in (await browser.get("/")).text
    (session,) = there.cluster.sessions
    assert session.get("data") in (None, {})


async def test_sign_out_takes_the_form_of_the_session_itself(there: Company) -> None:
    mine, other = await there.signed_in("ada"), await there.signed_in("eve")
    page = await other.get("/")
    assert (await mine.submit(page, "/sign-out")).status_code == 403
    assert "signed in as" in (await mine.get("/")).text


async def test_sign_out_without_a_session_says_the_same(there: Company) -> None:
    browser = there.browser()
    out = await browser.post("/sign-out", {})
    assert "You are signed out" in (await browser.get(out.headers["location"])).text


async def test_address_of_the_page_after_a_sign_out_ends_no_session(there: Company) -> None:
    """A link to it, an image, or the back button after another sign-in."""
    browser = await there.signed_in("ada")
    opened = await browser.get("/sign-out")
    assert (opened.status_code, opened.headers["location"]) == (303, f"{EXTERNAL}/")
    assert "set-cookie" not in opened.headers
    assert "signed in as" in (await browser.get("/")).text
    framed = await browser.get("/sign-out", **{"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"})
    assert framed.status_code == 403


async def test_huge_form_is_refused(there: Company) -> None:
    browser = await there.signed_in("ada")
    answer = await browser.post("/datasources/shop/calendar/refresh", {"token": "x" * 20_000})
    assert answer.status_code == 403


async def test_form_without_the_browser_s_cookie_is_refused(there: Company) -> None:
    browser = await there.signed_in("ada")
    browser.forget("__Host-datasource-browser")
    answer = await browser.post("/datasources/shop/calendar/authorize", {"token": "A" * 43})
    assert answer.status_code == 403
    assert there.cluster.reviews == []


async def test_api_server_that_fails_shows_nothing_and_does_nothing(there: Company) -> None:
    browser = await there.signed_in("ada")
    for held in there.cluster.secrets.values():
        held.secrets.clear()
    assert "Please sign in" in (await browser.get("/datasources/shop")).text


SIGN_OUT = '<form method="post" action="/sign-out">'
OUT_OF_DATE = "This page is out of date"


async def test_whoever_is_denied_sees_who_they_are_and_can_sign_out_or_look_elsewhere(there: Company) -> None:
    browser = await there.signed_in("ada")
    denied = await browser.get("/datasources/shop/calendar")
    assert denied.status_code == 403
    assert SIGN_OUT in denied.text
    assert "signed in as <code>" in denied.text
    assert re.findall(r'<a href="([^"]*)"', denied.text) == ["/"]
    assert "You are signed out" in (await browser.sign_out(denied)).text


async def test_refusal_of_somebody_who_may_look_leads_to_the_nearest_page(there: Company) -> None:
    there.cluster.allow("ada", "get", "authorize")
    there.add()
    browser = await there.signed_in("ada")
    gone = await browser.get("/datasources/shop/nothing")
    assert (gone.status_code, re.findall(r'<a href="([^"]*)"', gone.text)) == (404, ["/datasources/shop"])
    stale = await browser.post("/datasources/shop/calendar/authorize", {"token": "A" * 43})
    assert OUT_OF_DATE in stale.text
    assert '<a class="button" href="/datasources/shop/calendar">Try again</a>' in stale.text
    assert '<a href="/datasources/shop/calendar">Datasource calendar</a>' in stale.text


async def test_whoever_signed_out_or_could_not_sign_in_is_led_to_where_all_begins(there: Company) -> None:
    browser = await there.signed_in("ada")
    out = await browser.sign_out()
    assert '<a class="button" href="/">Sign in again</a>' in out.text
    unknown = await browser.client.get("/signed-in", params={"code": "c", "state": "s"})
    assert "This sign-in is unknown" in unknown.text
    assert '<a class="button" href="/">Try again</a>' in unknown.text
    stale = await browser.post("/sign-in", {"token": "A" * 43})
    assert OUT_OF_DATE in stale.text
    assert '<a class="button" href="/">Try again</a>' in stale.text
    assert SIGN_OUT not in out.text + unknown.text + stale.text


async def test_whoever_has_not_signed_in_is_led_nowhere_from_other_pages(there: Company) -> None:
    missing = await there.browser().get("/nothing")
    assert missing.status_code == 404
    assert "<a " not in missing.text


@pytest.mark.parametrize(
    ("kind", "place", "destination"),
    [
        (Kind.NOT_ALLOWED, ("shop", "calendar"), HOME),
        (Kind.THERE_IS_NO_SUCH_DATASOURCE, ("shop", "calendar"), Destination("shop")),
        (Kind.TOO_MUCH_AT_ONCE, ("shop", "calendar"), Destination("shop", "calendar")),
        (Kind.TOO_MUCH_AT_ONCE, ("shop", None), Destination("shop")),
        (Kind.THERE_IS_NO_SUCH_PAGE, (None, None), HOME),
        (Kind.THERE_IS_NO_SUCH_PAGE, (None, "calendar"), HOME),
    ],
)
def test_nearest_page_is_one_that_may_be_there(
    kind: Kind, place: tuple[str | None, str | None], destination: Destination
) -> None:
    assert nearest(kind, *place) == destination


async def test_pages_below_a_path_link_below_it(tmp_path: Path) -> None:
    async with company(tmp_path / "secret", external_url="https://connect.example.com/oauth") as there:
        there.cluster.allow("ada", "list", "get")
        there.add()
        browser = there.browser()
        page = await browser.get("/oauth/")
        onward = await browser.submit(page, "/oauth/sign-in")
        back = await browser.come_back(browser.sent_to(onward.text))
        assert back.headers["location"] == "https://connect.example.com/oauth/"
        listed = await browser.get("/oauth/datasources/shop")
        assert 'href="/oauth/datasources/shop/calendar"' in listed.text
        assert 'action="/oauth/sign-out"' in listed.text
        assert (await browser.get("/datasources/shop")).status_code == 404


def no_second_passes(there: Company) -> None:
    """Limits fill up by the clock, and a busy machine takes its time."""
    assert there.served.people is not None
    denials = there.served.people.datasources.rights.denials
    denials._monotonic = denials._buckets._monotonic = lambda: 0.0
    there.served.people.sessions._visits = Visits(lambda: 0.0)


async def test_whoever_is_denied_again_and_again_sees_who_they_are_and_costs_one_request(there: Company) -> None:
    browser = await there.signed_in("ada")
    no_second_passes(there)
    for number in range(20):
        denied = await browser.get(f"/datasources/shop/d-{number}")
    before = there.cluster.answered
    slowed = await browser.get("/datasources/shop/calendar")
    assert (denied.status_code, slowed.status_code) == (429, 429)
    assert there.cluster.answered == before + 1
    assert "signed in as <code>" in slowed.text
    assert SIGN_OUT in slowed.text
    assert int(slowed.headers["retry-after"]) <= 2
    assert '<a class="button" href="/datasources/shop/calendar">Try again</a>' in slowed.text
    # What is refused for its number makes no line of the log, so there is nothing to name.
    assert "Reference" not in slowed.text
    assert "You are signed out" in (await browser.sign_out(slowed)).text


async def test_denials_of_one_person_slow_down_nobody_else(there: Company) -> None:
    there.cluster.allow("bob", "get")
    there.add()
    no_second_passes(there)
    eve, bob = await there.signed_in("eve"), await there.signed_in("bob")
    statuses = [(await eve.get(f"/datasources/shop/d-{number}")).status_code for number in range(20)]
    assert statuses == [403] * 10 + [429] * 10
    assert (await bob.get("/datasources/shop/calendar")).status_code == 200
    # Another session of the same person gets no others.
    again = await there.signed_in("eve")
    assert (await again.get("/datasources/shop/calendar")).status_code == 429


async def test_page_that_slows_down_a_session_reads_nothing_and_so_names_nobody(there: Company) -> None:
    no_second_passes(there)
    browser = await there.signed_in("ada")
    for _ in range(PER_SESSION[1]):
        assert (await browser.get("/")).status_code == 200
    before = there.cluster.answered
    slowed = await browser.get("/")
    assert slowed.status_code == 429
    assert there.cluster.answered == before
    assert "signed in as" not in slowed.text
    assert slowed.headers["refresh"] == "5"
