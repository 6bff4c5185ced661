"""The way back: whatever happens in between, a code is exchanged once at most, and what comes of it is stored or told."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from callback_server.callback import clear_is_newer
from callback_server.new_credential import captured_on_the_way_back
from callback_server.situation import Situation
from datasource.api.names import Annotation, uid_digest
from datasource.api.objects import Metadata, Status
from datasource.api.requests import HandledSet, Requests
from datasource.api.states import Reason
from datasource.oauth2.callback import AuthorizationResponse
from datasource.records.effective import effective_oauth2
from datasource.records.flow import failed_flow
from datasource.records.intent import Intent
from datasource.records.page_request import PageRequest, RequestKind
from tests.support.hostile_provider import Behaviour, ReceivedRequest, replies
from tests.support.person import STORED
from tests.unit.callback_server.visits import DATASOURCE, Visit, new_cookie_jar, visit
from tests.unit.datasource.builders import NOW, UID, oauth2, spec
from tests.unit.datasource.records.test_flow import flow

TOKENS = {
    "access_token": "the-access-token",
    "token_type": "Bearer",
    "expires_in": 3600,
    "refresh_token": "the-refresh-token",
}
GRANTS = replies(200, json.dumps(TOKENS).encode())
SECRETS_OF_A_FLOW = ("the-code", "the-access-token", "the-refresh-token", "app-secret")


async def test_code_is_exchanged_and_the_tokens_are_stored() -> None:
    async with visit(GRANTS) as came:
        page = await came.authorize()
        (exchange,) = came.provider.requests
        sent = parse_qs(exchange.body.decode())
        assert (sent["grant_type"], sent["code"]) == (["authorization_code"], ["the-code"])
        assert len(sent["code_verifier"][0]) >= 43
        assert sent["redirect_uri"] == ["https://connect.example.com/callback/shop"]
        assert came.credential is not None
        data = {key: b64decode(value).decode() for key, value in came.credential["data"].items()}
        assert (data["access_token"], data["refresh_token"]) == ("the-access-token", "the-refresh-token")
        assert data["token_endpoint"] == came.provider.url
    assert STORED in page.text


async def test_neither_page_nor_address_shows_what_is_secret() -> None:
    async with visit(GRANTS) as came:
        returned = await came.come_back(await came.begin())
        page = await came.end(returned)
        shown = f"{returned.headers} {returned.text} {page.headers} {page.text}"
    assert not [secret for secret in SECRETS_OF_A_FLOW if secret in shown]


@pytest.mark.parametrize("how", ["one after the other", "at once"])
async def test_callback_that_comes_several_times_spends_the_code_once(how: str) -> None:
    async with visit(GRANTS) as came:
        state = await came.begin()
        if how == "at once":
            answers = await asyncio.gather(*(came.come_back(state) for _ in range(5)))
        else:
            answers = [await came.come_back(state) for _ in range(3)]
        assert len(came.provider.requests) == 1
        assert len({answer.headers["location"] for answer in answers}) == 1, "all of them see how it ended"
        assert STORED in (await came.end(answers[-1])).text


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(400, b'{"error": "invalid_grant"}', id="the code is refused"),
        pytest.param(401, b'{"error": "invalid_client"}', id="the client is refused"),
        pytest.param(500, b"", id="the provider is broken"),
        pytest.param(200, b"<html>", id="no JSON"),
        pytest.param(200, b'{"token_type": "Bearer"}', id="no token"),
    ],
)
async def test_exchange_that_fails_stores_nothing_and_is_told(status: int, body: bytes) -> None:
    async with visit(replies(status, body)) as came:
        state = await came.begin()
        page = await came.end(await came.come_back(state))
        assert came.credential is None
        again = await came.come_back(state)
        assert len(came.provider.requests) == 1, "nor is it tried again"
        assert again.status_code in {302, 303}
    assert STORED not in page.text
    assert "Get new credential" in page.text or "again" in page.text, "there is a way on"


def clear(came: Visit) -> None:
    came.datasource["metadata"]["annotations"] = {Annotation.CLEAR_CREDENTIAL: "now"}


def suspend(came: Visit) -> None:
    came.datasource["spec"]["suspend"] = True


def edit(came: Visit) -> None:
    came.datasource["spec"]["oauth2"]["scopes"] = ["everything"]


def break_spec(came: Visit) -> None:
    came.datasource["spec"]["oauth2"]["tokenURL"] = "ftp://x"


def replace(came: Visit) -> None:
    came.datasource["metadata"]["uid"] = "another"


def delete(came: Visit) -> None:
    del came.kube.objects[DATASOURCE]


def store_another(came: Visit) -> None:
    came.store_another()


@pytest.mark.parametrize(
    "happens", [clear, suspend, edit, break_spec, replace, delete, store_another], ids=lambda each: each.__name__
)
async def test_whatever_changed_while_the_person_was_away_no_code_is_spent(happens: Callable[[Visit], None]) -> None:
    async with visit(GRANTS) as came:
        state = await came.begin()
        happens(came)
        stood = came.credential
        page = await came.end(await came.come_back(state))
        assert came.provider.requests == []
        assert came.credential == stood
    assert STORED not in page.text


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({"error": "access_denied", "error_description": "<b>no</b>"}, id="the person said no"),
        pytest.param({"error": "server_error"}, id="the provider could not"),
    ],
)
async def test_consent_that_was_denied_ends_the_flow(query: dict[str, str]) -> None:
    async with visit(GRANTS) as came:
        state = await came.begin()
        page = await came.end(await came.come_back(state, **query))
        assert came.provider.requests == []
        # A code that comes afterwards belongs to nothing any more.
        await came.come_back(state)
        assert came.provider.requests == []
    assert query["error"] in page.text
    assert "<b>no</b>" not in page.text


@pytest.mark.parametrize("answered", [GRANTS, replies(400, b'{"error": "invalid_grant"}'), None])
async def test_record_tells_the_operator_of_a_failure_and_of_nothing_else(answered: Behaviour | None) -> None:
    async with visit(answered or GRANTS) as came:
        state = await came.begin()
        query = {"code": "the-code"} if answered else {"error": "access_denied", "error_description": f"no {state}"}
        await came.come_back(state, **query)
        (record,) = came.flow_records
        told = failed_flow(msgspec.convert(record["metadata"], Metadata))
        shown = json.dumps(record["metadata"]["annotations"])
    assert (told is None) == (answered is GRANTS)
    assert not [secret for secret in (*SECRETS_OF_A_FLOW, state) if secret in shown]
    if told is not None:
        assert (told.namespace, told.name, told.uid_digest) == ("shop", "calendar", uid_digest(UID))
        assert ("access_denied" if answered is None else "invalid_grant") in told.message


async def test_browser_that_did_not_begin_cannot_finish() -> None:
    """Whoever is lured to the end of somebody else's flow would hand his own account over."""
    async with visit(GRANTS) as came:
        state = await came.begin()
        new_cookie_jar(came)
        answer = await came.come_back(state)
        assert answer.status_code == 403
        assert came.provider.requests == []
        assert came.flow_records[0]["metadata"]["annotations"], "and the flow can still be finished by who began it"


@pytest.mark.parametrize("namespace", ["other", "shop-2"])
async def test_flow_ends_in_the_namespace_that_it_began_in(namespace: str) -> None:
    """Each namespace has a redirect URI of its own, which a provider may have registered for another client."""
    async with visit(GRANTS) as came:
        state = await came.begin()
        answer = await came.client.get(f"/callback/{namespace}", params={"state": state, "code": "the-code"})
        assert answer.status_code == 400
        assert came.provider.requests == []


async def test_credential_that_appears_during_the_exchange_is_not_overwritten() -> None:
    here: list[Visit] = []

    async def meanwhile_another(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        here[0].store_another()
        await GRANTS(request, writer)

    async with visit(meanwhile_another) as came:
        here.append(came)
        page = await came.authorize()
        assert len(came.provider.requests) == 1
        assert came.credential is not None
        assert came.credential["metadata"]["annotations"][Annotation.CREDENTIAL_ID] == "another"
    assert STORED not in page.text


@pytest.mark.parametrize(
    ("lists", "is_in_the_body"), [(["client_secret_post"], True), (["client_secret_basic"], False)]
)
async def test_code_is_exchanged_as_the_metadata_lists_that_the_flow_began_with(
    lists: list[str], is_in_the_body: bool
) -> None:
    """The record kept nothing of that list, and the code was spent the wrong way."""

    async def provider(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        if request.method == "POST":
            return await GRANTS(request, writer)
        issuer = f"http://{request.headers['host']}"
        document = {
            "issuer": issuer,
            "token_endpoint": f"{issuer}/token",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": lists,
        }
        return await replies(200, json.dumps(document).encode())(request, writer)

    async with visit(provider, has_metadata=True) as came:
        page = await came.authorize()
        (exchange,) = [each for each in came.provider.requests if each.method == "POST"]
        assert ("client_secret" in exchange.form) is is_in_the_body
        assert ("authorization" in exchange.headers) is not is_in_the_body
        assert came.credential is not None
        kept = json.loads(came.credential["metadata"]["annotations"][Annotation.PROMISED])
        assert kept["token_endpoint_auth_methods_supported"] == lists
        assert "token_endpoint" not in kept
    assert STORED in page.text


# An import beside a person's flow: the operator takes it over while they are at the provider, or while the code is exchanged.

SENT = Intent("intent-1", "process-1", "pod-1", NOW)
OF_NO_USE: dict[str, dict[str, Any]] = {
    "not sent yet": {},
    "refused": {"verdict": Reason.GRANT_REVOKED},
    "interrupted": {"verdict": Reason.REFRESH_INTERRUPTED, "intent": SENT},
}
MAY_BE_OF_USE: dict[str, dict[str, Any]] = {
    "being tried": {"intent": SENT},
    "rotated": {"revision": 2},
    "in use": {"revision": 2, "refreshed_at": NOW},
    "ended since": {"revision": 2, "refreshed_at": NOW, "verdict": Reason.GRANT_REVOKED},
    "over a newer credential": {"replaces": "another"},
}


def is_theirs(came: Visit) -> bool:
    """Whether what is stored is what the person consented to, and nothing of an import."""
    assert came.credential is not None
    data = {key: b64decode(value).decode() for key, value in came.credential["data"].items()}
    annotations = came.credential["metadata"]["annotations"].keys()
    of_the_import = {Annotation.IMPORTED, Annotation.VERDICT, Annotation.INTENT} & annotations
    return data["refresh_token"] == "the-refresh-token" and not of_the_import


@pytest.mark.parametrize("facts", OF_NO_USE.values(), ids=OF_NO_USE)
async def test_import_that_is_of_no_use_gives_way_to_a_consent(facts: dict[str, Any]) -> None:
    async with visit(GRANTS) as came:
        state = await came.begin()
        came.store_an_import(**facts)
        page = await came.end(await came.come_back(state))
        assert is_theirs(came)
    assert STORED in page.text


@pytest.mark.parametrize("facts", MAY_BE_OF_USE.values(), ids=MAY_BE_OF_USE)
async def test_import_that_may_be_of_use_stays_and_the_page_says_that_there_is_one(facts: dict[str, Any]) -> None:
    async with visit(GRANTS) as came:
        state = await came.begin()
        came.store_an_import(**facts)
        stood = came.credential
        page = await came.end(await came.come_back(state))
        assert (came.provider.requests, came.credential) == ([], stood)
    assert "A refresh token was imported for this Datasource" in page.text
    assert "The code was not used" in page.text


async def test_import_that_is_to_be_cleared_gives_way_to_nobody() -> None:
    async with visit(GRANTS) as came:
        state = await came.begin()
        came.store_an_import(page_request=PageRequest(RequestKind.CLEAR, "0" * 32, NOW, "ada", "imported"))
        page = await came.end(await came.come_back(state))
        assert came.provider.requests == []
    assert "cleared" in page.text
    assert "Another credential was stored" not in page.text


@pytest.mark.parametrize("facts", (OF_NO_USE | MAY_BE_OF_USE).values(), ids=OF_NO_USE | MAY_BE_OF_USE)
async def test_import_that_appears_during_the_exchange_gives_way_where_it_is_of_no_use(facts: dict[str, Any]) -> None:
    here, gives_way = list[Visit](), facts in OF_NO_USE.values()

    async def meanwhile_an_import(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        here[0].store_an_import(**facts)
        await GRANTS(request, writer)

    async with visit(meanwhile_an_import) as came:
        here.append(came)
        page = await came.authorize()
        assert is_theirs(came) is gives_way
    assert (STORED in page.text) is gives_way


def test_only_fields_that_the_spec_names_are_kept_of_what_a_browser_brought() -> None:
    wanted = effective_oauth2(oauth2(capturedFields={"callback": ["realmId", "missing"]}), None)
    response = AuthorizationResponse(code="c", state="s", other={"realmId": "42", "evil": "x"})
    assert dict(captured_on_the_way_back(wanted, response)) == {"realmId": "42"}


def test_clear_counts_where_the_flow_did_not_know_of_it() -> None:
    asked = Requests(clear_credential="1")
    at = Situation("shop", "sales", UID, spec(), oauth2(), Status(), asked, None)
    assert clear_is_newer(at, flow())
    assert not clear_is_newer(at, flow(requested=HandledSet().with_requests(asked)))


class Slow:
    """A service that answers once it may."""

    def __init__(self) -> None:
        self.was_asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        self.was_asked.set()
        await self.may_answer.wait()
        await GRANTS(request, writer)


async def test_person_before_a_slow_service_is_told_that_it_goes_on_and_the_code_is_sent_once() -> None:
    slow = Slow()
    async with visit(slow, patience=0) as came:
        state = await came.begin()
        page = await came.come_back(state)
        await slow.was_asked.wait()
        # By now it is claimed: who comes again is led to where its end is told.
        under_way = await came.end(await came.come_back(state))
        slow.may_answer.set()
        await came.services.callback.long_work.drain()
        done = await came.end(await came.come_back(state))
        assert len(came.provider.requests) == 1
    assert (page.status_code, page.headers["Refresh"]) == (503, "5")
    assert "This takes a little longer" in page.text
    assert (under_way.status_code, under_way.headers["Refresh"]) == (200, "5")
    assert "not finished yet" in under_way.text
    assert STORED in done.text
