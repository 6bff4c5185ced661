"""Authorizations of people who signed in: they end in the browser, with the user they began with, and with rights of now."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from callback_server.signed_in.gate import Gate
from datasource.api.objects import Secret
from datasource.api.states import Reason
from datasource.records.credential import CredentialFacts
from datasource.records.history import read_history
from datasource.records.import_secret import ImportedFrom
from tests.support.person import STORED
from tests.unit.callback_server.signed_in.company import Company, company, link_with_ticket

IMPORTED = CredentialFacts(
    "imported", fingerprint="f", has_refresh_token=True, imported=ImportedFrom("0" * 64, "uid-9")
)
SESSION = "__Host-datasource-session"


@pytest.fixture(autouse=True)
def nobody_waits_for_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callback_server.done.LOOKS", 1)


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path / "secret", username_prefix="") as made:
        made.cluster.allow("ada", "get", "authorize")
        made.add()
        yield made


async def test_whoever_may_authorize_gets_a_first_credential_and_is_named_in_its_history(there: Company) -> None:
    browser = await there.signed_in("ada")
    page = await browser.end(await browser.begin())
    assert STORED in page.text
    assert '<a href="/datasources/shop/calendar">Datasource calendar</a>' in page.text
    assert '<form method="post" action="/sign-out">' in page.text
    stored = there.cluster.credential("shop", "calendar")
    assert stored is not None
    history = read_history(msgspec.convert(stored, Secret, strict=False).history)
    assert [(entry.what, entry.by) for entry in history] == [("NewCredential", "ada")]
    assert there.served.callback.gate == Gate(there.served.people.datasources.rights)  # type: ignore[union-attr]


async def test_rights_that_are_taken_away_on_the_way_keep_the_code_unspent(there: Company) -> None:
    browser = await there.signed_in("ada")
    sent_to = await browser.begin()
    there.cluster.forbid("ada", "authorize")
    page = await browser.end(sent_to)
    assert "You may not do that any more" in page.text
    assert 'href="https://connect.example.com/datasources/shop/calendar">Try again' in page.text
    assert there.provider.requests == []
    assert there.cluster.credential("shop", "calendar") is None


async def test_right_to_look_that_is_taken_away_counts_too(there: Company) -> None:
    browser = await there.signed_in("ada")
    sent_to = await browser.begin()
    there.cluster.forbid("ada", "get")
    await browser.end(sent_to)
    assert there.provider.requests == []


async def test_credential_that_stands_is_replaced_only_by_who_may_patch(tmp_path: Path) -> None:
    async with company(tmp_path / "secret", username_prefix="") as there:
        there.cluster.allow("ada", "get", "authorize", "patch")
        there.add(replaces=CredentialFacts("c-1", fingerprint="f"))
        browser = await there.signed_in("ada")
        sent_to = await browser.begin()
        there.cluster.forbid("ada", "patch")
        page = await browser.end(sent_to)
        assert "You may not do that any more" in page.text
        assert there.provider.requests == []
        there.cluster.allow("bob", "get", "authorize", "patch")
        another = await there.signed_in("bob")
        assert STORED in (await another.end(await another.begin())).text


async def test_import_that_gives_way_takes_no_right_that_was_not_needed_at_the_beginning(there: Company) -> None:
    browser = await there.signed_in("ada")
    sent_to = await browser.begin()
    there.cluster.secrets["shop"].put_what_a_datasource_has("shop", "calendar", "uid-of-shop-calendar", IMPORTED)
    assert STORED in (await browser.end(sent_to)).text


async def test_import_over_a_credential_that_stood_is_replaced_only_by_who_may_patch(tmp_path: Path) -> None:
    async with company(tmp_path / "secret", username_prefix="") as there:
        there.cluster.allow("ada", "get", "authorize", "patch")
        there.add(replaces=CredentialFacts("c-1", fingerprint="f", verdict=Reason.GRANT_REVOKED))
        browser = await there.signed_in("ada")
        sent_to = await browser.begin()
        over_it = msgspec.structs.replace(IMPORTED, replaces="c-1")
        there.cluster.secrets["shop"].put_what_a_datasource_has("shop", "calendar", "uid-of-shop-calendar", over_it)
        there.cluster.forbid("ada", "patch")
        assert "You may not do that any more" in (await browser.end(sent_to)).text
        assert there.provider.requests == []


async def test_session_that_ended_on_the_way_costs_no_consent_and_rights_are_asked_all_the_same(there: Company) -> None:
    browser = await there.signed_in("ada")
    sent_to = await browser.begin()
    browser.forget(SESSION)
    asked_before = len(there.cluster.reviews)
    page = await browser.end(sent_to)
    # It is stored; how it ended is told to who signs in again.
    assert "Please sign in" in page.text
    assert there.cluster.credential("shop", "calendar") is not None
    assert {review["spec"]["user"] for review in there.cluster.reviews[asked_before:]} == {"ada"}


async def test_session_that_ended_and_rights_that_were_taken_away(there: Company) -> None:
    browser = await there.signed_in("ada")
    sent_to = await browser.begin()
    browser.forget(SESSION)
    there.cluster.forbid("ada", "authorize")
    await browser.end(sent_to)
    assert there.provider.requests == []
    assert there.cluster.credential("shop", "calendar") is None


async def test_another_person_in_the_same_browser_finishes_nothing(there: Company) -> None:
    browser = await there.signed_in("ada")
    sent_to = await browser.begin()
    there.cluster.allow("eve", "get", "authorize")
    there.issuer.claims = {"sub": "eve"}
    await browser.come_back(await browser.begin_sign_in_again())
    page = await browser.end(sent_to)
    assert page.status_code == 403
    assert "Another person is signed in" in page.text
    assert there.provider.requests == []


async def test_sign_out_ends_what_was_begun_in_that_browser(there: Company) -> None:
    browser = await there.signed_in("ada")
    sent_to = await browser.begin()
    assert "You are signed out" in (await browser.sign_out()).text
    page = await browser.end(sent_to)
    assert page.status_code == 403
    assert there.provider.requests == []


async def test_another_browser_of_the_same_person_finishes_nothing(there: Company) -> None:
    one, other = await there.signed_in("ada"), await there.signed_in("ada")
    page = await other.end(await one.begin())
    assert page.status_code == 403
    assert there.provider.requests == []


async def test_page_that_tells_how_it_ended_is_for_the_one_who_began(there: Company) -> None:
    browser = await there.signed_in("ada")
    sent_to = await browser.begin()
    back = await browser.client.get(
        sent_to.params["redirect_uri"], params={"code": "c-1", "state": sent_to.params["state"]}
    )
    done = back.headers["location"]
    assert STORED in (await browser.client.get(done)).text
    there.cluster.allow("eve", "get")
    there.issuer.claims = {"sub": "eve"}
    await browser.come_back(await browser.begin_sign_in_again())
    page = await browser.client.get(done)
    # Something was stored, so nobody says that nothing was.
    assert (page.status_code, "nothing was stored" in page.text) == (403, False)
    assert "Another person started this authorization." in page.text
    assert "ada" not in page.text
    again = await browser.end(sent_to)
    assert "Another person started this authorization." in again.text


async def test_flow_of_a_person_is_not_finished_where_nobody_signs_in_any_more(there: Company) -> None:
    """Sign-in was switched off meanwhile: what that person may do now, nobody can tell."""
    browser = await there.signed_in("ada")
    sent_to = await browser.begin()
    there.served = dataclasses.replace(
        there.served, people=None, callback=dataclasses.replace(there.served.callback, gate=None)
    )
    off = there.browser()
    off.client.cookies = browser.client.cookies
    page = await off.end(sent_to)
    assert page.status_code == 400
    assert there.provider.requests == []


async def test_link_with_a_ticket_works_as_before_beside_sign_in(there: Company) -> None:
    link = link_with_ticket(there.cluster, "shop", "calendar")
    stranger = there.browser()
    page = await stranger.get(link)
    assert "Get new credential" in page.text
    assert there.cluster.reviews == []


async def test_link_without_a_ticket_leads_to_the_page_of_the_datasource(there: Company) -> None:
    page = await there.browser().get("/authorize/shop/calendar")
    assert (page.status_code, page.headers["location"]) == (
        303,
        "https://connect.example.com/datasources/shop/calendar",
    )


async def test_sessions_and_flows_hold_no_more_than_they_need(there: Company) -> None:
    browser = await there.signed_in("ada", "dev")
    await browser.begin()
    stored = there.cluster.secrets["datasource-system"].secrets.values()
    assert {each["type"] for each in stored} == {"datasource.dev/session", "datasource.dev/oauth2-flow"}
    assert all(len(msgspec.json.encode(each)) < 4000 for each in stored)
