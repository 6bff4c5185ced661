"""Sign-in, from the button to the session, with an issuer on loopback: who gets in, and who does not."""

import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from callback_server.security import token_for
from callback_server.signed_in import sign_in
from datasource.oauth2.authorize import s256_challenge
from tests.support.refresh import leads_on_to
from tests.unit.callback_server.secrets_server import SecretsServer, failure
from tests.unit.callback_server.signed_in.company import CLIENT, EXTERNAL, SYSTEM, Company, company
from tests.unit.datasource.oauth2.test_signature import OTHER_RSA

SESSION = "__Host-datasource-session"
SIGN_IN = "__Host-datasource-sign-in"
BROWSER = "__Host-datasource-browser"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path / "secret") as made:
        yield made


def assert_nobody_came_in(there: Company, response: httpx.Response, status: int = 403) -> None:
    assert response.status_code == status, response.text
    assert SESSION not in response.headers.get("set-cookie", "")
    assert there.cluster.sessions == []


async def test_person_who_signs_in_comes_back_to_the_page_and_is_known_there(there: Company) -> None:
    there.cluster.allow("ada", "get")
    there.add()
    browser = there.browser()
    asked = await browser.get("/datasources/shop/calendar")
    assert "Please sign in" in asked.text
    back = await browser.sign_in("/datasources/shop/calendar")
    assert (back.status_code, back.headers["location"]) == (303, f"{EXTERNAL}/datasources/shop/calendar")
    page = await browser.get("/datasources/shop/calendar")
    assert "signed in as <code>ada</code>" in page.text
    assert len(there.cluster.sessions) == 1


async def test_request_is_a_code_flow_with_state_nonce_and_pkce(there: Company) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    asked = dict(sent_to.params)
    assert str(sent_to).startswith(there.issuer.origin + "/authorize?")
    assert (asked["response_type"], asked["client_id"], asked["redirect_uri"]) == (
        "code",
        CLIENT,
        f"{EXTERNAL}{sign_in.PATH}",
    )
    assert asked["scope"].split()[0] == "openid"
    assert all(len(asked[name]) == 43 for name in ("state", "nonce", "code_challenge"))
    await browser.come_back(sent_to)
    (sent,) = [request for request in there.issuer.requests if request.method == "POST"]
    assert s256_challenge(sent.form["code_verifier"]) == asked["code_challenge"]
    assert sent.form["redirect_uri"] == asked["redirect_uri"]
    credentials = base64.b64decode(sent.headers["authorization"].removeprefix("Basic ")).decode()
    assert credentials == f"{CLIENT}:s3cret-of-sign-in"


async def test_nothing_is_written_before_an_id_token_was_verified(there: Company) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    there.issuer.claims |= {"aud": "other"}
    assert_nobody_came_in(there, await browser.come_back(sent_to))
    assert (
        there.cluster.secrets.get("datasource-system") is None or not there.cluster.secrets["datasource-system"].secrets
    )


async def test_cookies_are_ours_alone_and_end_by_themselves(there: Company) -> None:
    browser = there.browser()
    page = await browser.get("/")
    onward = await browser.submit(page, "/sign-in")
    begun = onward.headers["set-cookie"]
    assert re.fullmatch(rf"{SIGN_IN}=[A-Za-z0-9_-]+; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600", begun), begun
    sent_to = await browser.begin_sign_in()
    made, ended = (await browser.come_back(sent_to)).headers.get_list("set-cookie")
    assert re.fullmatch(rf"{SESSION}=[^;]+; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=3600", made), made
    assert ended.startswith(f"{SIGN_IN}=;")
    assert "Max-Age=0" in ended


async def test_session_is_always_a_new_one_and_the_one_before_ends(there: Company) -> None:
    browser = await there.signed_in("ada")
    fixed = browser.cookies[SESSION]
    sent_to = await browser.begin_sign_in_again()
    await browser.come_back(sent_to)
    assert browser.cookies[SESSION] != fixed
    stale = there.browser()
    stale.client.cookies.set(SESSION, fixed, domain="connect.example.com")
    assert "Please sign in" in (await stale.get("/")).text
    assert "signed in as" in (await browser.get("/")).text


async def test_second_of_two_tabs_that_sign_in_finds_that_it_is_done(there: Company) -> None:
    browser = there.browser()
    first, second = await browser.begin_sign_in(), await browser.begin_sign_in_again()
    assert "This sign-in is unknown" in (await browser.come_back(first)).text
    assert (await browser.come_back(second)).status_code == 303
    kept, spent = browser.cookies[SESSION], list(there.issuer.codes)
    late = await browser.come_back(first)
    assert (late.status_code, late.headers["location"]) == (303, f"{EXTERNAL}/")
    assert (browser.cookies[SESSION], there.issuer.codes) == (kept, spent)


async def test_session_cookie_that_an_attacker_planted_is_not_the_one_of_the_victim(there: Company) -> None:
    """Fixation: whatever was there before sign-in, what is there after it is known to nobody else."""
    attacker = await there.signed_in("eve")
    victim = there.browser()
    await victim.get("/")
    victim.client.cookies.set(SESSION, attacker.cookies[SESSION], domain="connect.example.com")
    there.issuer.claims = {"sub": "ada"}
    page = await victim.get("/")
    assert "signed in as <code>eve</code>" in page.text
    sent_to = await victim.begin_sign_in_again()
    await victim.come_back(sent_to)
    assert victim.cookies[SESSION] != attacker.cookies[SESSION]
    assert "<code>ada</code>" not in (await attacker.get("/")).text


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"state": None}, id="no state"),
        pytest.param({"state": "A" * 43}, id="a foreign state"),
        pytest.param({"state": ""}, id="an empty state"),
    ],
)
async def test_answer_with_another_state_is_none(there: Company, changes: dict[str, Any]) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    assert_nobody_came_in(there, await browser.come_back(sent_to, **changes))
    assert there.issuer.codes == []


async def test_answer_that_is_opened_in_another_browser_signs_nobody_in(there: Company) -> None:
    """Login CSRF: the attacker's own answer, opened by the victim."""
    attacker, victim = there.browser(), there.browser()
    sent_to = await attacker.begin_sign_in()
    await victim.begin_sign_in()
    assert_nobody_came_in(there, await victim.come_back(sent_to))
    assert there.issuer.codes == []


async def test_cookie_of_a_sign_in_is_worth_nothing_in_another_browser(there: Company) -> None:
    attacker, victim = there.browser(), there.browser()
    sent_to = await attacker.begin_sign_in()
    await victim.get("/")
    victim.client.cookies.set(SIGN_IN, attacker.cookies[SIGN_IN], domain="connect.example.com")
    assert_nobody_came_in(there, await victim.come_back(sent_to))


async def test_answer_that_comes_twice_signs_in_once(there: Company) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    assert (await browser.come_back(sent_to)).status_code == 303
    kept = browser.cookies[SESSION]
    again = await browser.come_back(sent_to)
    assert (again.status_code, again.headers["location"]) == (303, f"{EXTERNAL}/")
    assert browser.cookies[SESSION] == kept
    browser.forget(SESSION)
    assert (await browser.come_back(sent_to)).status_code == 403
    assert len(there.issuer.codes) == 1


@pytest.mark.parametrize("lost", [SIGN_IN, BROWSER])
async def test_without_one_of_the_cookies_nobody_comes_in(there: Company, lost: str) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    browser.forget(lost)
    assert_nobody_came_in(there, await browser.come_back(sent_to))


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(lambda value: value[:-1] + ("A" if value[-1] != "A" else "B"), id="its mark"),
        pytest.param(lambda value: ("A" if value[0] != "A" else "B") + value[1:], id="its text"),
        pytest.param(lambda value: value[:-16], id="no mark"),
        pytest.param(lambda value: "A" * 60, id="made up"),
    ],
)
async def test_cookie_that_somebody_altered_is_none(there: Company, alter: Any) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    browser.client.cookies.set(SIGN_IN, alter(browser.cookies[SIGN_IN]), domain="connect.example.com")
    assert_nobody_came_in(there, await browser.come_back(sent_to))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"{SESSION}=a; {SESSION}=b", id="twice"),
        pytest.param("\xa0" + f"{SESSION}=a", id="behind a space of Latin-1"),
        pytest.param(f"{SESSION.lower()}=a", id="in small letters"),
        pytest.param(f"{SIGN_IN} =a", id="with a space behind it"),
        pytest.param("__Host-datasource-sign%2Din=a", id="encoded"),
        pytest.param(f'x="{SESSION}=a"', id="in another one's value"),
    ],
)
async def test_cookie_that_another_host_may_have_planted_is_refused(there: Company, line: str) -> None:
    browser = there.browser()
    for path in ("/", "/signed-in?code=a&state=b", "/datasources/shop"):
        response = await browser.client.get(path, headers=[(b"Cookie", line.encode("latin-1"))])
        if "sign" in line and not path.startswith("/signed-in"):
            # That one is only looked at where a sign-in ends.
            assert response.status_code == 200
            continue
        assert response.status_code == 403
        assert "A cookie of another site blocks this page" in response.text


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        pytest.param({"iss": "https://other.example.com"}, "DATASOURCE_SIGN_IN_ISSUER", id="another issuer"),
        pytest.param({"aud": "other"}, "DATASOURCE_SIGN_IN_CLIENT_ID", id="another client"),
        pytest.param({"aud": [CLIENT, "other"], "azp": CLIENT}, "also for other applications", id="two audiences"),
        pytest.param({"azp": "other"}, "azp", id="another party"),
        pytest.param({"nonce": "x"}, "nonce", id="a nonce of another sign-in"),
        pytest.param({"nonce": None}, "nonce", id="no nonce"),
        pytest.param({"exp": 1}, "expired", id="old"),
        pytest.param({"iat": None}, "issued", id="of no time"),
        pytest.param({"sub": "system:admin"}, "begins with system:", id="a name of the cluster"),
        pytest.param({"sub": ""}, "no sub", id="no name"),
        pytest.param({"sub": "x" * 1025}, "too long", id="a huge name"),
        pytest.param({"sub": "a\u202eda"}, "cannot be seen", id="a direction in a name"),
        pytest.param({"_claim_names": {"groups": "s"}}, "so many groups", id="groups elsewhere"),
        pytest.param({"groups": [f"g{n}" for n in range(501)]}, "too many groups", id="many groups"),
        pytest.param({"groups": {"x": 1}}, "no list of groups", id="odd groups"),
    ],
)
async def test_id_token_that_does_not_fit_lets_nobody_in(there: Company, claims: dict[str, Any], said: str) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    there.issuer.claims |= claims
    response = await browser.come_back(sent_to)
    assert_nobody_came_in(there, response)
    assert said in response.text


async def test_id_token_of_another_key_lets_nobody_in(there: Company) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    there.issuer.key = OTHER_RSA
    assert_nobody_came_in(there, await browser.come_back(sent_to))


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ((200, b'{"access_token": "at", "token_type": "Bearer"}'), 403),
        ((400, b'{"error": "invalid_grant", "error_description": "code of s3cret-of-sign-in"}'), 403),
        ((401, b'{"error": "invalid_client"}'), 403),
        ((500, b"oops"), 403),
        ((200, b"<html>"), 403),
    ],
)
async def test_code_that_brings_no_id_token_lets_nobody_in(
    there: Company, reply: tuple[int, bytes], status: int
) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    there.issuer.token_reply = reply
    response = await browser.come_back(sent_to)
    assert response.status_code in {status, 502}
    assert there.cluster.sessions == []
    assert "s3cret-of-sign-in" not in response.text


async def test_answer_of_another_issuer_is_refused_before_the_code_is_sent(there: Company) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    assert_nobody_came_in(there, await browser.come_back(sent_to, iss="https://other.example.com"))
    there.issuer.metadata = {"authorization_response_iss_parameter_supported": True}
    assert there.issuer.codes == []


async def test_denied_sign_in_says_so_and_sends_nothing(there: Company) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    words = "<script>alert(1)</script>"
    response = await browser.come_back(sent_to, code=None, error="access_denied", error_description=words)
    assert_nobody_came_in(there, response)
    assert "You were not signed in" in response.text
    assert "<script>" not in response.text
    assert there.issuer.codes == []


async def test_issuer_that_is_silent_keeps_people_out_and_says_so(there: Company) -> None:
    browser = there.browser()
    page = await browser.get("/")
    there.issuer.metadata = {"issuer": "https://other.example.com"}
    response = await browser.submit(page, "/sign-in")
    assert response.status_code == 503
    assert "You cannot sign in yet" in response.text


async def test_without_link_keys_nobody_can_sign_in_and_the_page_says_so(there: Company) -> None:
    there.served.link_keys.current = type(there.served.link_keys.current)()
    browser = there.browser()
    response = await browser.submit(await browser.get("/"), "/sign-in")
    assert (response.status_code, response.headers["retry-after"]) == (503, "30")


# Cross-site requests.


FROM_ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example.com"},
    {"Origin": "null"},
    {"Sec-Fetch-Mode": "cors"},
    {"Sec-Fetch-Dest": "iframe"},
]


@pytest.mark.parametrize(
    "path",
    [
        "/sign-in",
        "/sign-out",
        "/datasources/shop/calendar/authorize",
        "/datasources/shop/calendar/clear",
        "/datasources/shop/calendar/refresh",
    ],
)
async def test_form_of_another_site_does_nothing(there: Company, path: str) -> None:
    there.cluster.allow("ada", "get", "authorize", "patch")
    there.add()
    browser = await there.signed_in("ada")
    there.cluster.asked.clear()
    for headers in FROM_ELSEWHERE:
        response = await browser.post(path, {"token": "A" * 43}, **headers)
        assert response.status_code == 403, headers
        assert "This page is out of date" in response.text
    assert there.cluster.asked == []
    assert "signed in as" in (await browser.get("/")).text


async def test_sign_in_takes_the_form_of_the_page_in_the_same_browser(there: Company) -> None:
    mine, other = there.browser(), there.browser()
    await mine.get("/")
    page = await other.get("/")
    response = await mine.submit(page, "/sign-in")
    assert response.status_code == 403
    response = await other.submit(page, "/sign-in", to="/datasources/shop")
    assert response.status_code == 403
    other.forget(BROWSER)
    assert (await other.submit(page, "/sign-in")).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["//evil.example.com", "/\\evil.example.com", "https://evil.example.com", "/%2F/evil", "/sign-out", "javascript:x"],
)
async def test_way_back_is_one_of_our_pages_whatever_somebody_writes(there: Company, path: str) -> None:
    browser = there.browser()
    await browser.get("/")
    fields = {"to": path, "token": token_for(browser.cookies[BROWSER], "sign-in", path)}
    onward = await browser.post("/sign-in", fields)
    url = leads_on_to(onward.text)
    assert url is not None
    sent_to = httpx.URL(url)
    there.issuer.nonce = sent_to.params["nonce"]
    assert (await browser.come_back(sent_to)).headers["location"] == f"{EXTERNAL}/"


async def test_head_of_the_way_back_spends_no_code(there: Company) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    response = await browser.client.head(
        sent_to.params["redirect_uri"], params={"code": "c", "state": sent_to.params["state"]}
    )
    assert response.status_code == 405
    assert there.issuer.codes == []


async def test_one_sign_in_is_not_tried_for_ever(there: Company) -> None:
    browser = there.browser()
    sent_to = await browser.begin_sign_in()
    there.issuer.token_reply = (400, b'{"error": "invalid_grant"}')
    statuses = [(await browser.come_back(sent_to)).status_code for _ in range(6)]
    assert statuses[-1] == 429
    assert len(there.issuer.codes) == 3


async def test_page_of_a_sign_in_tells_nothing_of_what_stands_behind_it(there: Company) -> None:
    there.add()
    browser = there.browser()
    await browser.get("/")
    pages = [(await browser.get(path)).text for path in ("/datasources/shop/calendar", "/datasources/shop/nothing")]
    there_is, there_is_none = (re.sub(r'value="[^"]*"', "", page) for page in pages)
    assert there_is == there_is_none
    assert there.cluster.asked == []


class Full(SecretsServer):
    """Takes nothing that is new."""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        return failure(503, "Down") if request.method == "POST" else await super().__call__(request)


async def test_session_that_cannot_be_stored_asks_for_another_sign_in_and_never_sends_the_code_again(
    there: Company,
) -> None:
    """The page of a silent API server opens its address again by itself: this one has a code that is spent."""
    browser = there.browser()
    sent_to = await browser.begin_sign_in("/datasources/shop")
    there.cluster.secrets[SYSTEM] = Full()
    back = await browser.come_back(sent_to)
    assert (back.status_code, back.headers["location"]) == (303, f"{EXTERNAL}/datasources/shop")
    assert SESSION not in back.headers.get("set-cookie", "")
    assert "Please sign in" in (await browser.get("/datasources/shop")).text
    assert len(there.issuer.codes) == 1
