"""The pages of people who signed in, in every language, and whatever somebody put into a status."""

from pathlib import Path

import pytest

from callback_server.language import LANGUAGES, text
from callback_server.presentation import DELIVERED, PRESENTATION
from callback_server.signed_in.pages import (
    Button,
    ClearPage,
    HomePage,
    ListPage,
    Row,
    SignInPage,
    choices_of,
    clear_page,
    home_page,
    list_page,
    rows_of,
    sign_in_page,
    told_of,
)
from callback_server.way_on import Account
from datasource.api.states import State
from datasource.cluster.tables import TablePage
from datasource.process.branding import Branding
from datasource.records.history import SUCCEEDED, Act, By, HistoryEntry
from tests.support.builders import NOW
from tests.unit.callback_server.signed_in.company import company
from tests.unit.callback_server.test_pages_in_languages import body, english_in

SCRIPT = "<script>alert(1)</script>"
ACCOUNT = Account(f"ada {SCRIPT}", "/sign-out", "t" * 43)


def pages() -> list[str]:
    row = Row(f"d{SCRIPT}", "/datasources/shop/d", SCRIPT, SCRIPT, SCRIPT)
    branding = Branding(SCRIPT, "prod-eu", "help@example.com")
    return [
        body(sign_in_page(SignInPage("/sign-in", "/", "t", f"login{SCRIPT}", branding, was_lost=True), 403)),  # type: ignore[arg-type]
        body(home_page(HomePage(ACCOUNT, "/datasources", (SCRIPT,), all_path="/datasources"))),
        body(list_page(ListPage(ACCOUNT, "shop", "/", (row,), "/datasources/shop?continue=x"))),
        body(list_page(ListPage(ACCOUNT, "shop", "/", (), None))),
        body(list_page(ListPage(ACCOUNT, None, "/", (row,), None, choices_of("/datasources", State.ERROR)))),
        body(list_page(ListPage(ACCOUNT, None, "/", (), None, choices_of("/datasources", State.ERROR)))),
        body(clear_page(ClearPage(ACCOUNT, "shop", SCRIPT, SCRIPT, Button("/x", "t"), "/"))),
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_are_in_the_language_of_their_reader_and_show_no_script(language: str) -> None:
    before = PRESENTATION.set(DELIVERED[language])
    try:
        shown = pages()
    finally:
        PRESENTATION.reset(before)
    for page in shown:
        assert f'<html lang="{language}">' in page
        assert "<script" not in page
        if language != "en":
            assert english_in(page) == []


async def test_datasource_page_is_in_the_language_of_its_reader(tmp_path: Path) -> None:
    async with company(tmp_path / "secret") as there:
        there.cluster.allow("ada", "get", "authorize", "patch")
        there.add()
        browser = await there.signed_in("ada")
        page = await browser.get("/datasources/shop/calendar", **{"Accept-Language": "de"})
        assert "Neuen Zugang holen" in page.text
        assert english_in(page.text) == []
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"


def entry(what: str, by: str, result: str) -> HistoryEntry:
    return HistoryEntry(id="i", time=NOW, what=what, by=by, result=result)


def test_history_is_told_in_words_and_a_person_is_called_what_they_are_called() -> None:
    moment = "1 July 2026, 12:00 UTC"
    cleared, failed, odd = (
        entry(Act.CLEAR, By.ANNOTATION, SUCCEEDED),
        entry(Act.REFRESH, "Refresh", "GrantRevoked"),
        entry("Juggle", By.LINK, ""),
    )
    assert told_of(cleared, cleared.by) == (moment, "Cleared", "an annotation", "Succeeded")
    assert told_of(failed, failed.by) == (moment, "Refreshed", "Refresh", "GrantRevoked")
    assert told_of(odd, By.UNPROVEN) == (moment, "Juggle", "not proven", "")


@pytest.mark.parametrize("act", Act)
def test_every_act_has_words(act: Act) -> None:
    assert told_of(entry(act, "ada", SUCCEEDED), "ada")[1] != act


@pytest.mark.parametrize("by", By)
def test_everybody_who_is_no_person_has_words(by: By) -> None:
    assert told_of(entry(Act.CLEAR, by, SUCCEEDED), by)[2] != by


def test_rows_are_made_of_what_the_api_server_printed() -> None:
    table = TablePage(
        (
            {"Name": "a", "State": "AUTHORIZED", "Expires": "2026-07-01T12:00:00Z", "Authorized as": "ada\u202e"},
            {"Name": "b", "State": "ERROR", "Expires": "soon\x00"},
            {"Name": "c"},
            {"State": "AUTHORIZED"},
        )
    )
    rows = rows_of(table, lambda *place: "/" + "/".join(place), "x")
    assert [(row.name, row.path, row.state_class) for row in rows] == [
        ("a", "/x/a", "good"),
        ("b", "/x/b", "bad"),
        ("c", "/x/c", "open"),
    ]
    assert rows[0].expires == "1 July 2026, 12:00 UTC"
    assert (rows[0].authorized_as, rows[1].expires) == ("ada ", "soon ")
    assert text("list.nothing") == "There are no Datasources."


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("ada@example.com", "ada@example.com", id="as most names are"),
        pytest.param("u" * 45, "u" * 45, id="as long as it may be"),
        pytest.param("a" * 1000 + "@" + "z" * 23, "a" * 28 + "…" + "z" * 16, id="longer than a screen"),
    ],
)
def test_name_at_the_top_of_a_page_takes_no_screen_and_is_whole_on_the_first_page(name: str, shown: str) -> None:
    account = Account(name, "/sign-out", "t")
    assert f"<code>{shown}</code>" in body(list_page(ListPage(account, "shop", "/", (), None)))
    assert f"<code>{name}</code>" in body(home_page(HomePage(account, "/datasources", ())))


def test_rows_of_all_namespaces_lead_into_their_own() -> None:
    table = TablePage(({"Name": "a", "Namespace": "shop"}, {"Name": "a", "Namespace": "sales"}))
    rows = rows_of(table, lambda *place: "/" + "/".join(place), None)
    assert [(row.namespace, row.path) for row in rows] == [("shop", "/shop/a"), ("sales", "/sales/a")]
