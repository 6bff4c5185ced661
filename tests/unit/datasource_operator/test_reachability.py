"""Looks at whether providers can be reached: beside the workers, one for all who go there, fair, and never a request."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from datasource.api.objects import Status
from datasource.api.spec import Spec
from datasource.api.spec_problems import parse_spec
from datasource.cluster.api_errors import Unavailable
from datasource.cluster.clients import Clients
from datasource.cluster.resources import CONFIG_MAPS
from datasource.oauth2.errors import TooManyLookups
from datasource.outbound.egress import EgressPolicy, rules
from datasource.outbound.reach import Hindrance, Obstacle, Reach
from datasource.process.clock import utc_now
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource_operator.cache import Cache, Key
from datasource_operator.reachability import COME_AGAIN, LIFETIME, PER_NAMESPACE, Reachability
from tests.support.builders import datasource, invalid_spec, raw_spec, spec_without_oauth2
from tests.support.hostile_provider import (
    HostileProvider,
    ReceivedRequest,
    closed_port,
    replies,
    self_signed,
)
from tests.support.kube_in_memory import KubeInMemory
from tests.unit.datasource_operator.stand_ins import Clock

LOCAL = EgressPolicy(allowed=rules(["127.0.0.0/8"]))
KEY = Key("shop", "calendar")


def spec_at(token_url: str | None, **oauth2: Any) -> Spec:
    raw = raw_spec(tokenURL=token_url, **oauth2)
    return parse_spec(raw, allow_insecure_http=True, egress=LOCAL)


class Counting(Transport):
    """Counts connections; `hangs` keeps one that is begun under way."""

    def __init__(self) -> None:
        super().__init__(LOCAL)
        self.begun: list[tuple[str, str]] = []
        self.hangs: set[str] = set()
        self.failure: Exception | None = None

    async def connect(
        self, url: str, *, deadline: timedelta, tenant: str, ca_bundle: str | None = None
    ) -> Hindrance | None:
        self.begun.append((tenant, url))
        if self.failure is not None:
            raise self.failure
        if url in self.hangs:
            await asyncio.Event().wait()
        return await super().connect(url, deadline=deadline, tenant=tenant, ca_bundle=ca_bundle)


class Looking:
    """A Reachability with a clock of its own, and who is to be looked at again."""

    def __init__(self, transport: Counting) -> None:
        self.clock = Clock()
        self.transport = transport
        self.kube = KubeInMemory()
        self.cache = Cache()
        self.again: list[Key] = []
        discovery = Discovery(transport, self.clock, allow_insecure_http=True)
        clients = Clients(self.kube, require_allowed_hosts=False, now=utc_now)
        self.reach = Reachability(
            transport, discovery, clients, self.cache, self.again.append, self.clock, timedelta(0)
        )

    def stands(self, key: Key, status: Status | None = None) -> None:
        """The Datasource is there."""
        made = datasource()
        metadata = msgspec.structs.replace(made.metadata, namespace=key.namespace, name=key.name, uid=f"uid of {key}")
        self.cache.store_datasource(msgspec.structs.replace(made, metadata=metadata, status=status or Status()))

    async def look(self, key: Key, spec: Spec) -> Reach | None:
        """Ask, wait until nothing is under way any more, and ask again."""
        if self.cache.datasource(key) is None:
            self.stands(key)
        self.reach.of(key, spec)
        await self.idle()
        return self.reach.of(key, spec)

    async def idle(self) -> None:
        async with asyncio.timeout(20):
            while self.reach._pool.running:  # noqa: ASYNC110 - what ends is a task of theirs
                await asyncio.sleep(0.001)


@asynccontextmanager
async def looking() -> AsyncIterator[Looking]:
    transport = Counting()
    async with transport:
        one = Looking(transport)
        yield one
        await one.reach.stop()


@contextmanager
def refusing() -> Iterator[str]:
    with closed_port() as port:
        yield f"http://127.0.0.1:{port}/token"


async def test_whoever_asks_waits_for_nobody_and_a_provider_that_is_well_brings_nobody_back() -> None:
    async with looking() as one, HostileProvider(replies(200)) as provider:
        one.stands(KEY)
        assert one.reach.of(KEY, spec_at(provider.url)) is None
        reach = await one.look(KEY, spec_at(provider.url))
        assert reach is not None
        assert (reach.obstacle, one.again, provider.requests) == (None, [], [])


async def test_a_provider_that_cannot_be_reached_is_told_and_brings_the_datasource_back() -> None:
    async with looking() as one:
        with refusing() as url:
            reach = await one.look(KEY, spec_at(url))
        assert reach is not None
        assert reach.obstacle is Obstacle.NOT_CONNECTED
        assert reach.message.startswith("The operator cannot reach the token endpoint at 127.0.0.1: it refuses")
        assert one.again == [KEY]


async def test_one_look_serves_every_datasource_of_every_namespace_for_ten_minutes() -> None:
    async with looking() as one, HostileProvider(replies(200)) as provider:
        keys = [Key(namespace, str(number)) for namespace in ("a", "b", "c") for number in range(20)]
        for key in keys:
            one.stands(key)
            one.reach.of(key, spec_at(f"{provider.origin}/{key.name}/token"))
        await one.idle()
        for key in keys:
            assert one.reach.of(key, spec_at(f"{provider.origin}/{key.name}/token")) is not None
        assert len(one.transport.begun) == 1
        one.clock.advance(LIFETIME)
        for key in keys:
            assert one.reach.of(key, spec_at(f"{provider.origin}/{key.name}/token")) is not None
        await one.idle()
        assert len(one.transport.begun) == 2


async def test_what_a_look_found_a_moment_ago_is_known_at_once() -> None:
    """At a start, 100,000 Datasources would wait for their turn, each with its parameters in memory."""
    async with looking() as one, HostileProvider(replies(200)) as provider:
        first = await one.look(KEY, spec_at(provider.url))
        one.clock.advance(LIFETIME / 2)
        other = Key("b", "y")
        one.stands(other)
        assert one.reach.of(other, spec_at(provider.url)) == first
        assert one.reach._wanted == {}
        # What it was told counts no longer than what was found.
        one.clock.advance(LIFETIME / 2)
        assert one.reach.of(other, spec_at(provider.url)) == first
        await one.idle()
        assert len(one.transport.begun) == 2


async def test_what_a_look_found_is_not_known_at_once_where_more_is_asked_for() -> None:
    async with looking() as one, HostileProvider(replies(200)) as provider:
        await one.look(KEY, spec_at(provider.url))
        other = Key("b", "y")
        one.stands(other)
        bundle = {"caBundle": self_signed().certificate}
        for more in (bundle, {"caBundleRef": {"name": "a"}}, {"issuer": provider.origin, "authorizeURL": None}):
            assert one.reach.of(other, spec_at(provider.url, **more)) is None
        await one.idle()


async def test_what_one_trusts_is_no_word_for_another() -> None:
    certificate = self_signed()
    async with looking() as one, HostileProvider(replies(200), tls=certificate.server_context()) as provider:
        one.kube.put(CONFIG_MAPS, "shop", "authorities", data={"ca.crt": certificate.certificate})
        trusting = await one.look(KEY, spec_at(provider.url, caBundleRef={"name": "authorities"}))
        strict = await one.look(Key("b", "y"), spec_at(provider.url))
        assert trusting is not None
        assert strict is not None
        assert (trusting.obstacle, strict.obstacle) == (None, Obstacle.TLS_FAILED)
        assert "caBundle" in strict.message


async def test_one_lost_connection_is_no_outage() -> None:
    async with looking() as one:
        async with HostileProvider(replies(200)) as provider:
            url = provider.url
            await one.look(KEY, spec_at(url))
        one.clock.advance(LIFETIME)
        begun = len(one.transport.begun)
        reach = await one.look(KEY, spec_at(url))
        assert reach is not None
        assert reach.obstacle is Obstacle.NOT_CONNECTED
        assert len(one.transport.begun) == begun + 2


async def test_hosts_that_hang_take_the_places_of_one_namespace() -> None:
    async with looking() as one, HostileProvider(replies(200)) as provider:
        for number in range(40):
            key, host = Key("attacker", str(number)), f"http://127.0.1.{number + 1}:9"
            one.transport.hangs.add(host)
            one.stands(key)
            one.reach.of(key, spec_at(f"{host}/token"))
        await asyncio.sleep(0)
        assert one.reach._pool.running == PER_NAMESPACE
        one.stands(KEY)
        one.reach.of(KEY, spec_at(provider.url))
        async with asyncio.timeout(20):
            while one.reach.of(KEY, spec_at(provider.url)) is None:  # noqa: ASYNC110 - what ends is a task of theirs
                await asyncio.sleep(0.001)
        assert one.reach._pool.running == PER_NAMESPACE


async def test_metadata_is_read_and_the_endpoint_that_it_tells_is_connected_to() -> None:
    with refusing() as token_url:
        members: dict[str, str] = {}

        async def behave(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
            await replies(200, json.dumps(members).encode())(request, writer)

        async with looking() as one, HostileProvider(behave) as provider:
            issuer = provider.origin
            members |= {"issuer": issuer, "authorization_endpoint": f"{issuer}/a", "token_endpoint": token_url}
            reach = await one.look(KEY, spec_at(None, issuer=issuer, authorizeURL=None))
    assert reach is not None
    assert "the token endpoint at 127.0.0.1" in reach.message


@pytest.mark.parametrize(("status", "words"), [(503, "answered 503"), (404, "answered 404")], ids=["not now", "never"])
async def test_metadata_that_cannot_be_read_is_what_is_told(status: int, words: str) -> None:
    async with looking() as one, HostileProvider(replies(status, b"")) as provider:
        reach = await one.look(KEY, spec_at(None, issuer=provider.origin, authorizeURL=None))
    assert reach is not None
    assert reach.obstacle is Obstacle.METADATA_UNREADABLE
    assert words in reach.message


async def test_an_issuer_that_cannot_be_connected_to_is_told_like_any_host() -> None:
    with closed_port() as port:
        async with looking() as one:
            reach = await one.look(KEY, spec_at(None, issuer=f"http://127.0.0.1:{port}", authorizeURL=None))
    assert reach is not None
    assert reach.message.startswith("The operator cannot reach the provider's metadata at 127.0.0.1: it refuses")


async def test_a_host_that_leads_where_no_request_may_go_is_told_as_such() -> None:
    async def inward(_: str, __: int) -> tuple[str, ...]:
        return ("10.0.0.1",)

    async with Transport(EgressPolicy(), resolve=inward) as strict:
        async with looking() as one:
            one.reach.transport = strict
            reach = await one.look(KEY, spec_at("https://login.example.com/token"))
    assert reach is not None
    assert (reach.obstacle, "10.0.0.1" in reach.message) == (Obstacle.EGRESS_DENIED, False)
    assert "a private network" in reach.message


@pytest.mark.parametrize(
    "failure", [TooManyLookups("login.example.com"), RuntimeError("a bug")], ids=["no room", "a bug"]
)
async def test_where_no_look_comes_about_nothing_is_told_and_it_is_tried_again_soon(failure: Exception) -> None:
    async with looking() as one, HostileProvider(replies(200)) as provider:
        one.transport.failure = failure
        assert await one.look(KEY, spec_at(provider.url)) is None
        begun = len(one.transport.begun)
        one.reach.of(KEY, spec_at(provider.url))
        await one.idle()
        assert len(one.transport.begun) == begun
        one.transport.failure = None
        one.clock.advance(COME_AGAIN)
        assert await one.look(KEY, spec_at(provider.url)) is not None


async def test_a_look_that_fails_leaves_what_was_known() -> None:
    async with looking() as one, HostileProvider(replies(200)) as provider:
        known = await one.look(KEY, spec_at(provider.url))
        one.clock.advance(LIFETIME)
        one.transport.failure = TooManyLookups("x")
        assert await one.look(KEY, spec_at(provider.url)) is known


async def test_a_ca_bundle_that_cannot_be_read_says_nothing_about_the_provider() -> None:
    async with looking() as one, HostileProvider(replies(200)) as provider:
        one.kube.failure = Unavailable("no API server")
        assert await one.look(KEY, spec_at(provider.url, caBundleRef={"name": "authorities"})) is None
        assert one.transport.begun == []


async def test_a_datasource_that_is_edited_meanwhile_is_looked_at_once_more() -> None:
    async with looking() as one, HostileProvider(replies(200)) as provider:
        one.stands(KEY)
        hangs = "http://127.0.1.1:9"
        with refusing() as url:
            one.reach.of(KEY, spec_at(url))
            one.reach.of(KEY, spec_at(provider.url))
            await asyncio.sleep(0)
            one.reach.of(KEY, spec_at(url))
            await one.idle()
            known = one.reach.of(KEY, spec_at(url))
        assert known is not None
        assert known.obstacle is Obstacle.NOT_CONNECTED
        assert one.reach.of(KEY, spec_at(f"{hangs}/token")) is None


async def test_nothing_is_looked_at_where_parameters_are_missing() -> None:
    async with looking() as one:
        for spec in (spec_without_oauth2(), invalid_spec(), spec_at(None)):
            assert one.reach.of(KEY, spec) is None
        assert one.reach._pool.running == 0


async def test_nothing_is_kept_of_a_datasource_that_is_gone() -> None:
    async with looking() as one, HostileProvider(replies(200)) as provider:
        await one.look(KEY, spec_at(provider.url))
        one.reach.forget(KEY)
        assert (one.reach._told, one.reach._wanted) == ({}, {})
        gone = Key("shop", "gone")
        one.reach.of(gone, spec_at(provider.url))
        await one.idle()
        assert one.reach._told == {}
