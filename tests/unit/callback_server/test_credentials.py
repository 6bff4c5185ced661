"""A new credential: rehearsed before its code is spent, stored through what may be an outage, given up where it is refused."""

from base64 import b64decode
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from callback_server.credentials import CredentialStore
from callback_server.refusals import Kind, Refused
from callback_server.situation import Situation
from datasource.api.objects import Status
from datasource.api.requests import HandledSet, Requests
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialFacts
from datasource.records.history import Act, appended, entry_of, read_history
from datasource.records.page_request import PageRequest, RequestKind
from tests.unit.datasource.api_server import Reply, cuts, fails
from tests.unit.datasource.builders import NOW, UID, credential_data, oauth2, spec
from tests.unit.datasource.cluster.test_credential_secrets import ANOTHER, GONE, LABELLED, STANDS_NEW, Room

FACTS = CredentialFacts(credential_id="new", fingerprint="fp-1")
UNTIL = NOW + timedelta(minutes=10)
DENIED = fails(403, "Forbidden", "exceeded quota")
NO_SECRETS = 'admission webhook "a.example.com" denied the request: no secrets today'
NO_NAMESPACE = fails(404, "NotFound", 'namespaces "shop" not found')


def situation(replaces: str | None = None) -> Situation:
    facts = CredentialFacts(credential_id=replaces or "", fingerprint="fp-1", handled=HandledSet(refresh=("r",)))
    credential = None if replaces is None else StoredCredential(facts, resource_version="1", owners=())
    return Situation("shop", "sales", UID, spec(), oauth2(), Status(), Requests(), credential)


async def store(room: Room, at: Situation, *, now: datetime = NOW) -> None:
    """Store the new credential; each look at the clock takes four minutes."""
    clock = iter(now + timedelta(minutes=4) * step for step in range(99))
    await CredentialStore(room.secrets, lambda: next(clock)).store(
        at, FACTS, credential_data(), known=HandledSet().with_requests(Requests(new_credential="n")), until=UNTIL
    )


def methods(room: Room) -> list[str]:
    return [request.method for request in room.server.requests]


@pytest.mark.parametrize(("replaces", "method"), [(None, "POST"), ("old", "PATCH")])
async def test_rehearsal_writes_nothing_and_asks_what_the_store_will_ask(replaces: str | None, method: str) -> None:
    async with Room.that(STANDS_NEW) as room:
        await CredentialStore(room.secrets, lambda: NOW).rehearse(situation(replaces))
    (request,) = room.server.requests
    assert (request.method, request.query["dryRun"]) == (method, "All")
    if replaces is not None:
        # With the data: an immutable Secret takes other annotations all the same.
        assert request.body["data"] is None


@pytest.mark.parametrize(
    ("replaces", "reply", "title"),
    [
        pytest.param(None, fails(409, "AlreadyExists"), "faster", id="one appeared"),
        pytest.param(None, NO_NAMESPACE, "faster", id="its namespace is gone"),
        pytest.param("old", fails(409, "Conflict"), "faster", id="it changed"),
        pytest.param("old", GONE, "faster", id="it is gone"),
        pytest.param("old", fails(422, "Invalid"), "stored", id="it is immutable"),
        pytest.param(None, DENIED, "stored", id="a quota is used up"),
        pytest.param(None, fails(409, "Conflict", NO_SECRETS), NO_SECRETS, id="a webhook refuses as if it was there"),
        pytest.param("old", fails(404, "NotFound", NO_SECRETS), NO_SECRETS, id="a webhook refuses as if it was gone"),
        pytest.param(None, fails(503, "", NO_SECRETS), NO_SECRETS, id="a webhook refuses as if there was an outage"),
    ],
)
async def test_rehearsal_that_fails_refuses_before_anything_is_spent(
    replaces: str | None, reply: Reply, title: str
) -> None:
    async with Room.that(reply) as room:
        with pytest.raises(Refused) as caught:
            await CredentialStore(room.secrets, lambda: NOW).rehearse(situation(replaces))
    assert title in f"{caught.value.title} {caught.value.message}"


async def test_rehearsal_over_what_is_to_be_cleared_says_that_and_asks_nothing() -> None:
    at = situation("old")
    assert isinstance(at.credential, StoredCredential)
    asked = PageRequest(RequestKind.CLEAR, "0" * 32, NOW, "ada", "old")
    facts = msgspec.structs.replace(at.credential.facts, page_request=asked)
    to_be_cleared = replace(at, credential=msgspec.structs.replace(at.credential, facts=facts))
    async with Room.that(STANDS_NEW) as room:
        with pytest.raises(Refused) as caught:
            await CredentialStore(room.secrets, lambda: NOW).rehearse(to_be_cleared)
    assert caught.value.kind is Kind.THE_CREDENTIAL_WAS_CLEARED_MEANWHILE
    assert room.server.requests == []


async def test_stored_credential_keeps_what_was_handled_before() -> None:
    async with Room.that(STANDS_NEW) as room:
        await store(room, situation("old"))
    (request,) = room.server.requests
    handled = HandledSet.decode(request.body["metadata"]["annotations"]["datasource.dev/handled"])
    assert handled.refresh == ("r",)
    assert len(handled.new_credential) == 1


async def test_stored_credential_is_told_of_after_what_people_did_before() -> None:
    before = appended(None, entry_of("act-1", Act.CLEAR, by="annotation", at=NOW))
    at = situation("old")
    assert at.credential is not None
    async with Room.that(STANDS_NEW) as room:
        await store(room, replace(at, credential=msgspec.structs.replace(at.credential, history=before)))
    (request,) = room.server.requests
    history = read_history(b64decode(request.body["data"]["history"]).decode())
    assert [(each.what, each.by, each.id) for each in history] == [
        ("ClearCredential", "annotation", "act-1"),
        ("NewCredential", "link", "new"),
    ]
    assert request.body["metadata"]["annotations"]["datasource.dev/history"] == "new"


async def test_first_credential_is_the_first_that_is_told_of() -> None:
    async with Room.that(STANDS_NEW) as room:
        await store(room, situation())
    (request,) = room.server.requests
    assert [each.id for each in read_history(b64decode(request.body["data"]["history"]).decode())] == ["new"]


async def test_code_is_not_spent_where_somebody_asked_for_a_clear() -> None:
    at = situation("old")
    assert isinstance(at.credential, StoredCredential)
    asked = PageRequest(RequestKind.CLEAR, "0" * 32, NOW, "ada", "old")
    facts = msgspec.structs.replace(at.credential.facts, page_request=asked)
    async with Room.that(STANDS_NEW) as room:
        with pytest.raises(Refused):
            await CredentialStore(room.secrets, lambda: NOW).rehearse(
                replace(at, credential=msgspec.structs.replace(at.credential, facts=facts))
            )
    assert room.server.requests == []


async def test_first_credential_belongs_to_its_datasource() -> None:
    async with Room.that(STANDS_NEW) as room:
        await store(room, situation())
    (request,) = room.server.requests
    assert request.body["metadata"]["ownerReferences"][0]["uid"] == UID


async def test_outage_is_waited_for_however_long_the_consent_is_over() -> None:
    down: list[Any] = [reply for _ in range(8) for reply in (fails(503, "Down"), LABELLED)]
    async with Room.that(*down, STANDS_NEW) as room:
        await store(room, situation("old"), now=UNTIL)
    assert len(methods(room)) == 17


@pytest.mark.parametrize(
    ("replaces", "replies"),
    [
        pytest.param("old", [DENIED, LABELLED] * 9, id="a quota is used up"),
        pytest.param(None, [DENIED, GONE] * 9, id="a namespace that is going"),
        pytest.param(None, [NO_NAMESPACE] * 18, id="a namespace that is gone"),
        pytest.param("old", [cuts()] + [DENIED] * 18, id="rights that were taken away"),
    ],
)
async def test_refusal_is_tried_again_until_the_consent_is_over_and_then_told(
    replaces: str | None, replies: list[Reply]
) -> None:
    async with Room.that(*replies) as room:
        with pytest.raises(Refused) as caught:
            await store(room, situation(replaces))
    assert "sales-oauth2-credential" in caught.value.message
    assert "The new tokens were dropped" in caught.value.message
    assert 3 < len(methods(room)) < 10


@pytest.mark.parametrize("replies", [(fails(409, "Conflict"), ANOTHER), (fails(409, "Conflict"), GONE), (GONE, GONE)])
async def test_newer_decision_than_ours_stays(replies: tuple[Reply, ...]) -> None:
    async with Room.that(*replies) as room:
        with pytest.raises(Refused) as caught:
            await store(room, situation("old"), now=UNTIL)
    assert "sales-oauth2-credential" not in caught.value.message
    assert methods(room) == ["PATCH", "GET"]
