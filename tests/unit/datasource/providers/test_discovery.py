"""Discovery against a provider on loopback: what is believed, for how long, and how often a provider is asked."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any

import pytest

from datasource.oauth2.errors import MetadataNotAskedFor, MetadataUnavailable, MetadataUnusable, OAuth2Error
from datasource.oauth2.provider_metadata import document_request
from datasource.outbound.egress import EgressPolicy
from datasource.providers import discovery as module
from datasource.providers import resolver as resolver_module
from datasource.providers.discovery import (
    DEADLINE,
    FAILURE_LIFETIME,
    KEPT_PER_NAMESPACE,
    LIFETIME,
    LONGEST_GRACE,
    Discovery,
    Failure,
    _Asked,
)
from datasource.providers.transport import Transport
from tests.support.hostile_provider import (
    LOOPBACK,
    ON_LOOPBACK,
    Behaviour,
    HostileProvider,
    ReceivedRequest,
    closed_port,
    cuts_after_the_request,
    cuts_in_the_body,
    endless_body,
    gzip_bomb,
    redirects,
    replies,
    self_signed,
    speaks_no_http,
    stays_silent,
)
from tests.support.reachable import reachable

PATIENT = timedelta(seconds=10)
AN_HOUR_AND_MORE = LIFETIME + timedelta(seconds=1)


class Clock:
    """A monotonic clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by.total_seconds()


class Says:
    """The document of an issuer that is known only once the server listens."""

    def __init__(self, **changes: Any) -> None:
        self.changes = changes
        self.provider: HostileProvider

    async def __call__(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        issuer = self.provider.origin
        members = {"issuer": issuer, "token_endpoint": f"{issuer}/token"} | self.changes
        await replies(200, json.dumps(members).encode())(request, writer)


MISSING = replies(404, b"", content_type="text/html")
PAGE = replies(200, b"<!DOCTYPE html>", content_type="text/html")


def provider_that(*behaviours: Behaviour) -> HostileProvider:
    provider = HostileProvider(*behaviours)
    for behaviour in behaviours:
        if isinstance(behaviour, Says):
            behaviour.provider = provider
    return provider


def targets(provider: HostileProvider) -> list[str]:
    return [f"{request.method} {request.target}" for request in provider.requests]


OIDC, RFC_8414 = "GET /.well-known/openid-configuration", "GET /.well-known/oauth-authorization-server"


async def test_document_is_found_at_the_first_place_and_kept() -> None:
    clock = Clock()
    async with provider_that(Says()) as provider, Transport(ON_LOOPBACK) as transport:
        discovery = Discovery(transport, clock)
        first = await discovery.metadata(provider.origin, tenant="apps")
        clock.advance(LIFETIME - timedelta(seconds=1))
        assert await discovery.metadata(provider.origin, tenant="apps") is first
    assert first.token_endpoint == f"{provider.origin}/token"
    assert targets(provider) == [OIDC]


@pytest.mark.parametrize("first", [MISSING, PAGE, replies(500), gzip_bomb(size=65_536), Says(issuer="https://other")])
async def test_document_at_the_next_place_is_as_good(first: Behaviour) -> None:
    async with provider_that(first, Says()) as provider, Transport(ON_LOOPBACK) as transport:
        metadata = await Discovery(transport, Clock()).metadata(provider.origin, tenant="apps")
    assert metadata.issuer == provider.origin
    assert targets(provider) == [OIDC, RFC_8414]


ISSUER = "https://issuer.example.com/v2.0"


async def test_document_stands_where_somebody_says_and_is_looked_for_nowhere_else() -> None:
    async with provider_that(Says(issuer=ISSUER)) as provider, Transport(ON_LOOPBACK) as transport:
        discovery, place = Discovery(transport, Clock()), f"{provider.origin}/common/meta?p=B2C_1"
        found = await discovery.metadata(ISSUER, tenant="apps", discovery_url=place)
        assert await discovery.metadata(ISSUER, tenant="shop", discovery_url=place) is found
        assert discovery.is_known(ISSUER, discovery_url=place)
        # What somebody says of an issuer is no word for whoever asks the issuer.
        assert not discovery.is_known(ISSUER)
        assert not discovery.is_known(ISSUER, discovery_url=provider.origin)
    assert (found.issuer, found.token_endpoint) == (ISSUER, f"{provider.origin}/token")
    assert targets(provider) == ["GET /common/meta?p=B2C_1"]


async def test_document_that_does_not_stand_where_somebody_says_is_missing() -> None:
    async with provider_that(MISSING) as provider, Transport(ON_LOOPBACK) as transport:
        with pytest.raises(MetadataUnusable, match="/meta answered 404"):
            await Discovery(transport, Clock()).metadata(ISSUER, tenant="apps", discovery_url=f"{provider.origin}/meta")
    assert targets(provider) == ["GET /meta"]


async def test_document_that_has_run_out_is_asked_for_anew() -> None:
    clock = Clock()
    async with (
        provider_that(Says(), Says(token_endpoint="http://localhost/new")) as provider,
        Transport(ON_LOOPBACK) as transport,
    ):
        discovery = Discovery(transport, clock)
        await discovery.metadata(provider.origin, tenant="apps")
        clock.advance(AN_HOUR_AND_MORE)
        assert (await discovery.metadata(provider.origin, tenant="apps")).token_endpoint == "http://localhost/new"


@pytest.mark.parametrize(
    ("behave", "expected", "said"),
    [
        pytest.param(MISSING, MetadataUnusable, "answered 404", id="nothing there"),
        pytest.param(PAGE, MetadataUnusable, "no JSON object", id="a page for every path"),
        pytest.param(
            Says(issuer="https://evil.example.com"), MetadataUnusable, "evil.example.com", id="another issuer"
        ),
        pytest.param(Says(token_endpoint="http://10.0.0.1/"), MetadataUnusable, "is not https", id="plain http"),
        pytest.param(redirects("https://evil.example.com/", status=302), MetadataUnusable, "302", id="a redirect"),
        pytest.param(gzip_bomb(), MetadataUnavailable, "larger than", id="a gzip bomb"),
        pytest.param(replies(200, b'{"issuer":' * 50_000), MetadataUnusable, "no JSON object", id="deep JSON"),
        pytest.param(replies(500), MetadataUnavailable, "answered 500", id="500"),
        pytest.param(replies(503), MetadataUnavailable, "answered 503", id="503"),
        pytest.param(replies(429), MetadataUnavailable, "answered 429", id="429"),
        pytest.param(endless_body(), MetadataUnavailable, "larger than", id="a body without an end"),
        pytest.param(cuts_after_the_request(), MetadataUnavailable, "no whole answer", id="cut"),
        pytest.param(cuts_in_the_body(), MetadataUnavailable, "no whole answer", id="cut within the body"),
        pytest.param(speaks_no_http(), MetadataUnavailable, "no whole answer", id="no HTTP"),
    ],
)
async def test_provider_that_misbehaves_is_a_typed_error(
    behave: Behaviour, expected: type[OAuth2Error], said: str
) -> None:
    async with provider_that(behave) as provider, Transport(ON_LOOPBACK) as transport:
        with pytest.raises(expected, match=said):
            await Discovery(transport, Clock()).metadata(provider.origin, tenant="apps")


async def test_redirect_is_not_followed() -> None:
    async with provider_that(Says()) as other, provider_that(redirects(other.url, status=302)) as provider:
        async with Transport(ON_LOOPBACK) as transport:
            with pytest.raises(MetadataUnusable):
                await Discovery(transport, Clock()).metadata(provider.origin, tenant="apps")
    assert other.connections == 0


async def test_provider_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE", DEADLINE / 50)
    async with provider_that(stays_silent()) as provider, Transport(ON_LOOPBACK) as transport:
        with pytest.raises(MetadataUnavailable, match="no whole answer within"):
            await Discovery(transport, Clock()).metadata(provider.origin, tenant="apps")


async def test_provider_that_is_not_there_is_unavailable() -> None:
    with closed_port() as port:
        async with Transport(ON_LOOPBACK) as transport:
            with pytest.raises(MetadataUnavailable, match="could not be reached"):
                await Discovery(transport, Clock()).metadata(f"http://127.0.0.1:{port}", tenant="apps")


async def test_failure_is_kept_briefly() -> None:
    clock = Clock()
    async with provider_that(replies(500), replies(500), Says()) as provider, Transport(ON_LOOPBACK) as transport:
        discovery = Discovery(transport, clock)
        for _ in range(3):
            with pytest.raises(MetadataUnavailable):
                await discovery.metadata(provider.origin, tenant="apps")
        assert len(provider.requests) == 2
        clock.advance(FAILURE_LIFETIME)
        assert (await discovery.metadata(provider.origin, tenant="apps")).issuer == provider.origin


@pytest.mark.parametrize(
    ("pause", "holds"),
    [(AN_HOUR_AND_MORE, True), (LIFETIME + LONGEST_GRACE + timedelta(seconds=1), False)],
)
async def test_document_holds_for_a_day_more_while_the_provider_is_down(pause: timedelta, holds: bool) -> None:
    clock = Clock()
    async with provider_that(Says(), replies(500)) as provider, Transport(ON_LOOPBACK) as transport:
        discovery = Discovery(transport, clock)
        before = await discovery.metadata(provider.origin, tenant="apps")
        clock.advance(pause)
        if holds:
            assert await discovery.metadata(provider.origin, tenant="apps") is before
        else:
            with pytest.raises(MetadataUnavailable):
                await discovery.metadata(provider.origin, tenant="apps")


async def test_document_that_no_longer_fits_ends_the_one_before() -> None:
    clock = Clock()
    async with (
        provider_that(Says(), Says(issuer="https://evil.example.com")) as provider,
        Transport(ON_LOOPBACK) as transport,
    ):
        discovery = Discovery(transport, clock)
        await discovery.metadata(provider.origin, tenant="apps")
        clock.advance(AN_HOUR_AND_MORE)
        with pytest.raises(MetadataUnusable):
            await discovery.metadata(provider.origin, tenant="apps")


async def test_all_who_ask_at_once_share_one_request() -> None:
    async with provider_that(Says()) as provider, Transport(ON_LOOPBACK) as transport:
        discovery = Discovery(transport, Clock())
        answers = await asyncio.gather(*(discovery.metadata(provider.origin, tenant="apps") for _ in range(20)))
    assert all(answer is answers[0] for answer in answers)
    assert len(provider.requests) == 1


def holds(asked: asyncio.Event, release: asyncio.Event, then: Behaviour) -> Behaviour:
    """Says that it was asked, and goes on only once it is released."""

    async def behave(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await release.wait()
        await then(request, writer)

    return behave


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others() -> None:
    asked, release, says = asyncio.Event(), asyncio.Event(), Says()
    async with provider_that(holds(asked, release, says)) as provider, Transport(ON_LOOPBACK) as transport:
        says.provider = provider
        discovery = Discovery(transport, Clock())
        impatient = asyncio.create_task(discovery.metadata(provider.origin, tenant="apps"))
        patient = asyncio.create_task(discovery.metadata(provider.origin, tenant="apps"))
        await asked.wait()
        impatient.cancel()
        release.set()
        assert (await patient).issuer == provider.origin
        assert len(provider.requests) == 1


async def test_request_that_was_cancelled_is_made_again() -> None:
    asked, never = asyncio.Event(), asyncio.Event()
    async with provider_that(holds(asked, never, MISSING), Says()) as provider, Transport(ON_LOOPBACK) as transport:
        discovery = Discovery(transport, Clock())
        waiting = asyncio.create_task(discovery.metadata(provider.origin, tenant="apps"))
        await asked.wait()
        for task in asyncio.all_tasks():
            if task.get_name().startswith("metadata of"):
                task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await discovery.metadata(provider.origin, tenant="apps")).issuer == provider.origin


async def test_whoever_names_many_issuers_forgets_his_own_and_nobody_elses() -> None:
    async with provider_that(MISSING) as provider, Transport(ON_LOOPBACK) as transport:
        discovery = Discovery(transport, Clock())
        none = Failure("none", is_unusable=True)
        discovery._remember(_Asked(f"{provider.origin}/victim", None, "victim"), none)
        for number in range(KEPT_PER_NAMESPACE // 1024):
            discovery._remember(_Asked(f"{provider.origin}/{number}", f"bundle {number}" * 1000, "attacker"), none)
        assert discovery._known.held <= KEPT_PER_NAMESPACE + 2048
        with pytest.raises(MetadataUnusable, match="none"):
            await discovery.metadata(f"{provider.origin}/victim", tenant="victim")
        assert provider.requests == []
        assert not discovery.is_known(f"{provider.origin}/0", ca_bundle="bundle 0" * 1000)


async def test_operators_flag_reaches_the_documents() -> None:
    async with provider_that(Says(token_endpoint="http://login.example.com/token")) as provider:
        async with Transport(ON_LOOPBACK) as transport:
            lenient = Discovery(transport, Clock(), allow_insecure_http=True)
            assert (
                await lenient.metadata(provider.origin, tenant="apps")
            ).token_endpoint == "http://login.example.com/token"


async def test_place_where_no_request_may_go_is_told_for_good() -> None:
    async with Transport(EgressPolicy()) as transport:
        with pytest.raises(MetadataUnusable, match="127"):
            await Discovery(transport, Clock()).metadata("http://127.0.0.1:9", tenant="apps")


async def test_what_a_ca_bundle_vouches_for_is_told_to_nobody_else() -> None:
    certificate = self_signed()
    says = Says()
    async with HostileProvider(says, tls=certificate.server_context()) as provider:
        says.provider = provider
        async with Transport(ON_LOOPBACK) as transport:
            discovery = Discovery(transport, Clock())
            trusted = await discovery.metadata(provider.origin, ca_bundle=certificate.certificate, tenant="apps")
            assert trusted.issuer == provider.origin
            with pytest.raises(MetadataUnavailable):
                await discovery.metadata(provider.origin, tenant="apps")


# A tenant whose own lookups take all the room that it has.


async def no_room(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> "list[asyncio.Task[Any]]":
    """Fill the places of `attacker` with names that hang."""
    monkeypatch.setattr(resolver_module, "LONGEST_QUEUE", timedelta(milliseconds=50))
    urls = [f"https://hangs.d{number}.example/" for number in range(resolver_module.MOST_OF_A_TENANT)]
    requests = [transport.send(document_request(url), deadline=PATIENT, tenant="attacker") for url in urls]
    hanging = [asyncio.create_task(request) for request in requests]
    while not transport._lookups._has_one_under_way("attacker"):  # noqa: ASYNC110 - they begin by themselves
        await asyncio.sleep(0)
    return hanging


async def hangs_or_loopback(name: str, _: int) -> Sequence[str]:
    if name.startswith("hangs"):
        await asyncio.Event().wait()
    return (LOOPBACK,)


async def test_tenant_without_room_to_ask_keeps_no_document_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    says = Says()
    async with provider_that(says) as provider, Transport(ON_LOOPBACK, resolve=hangs_or_loopback) as transport:
        issuer = f"http://login.example.com:{provider.port}"
        says.changes = {"issuer": issuer, "token_endpoint": f"{issuer}/token"}
        discovery = Discovery(transport, Clock(), allow_insecure_http=True)
        hanging = await no_room(transport, monkeypatch)
        first = asyncio.create_task(discovery.metadata(issuer, tenant="attacker"))
        await asyncio.sleep(0)
        # Waits for the very request that the attacker began, and asks by itself when nothing comes of it.
        assert (await discovery.metadata(issuer, tenant="victim")).issuer == issuer
        for task in (first, *hanging):
            task.cancel()
        await asyncio.gather(first, *hanging, return_exceptions=True)


async def test_want_of_room_is_told_to_the_tenant_and_remembered_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Transport(ON_LOOPBACK, resolve=hangs_or_loopback) as transport:
        discovery = Discovery(transport, Clock())
        hanging = await no_room(transport, monkeypatch)
        with pytest.raises(MetadataNotAskedFor, match="other lookups of this namespace"):
            await discovery.metadata("https://login.example.com", tenant="attacker")
        assert not discovery._known
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


@pytest.mark.parametrize("behaviour", [MISSING, PAGE, replies(500), cuts_after_the_request()])
async def test_failure_that_is_kept_holds_nothing_of_what_was_on_the_way(behaviour: Behaviour) -> None:
    async with provider_that(behaviour) as provider, Transport(ON_LOOPBACK) as transport:
        discovery = Discovery(transport, Clock())
        told = []
        for _ in range(2):
            with pytest.raises((MetadataUnavailable, MetadataUnusable)) as caught:
                await discovery.metadata(provider.origin, tenant="apps")
            told.append((caught.type, str(caught.value)))
        assert discovery._known
        assert not any(isinstance(each, BaseException | TracebackType) for each in reachable(discovery._known))
    assert told[0] == told[1]


def test_issuer_that_was_never_asked_is_not_known() -> None:
    found = Discovery(Transport(ON_LOOPBACK), Clock())
    assert not found.is_known("https://id.example.com")
