"""What a request of a stranger costs, and where an answer may lead: the app on a small API server, without a socket."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from callback_server import always_headers, granted
from callback_server import app as app_module
from callback_server.app import create_app, services
from callback_server.limits import RateLimiter
from datasource.api.names import authorization_link, redirect_uri
from datasource.cluster.patience import Patience
from datasource.outbound.egress import EgressPolicy
from datasource.process.settings import Settings
from datasource.providers.transport import Transport
from datasource.records.fingerprint import parameters_hash
from datasource.records.flow import new_flow_key
from datasource.records.link_keys import KEY_LIFETIME, LENIENCE, LinkKeys, Purpose
from datasource.records.ticket import TicketScope, issue_ticket, marked_ticket
from tests.support.external_urls import USABLE
from tests.unit.datasource.api_server import ApiServer, Reply, cuts, fails, stays_silent
from tests.unit.datasource.builders import oauth2, raw_spec

EXTERNAL = "https://connect.example.com"
UID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
NOT_THE_TICKET = "A" * 48
NO_RECORD = "0" * 16 + "-0." + "A" * 43
COOKIE = {"Cookie": "__Host-datasource-browser=" + "A" * 43}


def ticket() -> str:
    scope = TicketScope(uid=UID, parameters_hash=parameters_hash(oauth2()), replaces="")
    return issue_ticket(scope, lambda size: bytes(range(size)))


def datasource() -> dict[str, Any]:
    link = authorization_link(EXTERNAL, "shop", "calendar", ticket())
    return {
        "metadata": {"name": "calendar", "namespace": "shop", "uid": UID},
        "spec": raw_spec(),
        "status": {"state": "NOT AUTHORIZED", "authorizationLink": link},
    }


async def holds_one_datasource(request: web.Request) -> web.StreamResponse:
    """An API server with one Datasource, shop/calendar, and no Secret."""
    if request.path.endswith("/namespaces/shop/datasources/calendar"):
        return web.json_response(datasource())
    return web.json_response({"kind": "Status", "reason": "NotFound", "message": "", "code": 404}, status=404)


@asynccontextmanager
async def served(
    external_url: str = EXTERNAL, keys: LinkKeys | None = None, api: Reply = holds_one_datasource
) -> AsyncIterator[tuple[httpx.AsyncClient, ApiServer]]:
    settings = Settings(external_url=external_url, system_namespace="datasource-system")
    async with ApiServer(api) as server, server.kube() as kube, Transport(EgressPolicy()) as transport:
        wired = services(kube, transport, settings)
        wired.link_keys.current = keys or LinkKeys()
        app = create_app(wired)
        http = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=http, base_url=EXTERNAL) as client:
            yield client, server


# Rights that are not there yet.


def refuses(what: str) -> Reply:
    """An API server that holds the Datasource, and shows nothing of that kind."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if f"/{what}/" in request.path:
            body = {"kind": "Status", "reason": "Forbidden", "message": f"cannot get resource {what}", "code": 403}
            return web.json_response(body, status=403)
        return await holds_one_datasource(request)

    return answer


async def shown_without_rights(monkeypatch: pytest.MonkeyPatch, what: str) -> tuple[httpx.Response, ApiServer]:
    monkeypatch.setattr(granted, "PATIENCE", granted.PAUSE / 4)
    async with served(api=refuses(what)) as (client, server):
        return await client.get(f"/authorize/shop/calendar?ticket={ticket()}"), server


async def test_link_before_the_right_to_read_says_what_cannot_be_read_and_that_it_stays_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer, _ = await shown_without_rights(monkeypatch, "secrets")
    assert answer.status_code == 503
    assert "may not read Secret calendar-oauth2-credential in namespace shop yet" in answer.text
    assert "your link stays valid" in answer.text
    assert (answer.headers["Retry-After"], answer.headers["Refresh"]) == ("5", "5")


async def test_stranger_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though a right may come in a moment: who has no link of ours costs one read, and no time."""
    monkeypatch.setattr(granted, "PAUSE", timedelta(days=1))
    async with served(api=refuses("secrets")) as (client, server):
        answer = await client.get(f"/authorize/shop/calendar?ticket={NOT_THE_TICKET}")
    assert answer.status_code == 404
    assert [request.path for request in server.requests if "/secrets/" in request.path] == []


# An API server that does not answer.


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """People who wait for no more than a moment."""
    moment = timedelta(milliseconds=50)
    monkeypatch.setattr(always_headers, "FOR_A_PAGE", Patience(timedelta(days=1), moment))


SILENT = [
    pytest.param(stays_silent(), id="hangs"),
    pytest.param(cuts(), id="refuses"),
    pytest.param(fails(503, "x"), id="503"),
]


@pytest.mark.parametrize("api", SILENT)
@pytest.mark.parametrize(
    "path",
    [f"/authorize/shop/calendar?ticket={ticket()}", f"/callback/shop?code=c&state={NO_RECORD}", f"/done/{NO_RECORD}"],
)
@pytest.mark.usefixtures("impatient")
async def test_page_says_that_the_cluster_is_silent_and_looks_again_by_itself(path: str, api: Reply) -> None:
    async with served(api=api) as (client, _):
        answer = await client.get(path, headers=COOKIE)
    assert (answer.status_code, answer.headers["Retry-After"], answer.headers["Refresh"]) == (503, "5", "5")
    assert "The cluster does not answer" in answer.text
    assert "This page tries again by itself in 5 seconds." in answer.text
    assert "<script" not in answer.text


@pytest.mark.usefixtures("impatient")
async def test_form_is_never_sent_again_by_itself_but_the_page_leads_back() -> None:
    async with served(api=stays_silent()) as (client, _):
        form = {"ticket": ticket(), "token": "A" * 43}
        headers = COOKIE | {"Origin": EXTERNAL}
        answer = await client.post("/authorize/shop/calendar", data=form, headers=headers)
    assert answer.status_code == 503
    assert "Refresh" not in answer.headers
    assert "Please try again in a minute." in answer.text
    assert f'href="{authorization_link(EXTERNAL, "shop", "calendar", ticket())}"' in answer.text


# Junk.

MALFORMED = [
    pytest.param("GET", "/authorize/shop/calendar", 404, id="no ticket"),
    pytest.param("GET", "/authorize/shop/calendar?ticket=x", 404, id="a short ticket"),
    pytest.param("GET", f"/authorize/shop/calendar?ticket={NOT_THE_TICKET}A", 404, id="a long ticket"),
    pytest.param("GET", "/authorize/shop/calendar?ticket=" + "%00" * 48, 404, id="a ticket of null bytes"),
    pytest.param("GET", f"/authorize/Shop/calendar?ticket={NOT_THE_TICKET}", 404, id="no namespace"),
    pytest.param("GET", f"/authorize/shop/..%2F..?ticket={NOT_THE_TICKET}", 404, id="a way up"),
    pytest.param("POST", "/authorize/shop/calendar", 403, id="no form"),
    pytest.param("GET", "/callback/shop", 400, id="no answer"),
    pytest.param("GET", "/callback/shop?code=x&state=x", 400, id="a state that is none"),
    pytest.param("GET", "/callback/shop?code=x&state=" + "A" * 10_000, 400, id="a long state"),
    pytest.param("GET", "/callback/shop?" + "a=b&" * 5000, 400, id="a query of 20 kB"),
    pytest.param("GET", f"/callback/shop?code=x&state={NO_RECORD}", 403, id="a state without a cookie"),
    pytest.param("GET", f"/callback/-?code=x&state={NO_RECORD}", 400, id="a callback of no namespace"),
    pytest.param("GET", "/done/x", 400, id="a done page that is none"),
    pytest.param("GET", f"/done/{NO_RECORD}", 403, id="a done page without a cookie"),
    pytest.param("GET", "/", 404, id="another page"),
]


@pytest.mark.parametrize(("method", "path", "status"), MALFORMED)
async def test_malformed_request_is_refused_without_a_read(method: str, path: str, status: int) -> None:
    async with served() as (client, server):
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert server.requests == []


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, id="a script"),
        pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, id="a frame"),
        pytest.param({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, id="an image"),
    ],
)
async def test_another_app_of_our_origin_reads_no_form_of_ours(headers: dict[str, str]) -> None:
    """The instance: an app below another path; its scripts could fetch the page, and send its form for the visitor."""
    async with served() as (client, server):
        sent = {"Sec-Fetch-Site": "same-origin"} | headers
        answer = await client.get(f"/authorize/shop/calendar?ticket={ticket()}", headers=sent)
        assert answer.status_code == 403
        assert "<form" not in answer.text
        assert "set-cookie" not in answer.headers
        assert server.requests == []


async def test_form_without_a_token_is_refused_without_a_read() -> None:
    async with served() as (client, server):
        for fields in ({"ticket": NOT_THE_TICKET}, {"ticket": NOT_THE_TICKET, "token": "x"}, {"ticket": "x"}):
            answer = await client.post("/authorize/shop/calendar", data=fields, headers=COOKIE)
            assert answer.status_code in {403, 404}
    assert server.requests == []


@pytest.mark.parametrize(
    "path",
    [
        f"/authorize/shop/calendar?ticket={NOT_THE_TICKET}",
        f"/authorize/shop/nothing?ticket={NOT_THE_TICKET}",
        f"/callback/shop?code=x&state={NO_RECORD}",
        f"/done/{NO_RECORD}",
    ],
)
async def test_well_formed_junk_costs_one_read(path: str) -> None:
    async with served() as (client, server):
        answer = await client.get(path, headers=COOKIE)
    assert answer.status_code in {400, 404}
    assert len(server.requests) == 1


async def test_junk_at_one_datasource_is_bounded_and_the_live_ticket_passes_in_the_middle_of_it() -> None:
    async def junk(client: httpx.AsyncClient) -> int:
        answer = await client.get(f"/authorize/shop/calendar?ticket={NOT_THE_TICKET}")
        return answer.status_code

    async with served() as (client, server):
        before = [asyncio.create_task(junk(client)) for _ in range(100)]
        valid = await client.get(f"/authorize/shop/calendar?ticket={ticket()}")
        statuses = await asyncio.gather(*before, *(junk(client) for _ in range(100)))

    assert valid.status_code == 200
    assert "Get new credential" in valid.text
    assert set(statuses) == {404, 429}
    assert statuses.count(429) > statuses.count(404)
    # Two hundred looks at the Datasource in a few reads, and the credential that is not there for the valid ticket alone.
    reads = [each.path.rpartition("/")[2] for each in server.requests]
    assert reads.count("calendar") <= 5
    assert reads.count("calendar-oauth2-credential") == 1


async def test_answer_to_too_much_junk_says_when_to_come_back_in_words() -> None:
    async with served() as (client, _):
        answers = [await client.get("/authorize/shop/calendar?ticket=x") for _ in range(30)]
    last = answers[-1]
    assert last.status_code == 429
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert "Too many invalid requests" in last.text
    assert "A valid link still works" in last.text
    assert "default-src 'none'" in last.headers["content-security-policy"]


async def test_limits_know_nobody_by_address() -> None:
    """X-Forwarded-For says what the sender likes: another address must not buy another bucket."""
    async with served() as (client, _):
        statuses = [
            (
                await client.get(
                    "/authorize/shop/calendar?ticket=x",
                    headers={"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": f"for=203.0.113.{number}"},
                )
            ).status_code
            for number in range(30)
        ]
    assert statuses[-1] == 429


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("HEAD", f"/callback/shop?code=x&state={NO_RECORD}", {"GET"}),
        ("POST", f"/callback/shop?code=x&state={NO_RECORD}", {"GET"}),
        ("OPTIONS", f"/callback/shop?code=x&state={NO_RECORD}", {"GET"}),
        ("PUT", "/authorize/shop/calendar", {"GET", "HEAD", "POST"}),
        ("DELETE", f"/done/{NO_RECORD}", {"GET", "HEAD"}),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/connect"])
async def test_method_that_a_page_does_not_have_does_nothing_and_is_told_which_it_has(
    method: str, path: str, allowed: set[str], prefix: str
) -> None:
    async with served(EXTERNAL + prefix) as (client, server):
        answer = await client.request(method, prefix + path, headers=COOKIE)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert server.requests == []


# What a page that refuses tells.


async def test_reference_of_a_page_stands_in_the_log_with_the_datasource_and_the_kind() -> None:
    async with served() as (client, _):
        with capture_logs() as logs:
            answer = await client.get(f"/authorize/shop/calendar?ticket={NOT_THE_TICKET}")
    (line,) = (entry for entry in logs if entry["event"] == "refused")
    assert (line["datasource"], line["kind"]) == ("shop/calendar", "this_link_has_ended")
    assert f"Reference: <code>{line['reference']}</code>" in answer.text
    assert NOT_THE_TICKET not in str(logs)


async def test_page_names_namespace_and_name_of_the_visitor_s_url_whether_or_not_there_is_such_a_datasource() -> None:
    async with served() as (client, _):
        there = await client.get(f"/authorize/shop/calendar?ticket={NOT_THE_TICKET}")
        nowhere = await client.get(f"/authorize/nowhere/at.all?ticket={NOT_THE_TICKET}")
    assert "kubectl get dsrc calendar -n shop -o" in there.text
    assert "kubectl get dsrc at.all -n nowhere -o" in nowhere.text
    told = [re.sub("<code>[0-9a-f]{10}</code>", "", page.text) for page in (there, nowhere)]
    assert told[0].replace("calendar -n shop", "") == told[1].replace("at.all -n nowhere", "")


async def test_page_that_may_work_in_a_moment_leads_back_to_the_very_link(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, _ = await shown_without_rights(monkeypatch, "secrets")
    assert f'<a class="button" href="{EXTERNAL}/authorize/shop/calendar?ticket={ticket()}">Try again</a>' in answer.text


@pytest.mark.parametrize("url", USABLE)
async def test_page_is_there_below_every_external_url_that_is_taken(url: str) -> None:
    """By the path as browsers send it: a path with an escape matched nothing, and every page was a 404."""
    async with served(url) as (client, _):
        answer = await client.get(f"{url}/authorize/shop/calendar?ticket={NOT_THE_TICKET}")
    # Unlike the page that is there for no path at all.
    assert "kubectl get dsrc calendar -n shop -o" in answer.text


async def test_link_that_ended_offers_no_button() -> None:
    async with served() as (client, _):
        answer = await client.get(f"/authorize/shop/calendar?ticket={NOT_THE_TICKET}")
    assert "Try again" not in answer.text


# Marks: what we made is known without a read.

LONG_AGO = datetime.now(UTC) - LENIENCE - timedelta(minutes=1)
KEYS = LinkKeys().renewed(LONG_AGO, lambda size: b"k" * size)
OTHER_KEYS = LinkKeys().renewed(LONG_AGO, lambda size: b"o" * size)


def marked(keys: LinkKeys = KEYS, name: str = "calendar") -> str:
    return marked_ticket(ticket(), "shop", name, keys, datetime.now(UTC))


def flow_key(purpose: Purpose, keys: LinkKeys = KEYS) -> str:
    now = datetime.now(UTC)
    return new_flow_key(UID, 3, secrets.token_bytes, lambda text: keys.mark(purpose, text, now)).text


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"/authorize/shop/calendar?ticket={NOT_THE_TICKET}{'A' * 16}", id="a guessed ticket"),
        pytest.param(f"/authorize/shop/calendar?ticket={marked(OTHER_KEYS)}", id="a ticket of another installation"),
        pytest.param(f"/authorize/shop/other?ticket={marked()}", id="the live ticket at another door"),
        pytest.param(f"/authorize/other/calendar?ticket={marked()}", id="the live ticket in another namespace"),
        pytest.param(f"/callback/shop?code=x&state={NO_RECORD}{'A' * 16}", id="a guessed state"),
        pytest.param(f"/callback/shop?code=x&state={flow_key(Purpose.STATE, OTHER_KEYS)}", id="a state of another"),
        pytest.param(f"/callback/shop?code=x&state={flow_key(Purpose.DONE)}", id="a done id for a state"),
        pytest.param(f"/done/{NO_RECORD}{'A' * 16}", id="a guessed done id"),
        pytest.param(f"/done/{flow_key(Purpose.STATE)}", id="a state for a done id"),
        pytest.param(f"/done/{flow_key(Purpose.DONE)[:-1]}.", id="a done id with another end"),
    ],
)
async def test_what_we_did_not_make_costs_no_read(path: str) -> None:
    async with served(keys=KEYS) as (client, server):
        answer = await client.get(path, headers=COOKIE)
    assert answer.status_code in {400, 404}
    assert server.requests == []


async def test_forged_form_costs_no_read() -> None:
    fields = {"ticket": NOT_THE_TICKET + "A" * 16, "token": "A" * 43}
    async with served(keys=KEYS) as (client, server):
        answer = await client.post("/authorize/shop/calendar", data=fields, headers=COOKIE)
    assert answer.status_code in {403, 404}
    assert server.requests == []


async def test_hundreds_of_forged_links_at_distinct_doors_cost_no_read_and_whoever_has_a_live_one_gets_in() -> None:
    async def junk(client: httpx.AsyncClient, number: int) -> int:
        path = f"/authorize/shop-{number}/calendar?ticket={NOT_THE_TICKET}{number:016d}"
        answer = await client.get(path, headers={"X-Forwarded-For": f"203.0.{number % 250}.{number // 250}"})
        return answer.status_code

    async def person(client: httpx.AsyncClient) -> int:
        answer = await client.get(f"/authorize/shop/calendar?ticket={marked()}")
        return answer.status_code

    async with served(keys=KEYS) as (client, server):
        crowd = [
            asyncio.create_task(person(client) if number % 25 == 0 else junk(client, number)) for number in range(500)
        ]
        statuses = await asyncio.gather(*crowd)
    people = statuses[::25]
    assert people == [200] * 20
    assert set(statuses) <= {200, 404, 429}
    assert all("/namespaces/shop/" in request.path for request in server.requests), "nothing was read for junk"


async def test_junk_without_a_mark_holds_up_nobody_whose_link_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Lines in which time stands still: once one is full, it stays so, however fast or slow this machine is.
    monkeypatch.setattr(
        app_module, "RateLimiter", lambda *_, **__: RateLimiter(lambda: 0.0, per_second=1, burst=10, longest_wait=5)
    )

    async with served(keys=KEYS) as (client, _):

        async def old_junk(number: int) -> int:
            answer = await client.get(f"/authorize/shop-{number}/calendar?ticket={NOT_THE_TICKET}")
            return answer.status_code

        junk = [asyncio.create_task(old_junk(number)) for number in range(20)]
        turned_away = 0
        for answered in asyncio.as_completed(junk):
            turned_away += await answered == 429
            if turned_away == 5:
                break
        person = await client.get(f"/authorize/shop/calendar?ticket={marked()}")
        next_junk = await old_junk(20)
        for task in junk:
            task.cancel()
        await asyncio.gather(*junk, return_exceptions=True)
    assert turned_away == 5
    assert person.status_code == 200
    assert next_junk == 429, "the line of those without a mark was full all the while"


@pytest.mark.parametrize(
    ("keys", "presented"),
    [
        pytest.param(KEYS, ticket(), id="a link of v0.1.0"),
        pytest.param(KEYS, marked(), id="a marked one"),
        pytest.param(
            KEYS.renewed(LONG_AGO + KEY_LIFETIME, lambda size: b"n" * size), marked(), id="after the key was replaced"
        ),
        pytest.param(LinkKeys(), marked(), id="before the keys were read"),
        pytest.param(
            LinkKeys().renewed(datetime.now(UTC), lambda size: b"n" * size), marked(), id="after the keys were lost"
        ),
    ],
)
async def test_link_that_a_person_holds_stays_good(keys: LinkKeys, presented: str) -> None:
    async with served(keys=keys) as (client, _):
        answer = await client.get(f"/authorize/shop/calendar?ticket={presented}")
    assert answer.status_code == 200


# Cookies that a sibling host planted.

OURS = COOKIE["Cookie"].encode()
PLANTED = [
    pytest.param([b"\xa0__Host-datasource-browser=" + b"E" * 43], id="alone"),
    pytest.param([OURS + b"; \xa0__Host-datasource-browser=" + b"E" * 43], id="behind ours"),
    pytest.param([b"\x85__Host-datasource-browser=" + b"E" * 43 + b"; " + OURS], id="before ours"),
    pytest.param([OURS, b"__Host-datasource-browser=" + b"E" * 43], id="twice, in two lines"),
]


@pytest.mark.parametrize("lines", PLANTED)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/authorize/shop/calendar?ticket={ticket()}"),
        ("POST", "/authorize/shop/calendar"),
        ("GET", f"/callback/shop?code=x&state={NO_RECORD}"),
        ("GET", f"/done/{NO_RECORD}"),
    ],
)
async def test_browser_with_a_planted_cookie_is_told_so_and_nothing_is_read(
    method: str, path: str, lines: list[bytes]
) -> None:
    async with served() as (client, server):
        answer = await client.request(method, path, headers=[(b"Cookie", line) for line in lines])
    assert answer.status_code == 403
    assert "A cookie of another site blocks this page" in answer.text
    assert "Delete this browser&#39;s cookies" in answer.text
    # A cookie of ours beside the planted one would mend nothing, and a fresh one would only be planted over.
    assert "set-cookie" not in answer.headers
    assert server.requests == []


# Where an answer leads.


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example.com/",
        "///evil.example.com/authorize/shop/calendar/",
        "/\\evil.example.com/",
        "/%5Cevil.example.com/",
        "/%09/evil.example.com/",
        "/authorize/shop/calendar/",
        "/authorize//evil.example.com",
        "/callback/shop/",
        "/done//evil.example.com/",
        "/done/x/",
    ],
)
@pytest.mark.parametrize("prefix", ["", "/connect"])
async def test_cve_2026_83589_no_path_is_answered_with_a_redirect_to_elsewhere(path: str, prefix: str) -> None:
    async with served(EXTERNAL + prefix) as (client, _):
        request = httpx.Request("GET", EXTERNAL + "/", headers={"Host": "evil.example.com", **COOKIE})
        request.url = httpx.URL(EXTERNAL).copy_with(raw_path=f"{prefix}{path}".encode())
        answer = await client.send(request)
    assert "location" not in answer.headers
    assert answer.status_code in {400, 403, 404}


@pytest.mark.parametrize("host", ["evil.example.com", "connect.example.com@evil.example.com", "evil.example.com/x?"])
async def test_cve_2026_48710_host_header_builds_no_url(host: str) -> None:
    async with served() as (client, _):
        headers = {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-Proto": "http", "Forwarded": f"host={host}"}
        pages = [
            await client.get(f"/authorize/shop/calendar?ticket={ticket()}", headers=headers),
            await client.get("/authorize/shop/calendar/", headers=headers),
            await client.get("/nothing", headers=headers),
        ]
    assert pages[0].status_code == 200
    assert redirect_uri(EXTERNAL, "shop") in pages[0].text.replace("<wbr>", "")
    for page in pages:
        assert "evil" not in page.text + str(page.headers)


async def test_cve_2026_33757_a_link_alone_starts_nothing() -> None:
    """Whoever is made to open a link (an image, a frame, a prefetch) is asked first: GET changes nothing and leads nowhere."""
    async with served() as (client, server):
        for _ in range(3):
            answer = await client.get(f"/authorize/shop/calendar?ticket={ticket()}", headers=COOKIE)
            assert answer.status_code == 200
            assert "location" not in answer.headers
            for shown in ("shop", "calendar", "login.example.com", "Get new credential"):
                assert shown in answer.text
    assert {request.method for request in server.requests} == {"GET"}


SCRIPT = "%3Cscript%3Ealert(1)%3C/script%3E%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E"


@pytest.mark.parametrize(
    "path",
    [
        f"/callback/shop?error={SCRIPT}&error_description={SCRIPT}&state={SCRIPT}",
        f"/callback/shop?error=x&error_description={SCRIPT}&state={NO_RECORD}",
        f"/callback/shop?error=x&error_uri=javascript:alert(1)&state={NO_RECORD}&iss={SCRIPT}",
        f"/authorize/shop/calendar?ticket={SCRIPT}",
        f"/authorize/{SCRIPT}/calendar?ticket={NOT_THE_TICKET}",
        f"/done/{SCRIPT}",
        f"/{SCRIPT}",
    ],
)
async def test_cve_2026_33758_and_cve_2025_62800_error_page_runs_no_script(path: str) -> None:
    """What a request says comes back neither as markup nor under a policy that would run it."""
    async with served() as (client, _):
        answer = await client.get(path, headers=COOKIE)
    assert answer.status_code >= 400
    assert "<script" not in answer.text
    assert "<img src=x" not in answer.text
    assert "javascript:" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


async def test_what_a_datasource_says_is_shown_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever edits a Datasource must not run script in the browser of who opens its link."""
    attack = '"><script>alert(1)</script>'
    changes: dict[str, Any] = {"clientID": attack, "scopes": [attack, "read"]}
    spec = raw_spec(**changes) | {"url": f"https://api.example.com/{attack}"}
    scope = TicketScope(uid=UID, parameters_hash=parameters_hash(oauth2(**changes)), replaces="")
    live = issue_ticket(scope, lambda size: bytes(range(size)))
    link = authorization_link(EXTERNAL, "shop", "calendar", live)
    shown = datasource() | {"spec": spec, "status": {"state": attack, "authorizationLink": link}}
    monkeypatch.setattr(f"{__name__}.datasource", lambda: shown)

    async with served() as (client, _):
        answer = await client.get(f"/authorize/shop/calendar?ticket={live}")

    assert answer.status_code == 200
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert "<script" not in answer.text


async def test_slow_form_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callback_server.app.BODY_TIMEOUT", 0.05)

    async def drips() -> AsyncIterator[bytes]:
        while True:
            yield b"a"
            await asyncio.sleep(0.01)

    async with served() as (client, server):
        answer = await client.post("/authorize/shop/calendar", content=drips(), headers=COOKIE)
    assert answer.status_code == 403
    assert server.requests == []
