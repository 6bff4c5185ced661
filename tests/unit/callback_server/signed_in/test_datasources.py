"""Lists, pages and buttons of people who signed in: what they see and may, and what is asked of the API server for it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from callback_server.signed_in.datasources import PAGE_SIZE
from datasource.api.names import Annotation, credential_secret_name
from datasource.api.objects import encoded_data
from datasource.api.states import OPEN_THE_LINK
from datasource.records.credential import CredentialFacts
from datasource.records.history import Act, entry_of
from datasource.records.page_request import PageRequest, RequestKind
from tests.support.builders import NOW
from tests.unit.callback_server.signed_in.company import ALL, EXTERNAL, Company, company, form_of

STANDING = CredentialFacts("c-1", fingerprint="f", has_refresh_token=True)
PLACE = "/datasources/shop/calendar"


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path / "secret", username_prefix="") as made:
        yield made


def asked_at_a_page(there: Company) -> PageRequest | None:
    credential = there.cluster.credential("shop", "calendar")
    assert credential is not None
    text = credential["metadata"]["annotations"].get(Annotation.PAGE_REQUEST)
    return None if text is None else PageRequest.decode(text)


# What is told to whoever may not look.


@pytest.mark.parametrize("path", ["", "/calendar", "/nothing", "/calendar/clear", "/nothing/clear"])
async def test_whoever_may_not_look_is_told_the_same_whatever_is_there_and_nothing_is_read(
    there: Company, path: str
) -> None:
    there.add(replaces=STANDING)
    browser = await there.signed_in("eve")
    there.cluster.asked.clear()
    page = await browser.get(f"/datasources/shop{path}")
    assert page.status_code == 403
    assert "You may not do that" in page.text
    assert {what for _, what in there.cluster.asked} == {"shop/localsubjectaccessreviews"}
    empty = await browser.get(f"/datasources/nowhere{path}")
    assert _without_reference(page.text) == _without_reference(empty.text.replace("nowhere", "shop"))


def _without_reference(page: str) -> str:
    return re.sub(r"<code>[0-9a-f]{10}</code>", "", page)


@pytest.mark.parametrize("action", ["authorize", "clear", "refresh"])
async def test_whoever_may_not_is_told_the_same_for_each_post_and_nothing_is_read(there: Company, action: str) -> None:
    there.add(replaces=STANDING)
    browser = await there.signed_in("eve")
    there.cluster.asked.clear()
    for name in ("calendar", "nothing"):
        page = await browser.post(f"/datasources/shop/{name}/{action}", {"token": "A" * 43})
        assert page.status_code == 403
        assert "You may not do that" in page.text
    assert {what for _, what in there.cluster.asked} == {"shop/localsubjectaccessreviews"}


PLACES = ("shop/calendar", "shop/calendas", "shoq/calendar")
"""One that is there, another name, another namespace. Their names are of one length."""


@pytest.mark.parametrize(
    ("held", "method", "below"),
    [
        ((), "GET", ""),
        ((), "GET", "/clear"),
        (("list",), "GET", ""),
        (("list", "authorize", "patch"), "GET", ""),
        (("list", "authorize", "patch"), "GET", "/clear"),
        (("get",), "GET", "/clear"),
        *(((held), "POST", f"/{each}") for held in ((), ("get",)) for each in ("authorize", "clear", "refresh")),
        (("get", "authorize"), "POST", "/clear"),
        (("get", "patch"), "POST", "/authorize"),
    ],
)
async def test_no_status_no_byte_and_no_request_tells_what_is_there_to_who_lacks_the_right(
    there: Company, held: tuple[str, ...], method: str, below: str
) -> None:
    there.add(replaces=STANDING)
    for namespace in ("shop", "shoq"):
        there.cluster.allow("eve", *held, namespace=namespace)
    browser = await there.signed_in("eve")
    answers = []
    for place in PLACES:
        before = there.cluster.answered
        path = f"/datasources/{place}{below}"
        page = await (browser.get(path) if method == "GET" else browser.post(path, {"token": "A" * 43}))
        headers = sorted(page.headers.items())
        body = _without_reference(page.text).replace("shoq", "shop").replace("calendas", "calendar")
        answers.append((page.status_code, headers, body, there.cluster.answered - before))
    assert answers[0][0] == 403
    assert answers[0] == answers[1] == answers[2]


async def test_no_list_tells_whether_there_is_such_a_namespace(there: Company) -> None:
    there.add(replaces=STANDING)
    there.cluster.allow("eve", "get", "authorize", "patch")
    browser = await there.signed_in("eve")
    answers = []
    for path in (
        "shop",
        "shoq",
        "shop?state=AUTHORIZED",
        "shoq?state=AUTHORIZED",
        "shop?continue=7",
        "shoq?continue=x",
    ):
        before = there.cluster.answered
        page = await browser.get(f"/datasources/{path}")
        body = _without_reference(page.text).replace("shoq", "shop")
        answers.append((page.status_code, sorted(page.headers.items()), body))
        # The session, and the question unless its answer is kept.
        assert there.cluster.answered - before <= 2
    assert answers[0][0] == 403
    assert answers.count(answers[0]) == len(answers)


async def test_pages_take_as_few_requests_as_docs_say(there: Company) -> None:
    there.cluster.allow("ada", "list", "get", "authorize", "patch")
    there.cluster.allow("ada", "list", namespace=None)
    there.add()
    browser = await there.signed_in("ada")

    async def takes(path: str) -> int:
        before = there.cluster.answered
        assert (await browser.get(path)).status_code == 200
        return there.cluster.answered - before

    assert await takes("/") == 1
    assert await takes("/datasources/shop") <= 3
    assert await takes("/datasources/shop?state=AUTHORIZED") <= 3
    assert await takes("/datasources") <= 3
    assert await takes(PLACE) <= 6

    page = await browser.get(PLACE)
    before = there.cluster.answered
    assert (await browser.submit(page, f"{PLACE}/authorize")).status_code == 200
    assert there.cluster.answered - before <= 7


async def test_denied_page_names_user_verb_and_namespace_and_the_command(there: Company) -> None:
    browser = await there.signed_in("eve's $(id)")
    page = await browser.get(PLACE)
    text = page.text.replace("&#39;", "'")
    assert "eve's $(id)" in text
    assert "look at Datasources in namespace shop" in text
    assert """--clusterrole=datasource-viewer --user='eve'"'"'s $(id)' --namespace=shop""" in text.replace("&#34;", '"')


async def test_namespace_that_is_not_served_is_denied_like_any_other(tmp_path: Path) -> None:
    async with company(tmp_path / "secret", username_prefix="", namespaces=("sales",)) as there:
        there.cluster.allow("ada", "get", "list")
        there.add()
        browser = await there.signed_in("ada")
        there.cluster.asked.clear()
        assert (await browser.get(PLACE)).status_code == 403
        assert there.cluster.asked == []


async def test_rights_of_a_group_count(there: Company) -> None:
    there.cluster.allow("dev", "get")
    there.add()
    assert (await (await there.signed_in("ada", "dev")).get(PLACE)).status_code == 200
    assert (await (await there.signed_in("bob", "ops")).get(PLACE)).status_code == 403


async def test_cluster_is_asked_about_exactly_that_user_in_that_namespace(there: Company) -> None:
    browser = await there.signed_in("ada", "dev", "system:masters")
    await browser.get(PLACE)
    spec = there.cluster.reviews[0]["spec"]
    assert (spec["user"], spec["groups"]) == ("ada", ["dev", "system:authenticated"])
    assert spec["resourceAttributes"] == {
        "group": "datasource.dev",
        "resource": "datasources",
        "verb": "get",
        "namespace": "shop",
        "name": "calendar",
    }


# The list.


async def test_list_takes_three_requests_of_the_api_server(there: Company) -> None:
    there.cluster.allow("ada", "list")
    there.add(replaces=STANDING)
    there.add("drive")
    browser = await there.signed_in("ada")
    there.cluster.asked.clear()
    page = await browser.get("/datasources/shop")
    assert page.status_code == 200
    assert '<a href="/datasources/shop/calendar">calendar</a>' in page.text
    assert "grace@example.com" in page.text
    assert "1 July 2026, 13:00 UTC" in page.text
    # And the session.
    assert len(there.cluster.asked) == 2


async def test_list_goes_on_page_by_page(there: Company) -> None:
    there.cluster.allow("ada", "list")
    for number in range(PAGE_SIZE + 1):
        there.add(f"d-{number:03}")
    browser = await there.signed_in("ada")
    first = await browser.get("/datasources/shop")
    (following,) = re.findall(r'href="(/datasources/shop\?continue=[^"]+)"', first.text)
    second = await browser.get(following)
    assert first.text.count("<tr><td ") == PAGE_SIZE
    assert second.text.count("<tr><td ") == 1
    assert "Next page" not in second.text


@pytest.mark.parametrize("token", ["old", "x" * 3000, "no-token"])
async def test_list_begins_anew_where_its_token_is_too_old_or_none(there: Company, token: str) -> None:
    there.cluster.allow("ada", "list")
    there.cluster.expired_tokens = {"old"}
    browser = await there.signed_in("ada")
    page = await browser.get(f"/datasources/shop?continue={token}")
    assert (page.status_code, page.headers["location"]) == (303, f"{EXTERNAL}/datasources/shop")


async def test_list_by_state_is_chosen_by_the_api_server_and_goes_on_by_state(there: Company) -> None:
    there.cluster.allow("ada", "list")
    for number in range(PAGE_SIZE + 1):
        there.add(f"open-{number:03}")
    there.add("calendar", replaces=STANDING)
    browser = await there.signed_in("ada")
    there.cluster.asked.clear()
    page = await browser.get("/datasources/shop?state=AUTHORIZED")
    assert re.findall(r'<a href="/datasources/shop/([^"]+)"', page.text) == ["calendar"]
    assert there.cluster.asked == [("POST", "shop/localsubjectaccessreviews"), ("GET", "shop/datasources")]
    chosen = re.findall(r'href="([^"]+)" aria-current="page">([^<]+)<', page.text)
    assert chosen == [("/datasources/shop?state=AUTHORIZED", "AUTHORIZED")]
    (leads_to,) = re.findall(r'href="(/datasources/shop\?state=NOT\+AUTHORIZED)">', page.text)
    first = await browser.get(leads_to)
    (following,) = re.findall(r'href="(/datasources/shop\?state=NOT\+AUTHORIZED&amp;continue=[^"]+)"', first.text)
    second = await browser.get(following.replace("&amp;", "&"))
    assert re.findall(r'<a href="/datasources/shop/([^"]+)"', second.text) == [f"open-{PAGE_SIZE}"]


async def test_list_by_a_state_in_which_nothing_is_says_so(there: Company) -> None:
    there.cluster.allow("ada", "list")
    there.add()
    page = await (await there.signed_in("ada")).get("/datasources/shop?state=ERROR")
    assert "No Datasource is in state ERROR." in page.text


@pytest.mark.parametrize("state", ["", "authorized", "AUTHORIZED,metadata.name=x", "<script>", "A" * 3000])
async def test_what_is_no_state_lists_everything(there: Company, state: str) -> None:
    there.cluster.allow("ada", "list")
    there.add()
    page = await (await there.signed_in("ada")).client.get("/datasources/shop", params={"state": state})
    assert ">calendar</a>" in page.text
    assert re.findall(r'href="([^"]+)" aria-current="page"', page.text) == ["/datasources/shop"]


async def test_list_of_all_namespaces_is_for_who_may_list_them_all_and_takes_three_requests(there: Company) -> None:
    there.cluster.allow("ada", "list", namespace=None)
    there.add(replaces=STANDING)
    there.cluster.add("sales", "calendar")
    browser = await there.signed_in("ada")
    assert 'href="/datasources">All namespaces at once</a>' in (await browser.get("/")).text
    there.cluster.asked.clear()
    page = await browser.get("/datasources")
    assert re.findall(r'<a href="/datasources/(\w+/\w+)">calendar</a>', page.text) == [
        "sales/calendar",
        "shop/calendar",
    ]
    assert '<td data-label="Namespace">sales</td>' in page.text
    # And the session.
    assert there.cluster.asked == [("POST", f"{ALL}/localsubjectaccessreviews"), ("GET", "datasources")]
    page = await browser.get("/datasources?state=AUTHORIZED")
    assert re.findall(r'<a href="/datasources/(\w+/\w+)">calendar</a>', page.text) == ["shop/calendar"]


async def test_who_may_list_one_namespace_is_told_nothing_of_all_and_nothing_is_read(there: Company) -> None:
    there.cluster.allow("ada", "list", "get", "patch")
    there.add()
    browser = await there.signed_in("ada")
    there.cluster.asked.clear()
    page = await browser.get("/datasources")
    assert page.status_code == 403
    assert "calendar" not in page.text
    assert "shop" not in page.text
    assert "kubectl create clusterrolebinding datasource-viewer-" in page.text
    assert "--namespace" not in page.text
    assert there.cluster.asked == [("POST", f"{ALL}/localsubjectaccessreviews")]


async def test_there_is_no_list_of_all_where_some_namespaces_are_served(tmp_path: Path) -> None:
    async with company(tmp_path / "secret", username_prefix="", namespaces=("shop",)) as there:
        there.cluster.allow("ada", "list", namespace=None)
        browser = await there.signed_in("ada")
        assert 'href="/datasources"' not in (await browser.get("/")).text
        there.cluster.asked.clear()
        assert (await browser.get("/datasources")).status_code == 403
        assert there.cluster.asked == []


async def test_list_of_all_under_an_older_crd_is_never_told_as_empty(there: Company) -> None:
    there.cluster.has_namespaces_in_lists = False
    there.cluster.allow("ada", "list", namespace=None)
    there.cluster.allow("ada", "list")
    there.add()
    browser = await there.signed_in("ada")
    page = await browser.get("/datasources")
    assert page.status_code == 503
    assert "There are no Datasources" not in page.text
    assert ">calendar</a>" in (await browser.get("/datasources/shop")).text


async def test_sign_in_leads_back_to_the_list_of_all(there: Company) -> None:
    browser = there.browser()
    answer = await browser.sign_in("/datasources")
    assert answer.headers["location"] == f"{EXTERNAL}/datasources"


async def test_first_page_asks_for_a_namespace_and_tells_who_one_is(there: Company) -> None:
    browser = await there.signed_in("ada", "dev")
    page = await browser.get("/")
    assert "<code>dev</code>" in page.text
    assert "<code>system:authenticated</code>" in page.text
    assert "kubectl auth whoami" in page.text
    for asked, leads_to in (("shop", "/datasources/shop"), (" Shop ", "/datasources/shop"), ("//x", "/"), ("", "/")):
        answer = await browser.client.get("/datasources", params={"namespace": asked})
        assert answer.headers["location"] == EXTERNAL + leads_to


# The page of a Datasource.


def buttons(page: str) -> set[str]:
    return {action for action in ("authorize", "clear", "refresh") if f'"{PLACE}/{action}"' in page}


@pytest.mark.parametrize(
    ("verbs", "stands", "shown"),
    [
        (["get"], False, set()),
        (["get"], True, set()),
        (["get", "authorize"], False, {"authorize"}),
        (["get", "authorize"], True, set()),
        (["get", "patch"], True, {"clear", "refresh"}),
        (["get", "patch"], False, set()),
        (["get", "authorize", "patch"], True, {"authorize", "clear", "refresh"}),
    ],
)
async def test_page_has_the_buttons_that_one_may_press(
    there: Company, verbs: list[str], stands: bool, shown: set[str]
) -> None:
    there.cluster.allow("ada", *verbs)
    there.add(replaces=STANDING if stands else None)
    page = await (await there.signed_in("ada")).get(PLACE)
    assert page.status_code == 200, page.text
    assert buttons(page.text) == shown


@pytest.mark.parametrize("replaces", [None, STANDING], ids=["no credential", "a credential"])
async def test_page_has_the_state_and_the_redirect_uri_to_copy_for_whoever_may_look(
    there: Company, replaces: CredentialFacts | None
) -> None:
    there.cluster.allow("ada", "get")
    there.add(replaces=replaces)
    page = await (await there.signed_in("ada")).get(PLACE)
    marker = '<span class="state open">NOT AUTHORIZED' if replaces is None else '<span class="state good">AUTHORIZED'
    assert marker in page.text
    assert f"{EXTERNAL}/callback/shop" in page.text.replace("<wbr>", "")
    assert "<button" not in page.text.replace('<button class="quiet" type="submit">Sign out</button>', "")


async def test_page_does_not_say_how_to_come_to_it(there: Company) -> None:
    there.cluster.allow("ada", "get", "authorize")
    there.add()
    ready = {"type": "Ready", "status": "False", "reason": "GrantRevoked", "lastTransitionTime": "2026-07-01T12:00:00Z"}
    message = f"The service ended the access. {OPEN_THE_LINK} It said: gone."
    there.cluster.objects["shop", "calendar"]["status"]["conditions"] = [ready | {"message": message}]
    page = await (await there.signed_in("ada")).get(PLACE)
    assert "<p>The service ended the access. It said: gone.</p>" in page.text
    assert "status.authorizationLink and" not in page.text.partition("<details>")[0]


async def test_page_names_whose_credential_a_new_one_replaces(there: Company) -> None:
    there.cluster.allow("ada", "get", "authorize", "patch")
    there.add(replaces=STANDING)
    page = await (await there.signed_in("ada")).get(PLACE)
    assert "already stored; grace@example.com gave it" in page.text
    assert f"{EXTERNAL}/callback/shop" in page.text.replace("<wbr>", "")


async def test_page_of_a_suspended_datasource_has_no_button_for_a_credential(there: Company) -> None:
    there.cluster.allow("ada", "get", "authorize")
    there.add()
    there.cluster.objects["shop", "calendar"]["spec"]["suspend"] = True
    browser = await there.signed_in("ada")
    page = await browser.get(PLACE)
    assert buttons(page.text) == set()
    assert "The Datasource is suspended" in page.text


async def test_datasource_that_is_not_there_is_told_to_who_may_look(there: Company) -> None:
    there.cluster.allow("ada", "get")
    page = await (await there.signed_in("ada")).get("/datasources/shop/nothing")
    assert page.status_code == 404
    assert "Namespace shop has no Datasource nothing" in page.text


async def test_provider_that_is_silent_leaves_the_page_without_that_button(there: Company) -> None:
    there.cluster.allow("ada", "get", "authorize")
    there.cluster.add("shop", "calendar", authorizeURL=None, tokenURL=None, issuer="https://127.0.0.1:1")
    page = await (await there.signed_in("ada")).get(PLACE)
    assert page.status_code == 200
    assert buttons(page.text) == set()
    assert "You cannot get a credential for it at this moment" in page.text


@pytest.mark.parametrize(
    "path", ["/datasources/Shop", "/datasources/shop/Cal", "/datasources/%2e%2e", "/datasources/shop/..%2f"]
)
async def test_path_that_names_nothing_is_no_page(there: Company, path: str) -> None:
    browser = await there.signed_in("ada")
    there.cluster.asked.clear()
    assert (await browser.get(f"/datasources/{path}")).status_code == 404
    assert there.cluster.asked == []


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, {"Sec-Fetch-Dest": "iframe"}]
)
@pytest.mark.parametrize("path", ["/", "/datasources/shop", PLACE, f"{PLACE}/clear"])
async def test_no_script_and_no_frame_reads_a_page(there: Company, path: str, headers: dict[str, str]) -> None:
    there.cluster.allow("ada", "get", "list", "patch")
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    assert (await browser.get(path)).status_code == 200
    assert (await browser.get(path, **headers)).status_code == 403


# Requests from pages.


async def test_clear_is_asked_once_more_and_then_written_for_the_operator(there: Company) -> None:
    there.cluster.allow("ada", "get", "patch")
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    page = await browser.get(f"{PLACE}/clear")
    assert "Clear the credential of calendar?" in page.text
    assert "grace@example.com gave this access" in page.text
    assert asked_at_a_page(there) is None
    done = await browser.submit(page, f"{PLACE}/clear")
    assert (done.status_code, done.headers["location"]) == (303, EXTERNAL + PLACE)
    asked = asked_at_a_page(there)
    assert asked is not None
    assert (asked.kind, asked.user, asked.credential) == (RequestKind.CLEAR, "ada", "c-1")
    assert "about to be cleared" in (await browser.get(PLACE)).text


async def test_refresh_is_written_for_the_operator(there: Company) -> None:
    there.cluster.allow("ada", "get", "patch")
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    done = await browser.submit(await browser.get(PLACE), f"{PLACE}/refresh")
    assert done.status_code == 303
    asked = asked_at_a_page(there)
    assert asked is not None
    assert asked.kind is RequestKind.REFRESH
    assert "about to be refreshed" in (await browser.get(PLACE)).text


@pytest.mark.parametrize("action", ["clear", "refresh"])
async def test_page_of_another_credential_asks_for_nothing(there: Company, action: str) -> None:
    """Somebody replaced the credential between the page and the button."""
    there.cluster.allow("ada", "get", "patch")
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    page = await browser.get(f"{PLACE}/clear" if action == "clear" else PLACE)
    credential = there.cluster.credential("shop", "calendar")
    assert credential is not None
    credential["metadata"]["annotations"][Annotation.CREDENTIAL_ID] = "c-2"
    done = await browser.submit(page, f"{PLACE}/{action}")
    assert done.status_code == 409
    assert "There is another credential now than the one that you saw. Nothing was changed." in done.text
    assert f'<a href="{PLACE}">Datasource calendar</a>' in done.text
    # Nor can a form be made to be about it.
    assert (await browser.submit(page, f"{PLACE}/{action}", seen="c-2")).status_code == 403
    assert asked_at_a_page(there) is None


async def test_second_press_of_clear_leads_to_the_page_and_asks_for_nothing(there: Company) -> None:
    """By then the operator may have cleared it."""
    there.cluster.allow("ada", "get", "patch")
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    page = await browser.get(f"{PLACE}/clear")
    there.cluster.secrets["shop"].secrets.pop(credential_secret_name("calendar"))
    again = await browser.submit(page, f"{PLACE}/clear")
    assert (again.status_code, again.headers["location"]) == (303, EXTERNAL + PLACE)
    assert there.cluster.credential("shop", "calendar") is None


async def test_refresh_without_a_refresh_token_is_told(there: Company) -> None:
    there.cluster.allow("ada", "get", "patch")
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    page = await browser.get(PLACE)
    credential = there.cluster.credential("shop", "calendar")
    assert credential is not None
    del credential["metadata"]["annotations"][Annotation.HAS_REFRESH_TOKEN]
    done = await browser.submit(page, f"{PLACE}/refresh")
    assert done.status_code == 409
    assert "no refresh token that works" in done.text


async def test_there_is_nothing_to_clear_where_there_is_no_credential(there: Company) -> None:
    there.cluster.allow("ada", "get", "patch")
    there.add()
    browser = await there.signed_in("ada")
    assert (await browser.get(f"{PLACE}/clear")).status_code == 409


@pytest.mark.parametrize("action", ["authorize", "clear", "refresh"])
async def test_token_of_a_form_is_good_for_one_action_one_session_and_one_datasource(
    there: Company, action: str
) -> None:
    there.cluster.allow("ada", "get", "authorize", "patch")
    there.add(replaces=STANDING)
    there.add("drive", replaces=STANDING)
    mine, other = await there.signed_in("ada"), await there.signed_in("ada")
    page = await mine.get(f"{PLACE}/clear" if action == "clear" else PLACE)
    token = form_of(page, f"{PLACE}/{action}").fields["token"]
    others = [each for each in ("authorize", "clear", "refresh") if each != action]
    tried = [
        *[await mine.post(f"{PLACE}/{each}", {"token": token}) for each in others],
        await other.post(f"{PLACE}/{action}", {"token": token}),
        await mine.post(f"/datasources/shop/drive/{action}", {"token": token}),
        await mine.post(f"{PLACE}/{action}", {"token": token[:-1]}),
        await mine.post(f"{PLACE}/{action}", {}),
    ]
    assert {each.status_code for each in tried} == {403}
    assert all("This page is out of date" in each.text for each in tried)
    assert asked_at_a_page(there) is None
    assert there.provider.requests == []


@pytest.mark.parametrize("action", ["authorize", "clear", "refresh"])
async def test_rights_that_were_taken_away_since_the_page_count(there: Company, action: str) -> None:
    """Though the answer for who looks is kept for ten seconds."""
    there.cluster.allow("ada", "get", "authorize", "patch")
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    page = await browser.get(f"{PLACE}/clear" if action == "clear" else PLACE)
    there.cluster.forbid("ada", "patch")
    done = await browser.submit(page, f"{PLACE}/{action}")
    assert done.status_code == 403
    assert "You may not do that" in done.text
    assert "change credentials" in done.text
    assert asked_at_a_page(there) is None


@pytest.mark.parametrize("action", ["authorize", "clear", "refresh"])
async def test_post_without_a_live_session_answers_a_page_and_does_nothing(there: Company, action: str) -> None:
    there.cluster.allow("ada", "get", "authorize", "patch")
    there.add(replaces=STANDING)
    browser = await there.signed_in("ada")
    page = await browser.get(f"{PLACE}/clear" if action == "clear" else PLACE)
    browser.forget("__Host-datasource-session")
    there.cluster.asked.clear()
    done = await browser.submit(page, f"{PLACE}/{action}")
    assert done.status_code == 403
    assert "Your session is over" in done.text
    assert there.cluster.asked == []
    assert form_of(done, "/sign-in").fields["to"] == PLACE


async def test_history_tells_who_did_what_and_believes_no_name_that_somebody_wrote_by_hand(there: Company) -> None:
    there.cluster.allow("ada", "get")
    there.add(replaces=STANDING)
    credential = there.cluster.credential("shop", "calendar")
    assert credential is not None
    entries = [
        entry_of("e-1", Act.NEW_CREDENTIAL, by="grace", at=NOW).marked(
            there.served.link_keys.current, ("shop", "calendar")
        ),
        entry_of("e-2", Act.REFRESH, by="director", at=NOW),
    ]
    credential["data"] = encoded_data({"history": msgspec.json.encode(entries).decode()})
    page = await (await there.signed_in("ada")).get(PLACE)
    assert "What people did" in page.text
    assert ">grace<" in page.text
    assert "director" not in page.text
    assert ">not proven<" in page.text


async def test_whoever_may_only_look_is_asked_for_nothing(there: Company) -> None:
    there.cluster.allow("ada", "get")
    there.add()
    page = await (await there.signed_in("ada")).get(PLACE)
    assert "asks you to connect" not in page.text
    assert "<h1>calendar</h1>" in page.text
