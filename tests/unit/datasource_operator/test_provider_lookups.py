"""Looks at providers beside the workers: nobody waits for one, and each is told in the end. The providers are on loopback."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from datasource.api.spec import InvalidSpec, OAuth2
from datasource.api.spec_problems import parse_spec
from datasource.oauth2.errors import MetadataUnavailable
from datasource.outbound.egress import EgressPolicy, rules
from datasource.providers.discovery import Discovery
from datasource.providers.transport import Transport
from datasource_operator.cache import Key
from datasource_operator.provider_lookups import PER_NAMESPACE, LookupPending, ProviderLookups
from tests.support.builders import raw_spec
from tests.support.hostile_provider import HostileProvider, ReceivedRequest, replies, stays_silent

KEY = Key("a", "x")

LOCAL = EgressPolicy(allowed=rules(["127.0.0.0/8"]))


def hanging_provider() -> HostileProvider:
    """One that never answers; at an address of its own, for places are counted for each host, too, whatever its port."""
    return HostileProvider(stays_silent(), address="127.0.0.2")


def oauth2_at(provider: HostileProvider) -> OAuth2:
    """Parameters that say nothing but the issuer: every endpoint depends on its metadata."""
    raw = raw_spec(issuer=provider.origin, authorizeURL=None, tokenURL=None)
    oauth2 = parse_spec(raw, allow_insecure_http=True, egress=LOCAL).oauth2
    assert oauth2 is not None
    return oauth2


def publishing() -> HostileProvider:
    """A provider that publishes its metadata."""

    async def behave(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        issuer = provider.origin
        members = {"issuer": issuer, "authorization_endpoint": f"{issuer}/auth", "token_endpoint": f"{issuer}/token"}
        await replies(200, json.dumps(members).encode())(request, writer)

    provider = HostileProvider(behave)
    return provider


class Looking:
    """Looks, and who was told that one has ended."""

    def __init__(self, transport: Transport) -> None:
        self.looked: asyncio.Queue[Key] = asyncio.Queue()
        discovery = Discovery(transport, time.monotonic, allow_insecure_http=True)
        self.lookups = ProviderLookups(discovery, self.looked.put_nowait)

    async def begin(self, key: Key, oauth2: OAuth2) -> None:
        with pytest.raises(LookupPending):
            await self.lookups.metadata(key, oauth2, None)

    async def told(self) -> Key:
        async with asyncio.timeout(20):
            return await self.looked.get()

    async def idle(self) -> None:
        async with asyncio.timeout(20):
            while self.lookups.running:  # noqa: ASYNC110 - what ends is a task of theirs
                await asyncio.sleep(0.001)


@asynccontextmanager
async def looking() -> AsyncIterator[Looking]:
    async with Transport(LOCAL) as transport:
        one = Looking(transport)
        yield one
        await one.lookups.stop()


async def test_whoever_asks_waits_for_nobody_and_is_told_when_it_is_known() -> None:
    async with looking() as one, publishing() as provider:
        oauth2 = oauth2_at(provider)
        await one.begin(KEY, oauth2)
        assert await one.told() == KEY
        metadata = await one.lookups.metadata(KEY, oauth2, None)
        assert metadata is not None
        assert metadata.token_endpoint == f"{provider.origin}/token"
        # Others find it at once, for as long as it is fresh.
        assert await one.lookups.metadata(Key("b", "y"), oauth2, None) is metadata
        assert len(provider.requests) == 1


async def test_issuers_that_hang_take_the_places_of_one_namespace_and_nobody_waits() -> None:
    async with looking() as one, hanging_provider() as hangs, publishing() as provider:
        for number in range(60):
            await one.begin(Key("attacker", str(number)), oauth2_at(hangs))
        hanging = set(one.lookups._running)
        assert len(hanging) == PER_NAMESPACE
        await one.begin(KEY, oauth2_at(provider))
        assert await one.told() == KEY
        assert hanging <= set(one.lookups._running), "it was waited for until they gave up"


async def test_what_cannot_be_believed_is_told_and_raised_each_time_anew() -> None:
    async with looking() as one, HostileProvider(replies(404, b"")) as provider:
        oauth2 = oauth2_at(provider)
        await one.begin(KEY, oauth2)
        assert await one.told() == KEY
        for _ in range(2):
            with pytest.raises(InvalidSpec, match=r"spec\.oauth2\.issuer"):
                await one.lookups.metadata(KEY, oauth2, None)


async def test_what_cannot_be_read_now_brings_nobody_back() -> None:
    async with looking() as one, HostileProvider(replies(503, b"")) as provider:
        oauth2 = oauth2_at(provider)
        await one.begin(KEY, oauth2)
        await one.idle()
        assert one.looked.empty()
        with pytest.raises(MetadataUnavailable):
            await one.lookups.metadata(KEY, oauth2, None)


async def test_answer_of_an_earlier_spec_is_not_given_for_a_later_one() -> None:
    async with looking() as one, publishing() as first, publishing() as second:
        await one.begin(KEY, oauth2_at(first))
        await one.begin(KEY, oauth2_at(second))
        assert await one.told() == KEY
        await one.idle()
        metadata = await one.lookups.metadata(KEY, oauth2_at(second), None)
        assert metadata is not None
        assert metadata.issuer == second.origin


async def test_nothing_is_left_of_what_is_gone() -> None:
    async with looking() as one, hanging_provider() as hangs, publishing() as provider:
        for number in range(PER_NAMESPACE + 3):
            await one.begin(Key("a", str(number)), oauth2_at(hangs))
        for number in range(PER_NAMESPACE, PER_NAMESPACE + 3):
            one.lookups.forget(Key("a", str(number)))
        assert not one.lookups._wanted
        await one.begin(Key("b", "x"), oauth2_at(provider))
        await one.told()
        one.lookups.forget(Key("b", "x"))
        assert not one.lookups._told
        await one.lookups.stop()
        assert one.lookups.running == 0
        assert one.lookups._places.waiting == 0


async def test_no_look_is_needed_without_an_issuer() -> None:
    async with looking() as one:
        oauth2 = parse_spec(raw_spec(), allow_insecure_http=False).oauth2
        assert oauth2 is not None
        assert await one.lookups.metadata(KEY, oauth2, None) is None
        assert one.lookups.running == 0


async def test_metadata_that_stands_elsewhere_takes_a_place_of_whoever_is_asked() -> None:
    issuer = "https://issuer.example.com"
    document = {"issuer": issuer, "authorization_endpoint": f"{issuer}/auth", "token_endpoint": f"{issuer}/token"}
    async with looking() as one, HostileProvider(replies(200, json.dumps(document).encode())) as provider:
        raw = raw_spec(issuer=issuer, discoveryURL=f"{provider.origin}/meta", authorizeURL=None, tokenURL=None)
        oauth2 = parse_spec(raw, allow_insecure_http=True, egress=LOCAL).oauth2
        assert oauth2 is not None
        await one.begin(KEY, oauth2)
        assert await one.told() == KEY
        found = await one.lookups.metadata(KEY, oauth2, None)
        assert found is not None
        assert found.token_endpoint == f"{issuer}/token"
        # What the place said is not what the issuer says.
        assert not one.lookups.discovery.is_known(issuer)
