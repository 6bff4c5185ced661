"""What is there now, read live: which Datasources are served, what of them can be used, and whether a link still is one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from callback_server.app import services
from callback_server.refusals import Refused
from callback_server.situation import Observer, Situation, effective_parameters
from datasource.api.link_ticket import new_ticket
from datasource.api.names import Annotation, authorization_link, ticket_in
from datasource.api.objects import Datasource, Status
from datasource.api.requests import Requests
from datasource.cluster.api_errors import Forbidden, Unavailable
from datasource.process.settings import Settings
from datasource.providers.transport import Transport
from datasource.records.contents import StoredCredential
from datasource.records.credential import CredentialFacts
from datasource.records.fingerprint import parameters_hash
from datasource.records.ticket import TicketScope, issue_ticket, ticket_hash
from tests.support.hostile_provider import ON_LOOPBACK, replies
from tests.unit.callback_server.visits import CREDENTIAL, EXTERNAL, Visit, visit
from tests.unit.datasource.builders import UID, oauth2, spec


@asynccontextmanager
async def observed(**changes: Any) -> AsyncIterator[tuple[Visit, Observer]]:
    """An observer of an API server in memory, with Datasource shop/calendar."""
    async with visit(replies(200)) as came, Transport(ON_LOOPBACK) as transport:
        usual: dict[str, Any] = {"allow_insecure_http": True, "egress": ON_LOOPBACK}
        wired = services(came.kube, transport, Settings(EXTERNAL, "datasource-system", **(usual | changes)))
        yield came, wired.dialog.observer


async def found(observer: Observer) -> Datasource:
    datasource = await observer.datasource("shop", "calendar")
    assert datasource is not None
    return datasource


# Which Datasources.


async def test_namespace_that_is_not_served_is_not_even_asked_for() -> None:
    async with observed(namespaces=("bank",)) as (came, observer):
        assert await observer.datasource("shop", "calendar") is None
        assert came.kube.calls == []
    async with observed(namespaces=("bank", "shop")) as (_, observer):
        assert await observer.datasource("shop", "calendar") is not None


async def test_datasource_that_may_not_be_read_is_none_like_one_that_is_not_there() -> None:
    async with observed() as (came, observer):
        assert await observer.datasource("shop", "other") is None
        came.kube.failure = Forbidden(403, "Forbidden", "no")
        assert await observer.datasource("shop", "calendar") is None


async def test_api_server_that_does_not_answer_is_not_taken_for_an_answer() -> None:
    async with observed() as (came, observer):
        came.kube.failure = Unavailable("cut")
        with pytest.raises(Unavailable):
            await observer.datasource("shop", "calendar")


# What of it can be used.


async def test_situation_is_what_stands_there() -> None:
    async with observed() as (came, observer):
        came.datasource["metadata"]["annotations"] = {Annotation.REFRESH: "1", Annotation.NEW_CREDENTIAL: "2"}
        seen = await observer.situation(await found(observer))
    assert (seen.namespace, seen.name, seen.uid) == ("shop", "calendar", UID)
    assert seen.requests == Requests(refresh="1", new_credential="2")
    assert (seen.credential, seen.credential_id, seen.handled.refresh) == (None, "", ())
    assert seen.parameters_hash == parameters_hash(seen.oauth2)


def break_url(came: Visit) -> None:
    came.datasource["spec"]["oauth2"]["tokenURL"] = "ftp://x"


def leave_out(came: Visit) -> None:
    del came.datasource["spec"]["oauth2"]["clientID"]


def no_parameters(came: Visit) -> None:
    del came.datasource["spec"]["oauth2"]


def not_ours(came: Visit) -> None:
    came.store_another()
    assert came.credential is not None
    came.credential["type"] = "Opaque"


def of_an_earlier_one(came: Visit) -> None:
    came.store_another()
    assert came.credential is not None
    came.credential["metadata"]["ownerReferences"][0]["uid"] = "earlier"


def altered(came: Visit) -> None:
    came.store_another()
    assert came.credential is not None
    came.credential["metadata"]["annotations"][Annotation.REVISION] = "many"


@pytest.mark.parametrize(
    ("happened", "says"),
    [
        (break_url, "spec.oauth2.tokenURL"),
        (leave_out, "spec.oauth2.clientID"),
        (no_parameters, "spec.oauth2.authorizeURL"),
        (not_ours, CREDENTIAL[2]),
        (of_an_earlier_one, "being removed"),
        (altered, "annotation datasource.dev/revision cannot be read"),
    ],
)
async def test_what_cannot_be_used_is_refused_by_name(happened: Callable[[Visit], None], says: str) -> None:
    async with observed() as (came, observer):
        happened(came)
        with pytest.raises(Refused) as caught:
            await observer.situation(await found(observer))
    assert says in f"{caught.value.title} {caught.value.message}"


async def test_provider_that_nothing_depends_on_is_not_asked() -> None:
    async with observed() as (came, observer):
        assert await observer.metadata(await observer.situation(await found(observer)), None) is None
        assert came.provider.requests == []


@pytest.mark.parametrize("status", [404, 500])
async def test_provider_that_tells_no_endpoints_is_refused_where_they_are_needed(status: int) -> None:
    async with visit(replies(status, b"")) as came:
        async with observed() as (other, observer):
            del other.datasource["spec"]["oauth2"]["tokenURL"]
            other.datasource["spec"]["oauth2"]["issuer"] = came.provider.origin
            seen = await observer.situation(await found(observer))
            with pytest.raises(Refused):
                await observer.metadata(seen, None)
        assert came.provider.requests


def test_parameters_that_do_not_go_together_are_refused() -> None:
    incomplete = situation()
    with pytest.raises(Refused):
        effective_parameters(replace(incomplete, oauth2=oauth2(issuer="https://a.example.com", tokenURL=None)), None)
    assert effective_parameters(incomplete, None).token_url == "https://login.example.com/token"


# Links.


def situation(**changes: Any) -> Situation:
    """shop/calendar, that offers a link."""
    scope = TicketScope(uid=UID, parameters_hash=parameters_hash(oauth2()), replaces="")
    link = authorization_link(EXTERNAL, "shop", "calendar", issue_ticket(scope, lambda size: b"r" * size))
    seen = Situation("shop", "calendar", UID, spec(), oauth2(), Status(authorization_link=link), Requests(), None)
    return replace(seen, **changes)


def offered(seen: Situation) -> str:
    ticket = ticket_in(seen.status.authorization_link)
    assert ticket is not None
    return ticket


def obtained_with(ticket: str | None, credential_id: str = "") -> StoredCredential:
    used = None if ticket is None else ticket_hash(ticket)
    return StoredCredential(CredentialFacts(credential_id, ticket_hash=used), resource_version="1", owners=())


def test_link_that_is_offered_is_live() -> None:
    assert situation().ticket_is_live(offered(situation()))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"status": Status()}, id="none is offered"),
        pytest.param({"uid": "another"}, id="another Datasource of that name"),
        pytest.param({"oauth2": oauth2(tokenURL="https://b.example.com/")}, id="other parameters"),
        pytest.param({"credential": obtained_with(None, "newer")}, id="a credential that it was not offered for"),
        pytest.param({"credential": obtained_with(offered(situation()))}, id="used up; the status lags behind"),
    ],
)
def test_link_ends_when_what_it_was_for_ends(changes: dict[str, Any]) -> None:
    assert not situation(**changes).ticket_is_live(offered(situation()))


APART = new_ticket(lambda size: b"a" * size)
PAGE = Status(authorization_link="https://connect.example.com/datasources/shop/calendar")


def made_apart(**changes: Any) -> Situation:
    """Where people sign in, and a ticket was made for a person who does not."""
    return situation(**({"status": PAGE, "made_apart": lambda ticket: ticket == APART} | changes))


def test_ticket_that_was_made_apart_is_live_while_a_link_is_offered_and_works_once() -> None:
    assert made_apart().ticket_is_live(APART)
    assert not made_apart().ticket_is_live(offered(situation()))
    assert not made_apart(credential=obtained_with(APART)).ticket_is_live(APART)
    assert not made_apart(status=Status()).ticket_is_live(APART)


def test_ticket_that_was_made_apart_is_none_where_links_have_tickets() -> None:
    assert not made_apart(status=situation().status).ticket_is_live(APART)


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: "A" + text[1:], lambda _: "", str.swapcase])
def test_ticket_that_was_not_offered_is_not_live(change: Callable[[str], str]) -> None:
    assert not situation().ticket_is_live(change(offered(situation())))


def test_ticket_that_fits_but_is_not_offered_is_no_proof() -> None:
    """Whoever knows the uid can make one up."""
    made_up = issue_ticket(
        TicketScope(uid=UID, parameters_hash=parameters_hash(oauth2()), replaces=""), lambda size: b"x" * size
    )
    assert situation().ticket_was_issued(made_up)
    assert not situation().ticket_is_live(made_up)
